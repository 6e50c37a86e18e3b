package parse

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/encoding/json"

	"github.com/tocsin-project/tocsin/pipeline"
)

// npmAudit reads the JSON of npm audit in both versions: advisories by number (npm 6, pnpm, and the lines of yarn, old and
// new), and packages with the advisories that reach them (npm 7 and newer). Each advisory of a package is one event. An error
// instead of a report is a scan that did not run.
// https://docs.npmjs.com/cli/commands/npm-audit
var npmAudit = Format{
	Name: "npm-audit", Title: "npm audit report (JSON)", Phase: pipeline.PhasePackaging,
	Types: []string{"vulnerability.found", "scan.completed", "log"},
	Known: "JSON object with auditReportVersion, or advisories and metadata, or error.code and error.summary; yarn's lines of type and data, or value and children",
	Frame: Values,
	Match: func(s *Shape) bool {
		return !s.Array && (s.Has("auditReportVersion") || s.Has("advisories", "metadata") || s.Has("actions", "advisories") ||
			s.Raw("error", "code") != nil && s.Raw("error", "summary") != nil || isYarnLine(s) || s.Raw("children", "Tree Versions") != nil)
	},
	Parse: parseNPMAudit,
}

type npmAdvisory struct {
	ID, Title, URL, Severity Text
	Module                   Text `json:"module_name"`
	CVEs                     Strings
	GHSA                     Text `json:"github_advisory_id"`
	CWE                      Strings
	Vulnerable               Text `json:"vulnerable_versions"`
	Patched                  Text `json:"patched_versions"`
	CVSS                     struct{ Score Number }
	Findings                 []struct{ Version Text }
}

type npmPackage struct {
	Severity, Range Text
	Via             []json.RawMessage
	Effects         Strings
	Fix             json.RawMessage `json:"fixAvailable"`
}

type npmVia struct {
	Source, Name, Title, URL, Severity, Range Text
	CWE                                       Strings
	CVSS                                      struct{ Score Number }
}

type npmReport struct {
	Advisories      map[string]part[npmAdvisory]
	Vulnerabilities map[string]npmPackage
	Metadata        *struct {
		Vulnerabilities map[string]Number
		Total           Number `json:"totalDependencies"`
	}
	RunID Text
	Error *struct{ Code, Summary, Detail Text }

	// Of yarn 1, and of yarn 2 and newer.
	Type  Text
	Data  yarnData
	Value Text
	Child *struct {
		ID, Issue, URL, Severity Text

		Vulnerable Text    `json:"Vulnerable Versions"`
		Versions   Strings `json:"Tree Versions"`
		Dependents Strings
	} `json:"children"`
}

// yarnData is an advisory, the counts at the end, or what yarn says by the way.
type yarnData struct {
	Advisory        *part[npmAdvisory]
	Vulnerabilities map[string]Number
	text            string
}

// UnmarshalJSON implements json.Unmarshaler.
func (d *yarnData) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		type plain yarnData
		return decodeFold(b, (*plain)(d))
	}
	d.text = textOf(b)
	return nil
}

// isYarnLine reports whether an object is a line of yarn 1.
func isYarnLine(s *Shape) bool {
	switch s.String("type") {
	case "auditAdvisory", "auditSummary", "auditAction":
		return s.Has("data")
	case "info", "warning", "error":
		return s.Has("data") && len(s.members) == 2
	}
	return false
}

// yarn gives what a line of yarn tells.
func (v *npmReport) yarn(out *Out) {
	switch {
	case v.Child != nil:
		c := v.Child
		version := ""
		if len(c.Versions) > 0 {
			version = c.Versions[0]
		}
		ghsa := ghsaOf(string(c.URL))
		e := out.vulnerability(&vulnerability{
			IDs: []string{ghsa}, Rule: first(ghsa, string(c.ID)), Title: string(c.Issue), URL: string(c.URL), Severity: severityWord(string(c.Severity)),
			Ecosystem: "npm", Name: string(v.Value), Version: version,
		})
		e.SetAttr("vulnerable_range", string(c.Vulnerable))
		e.SetAttr("affects", strings.Join(c.Dependents, ", "))
	case v.Data.Advisory != nil:
		v.Data.Advisory.Value.event(out)
	case v.Data.Vulnerabilities != nil:
		npmCounts(out.scanned(time.Time{}, "yarn audit ended"), v.Data.Vulnerabilities)
	case v.Type == "error":
		e := out.scanned(time.Time{}, "yarn audit did not run: "+oneLine(v.Data.text, 160))
		e.Outcome = pipeline.OutcomeError
	default:
		e := out.Event("log")
		e.Severity, e.Title = pipeline.SeverityInfo, "yarn audit: "+oneLine(first(v.Data.text, string(v.Type)), 160)
	}
}

func parseNPMAudit(in *Input, out *Out) error {
	var v npmReport
	if err := decodeFold(in.Data, &v); err != nil {
		return err
	}
	switch {
	case v.Error != nil:
		e := out.scanned(time.Time{}, "npm audit did not run: "+oneLine(string(first(v.Error.Summary, v.Error.Detail, v.Error.Code)), 160))
		e.Outcome = pipeline.OutcomeError
		e.SetAttr("error.type", string(v.Error.Code))
		return nil
	case v.Type != "" || v.Child != nil:
		v.yarn(out)
		return nil
	case v.Advisories == nil && v.Vulnerabilities == nil:
		return errors.New("npm audit report without advisories and vulnerabilities")
	}
	for _, id := range slices.Sorted(maps.Keys(v.Advisories)) {
		a := v.Advisories[id]
		a.Value.event(out).Raw = a.Raw
	}
	for _, name := range slices.Sorted(maps.Keys(v.Vulnerabilities)) {
		p := v.Vulnerabilities[name]
		if err := p.read(out, name); err != nil {
			return err
		}
	}
	if v.Metadata != nil {
		e := out.scanned(time.Time{}, "npm audit ended")
		npmCounts(e, v.Metadata.Vulnerabilities)
		e.SetAttr("dependencies", positive(int(v.Metadata.Total.Or(0))))
		e.SetAttr("run.id", string(v.RunID))
	} else if len(v.Advisories)+len(v.Vulnerabilities) == 0 {
		out.clean(time.Time{}, "npm audit")
	}
	return nil
}

func npmCounts(e *pipeline.Event, n map[string]Number) {
	total := 0
	for _, word := range slices.Sorted(maps.Keys(n)) {
		if word != "total" {
			c := int(n[word].Or(0))
			total += c
			e.SetAttr("count."+word, strconv.Itoa(c))
		}
	}
	e.SetAttr("count.total", strconv.Itoa(total))
	e.Title += ": " + strconv.Itoa(total) + " vulnerabilities"
}

func (a *npmAdvisory) event(out *Out) *pipeline.Event {
	v := vulnerability{
		IDs: append(append([]string{}, a.CVEs...), string(a.GHSA), ghsaOf(string(a.URL))), Rule: string(first(a.GHSA, a.ID)), Title: string(a.Title),
		URL: string(a.URL), Severity: severityWord(string(a.Severity)), Score: a.CVSS.Score.Or(0), Ecosystem: "npm", Name: string(a.Module), Fixed: string(a.Patched),
	}
	if v.Fixed == "<0.0.0" { // npm's way to say that there is none
		v.Fixed = ""
	}
	if len(a.Findings) > 0 {
		v.Version = string(a.Findings[0].Version)
	}
	e := out.vulnerability(&v)
	e.SetAttr("vulnerable_range", string(a.Vulnerable))
	e.SetAttr("cwe", strings.Join(a.CWE, ","))
	return e
}

// read gives an event for each advisory of the package. What it has of other packages only, those tell.
func (p *npmPackage) read(out *Out, name string) error {
	for _, raw := range p.Via {
		if len(raw) == 0 || raw[0] != '{' {
			continue
		}
		var w npmVia
		if err := decodeFold(raw, &w); err != nil {
			return err
		}
		var fix struct{ Name, Version Text }
		if len(p.Fix) > 0 && p.Fix[0] == '{' {
			if err := decodeFold(p.Fix, &fix); err != nil {
				return err
			}
		}
		weak := string(first(w.Name, Text(name)))
		if string(fix.Name) != weak {
			fix.Version = "" // the version of another package, whose update brings the mended one
		}
		ghsa := ghsaOf(string(w.URL))
		e := out.vulnerability(&vulnerability{
			IDs: []string{ghsa}, Rule: first(ghsa, string(w.Source)), Title: string(w.Title), URL: string(w.URL),
			Severity: severityWord(string(first(w.Severity, p.Severity))), Score: w.CVSS.Score.Or(0),
			Ecosystem: "npm", Name: weak, Fixed: string(fix.Version),
		})
		e.Raw = alias(raw)
		e.SetAttr("vulnerable_range", string(first(w.Range, p.Range)))
		e.SetAttr("cwe", strings.Join(w.CWE, ","))
		e.SetAttr("affects", strings.Join(p.Effects, ", "))
		if len(p.Fix) > 0 && string(p.Fix) != "false" {
			e.SetAttr("fix_available", "true")
		}
	}
	return nil
}

// ghsaOf returns the advisory's id at the end of its URL.
func ghsaOf(url string) string {
	if id := url[strings.LastIndexByte(url, '/')+1:]; strings.HasPrefix(id, "GHSA-") {
		return id
	}
	return ""
}
