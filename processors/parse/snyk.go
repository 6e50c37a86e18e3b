package parse

import (
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// snyk reads the reports of `snyk test --json`, `snyk container test --json` and `snyk iac test --json`: one project's, or an array
// of several. A vulnerability that is reached by several paths is one event.
// https://docs.snyk.io/developer-tools/snyk-cli/commands/test
var snyk = Format{
	Name: "snyk", Title: "Snyk report (JSON)", Phase: pipeline.PhasePackaging,
	Types: []string{"vulnerability.found", "compliance.checked", "finding.suppressed", "scan.completed"},
	Known: "JSON object, or array of such, with ok, and dependencyCount or infrastructureAsCodeIssues",
	Frame: Values,
	Match: func(s *Shape) bool {
		return s.Has("ok") && (s.Has("infrastructureAsCodeIssues") || s.Has("dependencyCount", "vulnerabilities"))
	},
	Parse: func(in *Input, out *Out) error {
		if in.Data[0] == '[' {
			return eachElement(in, out, in.Data, func(b []byte) error { return parseSnyk(b, out) })
		}
		return parseSnyk(in.Data, out)
	},
}

type snykVulnerability struct {
	ID          Text    `json:"id"`
	Type        Text    `json:"type"` // "license" where that is the issue
	Title       Text    `json:"title"`
	Severity    Text    `json:"severity"`
	Critical    Text    `json:"severityWithCritical"`
	Score       Number  `json:"cvssScore"`
	Name        Text    `json:"name"`
	Package     Text    `json:"packageName"`
	Version     Text    `json:"version"`
	Manager     Text    `json:"packageManager"`
	Fixed       Strings `json:"fixedIn"`
	Exploit     Text    `json:"exploit"`
	From        Strings `json:"from"`
	Identifiers struct {
		CVE  Strings `json:"CVE"`
		GHSA Strings `json:"GHSA"`
		CWE  Strings `json:"CWE"`
	} `json:"identifiers"`
}

type snykIssue struct {
	ID       Text   `json:"id"`
	Title    Text   `json:"title"`
	Severity Text   `json:"severity"`
	Ignored  Text   `json:"isIgnored"`
	Line     Number `json:"lineNumber"`
	Docs     Text   `json:"documentation"`
	Message  Text   `json:"msg"`
	Resolve  Text   `json:"resolve"`
}

type snykReport struct {
	Vulnerabilities []part[snykVulnerability] `json:"vulnerabilities"`
	Filtered        struct {
		Ignored []part[snykVulnerability] `json:"ignore"`
	} `json:"filtered"`
	Issues       []part[snykIssue] `json:"infrastructureAsCodeIssues"`
	Applications []snykReport      `json:"applications"` // of an image
	Manager      Text              `json:"packageManager"`
	Project      Text              `json:"projectName"`
	Dependencies Number            `json:"dependencyCount"`
	Target       Text              `json:"targetFile"`
	Display      Text              `json:"displayTargetFile"`
	Path         Text              `json:"path"`
}

func parseSnyk(b []byte, out *Out) error {
	var v snykReport
	if err := decode(b, &v); err != nil {
		return err
	}
	from := len(out.events())
	v.findings(out)
	for i := range v.Applications {
		v.Applications[i].findings(out)
	}
	var n counts
	for _, e := range out.events()[from:] {
		if e.Type != "finding.suppressed" {
			n[e.Severity]++
		}
	}
	e := out.scanned(out.arrival, "Snyk tested "+first(string(v.Project), string(v.Path), "a project"))
	e.Raw = alias(b)
	v.about(e)
	n.set(e)
	e.SetAttr("dependencies", positive(int(v.Dependencies.Or(0))))
	return nil
}

// about says what was tested.
func (v *snykReport) about(e *pipeline.Event) {
	if image, ok := strings.CutPrefix(string(v.Project), "docker-image|"); ok {
		e.Artifact = image
	} else {
		e.Project = string(v.Project)
	}
	e.SetAttr("package.manager", string(v.Manager))
}

func (v *snykReport) findings(out *Out) {
	file := strings.ReplaceAll(string(first(v.Display, v.Target)), `\`, "/")
	seen := map[[3]Text]bool{}
	each := func(list []part[snykVulnerability], ignored bool) {
		for i := range list {
			p := &list[i]
			w := &p.Value
			key := [3]Text{w.ID, first(w.Name, w.Package), w.Version}
			if seen[key] {
				continue
			}
			seen[key] = true
			w.event(out, string(v.Manager), file, ignored).Raw = p.Raw
			v.about(&out.events()[len(out.events())-1])
		}
	}
	each(v.Vulnerabilities, false)
	each(v.Filtered.Ignored, true)
	for i := range v.Issues {
		p := &v.Issues[i]
		s := &p.Value
		e := out.codeFinding("compliance.checked", &codeFinding{
			Rule: string(s.ID), Title: string(s.Title), File: file, Line: int(s.Line.Or(0)), URL: string(s.Docs), Severity: severityWord(string(s.Severity)),
		})
		e.Raw, e.Phase, e.Class = p.Raw, pipeline.PhaseRequirements, kinds["compliance.checked"].class
		e.Outcome, e.Disposition = pipeline.OutcomeFailure, pipeline.DispositionDetected
		if s.Ignored == "true" {
			suppress(e)
		}
		e.SetAttr("resource", string(s.Message))
		e.SetAttr("remediation", string(s.Resolve))
		v.about(e)
	}
}

// event appends the event of a vulnerability, or of a licence that is not wanted.
func (w *snykVulnerability) event(out *Out, manager, file string, ignored bool) *pipeline.Event {
	ecosystem := string(first(w.Manager, Text(manager)))
	name := string(first(w.Name, w.Package))
	if kind := purlType(ecosystem); kind == "deb" || kind == "apk" || kind == "rpm" {
		name = name[strings.LastIndexByte(name, '/')+1:] // source/binary
	}
	ids := append([]string{string(w.ID)}, append(w.Identifiers.CVE, w.Identifiers.GHSA...)...)
	if w.Type == "license" {
		ids = nil
	}
	e := out.vulnerability(&vulnerability{
		IDs: ids, Rule: string(w.ID), Title: string(w.Title), Severity: severityWord(string(first(w.Critical, w.Severity))),
		Score: w.Score.Or(0), Ecosystem: ecosystem, Name: name, Version: string(w.Version), Fixed: strings.Join(w.Fixed, ", "), File: file,
	})
	switch {
	case ignored:
		suppress(e)
	case w.Type == "license":
		e.Type, e.Class = "compliance.checked", kinds["compliance.checked"].class
	}
	e.SetAttr("cwe", strings.Join(w.Identifiers.CWE, ","))
	e.SetAttr("exploit", string(w.Exploit))
	e.SetAttr("path", strings.Join(w.From, " > "))
	return e
}
