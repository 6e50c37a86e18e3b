// Package ruletest runs the tests of rules (<rule>.test.yaml): records or events in, through parser, matcher and engine,
// and alerts out, in simulated time. Nothing else is faked: it is the pipeline without Kafka.
package ruletest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/correlate"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// Report is how the tests went.
type Report struct {
	Results []Result
	// Unfired and Unmissed are the rules without a test in which they fire, and without one in which they nearly do.
	Unfired, Unmissed []string
}

// Result is how one test went.
type Result struct {
	Case     rule.Case
	Failures []string // empty where it passed
	Elapsed  time.Duration
}

// OK reports whether all tests passed. Rules without tests do not fail it.
func (r *Report) OK() bool {
	return !slices.ContainsFunc(r.Results, func(x Result) bool { return len(x.Failures) > 0 })
}

// Run runs the tests in the files against the set. parser turns the records of tests into events; nil makes tests with
// records fail. The error is what is wrong with the files.
func Run(set *rule.Set, files []rule.File, parser pipeline.Processor) (*Report, error) {
	cases, err := rule.ReadCases(set, files)
	if err != nil {
		return nil, err
	}
	report := &Report{}
	fired, missed := map[string]bool{}, map[string]bool{}
	for _, c := range cases {
		began := time.Now()
		failures := run(set, &c, parser)
		report.Results = append(report.Results, Result{c, failures, time.Since(began)})
		if len(failures) == 0 {
			fired[c.Rule] = fired[c.Rule] || len(c.Want) > 0
			missed[c.Rule] = missed[c.Rule] || len(c.Want) == 0
		}
	}
	for _, r := range set.Rules {
		if r.IsJudgedElsewhere() {
			continue // thousands of others' rules need no tests of ours
		}
		if !fired[r.ID] {
			report.Unfired = append(report.Unfired, r.ID)
		}
		if !missed[r.ID] {
			report.Unmissed = append(report.Unmissed, r.ID)
		}
	}
	return report, nil
}

// run runs one test and returns what is not as expected.
func run(set *rule.Set, c *rule.Case, parser pipeline.Processor) []string {
	alerts, err := play(set, c, parser, func(*pipeline.Event) {})
	if err != nil {
		return []string{err.Error()}
	}
	return compare(c, alerts)
}

// play runs a test's input through parser, matcher and engine, and returns all records of alerts. saw is given each event.
func play(set *rule.Set, c *rule.Case, parser pipeline.Processor, saw func(*pipeline.Event)) ([]*pipeline.Alert, error) {
	matcher, engine := set.NewMatcher(), correlate.New(set, correlate.Config{})
	var out pipeline.Output
	origin := pipeline.TopicPartition{Topic: "test"}
	inputs := slices.Clone(c.Input)
	slices.SortStableFunc(inputs, func(a, b rule.Input) int { return cmp.Compare(a.At, b.At) })
	for i, in := range inputs {
		b := &pipeline.Batch{TopicPartition: origin}
		out.Now = c.Start.Add(in.At)
		b.Records = []pipeline.Record{{Offset: int64(i), Time: out.Now, Value: []byte(in.Record)}}
		if err := events(b, in, i, parser); err != nil {
			return nil, fmt.Errorf("line %d: %w", in.Line, err)
		}
		for j := range b.Events {
			saw(&b.Events[j])
		}
		if err := matcher.Process(context.Background(), b); err != nil {
			return nil, fmt.Errorf("line %d: %w", in.Line, err)
		}
		for j := range b.Signals {
			engine.Process(&b.Signals[j], &out)
		}
		engine.Tick(&out)
		engine.Feed(&out)
		engine.Commit()
	}
	if c.Until > 0 {
		out.Now = c.Start.Add(c.Until)
		engine.Process(&pipeline.Signal{Kind: pipeline.SignalWatermark, Origin: origin, Time: out.Now}, &out)
		engine.Feed(&out)
	}
	for i, r := range set.Rules {
		if n := matcher.Counts(i).Errors; n > 0 && r.ID == c.Rule {
			return nil, fmt.Errorf("the rule's expression ended with an error on %d events", n)
		}
	}
	return out.Alerts, nil
}

// events makes the events of an input: from its record by the parser, or from its columns.
func events(b *pipeline.Batch, in rule.Input, i int, parser pipeline.Processor) error {
	if in.Event != nil {
		e := b.Next(0)
		e.ID = pipeline.NewID("test", fmt.Sprint(i))
		for _, f := range in.Event {
			if err := e.SetField(f.Key, f.Value); err != nil {
				return err
			}
		}
		return nil
	}
	if parser == nil {
		return errors.New("a record needs a parser")
	}
	b.Records[0].Headers = in.Headers
	if in.Source != "" {
		b.Records[0].Headers = append(slices.Clip(in.Headers), pipeline.Header{Key: "tocsin_source", Value: []byte(in.Source)})
	}
	if err := parser.Process(context.Background(), b); err != nil {
		return err
	}
	for _, f := range b.Failures {
		return fmt.Errorf("the record is not parsed: %s", f.Reason)
	}
	return nil
}

// alertOf is one alert with all its records.
type alertOf struct {
	last     *pipeline.Alert
	severity uint8
	taken    bool
}

// compare holds the alerts of the case's rule against what is wanted: all of that, and nothing else.
func compare(c *rule.Case, records []*pipeline.Alert) (failures []string) {
	var alerts []*alertOf
	byID := map[uuid.UUID]*alertOf{}
	for _, a := range records {
		if a.Rule != c.Rule {
			continue
		}
		one := byID[a.ID]
		if one == nil {
			one = &alertOf{}
			byID[a.ID] = one
			alerts = append(alerts, one)
		}
		one.last = a
		one.severity = max(one.severity, a.Severity)
	}
	for _, want := range c.Want {
		found := 0
		var near []string
		for _, a := range alerts {
			if a.taken {
				continue
			}
			if why := differs(want, a); why == "" {
				found++
				a.taken = true
			} else if a.last.Team == want.Team {
				near = append(near, why)
			}
		}
		if found != want.Count {
			failures = append(failures, strings.Join(append([]string{
				fmt.Sprintf("%s:%d: %d alerts for %s are as described here, want %d", c.Path, want.Line, found, want.Team, want.Count)}, near...), "; "))
		}
	}
	for _, a := range alerts {
		if !a.taken {
			failures = append(failures, fmt.Sprintf("unexpected alert for %s, severity %d, %s: %s: %s", a.last.Team, a.severity, a.last.Status, a.last.Title, a.last.Summary))
		}
	}
	return failures
}

// differs says how an alert is not what is wanted, or "".
func differs(want rule.Expectation, got *alertOf) string {
	a := got.last
	switch {
	case want.Team != a.Team:
		return "team is " + a.Team
	case want.Class != "" && want.Class != a.Class:
		return "class is " + a.Class
	case want.Severity != 0 && want.Severity != got.severity:
		return fmt.Sprintf("severity is %d", got.severity)
	case want.Status != "" && want.Status != a.Status:
		return "status is " + a.Status
	case !strings.Contains(a.Title, want.Title):
		return fmt.Sprintf("title is %q", a.Title)
	case !strings.Contains(a.Summary, want.Summary):
		return fmt.Sprintf("summary is %q", a.Summary)
	}
	for name, v := range want.Entities {
		if a.Entities[name] != v {
			return fmt.Sprintf("entity %s is %q", name, a.Entities[name])
		}
	}
	return ""
}

// WriteText prints the report for people: a line for each failed test and what is missing, then a summary.
func (r *Report) WriteText(w io.Writer) {
	failed := 0
	for _, x := range r.Results {
		if len(x.Failures) == 0 {
			continue
		}
		failed++
		fmt.Fprintf(w, "FAIL %s:%d: %s: %s\n", x.Case.Path, x.Case.Line, x.Case.Rule, x.Case.Name)
		for _, f := range x.Failures {
			fmt.Fprintf(w, "     %s\n", f)
		}
	}
	for _, id := range r.Unfired {
		fmt.Fprintf(w, "note: %s has no passing test in which it fires\n", id)
	}
	for _, id := range r.Unmissed {
		fmt.Fprintf(w, "note: %s has no passing test in which it nearly fires\n", id)
	}
	fmt.Fprintf(w, "%d tests, %d failed\n", len(r.Results), failed)
}
