package parse

import (
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// uiTest reads the JSON reports of browsers' test runners: Playwright, Mocha, mochawesome, Cypress and Jest. Their JUnit
// reports are junit's. A Playwright test that passed on a retry is flaky.
// https://playwright.dev/docs/test-reporters#json-reporter, https://mochajs.org/#json, https://jestjs.io/docs/cli#--json
var uiTest = Format{
	Name: "ui-test", Title: "UI test reports (Playwright, Cypress, mochawesome, Mocha, Jest)", Phase: pipeline.PhaseTesting,
	Types: []string{"testcaserun.finished", "testcaserun.skipped", "testsuiterun.finished", "testoutput.published"},
	Known: "JSON object with suites and stats (Playwright), stats and tests or results (Mocha), testResults (Jest), runs (Cypress)",
	Frame: Values,
	Match: func(s *Shape) bool {
		return !s.Array && (s.Has("suites", "stats") || s.Has("suites", "config") ||
			s.Raw("stats", "passes") != nil && (s.Has("tests") || s.Has("results")) ||
			s.Has("testResults", "numTotalTests") || s.Has("runs", "totalTests") || s.Has("runs", "cypressVersion"))
	},
	Parse: parseUITest,
}

type uiReport struct {
	// Playwright.
	Suites []part[uiSuite] `json:"suites"`
	Errors []uiError       `json:"errors"`
	Stats  *struct {
		StartTime Text   `json:"startTime"`
		Start     Text   `json:"start"`
		End       Text   `json:"end"`
		Duration  Number `json:"duration"`
	} `json:"stats"`

	// Mocha, mochawesome.
	Tests    []part[uiMocha] `json:"tests"`
	Failures []part[uiMocha] `json:"failures"`
	Pending  []part[uiMocha] `json:"pending"`
	Results  []part[uiSuite] `json:"results"`

	// Jest.
	TestResults []part[uiJest] `json:"testResults"`
	StartTime   Text           `json:"startTime"`

	// Cypress.
	Runs    []part[uiCypress] `json:"runs"`
	Browser Text              `json:"browserName"`
}

type uiError struct {
	Message Text `json:"message"`
	Stack   Text `json:"stack"`
	Name    Text `json:"name"`
	Value   Text `json:"value"`
}

type uiSuite struct {
	Title    Text            `json:"title"`
	File     Text            `json:"file"`
	FullFile Text            `json:"fullFile"`
	Specs    []part[uiSpec]  `json:"specs"`
	Tests    []part[uiMocha] `json:"tests"`
	Suites   []part[uiSuite] `json:"suites"`
	Before   []part[uiMocha] `json:"beforeHooks"`
	After    []part[uiMocha] `json:"afterHooks"`
}

// uiSpec is a test of Playwright, run in several projects (browsers), some times each.
type uiSpec struct {
	Title Text    `json:"title"`
	File  Text    `json:"file"`
	Line  Text    `json:"line"`
	Tags  Strings `json:"tags"`
	Tests []struct {
		Project Text `json:"projectName"`
		Status  Text `json:"status"`
		Results []struct {
			Status   Text     `json:"status"`
			Duration Number   `json:"duration"`
			Start    Text     `json:"startTime"`
			Error    *uiError `json:"error"`
			Attached []struct {
				Name        Text `json:"name"`
				ContentType Text `json:"contentType"`
				Path        Text `json:"path"`
			} `json:"attachments"`
		} `json:"results"`
	} `json:"tests"`
}

// uiMocha is a test of Mocha or mochawesome.
type uiMocha struct {
	Title    Text   `json:"title"`
	Full     Text   `json:"fullTitle"`
	File     Text   `json:"file"`
	Duration Number `json:"duration"`
	State    Text   `json:"state"`
	Fail     Text   `json:"fail"`
	Pending  Text   `json:"pending"`
	Skipped  Text   `json:"skipped"`
	Retry    Number `json:"currentRetry"`
	IsHook   Text   `json:"isHook"`
	Err      struct {
		Message Text `json:"message"`
		Stack   Text `json:"stack"`
		EStack  Text `json:"estack"`
		Name    Text `json:"name"`
	} `json:"err"`
}

type uiJest struct {
	Name       Text   `json:"name"`
	FilePath   Text   `json:"testFilePath"`
	Status     Text   `json:"status"`
	Message    Text   `json:"message"`
	Start      Number `json:"startTime"`
	End        Number `json:"endTime"`
	Assertions []part[struct {
		Ancestors Strings `json:"ancestorTitles"`
		Title     Text    `json:"title"`
		Full      Text    `json:"fullName"`
		Status    Text    `json:"status"`
		Duration  Number  `json:"duration"`
		Failures  Strings `json:"failureMessages"`
		Attempts  Number  `json:"invocations"`
		Location  *struct {
			Line Text `json:"line"`
		} `json:"location"`
	}] `json:"assertionResults"`
}

type uiCypress struct {
	Spec struct {
		Name     Text `json:"name"`
		Relative Text `json:"relative"`
	} `json:"spec"`
	Stats struct {
		Start Text `json:"startedAt"`
		Old   Text `json:"wallClockStartedAt"`
	} `json:"stats"`
	Video Text `json:"video"`
	Tests []part[struct {
		Title    Strings `json:"title"`
		State    Text    `json:"state"`
		Error    Text    `json:"displayError"`
		Duration Number  `json:"duration"`
		Attempts []struct {
			State Text `json:"state"`
		} `json:"attempts"`
	}] `json:"tests"`
}

func parseUITest(in *Input, out *Out) error {
	var v uiReport
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	u := uiReader{out: out}
	if v.Stats != nil {
		u.start = sane(parseTime(string(first(v.Stats.StartTime, v.Stats.Start))))
	}
	switch {
	case len(v.TestResults) > 0:
		for i := range v.TestResults {
			u.jest(&v.TestResults[i])
		}
	case len(v.Runs) > 0:
		for i := range v.Runs {
			u.cypress(&v.Runs[i])
		}
	case len(v.Results) > 0:
		for i := range v.Results {
			u.mochawesome(&v.Results[i])
		}
	case len(v.Tests) > 0 || len(v.Failures) > 0 || len(v.Pending) > 0:
		u.mocha(&v)
	default:
		u.playwright(&v)
	}
	return nil
}

// uiReader gives the events of a report.
type uiReader struct {
	out   *Out
	start time.Time
}

// ms returns milliseconds as seconds, "" where there are none.
func (n Number) ms() string {
	v := n.Or(-1)
	if v < 0 || v > 1e12 {
		return ""
	}
	return strconv.FormatFloat(v/1000, 'f', -1, 64)
}

func (u *uiReader) suite(name, file string, c *testCounts, at time.Time, raw string) {
	e := u.out.testSuite(name, c)
	e.Time, e.Raw = at, raw
	e.SetAttr("code.file.path", file)
	e.SetAttr("test.kind", "ui")
}

func (u *uiReader) playwright(v *uiReport) {
	var all testCounts
	for i := range v.Suites {
		var c testCounts
		s := &v.Suites[i]
		u.playwrightSuite(&s.Value, "", &c)
		all.merge(&c)
		u.suite(string(s.Value.Title), string(s.Value.File), &c, u.start, "")
	}
	for _, e := range v.Errors { // of the run itself: a file that does not load, a worker that died
		t := testCase{Suite: "playwright", Name: "run", Outcome: pipeline.OutcomeError, Time: u.start, Message: plain(string(e.Message)), UI: true}
		u.out.testCase(&t)
		all.add(&t)
	}
	if all.Total == 0 && len(v.Suites) == 0 {
		u.suite("playwright", "", &all, u.start, "")
	}
}

func (u *uiReader) playwrightSuite(s *uiSuite, parent string, c *testCounts) {
	name := strings.TrimPrefix(parent+" › "+string(s.Title), " › ")
	for i := range s.Specs {
		u.playwrightSpec(&s.Specs[i], name, c)
	}
	for i := range s.Suites {
		u.playwrightSuite(&s.Suites[i].Value, name, c)
	}
}

func (u *uiReader) playwrightSpec(p *part[uiSpec], suite string, c *testCounts) {
	spec := &p.Value
	for i := range spec.Tests {
		test := &spec.Tests[i]
		t := testCase{
			Suite: suite, Class: string(test.Project), Name: string(spec.Title), File: string(spec.File), Line: string(spec.Line),
			Time: u.start, UI: true, Raw: p.Raw,
		}
		status := string(test.Status)
		if n := len(test.Results); n > 0 {
			last := &test.Results[n-1]
			t.Retries, t.Seconds = n-1, last.Duration.ms()
			if at := parseTime(string(last.Start)); !at.IsZero() {
				t.Time = later(at, t.Seconds)
			}
			if last.Error != nil {
				t.Message, t.Kind = plain(string(first(last.Error.Message, last.Error.Value))), string(last.Status)
			}
			status = first(status, string(last.Status))
		}
		t.Outcome, t.Flaky = playwrightOutcome(status)
		if t.Outcome == pipeline.OutcomeFailure && t.Kind == "interrupted" {
			t.Outcome = pipeline.OutcomeCancel
		}
		e := u.out.testCase(&t)
		e.SetAttr("browser.name", string(test.Project))
		e.SetAttr("tags", strings.Join(spec.Tags, ","))
		c.add(&t)
		for _, r := range test.Results {
			for _, a := range r.Attached {
				if a.Path != "" {
					u.output(&t, string(a.Name), string(a.ContentType), string(a.Path), string(test.Project))
				}
			}
		}
	}
}

// playwrightOutcome converts a test's status: whether it did what was expected of it, not whether it passed.
func playwrightOutcome(status string) (outcome string, flaky bool) {
	switch status {
	case "expected", "passed":
		return pipeline.OutcomeSuccess, false
	case "flaky":
		return pipeline.OutcomeSuccess, true
	case "skipped":
		return pipeline.OutcomeSkipped, false
	case "interrupted":
		return pipeline.OutcomeCancel, false
	}
	return pipeline.OutcomeFailure, false
}

// output tells of a picture, video or trace that a test left.
func (u *uiReader) output(t *testCase, name, contentType, path, project string) {
	e := u.out.Event("testoutput.published")
	e.Raw = ""
	e.Severity, e.Time = pipeline.SeverityInfo, t.Time
	e.Pipeline, e.Task, e.Artifact = t.Suite, t.Name, path
	kind := name
	switch {
	case strings.HasPrefix(contentType, "video/"):
		kind = "video"
	case strings.HasPrefix(contentType, "image/"):
		kind = "image"
	}
	e.SetAttr("output.type", kind)
	e.SetAttr("output.format", contentType)
	e.SetAttr("url.full", path)
	e.SetAttr("browser.name", project)
	e.SetAttr("test.kind", "ui")
	e.Title = t.Name + ": " + kind + " " + path
}

// mocha reads the json reporter: all tests, and once more those that failed, among them hooks, which are no tests.
func (u *uiReader) mocha(v *uiReport) {
	state := map[string]string{}
	var hooks []*part[uiMocha]
	known := map[string]bool{}
	for i := range v.Tests {
		known[string(v.Tests[i].Value.Full)] = true
	}
	for i := range v.Pending {
		state[string(v.Pending[i].Value.Full)] = "pending"
	}
	for i := range v.Failures {
		name := string(v.Failures[i].Value.Full)
		state[name] = "failed"
		if !known[name] {
			hooks = append(hooks, &v.Failures[i])
		}
	}
	var c testCounts
	for i := range v.Tests {
		t := &v.Tests[i]
		t.Value.State = first(t.Value.State, Text(state[string(t.Value.Full)]), "passed")
		u.mochaTest(t, "", &c, false)
	}
	for _, h := range hooks {
		h.Value.State = "failed"
		u.mochaTest(h, "", &c, true)
	}
	u.suite("mocha", "", &c, u.start, "")
}

func (u *uiReader) mochaTest(p *part[uiMocha], suite string, c *testCounts, hook bool) {
	m := &p.Value
	if suite == "" { // the full title is the suites' and the test's
		suite = strings.TrimSpace(strings.TrimSuffix(string(m.Full), string(m.Title)))
	}
	t := testCase{
		Suite: suite, Name: string(m.Title), File: string(m.File), Seconds: m.Duration.ms(), Time: u.start, Raw: p.Raw,
		Message: plain(string(first(m.Err.Message, m.Err.Stack, m.Err.EStack))), Kind: string(m.Err.Name), UI: true,
	}
	switch {
	case m.State == "failed" || m.Fail == "true":
		t.Outcome = pipeline.OutcomeFailure
	case m.State == "pending" || m.Pending == "true" || m.Skipped == "true" || m.State == "skipped":
		t.Outcome = pipeline.OutcomeSkipped
	default:
		t.Outcome = pipeline.OutcomeSuccess
	}
	if n := m.Retry.Or(0); n > 0 && n < 1000 {
		t.Retries = int(n)
		t.Flaky = t.Outcome == pipeline.OutcomeSuccess
	}
	e := u.out.testCase(&t)
	if hook {
		e.SetAttr("hook", "true")
	}
	c.add(&t)
}

func (u *uiReader) mochawesome(p *part[uiSuite]) {
	var c testCounts
	s := &p.Value
	u.mochawesomeSuite(s, "", &c)
	u.suite(string(first(s.Title, s.File, s.FullFile)), string(first(s.FullFile, s.File)), &c, u.start, "")
}

func (u *uiReader) mochawesomeSuite(s *uiSuite, parent string, c *testCounts) {
	name := strings.TrimSpace(parent + " " + string(s.Title))
	for _, hooks := range [][]part[uiMocha]{s.Before, s.After} {
		for i := range hooks {
			if h := &hooks[i]; h.Value.Fail == "true" || h.Value.State == "failed" {
				u.mochaTest(h, name, c, true)
			}
		}
	}
	for i := range s.Tests {
		s.Tests[i].Value.File = first(s.Tests[i].Value.File, s.FullFile, s.File)
		u.mochaTest(&s.Tests[i], name, c, false)
	}
	for i := range s.Suites {
		u.mochawesomeSuite(&s.Suites[i].Value, name, c)
	}
}

func (u *uiReader) jest(p *part[uiJest]) {
	j := &p.Value
	file := string(first(j.Name, j.FilePath))
	end := sane(parseTime(strconv.FormatFloat(j.End.Or(0), 'f', 0, 64)))
	var c testCounts
	for i := range j.Assertions {
		a := &j.Assertions[i].Value
		t := testCase{
			Suite: strings.Join(a.Ancestors, " › "), Name: string(a.Title), File: file, Seconds: a.Duration.ms(), Time: end, UI: true,
			Outcome: runOutcome(string(a.Status)), Raw: j.Assertions[i].Raw,
		}
		if a.Location != nil {
			t.Line = string(a.Location.Line)
		}
		if len(a.Failures) > 0 && t.Outcome != pipeline.OutcomeSuccess {
			t.Message = plain(a.Failures[0])
		}
		if n := a.Attempts.Or(1); n > 1 && n < 1000 {
			t.Retries, t.Flaky = int(n)-1, t.Outcome == pipeline.OutcomeSuccess
		}
		u.out.testCase(&t)
		c.add(&t)
	}
	if len(j.Assertions) == 0 && j.Status == "failed" { // the file did not load
		t := testCase{Name: file, File: file, Outcome: pipeline.OutcomeError, Time: end, Message: plain(string(j.Message)), UI: true}
		u.out.testCase(&t)
		c.add(&t)
	}
	u.suite(file, file, &c, end, "")
}

func (u *uiReader) cypress(p *part[uiCypress]) {
	r := &p.Value
	spec := string(first(r.Spec.Relative, r.Spec.Name))
	start := sane(parseTime(string(first(r.Stats.Start, r.Stats.Old))))
	var c testCounts
	for i := range r.Tests {
		x := &r.Tests[i].Value
		t := testCase{
			File: spec, Seconds: x.Duration.ms(), Time: start, Message: plain(string(x.Error)), UI: true,
			Outcome: runOutcome(string(x.State)), Retries: max(len(x.Attempts)-1, 0), Raw: r.Tests[i].Raw,
		}
		if n := len(x.Title); n > 0 {
			t.Name, t.Suite = x.Title[n-1], strings.Join(x.Title[:n-1], " › ")
		}
		t.Flaky = t.Outcome == pipeline.OutcomeSuccess && t.Retries > 0
		u.out.testCase(&t)
		c.add(&t)
	}
	u.suite(spec, spec, &c, start, "")
	if r.Video != "" && r.Video != "false" {
		u.output(&testCase{Suite: spec, Name: spec, Time: start}, "video", "video/mp4", string(r.Video), "")
	}
}
