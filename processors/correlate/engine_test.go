package correlate

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

var t0 = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// load compiles rules written as YAML without the keys that every rule needs.
func load(t testing.TB, rules ...string) *rule.Set {
	t.Helper()
	var files []rule.File
	for i, r := range rules {
		if !strings.Contains(r, "subscriptions:") {
			r += "\nsubscriptions: [{team: sec, severity: 4}]"
		}
		if !strings.Contains(r, "alert:") {
			r += "\nalert: {title: t, summary: s}"
		}
		files = append(files, rule.File{Name: fmt.Sprintf("rule%d.yaml", i), Data: []byte(r + "\nwhy: test\ntitle: test\n")})
	}
	set, err := rule.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// signals matches events, one record each, of one partition.
func signals(t testing.TB, set *rule.Set, partition int32, events ...pipeline.Event) []pipeline.Signal {
	t.Helper()
	b := &pipeline.Batch{TopicPartition: pipeline.TopicPartition{Topic: "in", Partition: partition}}
	for i := range events {
		b.Records = append(b.Records, pipeline.Record{Offset: int64(i), Time: events[i].Time})
	}
	for i := range events {
		e := b.Next(i)
		e.ID = pipeline.NewID("event", fmt.Sprint(partition), fmt.Sprint(i))
		e.Time, e.IngestTime = events[i].Time, events[i].Time
		e.Type, e.Actor, e.Host, e.SrcIP, e.Value, e.Purl, e.Bytes = events[i].Type, events[i].Actor, events[i].Host, events[i].SrcIP, events[i].Value, events[i].Purl, events[i].Bytes
		for _, a := range events[i].Attrs {
			e.SetAttr(a.Key, a.Value)
		}
	}
	if err := set.NewMatcher().Process(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	return b.Signals
}

func at(seconds float64) time.Time { return t0.Add(time.Duration(seconds * float64(time.Second))) }

func TestBotnetFires(t *testing.T) {
	set, err := rule.Load(rule.Library())
	if err != nil {
		t.Fatal(err)
	}
	var events []pipeline.Event
	for i := range 200 {
		events = append(events, pipeline.Event{Time: at(float64(i) / 2), Type: "auth.failed", Host: "web-1", Actor: fmt.Sprint("u", i), SrcIP: netip.AddrFrom4([4]byte{198, byte(i % 20), 100, byte(i)})})
	}
	e := New(set, Config{})
	out := &pipeline.Output{Now: t0}
	for _, s := range signals(t, set, 0, events...) {
		e.Process(&s, out)
	}
	end := pipeline.Signal{Kind: pipeline.SignalWatermark, Origin: pipeline.TopicPartition{Topic: "in"}, Time: at(3600)}
	e.Process(&end, out)
	for _, a := range out.Alerts {
		t.Logf("%s %s v%d %s sev %d: %s | %s | %v n=%d ids=%d", a.Rule, a.Status, a.Version, a.Team, a.Severity, a.Title, a.Summary, a.Entities, a.EventCount, len(a.EventIDs))
	}
	if len(out.Alerts) != 6 {
		t.Errorf("got %d alerts, want firing, updated and resolved for two teams", len(out.Alerts))
	}
}

var _ pipeline.Correlator = (*Engine)(nil)
