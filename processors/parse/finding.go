package parse

import (
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// codeFinding is what analysers of code say of one place, in one shape for all of them.
type codeFinding struct {
	Rule     string
	Title    string // what is wrong, in one line
	File     string
	Line     int
	Severity uint8
	URL      string
	CWE      string
	Vulns    []string
}

// classPosture is OCSF's class of findings in code and configuration.
const classPosture = 2007

// codeFinding appends an event of a finding in code.
func (o *Out) codeFinding(typ string, f *codeFinding) *pipeline.Event {
	e := o.Event(typ)
	settleFinding(e)
	e.Severity, e.Rule, e.Class = f.Severity, f.Rule, classPosture
	e.Vulns = appendVulns(e.Vulns, f.Vulns...)
	file := cleanPath(f.File)
	e.Title = placeTitle(f.Rule, f.Title, file, f.Line)
	e.SetAttr("code.file.path", file)
	e.SetAttr("code.line.number", positive(f.Line))
	e.SetAttr("cwe", f.CWE)
	e.SetAttr("vulnerability.reference", f.URL)
	return e
}

// suppress makes a finding's event that of one that somebody chose not to see.
func suppress(e *pipeline.Event) {
	e.Type, e.Class, e.Outcome = "finding.suppressed", kinds["finding.suppressed"].class, pipeline.OutcomeUnknown
	settleFinding(e)
}

// placeTitle says what is wrong and where.
func placeTitle(rule, what, file string, line int) string {
	t := first(oneLine(what, 160), rule)
	if rule != "" && !strings.Contains(t, rule) {
		t = rule + ": " + t
	}
	if file == "" {
		return t
	}
	t += " in " + file
	if line > 0 {
		t += ":" + strconv.Itoa(line)
	}
	return t
}

// cleanPath returns a file's path without the scheme file: and without "./".
func cleanPath(p string) string {
	if rest, ok := strings.CutPrefix(p, "file://"); ok {
		p = rest
		if len(p) > 3 && p[0] == '/' && p[2] == ':' { // file:///C:/...
			p = p[1:]
		}
	}
	return strings.TrimPrefix(p, "./")
}

// codePhase is the phase of a finding in a file: what builds the infrastructure is part of the plan, all else of the test.
func codePhase(file string) string {
	if isInfrastructure(file) {
		return pipeline.PhaseRequirements
	}
	return pipeline.PhaseTesting
}

// infrastructureFolders are folders whose YAML and JSON files describe infrastructure.
var infrastructureFolders = []string{
	"k8s", "kubernetes", "kube", "manifests", "helm", "charts", "terraform", "cloudformation", "cfn", "ansible", "kustomize",
	"infra", "infrastructure", "iac",
}

// isInfrastructure reports whether a file describes infrastructure: Terraform, container builds, Kubernetes, Helm, Compose,
// CloudFormation, Ansible and their kin, by name or folder.
func isInfrastructure(file string) bool {
	file = strings.ToLower(strings.ReplaceAll(file, `\`, "/"))
	name := path.Base(file)
	switch path.Ext(name) {
	case ".tf", ".tfvars", ".hcl", ".bicep", ".dockerfile", ".containerfile", ".pp":
		return true
	case ".yaml", ".yml", ".json", ".tpl", ".template":
		if strings.HasPrefix(name, "docker-compose") || strings.HasPrefix(name, "compose.") || strings.HasSuffix(name, ".tf.json") ||
			strings.HasPrefix(name, "kustomization.") || name == "chart.yaml" || name == "serverless.yml" ||
			strings.Contains(name, "cloudformation") || strings.Contains(name, "playbook") {
			return true
		}
		for _, folder := range infrastructureFolders {
			if strings.HasPrefix(file, folder+"/") || strings.Contains(file, "/"+folder+"/") {
				return true
			}
		}
		return false
	}
	return name == "dockerfile" || name == "containerfile" || strings.HasPrefix(name, "dockerfile.") || name == "vagrantfile"
}

// clean appends the event of a scan that found nothing.
func (o *Out) clean(at time.Time, tool string) *pipeline.Event {
	return o.scanned(at, tool+" found nothing")
}

// scanned appends the event of a scan that ended.
func (o *Out) scanned(at time.Time, title string) *pipeline.Event {
	e := o.Event("scan.completed")
	e.Time, e.Title, e.Severity, e.Outcome = at, title, pipeline.SeverityInfo, pipeline.OutcomeSuccess
	return e
}

// scanTimes notes when a scan ran.
func scanTimes(e *pipeline.Event, start, end time.Time) {
	if !start.IsZero() {
		e.SetAttr("start", start.Format(time.RFC3339))
		if end.After(start) {
			e.SetAttr("duration_seconds", strconv.FormatFloat(end.Sub(start).Seconds(), 'f', -1, 64))
		}
	}
}

// counts holds how many findings there are of each severity.
type counts [pipeline.SeverityFatal + 1]int

// set notes them in the attributes of a scan's event.
func (c *counts) set(e *pipeline.Event) {
	total := 0
	for severity, name := range [...]string{"unknown", "info", "low", "medium", "high", "critical", "fatal"} {
		total += c[severity]
		if c[severity] > 0 {
			e.SetAttr("count."+name, strconv.Itoa(c[severity]))
		}
	}
	e.SetAttr("count.total", strconv.Itoa(total))
}

// cweOf writes a weakness's number as its id.
func cweOf(s string) string {
	s = strings.TrimSpace(s)
	if s == "" || s == "0" || s == "-1" {
		return ""
	}
	if strings.Trim(s, "0123456789") == "" {
		return "CWE-" + s
	}
	return s
}

// atoi reads a number at the beginning of s, as in "14" or "14-17"; 0 where there is none.
func atoi(s string) int {
	end := 0
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(s[:end])
	if err != nil {
		return 0
	}
	return n
}
