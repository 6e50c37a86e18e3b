package parse

import (
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// goTestJSON reads the events of `go test -json` (test2json), an object a line: each line is an event here too.
// https://pkg.go.dev/cmd/test2json
var goTestJSON = Format{
	Name: "go-test-json", Title: "go test -json", Phase: pipeline.PhaseTesting,
	Types: []string{
		"testcaserun.finished", "testcaserun.started", "testcaserun.skipped", "testsuiterun.started", "testsuiterun.finished",
		"build.finished", "log",
	},
	Known: "JSON object with Action and Package, ImportPath or Test",
	Frame: Values,
	Match: func(s *Shape) bool {
		switch s.String("Action") {
		case "start", "run", "pause", "cont", "pass", "bench", "fail", "output", "skip", "build-output", "build-fail", "attr", "artifacts":
			return !s.Array && (s.Has("Package") || s.Has("ImportPath") || s.Has("Test")) // test2json without -p names no package
		}
		return false
	},
	Parse: parseGoTest,
}

type goTestEvent struct {
	Time        Text   `json:"Time"`
	Action      Text   `json:"Action"`
	Package     Text   `json:"Package"`
	ImportPath  Text   `json:"ImportPath"`
	Test        Text   `json:"Test"`
	Elapsed     Number `json:"Elapsed"`
	Output      Text   `json:"Output"`
	FailedBuild Text   `json:"FailedBuild"`
}

func parseGoTest(in *Input, out *Out) error {
	v := scratch[goTestEvent](out)
	if err := decode(in.Data, v); err != nil {
		return err
	}
	typ, outcome := goTestType(string(v.Action), v.Test != "")
	e := out.Event(typ)
	e.Time, e.Severity, e.Outcome = parseTime(string(v.Time)), pipeline.SeverityInfo, outcome
	e.Pipeline, e.Task = string(first(v.Package, v.ImportPath)), string(v.Test)
	e.SetAttr("go.action", string(v.Action))
	e.SetAttr("failed_build", string(v.FailedBuild))
	if outcome != pipeline.OutcomeUnknown && v.Elapsed.Or(-1) >= 0 {
		e.SetAttr("duration_seconds", strconv.FormatFloat(float64(v.Elapsed), 'f', -1, 64))
	}
	name, what := strings.TrimSpace(out.join(e.Pipeline, " ", e.Task)), string(v.Action)
	if v.Output != "" {
		what = oneLine(string(v.Output), 200)
	}
	e.Title = out.join(name, ": ", what)
	out.ID(e, string(v.Time), string(v.Action), e.Pipeline, e.Task, string(v.Output), strconv.Itoa(out.seq)) // a line may hold several
	return nil
}

func goTestType(action string, test bool) (typ, outcome string) {
	switch action {
	case "run":
		return "testcaserun.started", pipeline.OutcomeUnknown
	case "start":
		return "testsuiterun.started", pipeline.OutcomeUnknown
	case "build-fail":
		return "build.finished", pipeline.OutcomeFailure
	case "pass":
		outcome = pipeline.OutcomeSuccess
	case "fail":
		outcome = pipeline.OutcomeFailure
	case "skip":
		if test {
			return "testcaserun.skipped", pipeline.OutcomeSkipped
		}
		outcome = pipeline.OutcomeSkipped
	default:
		return "log", pipeline.OutcomeUnknown
	}
	if test {
		return "testcaserun.finished", outcome
	}
	return "testsuiterun.finished", outcome
}
