package parse

import (
	"errors"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// semgrep reads the JSON output of Semgrep. Rules have ERROR, WARNING and INFO, which are high, medium and low as the
// tool's own pages show them; newer ones the words from LOW to CRITICAL.
// https://semgrep.dev/docs/cli-reference and https://semgrep.dev/docs/writing-rules/rule-syntax
var semgrep = Format{
	Name: "semgrep", Title: "Semgrep output (JSON)", Phase: pipeline.PhaseTesting,
	Types: []string{"vulnerability.found", "secret.detected", "finding.suppressed", "scan.completed"},
	Known: "JSON object with results, errors and paths or version; its results have check_id",
	Frame: Values,
	Match: func(s *Shape) bool {
		if s.Array || !s.Has("results", "errors") {
			return false
		}
		if isEmptyArray(s.Raw("results")) && len(s.members) == 2 {
			return true
		}
		return s.Has("paths") || s.Has("version", "skipped_rules") || strings.Contains(alias(s.Raw("results")), `"check_id"`)
	},
	Parse: parseSemgrep,
}

type semgrepReport struct {
	Version Text
	Results *[]part[semgrepResult]
}

type semgrepResult struct {
	Rule  Text `json:"check_id"`
	Path  Text
	Start struct{ Line Text }
	Extra struct {
		Message, Severity, Lines, Fingerprint Text

		Ignored  Text `json:"is_ignored"`
		State    Text `json:"validation_state"`
		Metadata struct {
			CWE, References              Strings
			Confidence, Category, Source Text

			Secret Text `json:"secret_type"`
		}
		SCA *struct {
			Match *struct {
				Found *struct{ Ecosystem, Package, Version Text } `json:"found_dependency"`
			} `json:"dependency_match"`
		} `json:"sca_info"`
	}
}

func parseSemgrep(in *Input, out *Out) error {
	var v semgrepReport
	if err := decodeFold(in.Data, &v); err != nil {
		return err
	}
	if v.Results == nil {
		return errors.New("semgrep output without results")
	}
	for i := range *v.Results {
		p := &(*v.Results)[i]
		p.Value.event(out).Raw = p.Raw
	}
	if len(*v.Results) == 0 {
		out.clean(time.Time{}, "semgrep").SetAttr("tool.version", string(v.Version))
	}
	return nil
}

func (r *semgrepResult) event(out *Out) *pipeline.Event {
	m := &r.Extra.Metadata
	secret := m.Secret != "" || strings.Contains("."+string(r.Rule), ".secrets.") || strings.EqualFold(string(m.Category), "secrets")
	typ := "vulnerability.found"
	switch {
	case r.Extra.Ignored == "true":
		typ = "finding.suppressed"
	case secret:
		typ = "secret.detected"
	}
	e := out.codeFinding(typ, &codeFinding{
		Rule: string(r.Rule), Title: string(r.Extra.Message), File: string(r.Path), Line: atoi(string(r.Start.Line)),
		Severity: semgrepSeverity(string(r.Extra.Severity)), CWE: strings.Join(cweIDs(m.CWE), ","), URL: first(string(m.Source), first(m.References...)),
	})
	e.Phase = codePhase(string(r.Path))
	e.SetAttr("confidence", strings.ToLower(string(m.Confidence)))
	e.SetAttr("validity", strings.ToLower(string(r.Extra.State)))
	if f := string(r.Extra.Fingerprint); f != "requires login" {
		e.SetAttr("fingerprint", f)
	}
	if secret {
		e.SetAttr("credential", out.Secret(strings.TrimSpace(string(r.Extra.Lines))))
	}
	if s := r.Extra.SCA; s != nil && s.Match != nil && s.Match.Found != nil {
		d := s.Match.Found
		e.Purl = purlOf(string(d.Ecosystem), string(d.Package), string(d.Version))
		e.SetAttr("package.name", string(d.Package))
		e.SetAttr("package.version", string(d.Version))
	}
	return e
}

func semgrepSeverity(word string) uint8 {
	switch strings.ToUpper(word) {
	case "INFO":
		return pipeline.SeverityLow
	case "INVENTORY", "EXPERIMENT":
		return pipeline.SeverityInfo
	}
	return severityWord(word)
}

// cweIDs cuts the descriptions off: "CWE-79: Improper Neutralization ...".
func cweIDs(list []string) []string {
	ids := make([]string, 0, len(list))
	for _, s := range list {
		id, _, _ := strings.Cut(s, ":")
		if id = cweOf(id); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}
