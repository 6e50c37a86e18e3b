package correlate

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// seeds is how many random streams are tried. The default is for every day; 10,000 take some minutes.
var seeds = flag.Int("seeds", 60, "random streams to try")

// The oracles below say what must fire by looking at all events at once, in the plainest way. The engine sees the same
// events one by one, of several partitions, out of order within the lateness bound.

const thresholdRule = `
id: T
kind: threshold
key: ev.Actor
when: ev.Type == "auth.failed" || ev.Type == "auth.success"
window: 2m
aggregates:
  n: count
  failed: count ev.Type == "auth.failed"
  ips: distinct ev.SrcIP
  sent: sum ev.Bytes
having: failed >= 6 && ips >= 3 || sent > 2000
`

const sequenceRule = `
id: S
kind: sequence
key: ev.Actor
steps:
  - {id: a, when: ev.Type == "a", within: 5m, count: 2}
  - {id: b, when: ev.Type == "b", within: 3m}
  - {id: c, when: ev.Type == "c"}
`

// spanRule becomes one whose whole sequence lies within a span: rules of our own form have none.
const spanRule = `
id: W
kind: sequence
key: ev.Actor
steps:
  - {id: a, when: ev.Type == "a", within: 4m}
  - {id: b, when: ev.Type == "b", within: 4m}
  - {id: c, when: ev.Type == "c"}
`

// stream is a random stream of events, in the order of time.
func stream(rng *rand.Rand, n int, gap float64, types ...string) []pipeline.Event {
	events := make([]pipeline.Event, n)
	now := 3600.0
	for i := range events {
		now += rng.ExpFloat64() * gap
		events[i] = pipeline.Event{
			Time: at(float64(int64(now*1000)) / 1000), Type: types[rng.IntN(len(types))], Actor: string('a' + rune(rng.IntN(3))),
			SrcIP: netip.AddrFrom4([4]byte{203, 0, 113, byte(rng.IntN(6))}), Bytes: uint64(rng.IntN(300)),
		}
	}
	return events
}

// shuffle deals the events out to partitions and lets each come up to late after its time. Within a partition they come
// in the order of arrival.
func shuffle(t testing.TB, rng *rand.Rand, set *rule.Set, events []pipeline.Event, partitions int, late time.Duration) []pipeline.Signal {
	type arrival struct {
		event pipeline.Event
		at    time.Time
	}
	parts := make([][]arrival, partitions)
	for _, e := range events {
		p := rng.IntN(partitions)
		delay := time.Duration(0)
		if late > 0 {
			delay = time.Duration(rng.Int64N(int64(late)))
		}
		parts[p] = append(parts[p], arrival{e, e.Time.Add(delay)})
	}
	var lists [][]pipeline.Signal
	var arrivals [][]time.Time
	for p, list := range parts {
		slices.SortStableFunc(list, func(a, b arrival) int { return a.at.Compare(b.at) })
		var evs []pipeline.Event
		for _, a := range list {
			evs = append(evs, a.event)
		}
		lists = append(lists, signals(t, set, int32(p), evs...))
		times := make([]time.Time, len(lists[p]))
		for i, s := range lists[p] {
			times[i] = list[s.Offset].at
		}
		arrivals = append(arrivals, times)
	}
	var out []pipeline.Signal
	for p := range partitions { // all partitions have an owner from the start
		out = append(out, pipeline.Signal{Kind: pipeline.SignalWatermark, Origin: pipeline.TopicPartition{Topic: "in", Partition: int32(p)}})
	}
	for {
		next := -1
		for p := range lists {
			if len(lists[p]) > 0 && (next < 0 || arrivals[p][0].Before(arrivals[next][0])) {
				next = p
			}
		}
		if next < 0 {
			return out
		}
		out = append(out, lists[next][0])
		lists[next], arrivals[next] = lists[next][1:], arrivals[next][1:]
	}
}

// run gives the engine all signals and returns what fired: for each key and dedup window whether there is an alert.
func run(t testing.TB, set *rule.Set, in []pipeline.Signal) (fired []string, e *Engine, out *pipeline.Output) {
	e, out = New(set, Config{Lateness: 30 * time.Second}), &pipeline.Output{Now: t0}
	for i := range in {
		e.Process(&in[i], out)
		e.Feed(out)
	}
	seen := map[string]bool{}
	for _, a := range out.Alerts {
		if a.Status == pipeline.StatusFiring {
			seen[a.DedupKey] = true
		}
	}
	return slices.Sorted(maps.Keys(seen)), e, out
}

// thresholdOracle tries every window that ends with an event.
func thresholdOracle(events []pipeline.Event, window time.Duration) []string {
	slice := int64(window) / windowSlices
	fired := map[string]bool{}
	for _, last := range events {
		end := sliceOf(last.Time.UnixNano(), slice)
		failed, sent, ips := 0, 0, map[netip.Addr]bool{}
		for _, e := range events {
			if s := sliceOf(e.Time.UnixNano(), slice); e.Actor != last.Actor || s > end || s <= end-windowSlices {
				continue
			}
			if e.Type == "auth.failed" {
				failed++
			}
			sent += int(e.Bytes)
			ips[e.SrcIP] = true
		}
		if failed >= 6 && len(ips) >= 3 || sent > 2000 {
			fired["T|"+last.Actor] = true
		}
	}
	return slices.Sorted(maps.Keys(fired))
}

// sequenceOracle tries every pair of a's, every b and every c.
func sequenceOracle(events []pipeline.Event) []string {
	fired := map[string]bool{}
	for _, c := range events {
		for _, b := range events {
			if c.Type != "c" || b.Type != "b" || b.Actor != c.Actor || b.Time.After(c.Time) || c.Time.Sub(b.Time) > 3*time.Minute {
				continue
			}
			n := 0
			for _, a := range events {
				if a.Type == "a" && a.Actor == b.Actor && !a.Time.After(b.Time) && b.Time.Sub(a.Time) <= 5*time.Minute {
					n++
				}
			}
			if n >= 2 {
				fired["S|"+c.Actor] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(fired))
}

// spanOracle tries every a, b and c in their order.
func spanOracle(events []pipeline.Event, span time.Duration) []string {
	fired := map[string]bool{}
	for i, a := range events {
		for j, b := range events[i+1:] {
			for _, c := range events[i+1+j+1:] {
				if a.Type+b.Type+c.Type == "abc" && a.Actor == b.Actor && b.Actor == c.Actor && c.Time.Sub(a.Time) < span {
					fired["W|"+a.Actor] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(fired))
}

func TestEngineEqualsOracles(t *testing.T) {
	set := load(t, thresholdRule, sequenceRule, spanRule)
	set.Rule("W").Span = 4 * time.Minute
	alerts, quiet := 0, 0
	for seed := range uint64(*seeds) {
		rng := rand.New(rand.NewPCG(seed, 3))
		events := stream(rng, 60, 4+12*rng.Float64(), "auth.failed", "auth.success")
		more := stream(rng, 20, 30+60*rng.Float64(), "a", "a", "b", "c")
		want := slices.Concat(sequenceOracle(more), thresholdOracle(events, 2*time.Minute), spanOracle(more, 4*time.Minute))
		all := append(slices.Clone(events), more...)
		slices.SortStableFunc(all, func(a, b pipeline.Event) int { return a.Time.Compare(b.Time) })
		for _, late := range []time.Duration{0, 29 * time.Second} {
			got, e, _ := run(t, set, shuffle(t, rng, set, all, 3, late))
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, late by %s: %v fired, want %v", seed, late, got, want)
			}
			if e.Stats().Late > 0 {
				t.Fatalf("seed %d: %d late signals within the bound", seed, e.Stats().Late)
			}
		}
		alerts += len(want)
		quiet += 9 - len(want)
	}
	t.Logf("%d keys fired, %d stayed quiet", alerts, quiet)
	if alerts < *seeds/2 || quiet < *seeds/2 {
		t.Errorf("%d keys fired and %d did not: the streams prove too little", alerts, quiet)
	}
}

const (
	absenceRule = `
id: A
kind: absence
key: ev.Actor
trigger: {when: ev.Type == "deployed"}
expect: {when: ev.Type == "approved"}
within: 20s
before: 2m
`
	heartbeatRule = `
id: H
kind: absence
key: ev.Actor
expect: {when: ev.Type == "heartbeat"}
while: {when: ev.Type == "attack", count: 2, within: 1m}
within: 30s
lateness: 30s
`
)

// absenceOracle looks for triggers that nothing answers, and for heartbeats that are the last for too long while there
// were attacks.
func absenceOracle(events []pipeline.Event, end time.Time) []string {
	fired := map[string]bool{}
	for _, trigger := range events {
		answered, attacks := false, 0
		for _, e := range events {
			if e.Actor != trigger.Actor {
				continue
			}
			switch d := e.Time.Sub(trigger.Time); e.Type {
			case "approved":
				answered = answered || trigger.Type == "deployed" && d >= -2*time.Minute && d <= 20*time.Second
			case "heartbeat":
				answered = answered || trigger.Type == "heartbeat" && d > 0 && d <= 30*time.Second
			case "attack":
				if d >= -time.Minute && d <= 30*time.Second {
					attacks++
				}
			}
		}
		switch {
		case answered:
		case trigger.Type == "deployed" && trigger.Time.Add(50*time.Second).Before(end):
			fired["A|"+trigger.Actor] = true
		case trigger.Type == "heartbeat" && attacks >= 2 && trigger.Time.Add(60*time.Second).Before(end):
			fired["H|"+trigger.Actor] = true
		}
	}
	return slices.Sorted(maps.Keys(fired))
}

// denseStream has many events a second in which the heartbeats end early: all the rest comes before the watermark
// has passed the end of the wait.
func denseStream(rng *rand.Rand) []pipeline.Event {
	events := stream(rng, 1500, 0.02+0.08*rng.Float64(), "heartbeat", "heartbeat", "approved", "deployed", "attack", "attack", "attack")
	last := events[len(events)/3].Time
	return slices.DeleteFunc(events, func(e pipeline.Event) bool { return e.Type == "heartbeat" && e.Time.After(last) })
}

func TestAbsenceEqualsOracle(t *testing.T) {
	set := load(t, absenceRule, heartbeatRule)
	alerts, quiet := 0, 0
	for seed := range uint64(*seeds) {
		rng := rand.New(rand.NewPCG(seed, 6))
		events := stream(rng, 60, 1+7*rng.Float64(), "heartbeat", "heartbeat", "heartbeat", "approved", "approved", "deployed", "attack", "attack")
		if seed%8 == 0 {
			events = denseStream(rng)
		}
		end := events[len(events)-1].Time.Add(3 * time.Hour)
		want := absenceOracle(events, end)
		for _, late := range []time.Duration{0, 29 * time.Second} {
			in := shuffle(t, rng, set, events, 3, late)
			for p := range int32(3) {
				in = append(in, pipeline.Signal{Kind: pipeline.SignalWatermark, Origin: pipeline.TopicPartition{Topic: "in", Partition: p}, Time: end})
			}
			got, _, out := run(t, set, in)
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, late by %s: %v fired, want %v", seed, late, got, want)
			}
			open := map[string]bool{}
			for _, a := range out.Alerts {
				open[a.DedupKey] = a.Status != pipeline.StatusResolved
			}
			for key, isOpen := range open {
				if isOpen && strings.HasPrefix(key, "A|") {
					t.Fatalf("seed %d: %s was never resolved", seed, key)
				}
			}
		}
		alerts += len(want)
		quiet += 6 - len(want)
	}
	t.Logf("%d keys fired, %d stayed quiet", alerts, quiet)
	if alerts < *seeds/2 || quiet < *seeds/2 {
		t.Errorf("%d keys fired and %d did not: the streams prove too little", alerts, quiet)
	}
}

const newValueRule = `
id: V
kind: new_value
key: ev.Actor
when: ev.Type == "flow"
value: ev.SrcIP
learn: 2m
memory: 3m
`

func TestNewValueEqualsOracle(t *testing.T) {
	set := load(t, newValueRule)
	alerts, quiet := 0, 0
	for seed := range uint64(*seeds) {
		rng := rand.New(rand.NewPCG(seed, 7))
		events := stream(rng, 40, 5+20*rng.Float64(), "flow")
		fired := map[string]bool{}
		for i, e := range events {
			born, known := e.Time, false
			for j := i - 1; j >= 0 && born.Sub(events[j].Time) <= 3*time.Minute; j-- {
				if events[j].Actor == e.Actor {
					born = events[j].Time
				}
			}
			for _, other := range events[:i] {
				known = known || other.Actor == e.Actor && other.SrcIP == e.SrcIP && e.Time.Sub(other.Time) <= 3*time.Minute
			}
			if !known && e.Time.Sub(born) >= 2*time.Minute {
				fired["V|"+e.Actor+"|"+e.SrcIP.String()] = true
			} else {
				quiet++
			}
		}
		want := slices.Sorted(maps.Keys(fired))
		if got, _, _ := run(t, set, shuffle(t, rng, set, events, 3, 0)); !slices.Equal(got, want) {
			t.Fatalf("seed %d: %v fired, want %v", seed, got, want)
		}
		alerts += len(want)
	}
	if alerts < *seeds/2 || quiet < *seeds/2 {
		t.Errorf("%d values fired and %d events did not: the streams prove too little", alerts, quiet)
	}
}

// describe is all that an engine has said.
func describe(out *pipeline.Output) string {
	var b strings.Builder
	for _, a := range out.Alerts {
		fmt.Fprintf(&b, "%+v\n", *a)
	}
	for _, g := range out.Growth {
		fmt.Fprintf(&b, "%+v\n", *g)
	}
	return b.String()
}

// states is all that an engine holds, as it would be written to the changelog.
func states(e *Engine) map[string]string {
	all := map[string]string{}
	for _, r := range e.rules {
		for key, k := range r.keys {
			all[r.rule.ID+"|"+key] = string(k.judge.encode(nil))
		}
	}
	for _, o := range e.origins {
		all[fmt.Sprint(o.id)] = fmt.Sprint(o.time, o.offset, o.seq)
	}
	all["watermark"] = fmt.Sprint(e.watermark, e.stats)
	return all
}

// differ names the first state that differs.
func differ(got, want map[string]string) string {
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got[key] != want[key] {
			return fmt.Sprintf("%s: got %.300q, want %.300q", key, got[key], want[key])
		}
	}
	return fmt.Sprintf("%d states, want %d", len(got), len(want))
}

func differLines(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range w {
		if i >= len(g) || g[i] != w[i] {
			return fmt.Sprintf("line %d: got %.600s\nwant %.600s", i, g[min(i, len(g)-1)], w[i])
		}
	}
	return "more lines"
}

const (
	sessionRule = `
id: W
kind: threshold
key: ev.Actor
when: ev.Type == "flow"
window: session 12s
aggregates: {n: count, high: p90 ev.Bytes, mean: avg ev.Bytes}
having: n >= 3 && high > 250 || mean > 200 && n > 1
`
	finalRule = `
id: F
kind: threshold
key: ev.Actor
when: ev.Type == "flow"
window: tumbling 20s
final: true
aggregates: {n: count, middle: median ev.Bytes}
having: n >= 2 && middle < 120
`
)

const growthRule = `
id: G
kind: growth
key: ev.Host
sample: {when: ev.Type == "db.size", value: ev.Value, series: ev.Host}
readings:
  - {of: commits, when: ev.Type == "a", value: ev.Value, part: ev.Purl}
  - {of: failed_tests, when: ev.Type == "b"}
windows: [{begin: ev.Type == "approved", end: ev.Type == "deployed", id: ev.Purl, within: 1m}]
evidence: {when: ev.Type == "auth.failed", login: 'ev.Purl == "p1" ? ev.Host : ""'}
`

func mixed(t testing.TB, rng *rand.Rand, set *rule.Set, n int) []pipeline.Signal {
	events := stream(rng, n, 3, "auth.failed", "auth.success", "a", "b", "c", "db.size", "heartbeat", "approved", "deployed", "attack", "flow", "flow")
	size := 50e9
	for i := range events {
		events[i].Host, events[i].Purl = "db-1", fmt.Sprint("p", i%7)
		size *= 1.0001 + 0.00005*float64(i)
		events[i].Value = size
	}
	return shuffle(t, rng, set, events, 3, 25*time.Second)
}

// A transaction that is rolled back leaves no trace, wherever it was cut.
func TestRollbackLeavesNoTrace(t *testing.T) {
	set := load(t, thresholdRule, sequenceRule, growthRule, "id: M\nkind: match\nkey: ev.Actor\nwhen: ev.Type == \"c\"\ndedup: 1m", absenceRule, heartbeatRule, newValueRule, riskRule, memberRule, chainOfAlerts, riskOfAlerts, sessionRule, finalRule, spikeRule, sumSpikeRule, silenceRule, anomalyRule, deviationRule)
	for seed := range uint64(*seeds / 10) {
		rng := rand.New(rand.NewPCG(seed, 4))
		in := mixed(t, rng, set, 300)
		cfg := Config{Lateness: 30 * time.Second, MaxKeys: 2}
		want, got := New(set, cfg), New(set, cfg)
		wantOut, gotOut := &pipeline.Output{Now: t0}, &pipeline.Output{Now: t0}
		for len(in) > 0 {
			n := 1 + rng.IntN(min(40, len(in)))
			for i := range in[:n] {
				want.Process(&in[i], wantOut)
			}
			want.Tick(wantOut)
			want.Feed(wantOut)
			for range rng.IntN(3) {
				before := states(got)
				lost := &pipeline.Output{Now: t0}
				for i := range in[:1+rng.IntN(len(in))] {
					got.Process(&in[i], lost)
				}
				got.Feed(lost)
				got.Rollback()
				if after := states(got); !maps.Equal(before, after) {
					t.Fatalf("seed %d: the state differs after a rollback: %s", seed, differ(after, before))
				}
			}
			for i := range in[:n] {
				got.Process(&in[i], gotOut)
			}
			got.Tick(gotOut)
			got.Feed(gotOut)
			got.Commit()
			want.Commit()
			if g, w := describe(gotOut), describe(wantOut); g != w {
				t.Fatalf("seed %d: after a rollback the engine says otherwise: %s", seed, differLines(g, w))
			}
			in = in[n:]
		}
		if g, w := states(got), states(want); !maps.Equal(g, w) {
			t.Fatalf("seed %d: states differ: %s", seed, differ(g, w))
		}
	}
}

// An engine restored from the changelog goes on as the one that wrote it; seeing signals again changes nothing.
func TestRestoreFromChangelog(t *testing.T) {
	set := load(t, thresholdRule, sequenceRule, growthRule, "id: M\nkind: match\nkey: ev.Actor\nwhen: ev.Type == \"c\"\ndedup: 1m", absenceRule, heartbeatRule, newValueRule, riskRule, memberRule, chainOfAlerts, riskOfAlerts, sessionRule, finalRule, spikeRule, sumSpikeRule, silenceRule, anomalyRule, deviationRule)
	for seed := range uint64(*seeds / 6) {
		rng := rand.New(rand.NewPCG(seed, 5))
		in := mixed(t, rng, set, 300)
		cfg := Config{Lateness: 30 * time.Second}
		e := New(set, cfg)
		type record struct{ key, value []byte }
		var log []record
		out := &pipeline.Output{Now: t0}
		done := 0
		for done < len(in) {
			n := 1 + rng.IntN(min(40, len(in)-done))
			for i := range in[done : done+n] {
				e.Process(&in[done+i], out)
				e.Feed(out)
			}
			done += n
			e.Dirty(func(key, value []byte) { log = append(log, record{bytes.Clone(key), bytes.Clone(value)}) })
			e.Commit()
			if rng.IntN(3) > 0 {
				continue
			}
			restored := New(set, cfg)
			for _, r := range log {
				if err := restored.Restore(r.key, r.value); err != nil {
					t.Fatal(err)
				}
			}
			restored.Commit()
			restored.stats = e.stats
			if g, w := states(restored), states(e); !maps.Equal(g, w) {
				t.Fatalf("seed %d, after %d signals: restored states differ: %s", seed, done, differ(g, w))
			}
			again := &pipeline.Output{Now: t0}
			for i := range in[max(0, done-50):done] {
				restored.Process(&in[max(0, done-50)+i], again)
			}
			if len(again.Alerts)+len(again.Growth) > 0 {
				t.Fatalf("seed %d: signals that were seen bring %s", seed, describe(again))
			}
			restored.Rollback()
			e = restored
		}
		whole := &pipeline.Output{Now: t0}
		once := New(set, cfg)
		for i := range in {
			once.Process(&in[i], whole)
			once.Feed(whole)
		}
		if g, w := describe(out), describe(whole); g != w {
			t.Fatalf("seed %d: with restarts the engine says otherwise: %s", seed, differLines(g, w))
		}
	}
}

func TestRestoreRefusesDamage(t *testing.T) {
	set := load(t, thresholdRule)
	e := New(set, Config{})
	var out pipeline.Output
	for _, s := range signals(t, set, 0, stream(rand.New(rand.NewPCG(1, 1)), 5, 1, "auth.failed")...) {
		e.Process(&s, &out)
	}
	e.Dirty(func(key, value []byte) {
		for n := range value {
			if n == 0 {
				continue // no value is a state that is gone
			}
			if err := New(set, Config{}).Restore(key, value[:n]); err == nil {
				t.Errorf("%q: %d of %d bytes were taken for a state", key, n, len(value))
			}
		}
		if err := New(set, Config{}).Restore(key, append(bytes.Clone(value), 0)); err == nil {
			t.Errorf("%q: a byte too many was not seen", key)
		}
		if err := New(set, Config{}).Restore(nil, value); err == nil {
			t.Error("a record without a key was taken")
		}
	})
}

func TestLateSignalsAreCounted(t *testing.T) {
	set := load(t, thresholdRule)
	e, out := New(set, Config{Lateness: 30 * time.Second}), &pipeline.Output{}
	in := signals(t, set, 0,
		pipeline.Event{Time: at(100), Type: "auth.failed", Actor: "a"},
		pipeline.Event{Time: at(70), Type: "auth.failed", Actor: "a"},
		pipeline.Event{Time: at(69), Type: "auth.failed", Actor: "a"},
		pipeline.Event{Time: at(10), Type: "auth.failed", Actor: "a"})
	for i := range in {
		e.Process(&in[i], out)
		e.Process(&in[i], out)
	}
	if s := e.Stats(); s.Late != 2 || s.Signals != 2 || s.Duplicates != 4 {
		t.Errorf("got %+v, want 2 late, 2 judged, 4 seen before", s)
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

// Reloading swaps a whole set: what has not changed keeps its state, what is gone is resolved, and a rollback takes the
// swap back until it is committed.
func TestReload(t *testing.T) {
	before := load(t, thresholdRule, sequenceRule, newValueRule)
	after := load(t, thresholdRule+"\nconfidence: 50\n", strings.Replace(sequenceRule, "within: 3m", "within: 4m", 1), absenceRule)
	for seed := range uint64(*seeds / 6) {
		rng := rand.New(rand.NewPCG(seed, 8))
		in := mixed(t, rng, before, 200)
		e, out := New(before, Config{Lateness: 30 * time.Second}), &pipeline.Output{Now: t0}
		for i := range in {
			e.Process(&in[i], out)
		}
		e.Tick(out)
		e.Commit()
		held := states(e)
		open := map[string]bool{}
		for _, a := range out.Alerts {
			open[a.DedupKey] = a.Status != pipeline.StatusResolved
		}
		e.Follow(func() *rule.Set { return after })
		for range 3 {
			out.Reset(t0)
			e.Tick(out)
			resolved := 0
			for _, a := range out.Alerts {
				if a.Status != pipeline.StatusResolved || a.Rule == "T" || !open[a.DedupKey] {
					t.Fatalf("seed %d: the swap says %s of %s", seed, a.Status, a.DedupKey)
				}
				resolved++
			}
			for key, isOpen := range open {
				if isOpen && !strings.HasPrefix(key, "T|") {
					resolved--
				}
			}
			if resolved != 0 {
				t.Fatalf("seed %d: %+d alerts of rules that are gone were resolved", seed, resolved)
			}
			for key, v := range states(e) {
				if strings.HasPrefix(key, "T|") && held[key] != v || strings.HasPrefix(key, "S|") || strings.HasPrefix(key, "V|") {
					t.Fatalf("seed %d: state of %s is %q", seed, key, v)
				}
			}
			e.Rollback()
			if now := states(e); !maps.Equal(now, held) {
				t.Fatalf("seed %d: after a rollback %s", seed, differ(now, held))
			}
		}
		out.Reset(t0)
		e.Tick(out)
		e.Dirty(func(key, value []byte) {
			if len(value) > 0 && key[0] == changelogKey {
				t.Fatalf("seed %d: the swap changed the state of %q", seed, key)
			}
		})
		e.Commit()
		if e.set != after {
			t.Fatal("the set was not swapped")
		}
	}
}
