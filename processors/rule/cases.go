package rule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/goccy/go-yaml/ast"

	"github.com/tocsin-project/tocsin/pipeline"
)

// Case is one test of a rule, from a file <rule>.test.yaml: what comes in, and what alerts must come out. Package ruletest
// runs it.
type Case struct {
	Path string
	Line int
	Name string
	Rule string // whose alerts are looked at
	// Start is the time that offsets count from.
	Start time.Time
	Input []Input
	// Until is how far the watermark goes after the last input, counted from Start; zero leaves it where the input does.
	Until time.Duration
	Want  []Expectation
}

// Input is a record in its source's own form, or an event.
type Input struct {
	Line   int
	At     time.Duration // after Start
	Source string        // format of the record; empty where it is to be recognised
	Record string
	// Headers are the record's, as those who send it add them; in the order of the file.
	Headers []pipeline.Header
	Event   []pipeline.Attr // columns and values; nil where Record is set
}

// Expectation is what must be true of one or more alerts, whatever their updates. Empty fields are not looked at.
type Expectation struct {
	Line     int
	Team     string
	Class    string
	Severity uint8 // highest that was sent
	Status   string
	Count    int // of alerts
	// Title and Summary are parts of the last record's texts, Entities whole values.
	Title, Summary string
	Entities       map[string]string
}

// maxRepeat bounds how many events one entry of a test stands for.
const maxRepeat = 10_000

// ReadCases reads the tests of rules. It returns Errors with everything that is wrong.
func ReadCases(set *Set, files []File) ([]Case, error) {
	var cases []Case
	var errs Errors
	for _, f := range files {
		d, root := openDocument(f.Name, f.Data)
		if root != nil {
			r := &caseReader{document: d, set: set}
			r.read(root)
			cases = append(cases, r.cases...)
		}
		errs = append(errs, d.errs...)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return cases, nil
}

type caseReader struct {
	*document
	set   *Set
	rule  string
	start time.Time
	cases []Case
}

func (r *caseReader) read(root ast.Node) {
	r.start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	var tests ast.Node
	seen := r.mapping(root, "a test file", keys{
		"rule": func(n ast.Node) {
			var ids []string
			for _, rule := range r.set.Rules {
				ids = append(ids, rule.ID)
			}
			r.rule = r.word(n, "rule", ids)
		},
		"start": func(n ast.Node) { r.start = r.time(n, "start") },
		"tests": func(n ast.Node) { tests = n },
	})
	for _, key := range []string{"rule", "tests"} {
		if seen[key] == nil {
			r.failAt(root, "the test file has no "+key, "")
		}
	}
	if tests == nil {
		return
	}
	r.list(tests, "tests", func(n ast.Node) {
		line, _ := position(n)
		c := Case{Path: r.path, Line: line, Rule: r.rule, Start: r.start}
		seen := r.mapping(n, "a test", keys{
			"name":   func(n ast.Node) { c.Name = r.line(n, "name") },
			"input":  func(n ast.Node) { r.list(n, "input", func(n ast.Node) { c.Input = append(c.Input, r.input(n)...) }) },
			"until":  func(n ast.Node) { c.Until = r.duration(n, "until", 0, maxWithin) },
			"alerts": func(n ast.Node) { r.list(n, "alerts", func(n ast.Node) { c.Want = append(c.Want, r.expectation(n)) }) },
		})
		for _, key := range []string{"name", "input", "alerts"} {
			if seen[key] == nil {
				r.failAt(n, "the test has no "+key, "")
			}
		}
		r.cases = append(r.cases, c)
	})
}

func (r *caseReader) time(n ast.Node, what string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, r.text(n, what))
	if err != nil {
		r.failAt(n, fmt.Sprintf("%s: %q is no time", what, n.GetToken().Value), "as in 2026-11-23T10:00:00Z")
	}
	return t
}

// input reads one entry: at, every and repeat, and either record (with source and headers) or event. In their texts {i} is the number
// of the repetition, from 0, and {= 5e9 + 6e6 * 2 ** (i / 6)} what an expression makes of it.
func (r *caseReader) input(n ast.Node) (out []Input) {
	line, _ := position(n)
	in := Input{Line: line}
	repeat, every := 1, time.Duration(0)
	var event ast.Node
	r.mapping(n, "an input", keys{
		"at":     func(n ast.Node) { in.At = r.duration(n, "at", 0, maxWithin) },
		"repeat": func(n ast.Node) { repeat = r.int(n, "repeat", 1, maxRepeat) },
		"every":  func(n ast.Node) { every = r.duration(n, "every", 0, maxWindow) },
		"source": func(n ast.Node) { in.Source = r.line(n, "source") },
		"headers": func(n ast.Node) {
			r.pairs(n, "headers", func(name string, _, v ast.Node) {
				in.Headers = append(in.Headers, pipeline.Header{Key: name, Value: []byte(r.text(v, name))})
			})
		},
		"record": func(n ast.Node) { in.Record = r.text(n, "record") },
		"event":  func(n ast.Node) { event = n },
	})
	if (event == nil) == (in.Record == "") {
		r.failAt(n, "an input has either a record or an event", "")
		return nil
	}
	if event != nil && len(in.Headers) > 0 {
		r.failAt(n, "an event has no headers", "they belong to records; an event has columns")
	}
	for i := range repeat {
		one := in
		one.At += time.Duration(i) * every
		if event != nil {
			one.Event = r.event(event, i)
		} else {
			one.Record, one.Headers = r.fill(n, in.Record, i), slices.Clone(in.Headers)
			for h := range one.Headers {
				one.Headers[h].Value = []byte(r.fill(n, string(in.Headers[h].Value), i))
			}
		}
		out = append(out, one)
		if len(r.errs) > 0 {
			return out // a thousand repetitions have one mistake
		}
	}
	return out
}

func (r *caseReader) event(n ast.Node, i int) (fields []pipeline.Attr) {
	var probe pipeline.Event
	r.pairs(n, "event", func(column string, k, v ast.Node) {
		if !isColumn(column) {
			r.failAt(k, fmt.Sprintf("unknown column %q", column), didYouMean(column, columns()))
			return
		}
		value := r.fill(v, r.text(v, column), i)
		if err := probe.SetField(column, value); err != nil {
			r.failAt(v, err.Error(), "")
		}
		fields = append(fields, pipeline.Attr{Key: column, Value: value})
	})
	return fields
}

// fill replaces {i} and {= expression}. Whole numbers are written without exponent.
func (r *caseReader) fill(n ast.Node, s string, i int) string {
	s = strings.ReplaceAll(s, "{i}", strconv.Itoa(i))
	for {
		before, rest, ok := strings.Cut(s, "{=")
		src, after, closed := strings.Cut(rest, "}")
		if !ok || !closed {
			return s
		}
		program, err := expr.Compile(src, expr.Env(map[string]any{"i": i}), expr.AsFloat64(), expr.MaxNodes(maxNodes))
		var v any
		if err == nil {
			v, err = expr.Run(program, map[string]any{"i": i})
		}
		if err != nil {
			r.failAt(n, fmt.Sprintf("%q cannot be computed: %v", src, err), "")
			return s
		}
		s = before + strconv.FormatFloat(v.(float64), 'f', -1, 64) + after
	}
}

func (r *caseReader) expectation(n ast.Node) Expectation {
	line, _ := position(n)
	x := Expectation{Line: line, Count: 1}
	statuses := []string{pipeline.StatusFiring, pipeline.StatusUpdated, pipeline.StatusSuppressed, pipeline.StatusResolved}
	seen := r.mapping(n, "an expected alert", keys{
		"team":     func(n ast.Node) { x.Team = r.word(n, "team", subscribers) },
		"class":    func(n ast.Node) { x.Class = r.word(n, "class", classes) },
		"severity": func(n ast.Node) { x.Severity = uint8(r.int(n, "severity", 1, 6)) },
		"status":   func(n ast.Node) { x.Status = r.word(n, "status", statuses) },
		"count":    func(n ast.Node) { x.Count = r.int(n, "count", 1, maxRepeat) },
		"title":    func(n ast.Node) { x.Title = r.line(n, "title") },
		"summary":  func(n ast.Node) { x.Summary = r.line(n, "summary") },
		"entities": func(n ast.Node) {
			x.Entities = map[string]string{}
			r.pairs(n, "entities", func(name string, _, v ast.Node) { x.Entities[name] = r.line(v, name) })
		},
	})
	if seen["team"] == nil {
		r.failAt(n, "the expected alert has no team", didYouMean("", subscribers))
	}
	if rule := r.set.Rule(r.rule); rule != nil && x.Team != "" &&
		!slices.ContainsFunc(rule.Subscriptions, func(s Subscription) bool { return s.Team == x.Team }) {
		r.failAt(n, fmt.Sprintf("rule %s has no subscription of team %s", r.rule, x.Team), "")
	}
	return x
}
