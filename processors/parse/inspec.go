package parse

import (
	"errors"
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// inspec reads the reports of Chef InSpec and CINC Auditor, `json` and `json-min`, and a control alone, as Chef's clients log them.
// What others convert to this form (the Heimdall Data Format) is read alike. An impact of 0.1 to 0.3 is low, 0.4 to 0.6 medium,
// 0.7 to 0.8 high, and critical from 0.9; a control without any is informational.
// https://docs.chef.io/inspec/reporters/ https://docs.chef.io/inspec/profiles/controls/
var inspec = Format{
	Name: "inspec", Title: "Chef InSpec report (JSON), HDF", Phase: pipeline.PhaseDeployment,
	Types: []string{"compliance.checked", "finding.suppressed", "scan.completed"},
	Known: "JSON object with statistics, version, and profiles and platform, or controls; with profile, platform, impact and results",
	Frame: Values,
	Match: func(s *Shape) bool {
		return s.Has("statistics", "version") && (s.Has("platform", "profiles") || s.Has("controls")) ||
			s.Has("profile", "platform", "impact", "results")
	},
	Parse: parseInspec,
}

type inspecPlatform struct {
	Name    Text `json:"name"`
	Release Text `json:"release"`
	Target  Text `json:"target_id"`
}

type inspecProfile struct {
	Name     Text                  `json:"name"`
	Version  Text                  `json:"version"`
	Controls []part[inspecControl] `json:"controls"`
}

type inspecControl struct {
	ID      Text    `json:"id"`
	Title   Text    `json:"title"`
	Impact  *Number `json:"impact"`
	Profile Text    `json:"profile_id"` // in json-min
	Tags    struct {
		NIST Strings `json:"nist"`
		Fix  Text    `json:"fix"`
	} `json:"tags"`
	Waiver struct {
		Skipped Text `json:"skipped_due_to_waiver"`
		Reason  Text `json:"justification"`
	} `json:"waiver_data"`
	inspecResult
	Results []inspecResult `json:"results"`
}

type inspecResult struct {
	Status  Text `json:"status"`
	Desc    Text `json:"code_desc"`
	Message Text `json:"message"`
	Skip    Text `json:"skip_message"`
	Start   Text `json:"start_time"`
}

func parseInspec(in *Input, out *Out) error {
	var v struct {
		Platform   inspecPlatform        `json:"platform"`
		Profiles   []inspecProfile       `json:"profiles"`
		Controls   []part[inspecControl] `json:"controls"` // of json-min
		Version    Text                  `json:"version"`
		Statistics *struct {
			Duration Text `json:"duration"`
		} `json:"statistics"`
		inspecControl
		Profile inspecProfile `json:"profile"` // of a control alone
	}
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	if v.Statistics == nil {
		if v.ID == "" {
			return errors.New("inspec: neither a report nor a control")
		}
		v.inspecControl.event(out, &v.Profile, &v.Platform)
		return nil
	}
	n := map[string]int{}
	check := func(list []part[inspecControl], profile *inspecProfile) {
		for i := range list {
			if len(v.Profiles) > 1 && len(list[i].Value.Results) == 0 {
				continue // of an overlay: the profile that it lies over has the results
			}
			e := list[i].Value.event(out, profile, &v.Platform)
			e.Raw = list[i].Raw
			n[e.Attr("result")]++
		}
	}
	for i := range v.Profiles {
		check(v.Profiles[i].Controls, &v.Profiles[i])
	}
	check(v.Controls, &inspecProfile{})
	e := out.scanned(in.Time(), "InSpec "+string(v.Version)+": "+strconv.Itoa(n["FAILED"])+" failed, "+strconv.Itoa(n["PASSED"])+" passed")
	if all := out.events(); len(all) > 1 {
		e.Time = all[0].Time
	}
	v.Platform.about(e)
	e.SetAttr("tool.version", string(v.Version))
	e.SetAttr("duration_seconds", string(v.Statistics.Duration))
	e.SetAttr("count.pass", strconv.Itoa(n["PASSED"]))
	e.SetAttr("count.fail", strconv.Itoa(n["FAILED"]))
	e.SetAttr("count.skip", strconv.Itoa(n["SKIPPED"]))
	return nil
}

// about says what was checked.
func (p *inspecPlatform) about(e *pipeline.Event) {
	e.Host = strings.ToLower(string(p.Target))
	e.SetAttr("os.name", strings.TrimSpace(string(p.Name)+" "+string(p.Release)))
}

// event appends the event of a control. It has failed when one of its results has, and was skipped when all were, or none is there.
func (c *inspecControl) event(out *Out, profile *inspecProfile, platform *inspecPlatform) *pipeline.Event {
	results := c.Results
	if len(results) == 0 && c.Status != "" {
		results = []inspecResult{c.inspecResult}
	}
	result, why, skip := "SKIPPED", "", ""
	for i := range results {
		r := &results[i]
		switch {
		case r.Status == "failed" || r.Status == "error":
			if why == "" {
				why = string(first(r.Message, r.Desc))
			}
			result = "FAILED"
		case r.Status == "passed" && result == "SKIPPED":
			result = "PASSED"
		case r.Status == "skipped":
			skip = string(first(r.Skip, r.Message))
		}
	}
	e := out.Event("compliance.checked")
	if len(results) > 0 {
		if t := parseTime(string(results[0].Start)); !t.IsZero() {
			e.Time = t
		}
		e.Title = string(results[0].Desc)
	}
	e.Rule, e.Severity = string(c.ID), pipeline.SeverityInfo
	e.Title = result + " " + e.Rule + ": " + oneLine(strings.ReplaceAll(first(string(c.Title), e.Title), "\n", " "), 200)
	switch result {
	case "PASSED":
		e.Outcome = pipeline.OutcomeSuccess
	case "FAILED":
		e.Outcome, e.Disposition, e.Severity = pipeline.OutcomeFailure, pipeline.DispositionDetected, inspecSeverity(c.Impact)
	default:
		e.Outcome = pipeline.OutcomeSkipped
		if c.Waiver.Skipped == "true" {
			suppress(e)
		}
	}
	platform.about(e)
	e.SetAttr("result", result)
	e.SetAttr("inspec.profile", string(first(profile.Name, c.Profile)))
	e.SetAttr("inspec.profile.version", string(profile.Version))
	e.SetAttr("compliance.nist", strings.Join(c.Tags.NIST, ", "))
	e.SetAttr("details", first(why, skip))
	e.SetAttr("justification", string(c.Waiver.Reason))
	e.SetAttr("remediation", string(c.Tags.Fix))
	return e
}

// inspecSeverity converts an impact, which has the steps of a CVSS score on a scale to 1. A control of json-min has none, and is
// medium.
func inspecSeverity(impact *Number) uint8 {
	if impact == nil {
		return pipeline.SeverityMedium
	}
	if s := severityCVSS(10 * impact.Or(0.5)); s != pipeline.SeverityUnknown {
		return s
	}
	return pipeline.SeverityInfo
}
