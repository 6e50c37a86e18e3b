package parse

import (
	"errors"
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// kubeBench reads the results of kube-bench, the CIS Kubernetes Benchmark, as `kube-bench --json` prints them: an object with
// Controls and Totals, or in older versions the controls alone. FAIL is medium; WARN, which is left to a person, is low.
// https://github.com/aquasecurity/kube-bench/blob/main/docs/flags-and-commands.md
var kubeBench = Format{
	Name: "kube-bench", Title: "kube-bench (JSON)", Phase: pipeline.PhaseDeployment,
	Types: []string{"compliance.checked", "scan.completed"},
	Known: "JSON with Controls, or an object or array of them with node_type and tests",
	Frame: Values,
	Match: func(s *Shape) bool {
		return s.Has("node_type", "tests") || member(firstMember(s.Raw("Controls")), "node_type") != nil
	},
	Parse: parseKubeBench,
}

type kubeBenchControl struct {
	ID      Text `json:"id"`
	Version Text `json:"version"`
	Text    Text `json:"text"`
	Node    Text `json:"node_type"`
	Tests   []struct {
		Section Text                    `json:"section"`
		Desc    Text                    `json:"desc"`
		Results []part[kubeBenchResult] `json:"results"`
	} `json:"tests"`
}

type kubeBenchResult struct {
	Number      Text `json:"test_number"`
	Desc        Text `json:"test_desc"`
	Status      Text `json:"status"`
	Actual      Text `json:"actual_value"`
	Expected    Text `json:"expected_result"`
	Reason      Text `json:"reason"`
	Remediation Text `json:"remediation"`
	Scored      Text `json:"scored"`
}

func parseKubeBench(in *Input, out *Out) error {
	var report struct {
		Controls []kubeBenchControl `json:"controls"`
	}
	var err error
	switch controls := &report.Controls; {
	case in.Data[0] == '[':
		err = decodeFold(in.Data, controls)
	case member(in.Data, "node_type") != nil:
		*controls = make([]kubeBenchControl, 1)
		err = decodeFold(in.Data, &(*controls)[0])
	default:
		err = decodeFold(in.Data, &report)
	}
	if err != nil {
		return err
	}
	if len(report.Controls) == 0 {
		return errors.New("kube-bench report without controls")
	}
	var pass, fail, warn, other int
	for i := range report.Controls {
		c := &report.Controls[i]
		for j := range c.Tests {
			for k := range c.Tests[j].Results {
				p := &c.Tests[j].Results[k]
				r := &p.Value
				e := out.Event("compliance.checked")
				e.Raw, e.Rule, e.Severity = p.Raw, string(r.Number), pipeline.SeverityInfo
				status := strings.ToUpper(string(r.Status))
				e.Title = status + " " + e.Rule + ": " + oneLine(string(r.Desc), 200)
				switch status {
				case "PASS":
					e.Outcome = pipeline.OutcomeSuccess
					pass++
				case "FAIL":
					e.Outcome, e.Severity, e.Disposition = pipeline.OutcomeFailure, pipeline.SeverityMedium, pipeline.DispositionDetected
					fail++
				case "WARN":
					e.Severity = pipeline.SeverityLow
					warn++
				case "":
					return errors.New("kube-bench: result " + strconv.Quote(e.Rule) + " without status")
				default:
					other++
				}
				e.SetAttr("result", status)
				e.SetAttr("benchmark.version", string(c.Version))
				e.SetAttr("node.type", string(c.Node))
				e.SetAttr("section", string(c.Tests[j].Desc))
				e.SetAttr("scored", string(r.Scored))
				e.SetAttr("expected", string(r.Expected))
				e.SetAttr("actual", strings.TrimSpace(string(r.Actual)))
				e.SetAttr("details", string(r.Reason))
				e.SetAttr("remediation", strings.TrimSpace(string(r.Remediation)))
			}
		}
	}
	c := &report.Controls[0]
	e := out.scanned(in.Time(), "kube-bench, CIS "+string(c.Version)+": "+strconv.Itoa(fail)+" failed, "+strconv.Itoa(warn)+" to look at")
	e.SetAttr("benchmark.version", string(c.Version))
	e.SetAttr("count.pass", strconv.Itoa(pass))
	e.SetAttr("count.fail", strconv.Itoa(fail))
	e.SetAttr("count.warn", strconv.Itoa(warn))
	e.SetAttr("count.info", strconv.Itoa(other))
	return nil
}
