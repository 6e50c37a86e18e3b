package parse

import (
	"errors"
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// gitlabReport reads GitLab's security reports: static and dynamic analysis, dependencies, containers, clusters, secrets
// and fuzzing. Severity is a word.
// https://gitlab.com/gitlab-org/security-products/security-report-schemas
var gitlabReport = Format{
	Name: "gitlab-security-report", Title: "GitLab security reports (JSON)", Phase: pipeline.PhaseTesting,
	Types: []string{"vulnerability.found", "secret.detected", "scan.completed"},
	Known: "JSON object with vulnerabilities as an array, and scan, remediations or findings with identifiers and location or scanner",
	Frame: Values,
	Match: func(s *Shape) bool {
		v := s.Raw("vulnerabilities")
		if s.Array || len(v) == 0 || v[0] != '[' || s.Has("bomFormat") {
			return false
		}
		if s.Raw("scan", "type") != nil || s.Raw("scan", "scanner") != nil {
			return true
		}
		finding := firstMember(v)
		return s.Has("version", "remediations") || member(finding, "identifiers") != nil && (member(finding, "location") != nil || member(finding, "scanner") != nil)
	},
	Parse: parseGitLabReport,
}

type gitlabVulnerability struct {
	ID, Category, Name, Message, Description, Severity, Confidence, Solution, CVE Text

	RawSource   Text `json:"raw_source_code_extract"`
	Identifiers []struct{ Type, Name, Value, URL Text }
	Links       []struct{ URL Text }
	Location    struct {
		File, Method, Hostname, Path, Image Text

		StartLine       Text `json:"start_line"`
		OperatingSystem Text `json:"operating_system"`
		Commit          struct{ SHA, Author Text }
		Dependency      *struct {
			Package struct{ Name Text }
			Version Text
		}
	}
	Flags []struct{ Type Text }
}

type gitlabReportDoc struct {
	Vulnerabilities *[]part[gitlabVulnerability]
	DependencyFiles []struct {
		Path           Text
		PackageManager Text `json:"package_manager"`
	} `json:"dependency_files"`
	Scan struct {
		Type, Status Text
		Start        Text `json:"start_time"`
		End          Text `json:"end_time"`
		Scanner      struct{ Name, Version Text }
	}
}

func parseGitLabReport(in *Input, out *Out) error {
	var v gitlabReportDoc
	if err := decodeFold(in.Data, &v); err != nil {
		return err
	}
	if v.Vulnerabilities == nil {
		return errors.New("GitLab security report without vulnerabilities")
	}
	start, end := parseTime(string(v.Scan.Start)), parseTime(string(v.Scan.End))
	at := first(end, start)
	var n counts
	for i := range *v.Vulnerabilities {
		p := &(*v.Vulnerabilities)[i]
		e := v.finding(out, &p.Value)
		e.Raw, e.Time = p.Raw, at
		n[e.Severity]++
	}
	if len(*v.Vulnerabilities) > 0 && at.IsZero() {
		return nil
	}
	name := string(first(v.Scan.Scanner.Name, v.Scan.Type, "GitLab scan"))
	e := out.scanned(at, name+" found "+strconv.Itoa(len(*v.Vulnerabilities))+" vulnerabilities")
	if v.Scan.Status == "failure" {
		e.Outcome, e.Title = pipeline.OutcomeFailure, name+" failed"
	}
	v.about(e)
	scanTimes(e, start, end)
	n.set(e)
	return nil
}

func (v *gitlabReportDoc) about(e *pipeline.Event) {
	e.SetAttr("scan.type", string(v.Scan.Type))
	e.SetAttr("tool.name", string(v.Scan.Scanner.Name))
	e.SetAttr("tool.version", string(v.Scan.Scanner.Version))
}

func (v *gitlabReportDoc) finding(out *Out, f *gitlabVulnerability) *pipeline.Event {
	ids, rule, cwe, url := f.names()
	title := string(first(f.Name, f.Message, f.Description))
	severity := severityWord(string(f.Severity))
	secret := first(v.Scan.Type, f.Category) == "secret_detection"
	l := &f.Location
	var e *pipeline.Event
	if d := l.Dependency; d != nil && d.Package.Name != "" {
		e = out.vulnerability(&vulnerability{
			IDs: ids, Rule: rule, Title: title, URL: url, Severity: severity,
			Ecosystem: v.ecosystem(l.File, l.OperatingSystem), Name: string(d.Package.Name), Version: string(d.Version), File: string(l.File),
		})
		e.Artifact = string(l.Image)
		e.SetAttr("solution", string(f.Solution))
	} else {
		typ := "vulnerability.found"
		if secret {
			typ = "secret.detected"
		}
		e = out.codeFinding(typ, &codeFinding{
			Rule: rule, Title: title, File: string(l.File), Line: atoi(string(l.StartLine)), Severity: severity, URL: url, CWE: cwe, Vulns: ids,
		})
		e.Phase = codePhase(string(l.File))
	}
	if secret {
		e.SetAttr("credential", out.Secret(string(f.RawSource)))
		e.Actor = string(l.Commit.Author)
	}
	e.Commit = commitOf(string(l.Commit.SHA))
	if l.Hostname != "" {
		e.DstDomain = hostOf(string(l.Hostname))
		e.SetAttr("url.full", string(l.Hostname)+string(l.Path))
		e.SetAttr("http.request.method", string(l.Method))
	}
	e.SetAttr("confidence", strings.ToLower(string(f.Confidence)))
	e.SetAttr("finding.id", string(f.ID))
	for i := range f.Flags {
		if f.Flags[i].Type == "flagged-as-likely-false-positive" {
			e.SetAttr("false_positive", "likely")
		}
	}
	v.about(e)
	return e
}

// names sorts a finding's identifiers: published vulnerabilities, the tool's rule, the weakness.
func (f *gitlabVulnerability) names() (ids []string, rule, cwe, url string) {
	for i := range f.Identifiers {
		id := &f.Identifiers[i]
		switch strings.ToLower(string(id.Type)) {
		case "cve", "ghsa", "osvdb", "usn", "rhsa", "elsa", "hackerone":
			ids = append(ids, string(first(id.Name, id.Value)))
		case "cwe":
			cwe = first(cwe, cweOf(string(first(id.Value, id.Name))))
		default:
			rule = first(rule, string(first(id.Value, id.Name)))
		}
		url = first(url, string(id.URL))
	}
	if rule == "" {
		rule = first(first(ids...), string(f.CVE), string(f.ID))
	}
	if len(f.Links) > 0 {
		url = first(url, string(f.Links[0].URL))
	}
	return ids, rule, cwe, url
}

// ecosystem tells a package's ecosystem by the manager of its file, or by the file's name.
func (v *gitlabReportDoc) ecosystem(file, os Text) string {
	for i := range v.DependencyFiles {
		if f := &v.DependencyFiles[i]; f.Path == file && f.PackageManager != "" {
			return string(f.PackageManager)
		}
	}
	if os != "" {
		return string(os)
	}
	return ecosystemOfFile(string(file))
}
