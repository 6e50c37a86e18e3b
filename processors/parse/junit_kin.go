package parse

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// kinCase is one test in the reports of xUnit.net (test), NUnit (test-case), Visual Studio (UnitTestResult) and Sonar
// (testCase).
// https://xunit.net/docs/format-xml-v2, https://docs.nunit.org/articles/nunit/technical-notes/usage/Test-Result-XML-Format.html
type kinCase struct {
	Name      string `xml:"name,attr"`
	TestName  string `xml:"testName,attr"`
	Type      string `xml:"type,attr"`
	Method    string `xml:"method,attr"`
	ClassName string `xml:"classname,attr"`
	Result    string `xml:"result,attr"`
	Outcome   string `xml:"outcome,attr"`
	Label     string `xml:"label,attr"`
	Executed  string `xml:"executed,attr"`
	Success   string `xml:"success,attr"`
	Time      string `xml:"time,attr"`
	Duration  string `xml:"duration,attr"`
	End       string `xml:"end-time,attr"`
	EndTime   string `xml:"endTime,attr"`

	Failure *kinProblem `xml:"failure"`
	Error   *kinProblem `xml:"error"`
	Skipped *kinProblem `xml:"skipped"`
	Reason  *kinProblem `xml:"reason"`
	Info    *kinProblem `xml:"Output>ErrorInfo"`
}

type kinProblem struct {
	Exception string `xml:"exception-type,attr"`
	Attr      string `xml:"message,attr"`
	Lower     string `xml:"message"`
	Upper     string `xml:"Message"`
	Text      string `xml:",chardata"`
}

func (p *kinProblem) message() string {
	if p == nil {
		return ""
	}
	return first(strings.TrimSpace(p.Attr), strings.TrimSpace(p.Lower), strings.TrimSpace(p.Upper), strings.TrimSpace(p.Text))
}

// parseXUnit reads what follows root, the document's first element.
func parseXUnit(in *Input, d *xml.Decoder, root *xml.StartElement, out *Out) error {
	stack := []*junitSuite{newKinSuite(root)}
	sonar := root.Name.Local == "testExecutions"
	for {
		from := d.InputOffset()
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return xmlError(err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			switch t.Name.Local {
			case "assembly", "test-suite":
				stack = append(stack, newKinSuite(&t))
			case "file":
				s := newKinSuite(&t)
				s.name = xmlAttr(&t, "path")
				stack = append(stack, s)
			case "test", "test-case", "UnitTestResult", "testCase":
				var c kinCase
				if err := d.DecodeElement(&c, &t); err != nil {
					return xmlError(err)
				}
				suite := stack[len(stack)-1]
				test := c.test(suite, sonar)
				test.Raw = xmlText(in.Data, d, from)
				out.testCase(&test)
				suite.counts.add(&test)
			}
		case xml.EndElement:
			switch t.Name.Local {
			case "assembly", "test-suite", "file", "TestRun", "testExecutions", "test-run", "test-results", "assemblies":
				n := len(stack) - 1
				suite := stack[n]
				stack = stack[:n]
				if n > 0 {
					stack[n-1].counts.merge(&suite.counts)
					stack[n-1].suites++
				}
				if n > 0 || suite.suites == 0 {
					junitSuiteEnd(suite, out)
				}
				if n == 0 {
					return nil
				}
			}
		}
	}
}

func newKinSuite(t *xml.StartElement) *junitSuite {
	start := first(xmlAttr(t, "start-time"), strings.TrimSpace(xmlAttr(t, "run-date")+" "+xmlAttr(t, "run-time")))
	return &junitSuite{
		name:    first(xmlAttr(t, "fullname"), xmlAttr(t, "name")),
		seconds: duration(first(xmlAttr(t, "duration"), xmlAttr(t, "time"))),
		time:    sane(parseTime(start)),
	}
}

func (c *kinCase) test(suite *junitSuite, sonar bool) testCase {
	t := testCase{
		Suite: suite.name, Class: first(c.ClassName, c.Type), Name: first(c.Name, c.TestName, c.Method),
		Time: sane(parseTime(first(c.End, c.EndTime))), Seconds: duration(first(c.Duration, c.Time)),
	}
	if sonar { // milliseconds
		t.Seconds, t.File = millis(c.Duration), suite.name
	}
	if c.Outcome != "" { // Visual Studio: hh:mm:ss.fffffff
		t.Seconds = clock(c.Duration)
	}
	if t.Time.IsZero() {
		t.Time = suite.time
	}
	t.Message = first(c.Failure.message(), c.Error.message(), c.Info.message(), c.Skipped.message(), c.Reason.message())
	if c.Failure != nil {
		t.Kind = c.Failure.Exception
	}
	switch strings.ToLower(first(c.Result, c.Outcome)) {
	case "pass", "passed", "success", "warning":
		t.Outcome = pipeline.OutcomeSuccess
	case "fail", "failed", "failure", "timeout":
		t.Outcome = pipeline.OutcomeFailure
		if strings.EqualFold(c.Label, "error") {
			t.Outcome = pipeline.OutcomeError
		}
	case "error", "aborted":
		t.Outcome = pipeline.OutcomeError
	case "skip", "skipped", "ignored", "inconclusive", "notexecuted", "notrun", "notrunnable", "pending":
		t.Outcome = pipeline.OutcomeSkipped
	default:
		switch {
		case c.Failure != nil || strings.EqualFold(c.Success, "false"):
			t.Outcome = pipeline.OutcomeFailure
		case c.Error != nil:
			t.Outcome = pipeline.OutcomeError
		case c.Skipped != nil || strings.EqualFold(c.Executed, "false"):
			t.Outcome = pipeline.OutcomeSkipped
		default:
			t.Outcome = pipeline.OutcomeSuccess
		}
	}
	return t
}

// clock converts hh:mm:ss.fff into seconds.
func clock(s string) string {
	t := parseTime("1970-01-01T" + s)
	if t.IsZero() {
		return ""
	}
	return seconds(parseTime("1970-01-01T00:00:00"), t)
}
