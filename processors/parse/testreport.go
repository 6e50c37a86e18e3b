package parse

import (
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// What all reports of tests have in common, whatever tool wrote them.

// testCase is one test of a report, or one attempt at it.
type testCase struct {
	Suite, Class, Name string
	Outcome            string
	Time               time.Time
	Seconds            string
	Message            string // of the failure, error or skip
	Kind               string // its type: an exception's class, "pytest.skip"
	File, Line         string
	Flaky              bool // passed after it had failed
	Retries            int
	UI                 bool // of a user interface's test
	Raw                string
}

// testCounts is how many tests of a suite ended how.
type testCounts struct{ Total, Failed, Errors, Skipped, Flaky int }

func (c *testCounts) add(t *testCase) {
	c.Total++
	switch t.Outcome {
	case pipeline.OutcomeFailure:
		c.Failed++
	case pipeline.OutcomeError:
		c.Errors++
	case pipeline.OutcomeSkipped:
		c.Skipped++
	}
	if t.Flaky {
		c.Flaky++
	}
}

func (c *testCounts) merge(d *testCounts) {
	c.Total += d.Total
	c.Failed += d.Failed
	c.Errors += d.Errors
	c.Skipped += d.Skipped
	c.Flaky += d.Flaky
}

// outcome is the suite's: failure before error, and success also where there is no test.
func (c *testCounts) outcome() string {
	switch {
	case c.Failed > 0:
		return pipeline.OutcomeFailure
	case c.Errors > 0:
		return pipeline.OutcomeError
	case c.Total > 0 && c.Skipped == c.Total:
		return pipeline.OutcomeSkipped
	}
	return pipeline.OutcomeSuccess
}

// testCase appends a test's event.
func (o *Out) testCase(t *testCase) *pipeline.Event {
	typ := "testcaserun.finished"
	if t.Outcome == pipeline.OutcomeSkipped {
		typ = "testcaserun.skipped"
	}
	e := o.Event(typ)
	if t.Raw != "" {
		e.Raw = t.Raw
	}
	e.Severity, e.Outcome, e.Time = pipeline.SeverityInfo, t.Outcome, t.Time
	e.Pipeline, e.Task = first(t.Suite, t.Class), t.Name
	e.Title = strings.TrimSpace(e.Pipeline+" "+t.Name) + ": " + first(t.Outcome, "unknown")
	if t.Message != "" && t.Outcome != pipeline.OutcomeSuccess {
		e.Title += ": " + oneLine(t.Message, 120)
	}
	if t.Flaky {
		e.Labels = append(e.Labels, "flaky")
		e.Title = strings.TrimSpace(e.Pipeline+" "+t.Name) + ": flaky, passed at last"
	}
	e.SetAttr("test.case.class", t.Class)
	e.SetAttr("duration_seconds", t.Seconds)
	e.SetAttr("error.type", t.Kind)
	e.SetAttr("error.message", oneLine(t.Message, 500))
	e.SetAttr("code.file.path", t.File)
	e.SetAttr("code.line.number", t.Line)
	e.SetAttr("retries", positive(t.Retries))
	if t.UI {
		e.SetAttr("test.kind", "ui")
	}
	return e
}

// testSuite appends a suite's event. Counts are those of the tests that the report holds: tools' own totals disagree.
func (o *Out) testSuite(name string, c *testCounts) *pipeline.Event {
	e := o.Event("testsuiterun.finished")
	e.Severity, e.Outcome, e.Pipeline = pipeline.SeverityInfo, c.outcome(), name
	e.SetAttr("tests.total", strconv.Itoa(c.Total))
	e.SetAttr("tests.failed", strconv.Itoa(c.Failed))
	e.SetAttr("tests.errors", strconv.Itoa(c.Errors))
	e.SetAttr("tests.skipped", strconv.Itoa(c.Skipped))
	e.SetAttr("tests.flaky", positive(c.Flaky))
	e.Title = "suite " + first(name, "without a name") + ": " + strconv.Itoa(c.Total) + " tests, " +
		strconv.Itoa(c.Failed+c.Errors) + " failed, " + strconv.Itoa(c.Skipped) + " skipped"
	return e
}

// duration returns a number of seconds as reports print it, "" for what is none. Some write thousands separators.
func duration(s string) string {
	s = strings.TrimSuffix(strings.ReplaceAll(strings.TrimSpace(s), ",", ""), "s")
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || v < 0 || v > 1e9 {
		return ""
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// later returns the time d seconds after t: reports give a suite's start, its event is its end.
func later(t time.Time, d string) time.Time {
	v, err := strconv.ParseFloat(d, 64)
	if err != nil || t.IsZero() {
		return t
	}
	return sane(t.Add(time.Duration(v * float64(time.Second))))
}

// sane returns t, or none where a report prints a time that no clock showed (year 1, year 1970 at zero).
func sane(t time.Time) time.Time {
	if t.Year() < 1971 || t.Year() > 2200 {
		return time.Time{}
	}
	return t
}
