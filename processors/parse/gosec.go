package parse

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// gosec reads the JSON report of gosec. Its severity is a word.
// https://github.com/securego/gosec#output-formats
var gosec = Format{
	Name: "gosec", Title: "gosec report (JSON)", Phase: pipeline.PhaseTesting,
	Types: []string{"vulnerability.found", "finding.suppressed", "scan.completed"},
	Known: "JSON object with Issues and Stats",
	Frame: Values,
	Match: func(s *Shape) bool {
		return !s.Array && s.Has("Issues", "Stats") && (s.Has("Golang errors") || s.Has("GosecVersion") || s.Raw("Stats", "nosec") != nil)
	},
	Parse: parseGosec,
}

type gosecReport struct {
	Issues       *[]part[gosecIssue]
	Stats        struct{ Files, Lines, NoSec, Found Number }
	GosecVersion Text
}

type gosecIssue struct {
	Severity, Confidence, Details, File, Code, Line Text
	Rule                                            Text `json:"rule_id"`
	CWE                                             *struct{ ID, URL Text }
	NoSec                                           Text
	Suppressions                                    []struct{ Kind, Justification Text }
}

func parseGosec(in *Input, out *Out) error {
	var v gosecReport
	if err := decodeFold(in.Data, &v); err != nil {
		return err
	}
	if v.Issues == nil {
		if string(member(in.Data, "Issues")) != "null" {
			return errors.New("gosec report without Issues")
		}
		v.Issues = &[]part[gosecIssue]{}
	}
	var n counts
	for i := range *v.Issues {
		p := &(*v.Issues)[i]
		f := &p.Value
		finding := codeFinding{
			Rule: string(f.Rule), Title: string(f.Details), File: string(f.File), Line: atoi(string(f.Line)), Severity: severityWord(string(f.Severity)),
		}
		if f.CWE != nil {
			finding.CWE, finding.URL = cweOf(string(f.CWE.ID)), string(f.CWE.URL)
		}
		typ := "vulnerability.found"
		if f.NoSec == "true" || len(f.Suppressions) > 0 {
			typ = "finding.suppressed"
		}
		e := out.codeFinding(typ, &finding)
		e.Raw = p.Raw
		e.SetAttr("confidence", strings.ToLower(string(f.Confidence)))
		if len(f.Suppressions) > 0 {
			e.SetAttr("reason", string(f.Suppressions[0].Justification))
		}
		n[e.Severity]++
	}
	e := out.scanned(time.Time{}, "gosec found "+strconv.Itoa(len(*v.Issues))+" issues")
	n.set(e)
	e.SetAttr("tool.version", string(v.GosecVersion))
	e.SetAttr("files", strconv.Itoa(int(v.Stats.Files.Or(0))))
	return nil
}
