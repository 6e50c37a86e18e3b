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

// A flood of keys of one rule takes nothing from another.
func TestEvictionIsFair(t *testing.T) {
	set := load(t, thresholdRule, sequenceRule)
	e, out := New(set, Config{MaxKeys: 10}), &pipeline.Output{}
	quiet := signals(t, set, 0, pipeline.Event{Time: at(0), Type: "a", Actor: "x"}, pipeline.Event{Time: at(1), Type: "a", Actor: "x"})
	for i := range quiet {
		e.Process(&quiet[i], out)
	}
	var flood []pipeline.Event
	for i := range 1000 {
		flood = append(flood, pipeline.Event{Time: at(2), Type: "auth.failed", Actor: fmt.Sprint(i)})
	}
	flood = append(flood, pipeline.Event{Time: at(3), Type: "b", Actor: "x"}, pipeline.Event{Time: at(4), Type: "c", Actor: "x"})
	for _, s := range signals(t, set, 1, flood...) {
		e.Process(&s, out)
	}
	if e.Stats().Evicted != 990 || len(out.Alerts) != 1 {
		t.Errorf("%d keys evicted, %d alerts; want 990 and 1", e.Stats().Evicted, len(out.Alerts))
	}
}

// An alert whose key is forgotten for others is resolved: nothing would end it any more.
func TestEvictionEndsWhatIsOpen(t *testing.T) {
	set := load(t, "id: M\nkind: match\nkey: ev.Actor\nwhen: ev.Type == \"c\"\ndedup: 1h")
	e, out := New(set, Config{MaxKeys: 2}), &pipeline.Output{}
	var in []pipeline.Event
	for i := range 3 {
		in = append(in, pipeline.Event{Time: at(float64(i)), Type: "c", Actor: fmt.Sprint("a-", i)})
	}
	for _, s := range signals(t, set, 0, in...) {
		e.Process(&s, out)
	}
	var said []string
	for _, a := range out.Alerts {
		said = append(said, a.DedupKey+" "+a.Status)
	}
	if got, want := strings.Join(said, ", "), "M|a-0 firing, M|a-1 firing, M|a-0 resolved, M|a-2 firing"; got != want {
		t.Errorf("said %s, want %s", got, want)
	}
}

// Input partitions that fall silent hold the watermark back until the caller's clock says that they are idle.
func TestIdlePartitions(t *testing.T) {
	set := load(t, thresholdRule)
	e := New(set, Config{Lateness: time.Second})
	mark := func(p int32, t time.Time, now time.Time) {
		out := &pipeline.Output{Now: now}
		e.Process(&pipeline.Signal{Kind: pipeline.SignalWatermark, Origin: pipeline.TopicPartition{Topic: "in", Partition: p}, Time: t}, out)
		e.Tick(out)
	}
	mark(0, time.Time{}, at(0))
	mark(1, at(500), at(0))
	if w, ok := e.Watermark(); ok {
		t.Errorf("watermark %s before the first event of partition 0", w)
	}
	mark(0, at(100), at(1))
	if w, _ := e.Watermark(); !w.Equal(at(99)) {
		t.Errorf("watermark %s, want that of the slower partition", w)
	}
	mark(1, at(501), at(70))
	if w, _ := e.Watermark(); !w.Equal(at(500)) {
		t.Errorf("watermark %s, want that of the partition that is not idle", w)
	}
	mark(0, at(200), at(71))
	if w, _ := e.Watermark(); !w.Equal(at(500)) {
		t.Errorf("watermark %s went back", w)
	}
}

var _ pipeline.Correlator = (*Engine)(nil)
