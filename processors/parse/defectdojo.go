package parse

import (
	"errors"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// defectDojo reads the generic findings that DefectDojo imports, in JSON and CSV: what tools without a parser of their own are
// told to write. Severity is one of its five words.
// https://docs.defectdojo.com/supported_tools/parsers/generic_findings_import/
var defectDojo = Format{
	Name: "defectdojo", Title: "DefectDojo generic findings (JSON, CSV)", Phase: pipeline.PhaseTesting,
	Types: []string{"vulnerability.found", "finding.suppressed", "finding.accepted", "finding.corrected", "scan.completed"},
	Known: "JSON object whose findings have title, severity and description; CSV with those columns and CweId or Vulnerability Id",
	Frame: Reports,
	Match: func(s *Shape) bool {
		if s.IsObject() {
			f := firstMember(s.Raw("findings"))
			return !s.Array && member(f, "title") != nil && member(f, "severity") != nil && member(f, "description") != nil
		}
		if s.Root != "" || !strings.Contains(s.Line(), "Title") || !strings.Contains(s.Line(), "Severity") { // nearly every line of text
			return false
		}
		line := "," + strings.ReplaceAll(s.Line(), " ", "") + ","
		return strings.Contains(line, ",Title,") && strings.Contains(line, ",Severity,") && strings.Contains(line, ",Description,") &&
			(strings.Contains(line, ",CweId,") || strings.Contains(line, ",VulnerabilityId,"))
	},
	Parse: func(in *Input, out *Out) error {
		if isJSON(in.Data) {
			return defectDojoJSON(in, out)
		}
		return defectDojoCSV(in, out)
	},
}

type dojoFinding struct {
	Title       Text           `json:"title"`
	Description Text           `json:"description"`
	Severity    Text           `json:"severity"`
	Date        Text           `json:"date"`
	CVE         Text           `json:"cve"`
	CWE         Text           `json:"cwe"`
	Vulns       Strings        `json:"vulnerability_ids"`
	Score       Number         `json:"cvssv3_score"`
	File        Text           `json:"file_path"`
	Line        Number         `json:"line"`
	Component   Text           `json:"component_name"`
	Version     Text           `json:"component_version"`
	Fixed       Text           `json:"fix_version"`
	Service     Text           `json:"service"`
	UniqueID    Text           `json:"unique_id_from_tool"`
	Rule        Text           `json:"vuln_id_from_tool"`
	Mitigation  Text           `json:"mitigation"`
	References  Text           `json:"references"`
	FalseP      Text           `json:"false_p"`
	Duplicate   Text           `json:"duplicate"`
	OutOfScope  Text           `json:"out_of_scope"`
	Accepted    Text           `json:"risk_accepted"`
	Mitigated   Text           `json:"is_mitigated"`
	Endpoints   []dojoEndpoint `json:"endpoints"`
	url         string
}

// dojoEndpoint is where a finding is: an object with parts of a URL, or a URL or host as a text.
type dojoEndpoint struct {
	Host Text `json:"host"`
	Port Text `json:"port"`
	Path Text `json:"path"`
	url  Text
}

func (e *dojoEndpoint) UnmarshalJSON(b []byte) error {
	if b[0] != '{' {
		return e.url.UnmarshalJSON(b)
	}
	type plain dojoEndpoint
	return decode(b, (*plain)(e))
}

func defectDojoJSON(in *Input, out *Out) error {
	var v struct {
		Name     Text                `json:"name"`
		Type     Text                `json:"type"`
		Findings []part[dojoFinding] `json:"findings"`
	}
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	if v.Findings == nil {
		return errors.New("defectdojo: object without findings")
	}
	for i := range v.Findings {
		e := v.Findings[i].Value.event(out)
		e.Raw = v.Findings[i].Raw
		e.SetAttr("scanner", string(first(v.Type, v.Name)))
		if kind := strings.ToLower(string(v.Type)); strings.Contains(kind, "pen") && strings.Contains(kind, "test") || strings.Contains(kind, "manual") {
			byHand(e)
		}
	}
	if len(v.Findings) == 0 {
		out.clean(time.Time{}, string(first(v.Type, v.Name, "the scanner")))
	}
	return nil
}

func defectDojoCSV(in *Input, out *Out) error {
	rows := newTable(in.Text())
	if err := rows.header(); err != nil {
		return err
	}
	if !rows.has("title") || !rows.has("severity") {
		return errors.New("defectdojo: CSV without the columns Title and Severity")
	}
	return rows.findings(out, "the scanner", func() bool {
		text := func(names ...string) Text { return Text(rows.get(names...)) }
		f := dojoFinding{
			Title: text("title"), Description: text("description"), Severity: text("severity"), Date: text("date"), CVE: text("cve", "vulnerability id"),
			CWE: text("cweid"), Fixed: text("fix_version"), Mitigation: text("mitigation"), References: text("references"), FalseP: text("falsepositive"),
			Duplicate: text("duplicate"), Mitigated: text("ismitigated"), url: rows.get("url"),
		}
		if f.Title == "" && f.Severity == "" {
			return false
		}
		e := f.event(out)
		e.Raw = rows.raw()
		byHand(e) // tools write JSON
		return true
	})
}

// byHand notes that people found it, in a penetration test.
func byHand(e *pipeline.Event) {
	e.Phase = pipeline.PhaseRequirements
	e.SetAttr("method", "pentest")
}

func (f *dojoFinding) event(out *Out) *pipeline.Event {
	e := out.vulnerability(&vulnerability{
		IDs: append([]string{string(f.CVE)}, f.Vulns...), Rule: string(first(f.Rule, f.Title)), Title: string(f.Title), Severity: severityWord(string(f.Severity)),
		Score: f.Score.Or(0), Name: string(f.Component), Version: string(f.Version), Fixed: string(f.Fixed), File: string(f.File),
	})
	yes := func(t Text) bool { return strings.EqualFold(string(t), "true") }
	switch {
	case yes(f.Accepted):
		suppress(e)
		e.Type, e.Class = "finding.accepted", kinds["finding.accepted"].class
	case yes(f.FalseP), yes(f.Duplicate), yes(f.OutOfScope):
		suppress(e)
	case yes(f.Mitigated):
		e.Type, e.Class, e.Outcome = "finding.corrected", kinds["finding.corrected"].class, pipeline.OutcomeSuccess
		settleFinding(e)
	}
	if e.Time = parseTime(string(f.Date)); e.Time.IsZero() {
		e.Time, _ = time.Parse("1/2/2006", string(f.Date))
	}
	e.Service = string(f.Service)
	if f.url == "" && len(f.Endpoints) > 0 {
		f.url = string(f.Endpoints[0].url)
	}
	if f.url == "" && len(f.Endpoints) > 0 {
		at := &f.Endpoints[0]
		e.Host = hostOf(string(at.Host))
		e.SetAttr("server.port", string(at.Port))
		e.SetAttr("url.path", string(at.Path))
	} else if f.url != "" {
		e.Host = hostOf(f.url)
		e.SetAttr("url.full", f.url)
	}
	if f.CWE != "0" {
		e.SetAttr("cwe", string(f.CWE))
	}
	e.SetAttr("code.line.number", positive(int(f.Line.Or(0))))
	e.SetAttr("fingerprint", string(f.UniqueID))
	e.SetAttr("details", oneLine(string(f.Description), 500))
	e.SetAttr("remediation", oneLine(string(f.Mitigation), 500))
	e.SetAttr("vulnerability.reference", oneLine(string(f.References), 300))
	return e
}
