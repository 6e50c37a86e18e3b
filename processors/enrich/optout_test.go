package enrich

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/parse"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// suite is a JUnit report of n tests of one suite, told apart by the run.
func suite(name string, n, run int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<testsuite name=%q tests="%d" hostname="run-%d">`, name, n, run)
	for i := range n {
		fmt.Fprintf(&b, `<testcase classname="acme.Auth" name="case%d" time="1"><failure message="login worked">trace</failure></testcase>`, i)
	}
	return b.String() + "</testsuite>"
}

// processors are those of the pipeline, in its order, with a rule that matches every failed test.
func processors(t *testing.T, cfg Config) ([]pipeline.Processor, *Enricher) {
	t.Helper()
	parser, err := parse.New(parse.Config{})
	if err != nil {
		t.Fatal(err)
	}
	enricher := newEnricher(t, cfg)
	rules, err := rule.Load([]rule.File{{Name: "failed.yaml", Data: []byte(`
id: failed
title: failed
kind: match
why: every failed test is signalled, with all that a signal can carry
subscriptions: [{team: sec, severity: 1}]
key: ev.Pipeline
when: ev.Outcome == "failure"
alert: {title: "{pipeline} {task}", summary: "{title}"}
entities: {test: task}
`)}})
	if err != nil {
		t.Fatal(err)
	}
	return []pipeline.Processor{parser, enricher.Processor(), rules.NewMatcher()}, enricher
}

// batch holds one record for each value.
func batch(values ...string) *pipeline.Batch {
	b := &pipeline.Batch{TopicPartition: pipeline.TopicPartition{Topic: "ci"}}
	for i, v := range values {
		b.Records = append(b.Records, pipeline.Record{Offset: int64(i), Time: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC), Value: []byte(v)})
	}
	return b
}

// leaves is everything of the batch that the sink stores and the publisher sends, and how many events are stored.
func leaves(t *testing.T, ps []pipeline.Processor, b *pipeline.Batch) (text string, stored int) {
	t.Helper()
	for _, p := range ps {
		if err := p.Process(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	var all []byte
	for i := range b.Events {
		if e := &b.Events[i]; e.Dropped() == "" {
			all = append(e.AppendJSON(all), '\n')
			stored++
		}
	}
	for i := range b.Signals {
		all = append(pipeline.AppendSignal(all, &b.Signals[i]), '\n')
	}
	for _, f := range b.Failures {
		all = append(fmt.Appendf(all, "%s %s %s ", f.Stage, f.Source, f.Reason), append(f.Data, '\n')...)
	}
	return string(all), stored
}

const redline = `
- {id: redline, owner: "sec:maria", reason: "agreed with legal, SEC-12", suite: "redline-*"}
`

// TestR49OptOut sends what was opted out in every way that could leave a trace, and looks for the suite's name.
func TestR49OptOut(t *testing.T) {
	path := write(t, "opt-out.yaml", redline)
	ps, enricher := processors(t, Config{OptOut: []string{path}})

	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprint(z, suite("redline-zipped", 3, 7))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	mixed := "<testsuites>" + suite("redline-auth", 4, 2) + suite("billing", 4, 2) + "</testsuites>"
	b := batch(
		suite("redline-auth", 20, 1),
		suite("REDLINE-auth", 2, 1),
		mixed,
		packed.String(),
		strings.Replace(suite("redline-torn", 2, 3), "</testsuite>", "<", 1), // no XML: a dead letter
		"redline-hidden: neither XML nor JSON",                               // not recognised: a dead letter
		suite("billing", 3, 4),
		strings.Replace(suite("billing", 3, 5), "</testsuite>", "<", 1), // somebody else's dead letter
	)
	text, stored := leaves(t, ps, b)
	if strings.Contains(strings.ToLower(text), "redline") {
		t.Errorf("the suite leaves a trace:\n%s", text)
	}
	if want := 4 + 1 + 3 + 1; stored != want {
		t.Errorf("%d events of other suites are stored, want %d", stored, want)
	}
	if !strings.Contains(text, "billing") || len(b.Failures) != 1 {
		t.Errorf("others' events, signals and dead letters are gone with it: %d failures\n%s", len(b.Failures), text)
	}
	if len(b.Signals) == 0 {
		t.Error("nothing was signalled: the test proves nothing")
	}
	dropped := 0
	for i := range b.Events {
		if reason := b.Events[i].Dropped(); reason == "opt-out:redline" {
			dropped++
		} else if reason != "" {
			t.Errorf("dropped because of %s", reason)
		}
	}
	if want := 21 + 3 + 5 + 4; dropped != want {
		t.Errorf("%d events are counted as dropped, want %d", dropped, want)
	}
	got := metrics(t, enricher)
	if got[`tocsin_enrich_opt_outs_total redline event`] != float64(dropped) || got[`tocsin_enrich_opt_outs_total redline dead letter`] != 2 {
		t.Errorf("%d events and 2 dead letters are counted as %v", dropped, got)
	}
}

// TestSharedRawIsWithheld holds that an event of others does not carry what was opted out in the text that they share.
func TestSharedRawIsWithheld(t *testing.T) {
	path := write(t, "opt-out.yaml", redline)
	ps, _ := processors(t, Config{OptOut: []string{path}})
	b := batch("{}")
	b.Events = nil
	for _, name := range []string{"redline-auth", "billing"} {
		e := b.Next(0)
		e.Time, e.Type, e.Pipeline, e.Raw = b.Records[0].Time, "testcaserun.finished", name, `{"suites":["redline-auth","billing"]}`
		e.SetAttr("raw.hmac_sha256", "of redline")
	}
	b.Fail(pipeline.Failure{Record: 0, Stage: "parse", Reason: "line 3 is torn", Data: []byte(`"details of no name`)})
	text, stored := leaves(t, ps[1:], b)
	if stored != 1 || strings.Contains(text, "redline") || strings.Contains(text, "details") || !strings.Contains(text, "[withheld: opt-out]") {
		t.Errorf("%d stored:\n%s", stored, text)
	}
}

// TestPolicies walks what a policy can name, and when it holds.
func TestPolicies(t *testing.T) {
	path := write(t, "opt-out.csv", `id,owner,reason,project,module,suite,routine,since,until
p,o,r,secret-?,,,,,
m,o,r,,acme.redline.*,,,,
both,o,r,shop,,load-*,,,
r,o,r,,,,probe-*,,
w,o,r,,,window,,2026-11-23T09:00:00Z,2026-11-23T11:00:00Z
past,o,r,,,past,,,2026-11-23
future,o,r,,,future,,2026-11-24,
`)
	assets := write(t, "assets.csv", "kind,name,project\nrepo,github.com/acme/x,secret-1\n")
	ps, _ := processors(t, Config{OptOut: []string{path}, Assets: []string{assets}})
	f := func(want string, fields ...string) {
		t.Helper()
		b := batch("{}")
		e := b.Next(0)
		for _, field := range fields {
			column, value, _ := strings.Cut(field, "=")
			if err := e.SetField(column, value); err != nil {
				t.Fatal(err)
			}
		}
		if err := ps[1].Process(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		if want != "" {
			want = "opt-out:" + want
		}
		if got := b.Events[0].Dropped(); got != want {
			t.Errorf("%v: %q, want %q", fields, got, want)
		}
	}
	f("p", "project=secret-9")
	f("", "project=secret-10")
	f("p", "repo=github.com/acme/x") // a project that only the assets know
	f("m", "attributes.test.case.class=acme.redline.Auth")
	f("m", "service=acme.redline.api")
	f("both", "project=shop", "pipeline=load-1")
	f("", "project=other", "pipeline=load-1")
	f("", "project=shop", "pipeline=unit")
	f("r", "task=probe-7")
	f("w", "pipeline=window")
	f("", "pipeline=window", "event_time=2026-11-23T11:00:00Z")
	f("", "pipeline=window", "event_time=2026-11-23T08:59:59Z")
	f("", "pipeline=past")
	f("past", "pipeline=past", "event_time=2026-11-22T23:59:59Z")
	f("", "pipeline=future")
	f("")
}
