package parse

import (
	"errors"
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// bandit reads the JSON report of Bandit. Its severity is a word; UNDEFINED is unknown.
// https://bandit.readthedocs.io/en/latest/formatters/json.html
var bandit = Format{
	Name: "bandit", Title: "Bandit report (JSON)", Phase: pipeline.PhaseTesting,
	Types: []string{"vulnerability.found", "scan.completed"},
	Known: "JSON object with generated_at, metrics and results",
	Frame: Values,
	Match: func(s *Shape) bool {
		return !s.Array && s.Has("results", "metrics") && (s.Has("generated_at") || s.Has("errors"))
	},
	Parse: parseBandit,
}

type banditReport struct {
	GeneratedAt Text `json:"generated_at"`
	Results     *[]part[struct {
		Code, Filename Text
		Confidence     Text                     `json:"issue_confidence"`
		Severity       Text                     `json:"issue_severity"`
		Text           Text                     `json:"issue_text"`
		CWE            *struct{ ID, Link Text } `json:"issue_cwe"`
		Line           Text                     `json:"line_number"`
		MoreInfo       Text                     `json:"more_info"`
		ID             Text                     `json:"test_id"`
		Name           Text                     `json:"test_name"`
	}]
	Errors []struct{ Filename, Reason Text }
}

func parseBandit(in *Input, out *Out) error {
	var v banditReport
	if err := decodeFold(in.Data, &v); err != nil {
		return err
	}
	if v.Results == nil {
		return errors.New("bandit report without results")
	}
	at := parseTime(string(v.GeneratedAt))
	var n counts
	for i := range *v.Results {
		p := &(*v.Results)[i]
		f := &p.Value
		finding := codeFinding{
			Rule: string(f.ID), Title: string(f.Text), File: string(f.Filename), Line: atoi(string(f.Line)),
			Severity: severityWord(string(f.Severity)), URL: string(f.MoreInfo),
		}
		if f.CWE != nil {
			finding.CWE = cweOf(string(f.CWE.ID))
		}
		e := out.codeFinding("vulnerability.found", &finding)
		e.Time, e.Raw = at, p.Raw
		e.SetAttr("confidence", strings.ToLower(string(f.Confidence)))
		e.SetAttr("rule.name", string(f.Name))
		// The text of the test for passwords in the code quotes the password: "Possible hardcoded password: 'x'".
		if _, secret, ok := strings.Cut(string(f.Text), "hardcoded password: '"); ok {
			e.SetAttr("credential", out.Secret(strings.TrimSuffix(secret, "'")))
		}
		n[e.Severity]++
	}
	e := out.scanned(at, "bandit found "+strconv.Itoa(len(*v.Results))+" issues")
	n.set(e)
	e.SetAttr("errors", positive(len(v.Errors)))
	return nil
}
