package parse

import (
	"encoding/xml"
	"errors"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// dependencyCheck reads the report of OWASP Dependency-Check, as JSON, as CSV and as XML of all its schemas. Severity is the word
// of the source of the vulnerability, else its score.
// https://jeremylong.github.io/DependencyCheck/general/scan_iso.html and the schemas beside it
var dependencyCheck = Format{
	Name: "dependency-check", Title: "OWASP Dependency-Check report (JSON, XML, CSV)", Phase: pipeline.PhasePackaging,
	Types: []string{"vulnerability.found", "finding.suppressed", "scan.completed"},
	Known: "JSON object with dependencies and reportSchema or scanInfo; XML analysis with dependencies; CSV with columns DependencyName and CVE",
	Frame: Reports,
	Match: func(s *Shape) bool {
		if s.Root == "analysis" {
			head := strings.ToLower(alias(s.Data()[:min(len(s.Data()), 4096)]))
			return strings.Contains(head, "dependency-check") || strings.Contains(head, "<scaninfo") || strings.Contains(head, "<dependencies")
		}
		if !s.IsObject() {
			return strings.Contains(s.Line(), "DependencyName") && strings.Contains(s.Line(), "CVE")
		}
		return !s.Array && s.Has("dependencies") && (s.Has("reportSchema") || s.Raw("scanInfo", "engineVersion") != nil)
	},
	Parse: parseDependencyCheck,
}

// dcVulnerability is a vulnerability in either encoding.
type dcVulnerability struct {
	Source      string  `xml:"source,attr" json:"source"`
	Name        string  `xml:"name" json:"name"`
	Severity    string  `xml:"severity" json:"severity"`
	Description string  `xml:"description" json:"description"`
	OldScore    string  `xml:"cvssScore" json:"-"`
	OldCWE      string  `xml:"cwe" json:"-"`
	CWEs        Strings `xml:"cwes>cwe" json:"cwes"`
	V2          struct {
		Score Text `xml:"score" json:"score"`
	} `xml:"cvssV2" json:"cvssv2"`
	V3 struct {
		Score Text `xml:"baseScore" json:"baseScore"`
	} `xml:"cvssV3" json:"cvssv3"`
	V4 struct {
		Data struct {
			Score Text `xml:"baseScore" json:"baseScore"`
		} `xml:"cvssData" json:"cvssData"`
	} `xml:"cvssV4" json:"cvssv4"`
	References []struct {
		URL string `xml:"url" json:"url"`
	} `xml:"references>reference" json:"references"`
	Notes string `xml:"notes" json:"notes"`
	Text  string `xml:",innerxml" json:"-"`
}

type dcDependency struct {
	FileName    string      `xml:"fileName" json:"fileName"`
	FilePath    string      `xml:"filePath" json:"filePath"`
	Packages    []dcPackage `xml:"identifiers>package" json:"packages"`
	Identifiers []struct {  // before version 5
		Type string `xml:"type,attr" json:"-"`
		Name string `xml:"name" json:"-"`
	} `xml:"identifiers>identifier" json:"-"`
	Vulnerabilities []dcVulnerability `xml:"vulnerabilities>vulnerability" json:"-"`
	Suppressed      []dcVulnerability `xml:"vulnerabilities>suppressedVulnerability" json:"-"`

	JSONVulnerabilities []part[dcVulnerability] `xml:"-" json:"vulnerabilities"`
	JSONSuppressed      []part[dcVulnerability] `xml:"-" json:"suppressedVulnerabilities"`
}

type dcPackage struct {
	ID string `xml:"id" json:"id"`
}

type dcRun struct {
	project, engine string
	at              time.Time
	found           int
}

func parseDependencyCheck(in *Input, out *Out) error {
	var run dcRun
	var err error
	switch {
	case isJSON(in.Data):
		err = run.readJSON(in, out)
	case strings.HasPrefix(strings.TrimSpace(in.Text()), "<"):
		err = run.readXML(in, out)
	default:
		return run.readCSV(in, out)
	}
	if err == nil && run.found == 0 {
		run.about(out.clean(run.at, "dependency-check"))
	}
	return err
}

func (r *dcRun) readJSON(in *Input, out *Out) error {
	var v struct {
		ScanInfo     struct{ EngineVersion Text }
		ProjectInfo  struct{ Name, ReportDate Text }
		Dependencies *[]dcDependency
	}
	if err := decodeFold(in.Data, &v); err != nil {
		return err
	}
	if v.Dependencies == nil {
		return errors.New("dependency-check report without dependencies")
	}
	r.project, r.engine, r.at = string(v.ProjectInfo.Name), string(v.ScanInfo.EngineVersion), parseTime(string(v.ProjectInfo.ReportDate))
	for i := range *v.Dependencies {
		d := &(*v.Dependencies)[i]
		for j := range d.JSONVulnerabilities {
			r.event(out, "vulnerability.found", d, &d.JSONVulnerabilities[j].Value).Raw = d.JSONVulnerabilities[j].Raw
		}
		for j := range d.JSONSuppressed {
			r.event(out, "finding.suppressed", d, &d.JSONSuppressed[j].Value).Raw = d.JSONSuppressed[j].Raw
		}
	}
	return nil
}

func (r *dcRun) readXML(in *Input, out *Out) error {
	known := false
	return walkXML(in, func(d *xml.Decoder, e *xml.StartElement, _ int64) error {
		switch e.Name.Local {
		case "analysis":
			known = true
		case "engineVersion":
			return decodeXML(d, e, &r.engine)
		case "projectInfo":
			var v struct {
				Name   string `xml:"name"`
				Report string `xml:"reportDate"`
			}
			if err := decodeXML(d, e, &v); err != nil {
				return err
			}
			r.project, r.at = v.Name, parseTime(v.Report)
		case "dependency":
			var v dcDependency
			if err := decodeXML(d, e, &v); err != nil {
				return err
			}
			for i := range v.Vulnerabilities {
				r.event(out, "vulnerability.found", &v, &v.Vulnerabilities[i]).Raw = v.Vulnerabilities[i].Text
			}
			for i := range v.Suppressed {
				r.event(out, "finding.suppressed", &v, &v.Suppressed[i]).Raw = v.Suppressed[i].Text
			}
		}
		if !known {
			return errors.New("no report of dependency-check: the root element is not analysis")
		}
		return nil
	})
}

// readCSV reads a row for each vulnerability; those that are suppressed are not in it.
func (r *dcRun) readCSV(in *Input, out *Out) error {
	rows := newTable(in.Text())
	if err := rows.header(); err != nil {
		return err
	}
	if !rows.has("dependencyname") || !rows.has("cve") {
		return errors.New("dependency-check: CSV without the columns DependencyName and CVE")
	}
	return rows.findings(out, "dependency-check", func() bool {
		w := dcVulnerability{
			Name: rows.get("cve"), Description: rows.get("vulnerability"), Source: rows.get("source"),
			Severity: rows.get("cvssv4_baseseverity", "cvssv3_baseseverity", "cvssv2_severity"),
			OldScore: rows.get("cvssv4_basescore", "cvssv3_basescore", "cvssv2_score"),
		}
		if w.Name == "" {
			return false
		}
		for _, id := range strings.Split(strings.Trim(rows.get("cwe"), "[]"), ",") {
			w.CWEs = append(w.CWEs, strings.TrimSpace(id))
		}
		d := dcDependency{FileName: rows.get("dependencyname"), FilePath: rows.get("dependencypath")}
		for _, id := range strings.Split(rows.get("identifiers"), ",") {
			d.Packages = append(d.Packages, dcPackage{strings.TrimSpace(id)})
		}
		r.project, r.at = rows.get("project"), parseTime(rows.get("scandate"))
		r.event(out, "vulnerability.found", &d, &w).Raw = rows.raw()
		return true
	})
}

func (r *dcRun) about(e *pipeline.Event) {
	e.Time, e.Artifact = r.at, r.project
	e.SetAttr("tool.version", r.engine)
}

func (r *dcRun) event(out *Out, typ string, d *dcDependency, w *dcVulnerability) *pipeline.Event {
	r.found++
	v := vulnerability{IDs: []string{strings.TrimSpace(w.Name)}, Title: w.Description, Severity: severityWord(w.Severity), Name: d.FileName, File: d.FilePath}
	v.Score = floatOf(first(string(w.V4.Data.Score), string(w.V3.Score), string(w.V2.Score), w.OldScore))
	if v.Severity == pipeline.SeverityUnknown {
		v.Severity = severityCVSS(v.Score)
	}
	for _, p := range d.Packages {
		if purl := purlClean(p.ID); purl != "" {
			v.Purl = purl
			v.Name, v.Version = purlParts(purl)
			break
		}
	}
	for _, id := range d.Identifiers {
		if id.Type == "maven" && v.Purl == "" { // (group:artifact:version)
			name := strings.Trim(strings.TrimSpace(id.Name), "()")
			if i := strings.LastIndexByte(name, ':'); i > 0 {
				v.Ecosystem, v.Name, v.Version = "maven", name[:i], name[i+1:]
			}
		}
	}
	if len(w.References) > 0 {
		v.URL = w.References[0].URL
	}
	e := out.vulnerability(&v)
	e.Type, e.Class, e.Outcome = typ, kinds[typ].class, pipeline.OutcomeUnknown
	settleFinding(e)
	r.about(e)
	e.SetAttr("cwe", strings.Join(cweIDs(append(w.CWEs, w.OldCWE)), ","))
	e.SetAttr("vulnerability.source", w.Source)
	e.SetAttr("reason", oneLine(w.Notes, 200))
	return e
}
