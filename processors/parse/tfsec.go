package parse

import (
	"errors"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// tfsec reads the reports of `tfsec --format json`, before and since version 0.58, when its rules got their long names.
// https://aquasecurity.github.io/tfsec/latest/guides/usage/
var tfsec = Format{
	Name: "tfsec", Title: "tfsec report (JSON)", Phase: pipeline.PhaseRequirements,
	Types: []string{"compliance.checked", "finding.suppressed"},
	Known: "JSON object whose results have rule_id, rule_provider and location",
	Frame: Values,
	Match: func(s *Shape) bool {
		result := firstMember(s.Raw("results"))
		return member(result, "rule_id") != nil && member(result, "rule_provider") != nil && member(result, "location") != nil
	},
	Parse: parseTfsec,
}

type tfsecResult struct {
	LongID   Text    `json:"long_id"`
	Rule     Text    `json:"rule_id"`
	OldRule  Text    `json:"legacy_rule_id"`
	About    Text    `json:"rule_description"`
	Text     Text    `json:"description"`
	Severity Text    `json:"severity"`
	Status   Text    `json:"status"`
	Passed   Text    `json:"passed"`
	Resource Text    `json:"resource"`
	Impact   Text    `json:"impact"`
	Mend     Text    `json:"resolution"`
	Link     Text    `json:"link"`
	Links    Strings `json:"links"`
	Location struct {
		File  Text   `json:"filename"`
		Start Number `json:"start_line"`
	} `json:"location"`
}

func parseTfsec(in *Input, out *Out) error {
	var v struct {
		Results []part[tfsecResult] `json:"results"`
	}
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	if len(v.Results) == 0 {
		return errors.New("tfsec: report without results")
	}
	for i := range v.Results {
		p := &v.Results[i]
		r := &p.Value
		url := string(r.Link)
		if len(r.Links) > 0 {
			url = r.Links[0]
		}
		e := out.codeFinding("compliance.checked", &codeFinding{
			Rule: string(first(r.LongID, r.Rule)), Title: string(first(r.Text, r.About)), File: string(r.Location.File),
			Line: int(r.Location.Start.Or(0)), URL: url, Severity: severityWord(string(r.Severity)),
		})
		e.Raw, e.Class = p.Raw, kinds[e.Type].class
		switch status := strings.ToLower(string(r.Status)); {
		case r.Passed == "true", status == "passed", status == "1":
			e.Outcome, e.Severity = pipeline.OutcomeSuccess, pipeline.SeverityInfo
		case status == "ignored", status == "2":
			suppress(e)
		default:
			e.Outcome, e.Disposition = pipeline.OutcomeFailure, pipeline.DispositionDetected
		}
		e.SetAttr("resource", string(r.Resource))
		e.SetAttr("impact", string(r.Impact))
		e.SetAttr("remediation", string(r.Mend))
		e.SetAttr("rule.legacy", string(r.OldRule))
	}
	return nil
}
