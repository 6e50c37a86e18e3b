package parse

import (
	"errors"
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// checkov reads the reports of `checkov -o json`: one framework's, or an array of several. Checks that passed are only counted.
// Severities are there for users of its platform alone; without one a check is medium, a secret high.
// https://www.checkov.io/2.Basics/Reviewing%20Scan%20Results.html
var checkov = Format{
	Name: "checkov", Title: "Checkov report (JSON)", Phase: pipeline.PhaseRequirements,
	Types: []string{"compliance.checked", "secret.detected", "vulnerability.found", "finding.suppressed", "scan.completed"},
	Known: "JSON object, or array of such, with check_type and results; an object with checkov_version",
	Frame: Values,
	Match: func(s *Shape) bool { return s.Has("check_type", "results") || s.Has("checkov_version", "failed") },
	Parse: func(in *Input, out *Out) error {
		if in.Data[0] == '[' {
			return eachElement(in, out, in.Data, func(b []byte) error { return parseCheckov(b, out) })
		}
		return parseCheckov(in.Data, out)
	},
}

type checkovCheck struct {
	ID       Text     `json:"check_id"`
	Name     Text     `json:"check_name"`
	File     Text     `json:"file_path"`
	RepoFile Text     `json:"repo_file_path"`
	Lines    []Number `json:"file_line_range"`
	Resource Text     `json:"resource"`
	Severity Text     `json:"severity"`
	Guide    Text     `json:"guideline"`
	Result   struct {
		Comment Text `json:"suppress_comment"`
	} `json:"check_result"`
	Vulnerability *struct {
		ID       Text   `json:"id"`
		Severity Text   `json:"severity"`
		Package  Text   `json:"package_name"`
		Version  Text   `json:"package_version"`
		Type     Text   `json:"package_type"`
		Link     Text   `json:"link"`
		Score    Number `json:"cvss"`
		About    Text   `json:"description"`
		Fixed    Text   `json:"lowest_fixed_version"`
	} `json:"vulnerability_details"`
}

type checkovSummary struct {
	Passed  Number `json:"passed"`
	Failed  Number `json:"failed"`
	Skipped Number `json:"skipped"`
	Version Text   `json:"checkov_version"`
}

func parseCheckov(b []byte, out *Out) error {
	var v struct {
		checkovSummary
		Type    Text `json:"check_type"`
		Results struct {
			Failed  []part[checkovCheck] `json:"failed_checks"`
			Skipped []part[checkovCheck] `json:"skipped_checks"`
		} `json:"results"`
		Summary *checkovSummary `json:"summary"`
	}
	if err := decode(b, &v); err != nil {
		return err
	}
	summary := first(v.Summary, &v.checkovSummary)
	if v.Type == "" && summary.Version == "" {
		return errors.New("checkov: report without check_type")
	}
	for i := range v.Results.Failed {
		p := &v.Results.Failed[i]
		p.Value.event(out, string(v.Type), false).Raw = p.Raw
	}
	for i := range v.Results.Skipped {
		p := &v.Results.Skipped[i]
		p.Value.event(out, string(v.Type), true).Raw = p.Raw
	}
	count := func(n Number) string { return strconv.FormatFloat(n.Or(0), 'f', -1, 64) }
	e := out.Event("scan.completed")
	e.Raw, e.Severity, e.Outcome = alias(b), pipeline.SeverityInfo, pipeline.OutcomeSuccess
	e.Title = strings.TrimSpace("checkov "+string(v.Type)) + ": " + count(summary.Failed) + " failed, " + count(summary.Passed) + " passed"
	e.SetAttr("tool.version", string(summary.Version))
	e.SetAttr("checkov.framework", string(v.Type))
	e.SetAttr("count.pass", count(summary.Passed))
	e.SetAttr("count.fail", count(summary.Failed))
	e.SetAttr("count.skip", count(summary.Skipped))
	return nil
}

// event appends the event of a check that failed, or that somebody chose to skip.
func (c *checkovCheck) event(out *Out, framework string, skipped bool) *pipeline.Event {
	file := strings.TrimPrefix(string(first(c.RepoFile, c.File)), "/")
	secret := framework == "secrets" || strings.HasPrefix(string(c.ID), "CKV_SECRET_")
	if secret {
		out.Secret(string(c.Resource)) // its hash, without a key
	}
	var e *pipeline.Event
	if v := c.Vulnerability; v != nil {
		e = out.vulnerability(&vulnerability{
			IDs: []string{string(v.ID)}, Title: string(v.About), URL: string(v.Link), Severity: severityWord(string(first(v.Severity, c.Severity))),
			Score: v.Score.Or(0), Ecosystem: first(string(v.Type), ecosystemOfFile(file)), Name: string(v.Package), Version: string(v.Version),
			Fixed: string(v.Fixed), File: file,
		})
		e.Phase = pipeline.PhasePackaging
	} else {
		typ, severity := "compliance.checked", uint8(pipeline.SeverityMedium)
		if secret {
			typ, severity = "secret.detected", pipeline.SeverityHigh
		}
		line := 0
		if len(c.Lines) > 0 {
			line = int(c.Lines[0].Or(0))
		}
		e = out.codeFinding(typ, &codeFinding{
			Rule: string(c.ID), Title: string(c.Name), File: file, Line: line, URL: string(c.Guide),
			Severity: first(severityWord(string(c.Severity)), severity),
		})
		e.Outcome, e.Disposition = pipeline.OutcomeFailure, pipeline.DispositionDetected
		if secret {
			e.Phase = pipeline.PhaseWriting
		} else {
			e.Class = kinds[typ].class
			e.SetAttr("resource", string(c.Resource))
		}
	}
	if skipped {
		suppress(e)
		e.SetAttr("justification", string(c.Result.Comment))
	}
	e.SetAttr("checkov.framework", framework)
	return e
}
