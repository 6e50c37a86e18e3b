package parse

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// junit reads JUnit XML as Ant, Surefire, pytest, gotestsum, nextest, Jest, Mocha, PHPUnit, googletest and others write it,
// and their cousins xUnit.net, NUnit, TRX and Sonar's generic executions. Totals are counted, not believed.
// https://github.com/testmoapp/junitxml, https://maven.apache.org/surefire/maven-surefire-plugin/xsd/
var junit = Format{
	Name: "junit-xml", Title: "JUnit XML test report", Phase: pipeline.PhaseTesting,
	Types: []string{"testcaserun.finished", "testcaserun.skipped", "testsuiterun.finished"},
	Known: "XML root testsuites or testsuite; assemblies, test-run, test-results, TestRun or testExecutions",
	Frame: Document,
	Match: func(s *Shape) bool {
		switch s.Root {
		case "testsuites", "testsuite", "assemblies", "assembly", "test-run", "test-results", "TestRun", "testExecutions":
			return true
		}
		return false
	},
	Parse: parseJUnit,
}

// junitSuite is a suite whose end has not been read yet.
type junitSuite struct {
	name, file, seconds string
	time                time.Time
	counts              testCounts
	raw                 string   // its start tag
	suites              int      // that stand in it
	properties          []string // name=value of those that tell of the run
	attempts            bool     // a test stands here once for each attempt at it (gotestsum)
	failed              []junitAttempt
}

// junitAttempt is an attempt at a test that failed: the test's name, and the index of the event.
type junitAttempt struct {
	name  string
	event int
}

// junitCase is a testcase element.
type junitCase struct {
	Name      string `xml:"name,attr"`
	Class     string `xml:"classname,attr"`
	ClassAlt  string `xml:"class,attr"`
	Time      string `xml:"time,attr"`
	Duration  string `xml:"duration,attr"`
	Timestamp string `xml:"timestamp,attr"`
	Status    string `xml:"status,attr"`
	Result    string `xml:"result,attr"`
	Flaky     string `xml:"flaky,attr"`
	File      string `xml:"file,attr"`
	FilePath  string `xml:"filepath,attr"`
	Line      string `xml:"line,attr"`

	Failure []junitProblem `xml:"failure"`
	Error   []junitProblem `xml:"error"`
	Skipped []junitProblem `xml:"skipped"`
	Skip    []junitProblem `xml:"skip"`
	Ignored []junitProblem `xml:"ignored"`

	RerunFailure []junitProblem `xml:"rerunFailure"`
	RerunError   []junitProblem `xml:"rerunError"`
	FlakyFailure []junitProblem `xml:"flakyFailure"`
	FlakyError   []junitProblem `xml:"flakyError"`
}

type junitProblem struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	File    string `xml:"file,attr"`
	Line    string `xml:"line,attr"`
	Text    string `xml:",chardata"`
	Stack   string `xml:"stackTrace"`
}

func (p *junitProblem) message() string {
	return first(strings.TrimSpace(p.Message), strings.TrimSpace(p.Text))
}

func parseJUnit(in *Input, out *Out) error {
	d := newXML(in.Data)
	var stack []*junitSuite
	seen := 0
	for {
		from := d.InputOffset()
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return xmlError(err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			switch t.Name.Local {
			case "testsuites":
				if seen++; len(stack) == 0 {
					stack = append(stack, newJUnitSuite(&t, xmlText(in.Data, d, from)))
				}
			case "testsuite":
				seen++
				stack = append(stack, newJUnitSuite(&t, xmlText(in.Data, d, from)))
			case "testcase":
				if err := junitTest(d, &t, in, from, stack, out); err != nil {
					return err
				}
			case "property":
				junitProperty(&t, stack)
			case "assemblies", "assembly", "test-run", "test-results", "TestRun", "testExecutions":
				if seen == 0 {
					return parseXUnit(in, d, &t, out)
				}
			}
		case xml.EndElement:
			if n := len(stack); n > 0 && (t.Name.Local == "testsuite" || t.Name.Local == "testsuites" && n == 1) {
				suite := stack[n-1]
				stack = stack[:n-1]
				if n > 1 {
					stack[n-2].counts.merge(&suite.counts)
					stack[n-2].suites++
				}
				if t.Name.Local == "testsuite" || suite.suites == 0 { // the root stands for its suites where it has some
					junitSuiteEnd(suite, out)
				}
			}
		}
	}
	if seen == 0 {
		return errors.New("XML without a testsuite")
	}
	return nil
}

func newJUnitSuite(t *xml.StartElement, raw string) *junitSuite {
	s := &junitSuite{
		name: first(strings.TrimSpace(xmlAttr(t, "name")), xmlAttr(t, "package")), file: first(xmlAttr(t, "file"), xmlAttr(t, "filepath")),
		seconds: duration(first(xmlAttr(t, "time"), xmlAttr(t, "duration"))), time: sane(parseTime(xmlAttr(t, "timestamp"))), raw: raw,
	}
	if h := xmlAttr(t, "hostname"); h != "" {
		s.properties = append(s.properties, "host="+h)
	}
	return s
}

func junitSuiteEnd(s *junitSuite, out *Out) {
	e := out.testSuite(s.name, &s.counts)
	if s.raw != "" {
		e.Raw = s.raw
	}
	e.Time = later(s.time, s.seconds)
	e.SetAttr("duration_seconds", s.seconds)
	e.SetAttr("code.file.path", s.file)
	for _, p := range s.properties {
		k, v, _ := strings.Cut(p, "=")
		if k == "host" {
			e.Host = strings.ToLower(v)
		} else {
			e.SetAttr(k, v)
		}
	}
	if junitUI(s.name, s.file) {
		e.SetAttr("test.kind", "ui")
	}
}

// junitProperty keeps what a property says of the run.
func junitProperty(t *xml.StartElement, stack []*junitSuite) {
	if len(stack) == 0 {
		return
	}
	s := stack[len(stack)-1]
	name, value := xmlAttr(t, "name"), xmlAttr(t, "value")
	switch name {
	case "go.version":
		s.attempts = true
	case "java.version", "os.name", "browser", "git.commit", "git.branch":
	default:
		return
	}
	s.properties = append(s.properties, name+"="+value)
}

func junitTest(d *xml.Decoder, start *xml.StartElement, in *Input, from int64, stack []*junitSuite, out *Out) error {
	var c junitCase
	if err := d.DecodeElement(&c, start); err != nil {
		return xmlError(err)
	}
	var suite *junitSuite
	if len(stack) > 0 {
		suite = stack[len(stack)-1]
	} else {
		suite = &junitSuite{}
	}
	t := testCase{
		Suite: suite.name, Class: first(c.Class, c.ClassAlt), Name: c.Name, Seconds: duration(first(c.Time, c.Duration)),
		Time: sane(parseTime(c.Timestamp)), File: first(c.File, c.FilePath, suite.file), Line: c.Line, Raw: xmlText(in.Data, d, from),
		UI: junitUI(suite.name, first(c.File, suite.file)),
	}
	if t.Time.IsZero() {
		t.Time = suite.time
	}
	c.judge(&t)
	e := out.testCase(&t)
	if suite.attempts {
		junitAttempts(suite, &t, e, out)
	}
	suite.counts.add(&t)
	return nil
}

// junitAttempts marks a test that passed after it had failed: all attempts at it as flaky, and the suite's count without
// those that failed. Only tools that list attempts are read so; elsewhere tests of one name are different tests.
func junitAttempts(suite *junitSuite, t *testCase, e *pipeline.Event, out *Out) {
	name := t.Class + "\x00" + t.Name
	switch t.Outcome {
	case pipeline.OutcomeFailure:
		suite.failed = append(suite.failed, junitAttempt{name, len(out.batch.Events) - 1})
	case pipeline.OutcomeSuccess:
		for _, a := range suite.failed {
			if a.name == name {
				before := &out.batch.Events[a.event]
				before.Labels = append(before.Labels, "flaky")
				suite.counts.Failed--
				suite.counts.Total--
				t.Flaky = true
			}
		}
		if t.Flaky {
			e.Labels = append(e.Labels, "flaky")
		}
	}
}

// judge decides how a test ended.
func (c *junitCase) judge(t *testCase) {
	var p *junitProblem
	skips := append(append(c.Skipped, c.Skip...), c.Ignored...)
	status := strings.ToLower(first(c.Status, c.Result))
	t.Retries = len(c.RerunFailure) + len(c.RerunError) + len(c.FlakyFailure) + len(c.FlakyError)
	switch {
	case len(c.Failure) > 0:
		t.Outcome, p = pipeline.OutcomeFailure, &c.Failure[0]
	case len(c.Error) > 0:
		t.Outcome, p = pipeline.OutcomeError, &c.Error[0]
	case len(skips) > 0:
		t.Outcome, p = pipeline.OutcomeSkipped, &skips[0]
	case len(c.FlakyFailure) > 0:
		t.Outcome, t.Flaky, p = pipeline.OutcomeSuccess, true, &c.FlakyFailure[0]
	case len(c.FlakyError) > 0:
		t.Outcome, t.Flaky, p = pipeline.OutcomeSuccess, true, &c.FlakyError[0]
	case t.Retries > 0: // passed at last: a failure of the last attempt would stand above
		t.Outcome, t.Flaky = pipeline.OutcomeSuccess, true
	default:
		t.Outcome = runOutcome(status)
		if t.Outcome == pipeline.OutcomeUnknown || t.Outcome == "" {
			t.Outcome = pipeline.OutcomeSuccess // no child is how JUnit says "passed"
		}
		if strings.EqualFold(c.Result, "suppressed") || strings.EqualFold(c.Result, "skipped") {
			t.Outcome = pipeline.OutcomeSkipped
		}
	}
	if c.Flaky == "true" && t.Outcome == pipeline.OutcomeSuccess {
		t.Flaky = true
	}
	if p == nil {
		return
	}
	t.Message, t.Kind = p.message(), strings.TrimSpace(p.Type)
	t.File, t.Line = first(t.File, p.File), first(t.Line, p.Line)
}

// junitUI tells tests of a user interface by the files of Cypress and Playwright.
func junitUI(names ...string) bool {
	for _, n := range names {
		for _, part := range []string{".cy.", "cypress/", "playwright/", "selenium"} {
			if strings.Contains(strings.ToLower(n), part) {
				return true
			}
		}
	}
	return false
}
