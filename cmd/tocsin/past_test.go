package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tocsin-project/tocsin/pipeline"
)

// pastRules learn from a key's own past, all but the last, which cannot be said in SQL.
var pastRules = []string{`
id: domains
kind: new_value
key: [ev.Pipeline, ev.Host]
when: ev.Type == "dns.query"
value: ev.DstDomain
learn: 1d
memory: 14d
`, `
id: pulls
kind: spike
key: ev.Actor
when: ev.Type == "artifact.downloaded"
learn: 0s
factor: 3
min: 5
`, `
id: probes
kind: anomaly
key: ev.Artifact
when: ev.Type == "netprobe.finished"
value: ev.Value
last: 5
`, `
id: listed
kind: new_value
key: ev.Host
when: ev.Type == "dns.query" && inList(ev.DstDomain, "watched")
value: ev.DstDomain
`}

const pastRuleRest = "title: t\nwhy: w\nsubscriptions: [{team: sec, severity: 3}]\nalert: {title: t, summary: s}\n"

// A fresh detect side knows what the warehouse has seen: what is new to it alone is no alert, what is new to both is one,
// and what has only just been stored, and may be among the signals to come, is not taken for known.
func TestDetectRecallsTheWarehouse(t *testing.T) {
	p := newPlant(t, embeddedServers(t), "recall")
	dir := t.TempDir()
	for i, text := range pastRules {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i, ".yaml")), []byte(text+pastRuleRest), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "watched.list"), []byte("x.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := p.cfg
	cfg.Rules, cfg.Admin.Listen = RulesConfig{Dirs: []string{dir}}, "127.0.0.1:0"
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	const columns = "INSERT INTO events (event_id, event_time, ingest_time, event_type, pipeline, host, dst_domain, actor, artifact, metric_name, metric_value) SELECT generateUUIDv4(), "
	for _, rows := range []string{
		// Two days of a pipeline's domains; one of them has only been seen a minute ago.
		columns + "toDateTime64('2026-11-21 12:00:00', 3, 'UTC') + number * 3600 AS at, at, 'dns.query', 'pay|x', 'ci-2', if(number % 2 = 0, 'proxy.example', 'mirror.example'), '', '', '', 0 FROM numbers(40)",
		columns + "toDateTime64('2026-11-23 11:59:00', 3, 'UTC') AS at, at, 'dns.query', 'pay|x', 'ci-2', 'fresh.example', '', '', '', 0 FROM numbers(1)",
		// An account pulls thirty times an hour.
		columns + "toDateTime64('2026-11-21 12:00:00', 3, 'UTC') + number * 120 AS at, at, 'artifact.downloaded', '', '', '', 'robot', '', '', 0 FROM numbers(1440)",
		columns + "toDateTime64('2026-11-21 12:00:00', 3, 'UTC') + number * 3600 AS at, at, 'netprobe.finished', '', '', '', '', 'pay-api', 'net.rtt_ms', 0.4 + 0.01 * (number % 3) FROM numbers(20)",
	} {
		if err := p.db.Exec(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	}
	noise := func(app *app, domains, pullers string) []string {
		var events []pipeline.Event
		for _, domain := range strings.Fields(domains) {
			events = append(events, pipeline.Event{Type: "dns.query", Pipeline: "pay|x", Host: "ci-2", DstDomain: domain})
		}
		for _, actor := range strings.Fields(pullers) {
			for range 40 { // more than the usual 30 of robot, and than 5
				events = append(events, pipeline.Event{Type: "artifact.downloaded", Actor: actor})
			}
		}
		events = append(events, pipeline.Event{Type: "netprobe.finished", Artifact: "pay-api", Metric: "net.rtt_ms", Value: 4})
		return fired(t, app, now, events)
	}

	core, logs := observer.New(zap.InfoLevel)
	app, err := newApp(t.Context(), cfg, func() time.Time { return now }, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	defer app.close()
	const domains, pullers = "proxy.example fresh.example new.example", "robot stranger"
	if got, want := noise(app, domains, pullers), []string{"pulls|robot", "pulls|stranger"}; !slices.Equal(got, want) {
		t.Errorf("without a past %q fired, want %q", got, want)
	}
	app.recall(t.Context(), app.rules.Set())
	want := []string{`domains|pay\|x|ci-2|fresh.example`, `domains|pay\|x|ci-2|new.example`, "probes|pay-api", "pulls|stranger"}
	if got := noise(app, domains, pullers); !slices.Equal(got, want) {
		t.Errorf("with a past %q fired, want %q", got, want)
	}
	if said := logs.FilterMessage("rules know what was before").All(); len(said) != 1 || said[0].ContextMap()["rules"] != int64(3) || said[0].ContextMap()["elapsed"] == nil {
		t.Errorf("the log says %+v", said)
	}
	if said := logs.FilterMessageSnippet("learns afresh").All(); len(said) != 1 || said[0].ContextMap()["rule_id"] != "listed" {
		t.Errorf("the log says %+v", said)
	}

	// A rule that is changed while detect runs has its past before it is in use.
	app.detects.Store(true)
	changed := strings.Replace(pastRules[0], "14d", "13d", 1) + pastRuleRest
	if err := os.WriteFile(filepath.Join(dir, "0.yaml"), []byte(changed+"# changed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	app.rules.Look()
	app.rules.Look()
	if memory := app.rules.Set().Rule("domains").Memory; memory != 13*24*time.Hour {
		t.Fatalf("the rule's memory is %v, it was not reloaded: %v", memory, app.rules.Problem())
	}
	if got := noise(app, domains, pullers); !slices.Equal(got, want) {
		t.Errorf("after a reload %q fired, want %q", got, want)
	}

	// A warehouse that does not answer stops nothing.
	app.past.Store(nil)
	before := logs.FilterMessageSnippet("learns afresh").Len()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	app.recall(gone, app.rules.Set())
	if n := logs.FilterMessageSnippet("learns afresh").Len() - before; n != len(pastRules) {
		t.Errorf("%d rules are said to learn afresh, want %d", n, len(pastRules))
	}
	if got := noise(app, domains, pullers); len(got) != 2 {
		t.Errorf("%q fired", got)
	}
}

// fired gives a fresh detect side the events of one moment and returns the keys of what fires.
func fired(t *testing.T, app *app, now time.Time, events []pipeline.Event) (keys []string) {
	t.Helper()
	b := &pipeline.Batch{TopicPartition: pipeline.TopicPartition{Topic: "in"}}
	for i := range events {
		b.Records = append(b.Records, pipeline.Record{Offset: int64(i), Time: now})
	}
	for i := range events {
		e := b.Next(i)
		offset := e.Offset
		*e = events[i]
		e.ID, e.Time, e.IngestTime, e.Offset = pipeline.NewID("event", fmt.Sprint(i)), now, now, offset
	}
	if err := app.rules.Set().NewMatcher().Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	engine, out := app.state(0, 1), &pipeline.Output{Now: now}
	for i := range b.Signals {
		engine.Process(&b.Signals[i], out)
	}
	engine.Process(&pipeline.Signal{Kind: pipeline.SignalWatermark, Origin: b.TopicPartition, Time: now.Add(time.Hour)}, out)
	for _, a := range out.Alerts {
		if a.Status == pipeline.StatusFiring {
			keys = append(keys, a.DedupKey)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
