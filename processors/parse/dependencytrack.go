package parse

import (
	"errors"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// dependencyTrack reads the notifications of Dependency-Track and its File Packaging Format, which is how it exports the
// findings of a project.
// https://docs.dependencytrack.org/integrations/notifications/ https://docs.dependencytrack.org/integrations/file-formats/
var dependencyTrack = Format{
	Name: "dependency-track", Title: "Dependency-Track notifications and findings (JSON)", Phase: pipeline.PhasePackaging,
	Types: []string{"vulnerability.found", "finding.suppressed", "finding.corrected", "compliance.checked", "scan.completed", "log"},
	Known: "JSON object with notification that has a group, or with findings and meta.application Dependency-Track",
	Frame: Values,
	Match: func(s *Shape) bool {
		return s.String("notification", "group") != "" || s.Has("findings") && s.String("meta", "application") == "Dependency-Track"
	},
	Parse: parseDependencyTrack,
}

type trackProject struct {
	Name    Text `json:"name"`
	Version Text `json:"version"`
}

type trackComponent struct {
	Name    Text `json:"name"`
	Group   Text `json:"group"`
	Version Text `json:"version"`
	Purl    Text `json:"purl"`
}

type trackVulnerability struct {
	ID       Text   `json:"vulnId"`
	Source   Text   `json:"source"` // NVD, GITHUB, OSV, NPM ...
	Title    Text   `json:"title"`
	About    Text   `json:"description"`
	Severity Text   `json:"severity"`
	Score3   Number `json:"cvssV3BaseScore"`
	Score    Number `json:"cvssv3"`
	Patched  Text   `json:"patchedVersions"`
	Aliases  []struct {
		CVE  Text `json:"cveId"`
		GHSA Text `json:"ghsaId"`
		ID   Text `json:"vulnId"` // in notifications
	} `json:"aliases"`
}

// trackAnalysis is what somebody decided about a finding.
type trackAnalysis struct {
	State      Text `json:"state"`
	OldState   Text `json:"analysisState"`
	Suppressed Text `json:"isSuppressed"`
	Old        Text `json:"suppressed"`
}

type trackSubject struct {
	Project         trackProject         `json:"project"`
	Projects        []trackProject       `json:"affectedProjects"`
	Component       trackComponent       `json:"component"`
	Vulnerability   trackVulnerability   `json:"vulnerability"`
	Vulnerabilities []trackVulnerability `json:"vulnerabilities"`
	Analysis        trackAnalysis        `json:"analysis"`
	Violation       struct {
		Type      Text `json:"type"`
		Condition struct {
			Subject Text `json:"subject"`
			Value   Text `json:"value"`
			Policy  struct {
				Name  Text `json:"name"`
				State Text `json:"violationState"`
			} `json:"policy"`
		} `json:"policyCondition"`
	} `json:"policyViolation"`
}

type trackReport struct {
	Notification *struct {
		Level     Text         `json:"level"`
		Group     Text         `json:"group"`
		Timestamp Text         `json:"timestamp"`
		Title     Text         `json:"title"`
		Content   Text         `json:"content"`
		Subject   trackSubject `json:"subject"`
	} `json:"notification"`

	Meta struct {
		Timestamp Text `json:"timestamp"`
	} `json:"meta"`
	Project  trackProject         `json:"project"`
	Findings []part[trackSubject] `json:"findings"`
}

func parseDependencyTrack(in *Input, out *Out) error {
	var v trackReport
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	n := v.Notification
	if n == nil {
		at := parseTime(string(v.Meta.Timestamp))
		for i := range v.Findings {
			f := &v.Findings[i].Value
			f.finding(out, &f.Vulnerability, &v.Project, at).Raw = v.Findings[i].Raw
		}
		if len(v.Findings) == 0 {
			v.Project.fill(out.clean(at, "Dependency-Track"))
		}
		return nil
	}
	at, s := parseTime(string(n.Timestamp)), &n.Subject
	group := strings.TrimPrefix(string(n.Group), "GROUP_") // version 5
	switch group {
	case "":
		return errors.New("dependency-track: notification without group")
	case "NEW_VULNERABILITY", "PROJECT_AUDIT_CHANGE":
		projects := s.Projects
		if len(projects) == 0 {
			projects = append(projects, s.Project)
		}
		for i := range projects {
			s.finding(out, &s.Vulnerability, &projects[i], at)
		}
	case "NEW_VULNERABLE_DEPENDENCY":
		for i := range s.Vulnerabilities {
			s.finding(out, &s.Vulnerabilities[i], &s.Project, at)
		}
	case "POLICY_VIOLATION":
		p := &s.Violation.Condition.Policy
		e := out.Event("compliance.checked")
		e.Time, e.Rule, e.Purl = at, string(p.Name), purlClean(string(s.Component.Purl))
		e.Outcome, e.Disposition, e.Severity = pipeline.OutcomeFailure, pipeline.DispositionDetected, pipeline.SeverityMedium
		if p.State == "FAIL" {
			e.Severity = pipeline.SeverityHigh
		} else if p.State == "INFO" {
			e.Severity = pipeline.SeverityLow
		}
		e.Title = "policy " + e.Rule + " is violated by " + s.Component.name()
		e.SetAttr("policy.type", string(s.Violation.Type))
		e.SetAttr("policy.condition", strings.TrimSpace(string(s.Violation.Condition.Subject)+" "+string(s.Violation.Condition.Value)))
		s.Project.fill(e)
	default:
		typ := "log"
		if group == "BOM_PROCESSED" || group == "VEX_PROCESSED" || group == "PROJECT_VULN_ANALYSIS_COMPLETE" {
			typ = "scan.completed"
		}
		e := out.Event(typ)
		e.Time, e.Title, e.Severity = at, first(string(n.Title), group), pipeline.SeverityInfo
		switch strings.TrimPrefix(string(n.Level), "LEVEL_") {
		case "ERROR":
			e.Severity = pipeline.SeverityHigh
		case "WARNING":
			e.Severity = pipeline.SeverityMedium
		}
		if typ == "scan.completed" {
			e.Outcome = pipeline.OutcomeSuccess
		}
		e.SetAttr("notification.group", group)
		e.SetAttr("notification.content", string(n.Content))
		s.Project.fill(e)
	}
	if len(out.events()) == 0 {
		return errors.New("dependency-track: notification names no vulnerability")
	}
	return nil
}

// finding gives the event of one vulnerability of the component, in one project.
func (s *trackSubject) finding(out *Out, w *trackVulnerability, project *trackProject, at time.Time) *pipeline.Event {
	id := string(w.ID)
	if id != "" && digits(id) == len(id) { // a number of npm's means nothing by itself
		id = string(w.Source) + "-" + id
	}
	ids := []string{id}
	for _, a := range w.Aliases {
		ids = append(ids, string(a.CVE), string(a.GHSA), string(a.ID))
	}
	e := out.vulnerability(&vulnerability{
		IDs: ids, Rule: id, Title: string(first(w.Title, w.About)), Severity: severityWord(string(w.Severity)), Score: max(w.Score3.Or(0), w.Score.Or(0)),
		Name: s.Component.name(), Version: string(s.Component.Version), Purl: string(s.Component.Purl), Fixed: string(w.Patched),
	})
	e.Time = at
	state := string(first(s.Analysis.State, s.Analysis.OldState))
	typ := e.Type
	switch {
	case state == "RESOLVED":
		typ = "finding.corrected"
	case s.Analysis.Suppressed == "true", s.Analysis.Old == "true", state == "FALSE_POSITIVE", state == "NOT_AFFECTED":
		typ = "finding.suppressed"
	}
	if typ != e.Type {
		e.Type, e.Class, e.Outcome = typ, kinds[typ].class, pipeline.OutcomeUnknown
		settleFinding(e)
	}
	e.SetAttr("analysis.state", state)
	project.fill(e)
	return e
}

func (c *trackComponent) name() string {
	if c.Group == "" {
		return string(c.Name)
	}
	return string(c.Group) + "/" + string(c.Name)
}

// fill says which project an event is about.
func (p *trackProject) fill(e *pipeline.Event) {
	e.Project = string(p.Name)
	e.SetAttr("project.version", string(p.Version))
}
