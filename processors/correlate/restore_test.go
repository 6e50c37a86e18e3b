package correlate

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
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

// allRules are of every kind, and take events and alerts.
var allRules = []string{
	thresholdRule, sequenceRule, growthRule, matchRule, absenceRule, heartbeatRule, newValueRule, riskRule, memberRule, chainOfAlerts, riskOfAlerts, sessionRule, finalRule, spikeRule, sumSpikeRule, silenceRule, anomalyRule, deviationRule,
}

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
	set := load(t, allRules...)
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
	set := load(t, allRules...)
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
	for depth, c := range e.clocks {
		for _, o := range c.origins {
			all[fmt.Sprint(depth, o.id)] = fmt.Sprint(o.time, o.next)
		}
		all[fmt.Sprint("watermark ", depth)] = fmt.Sprint(c.watermark)
	}
	all["stats"] = fmt.Sprint(e.stats)
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

// TestRestoreHoldsOneVersion: a changelog has a state as often as it was written since it was last compacted. None but the last of
// them stays in memory.
func TestRestoreHoldsOneVersion(t *testing.T) {
	set := load(t, thresholdRule)
	e, restored, out := New(set, Config{}), New(set, Config{}), &pipeline.Output{}
	for i := range 100 {
		in := signals(t, set, 0, pipeline.Event{Time: at(float64(i)), Type: "auth.failed", Actor: "a"})
		in[0].Offset = int64(i)
		e.Process(&in[0], out)
		e.Dirty(func(key, value []byte) {
			if err := restored.Restore(bytes.Clone(key), bytes.Clone(value)); err != nil {
				t.Fatal(err)
			}
		})
		e.Commit()
	}
	restored.Commit()
	restored.stats = e.stats
	held := 0
	for _, c := range restored.clocks {
		for _, keys := range c.timers.slots {
			held += len(keys)
		}
	}
	if g, w := states(restored), states(e); held != 1 || !maps.Equal(g, w) {
		t.Errorf("%d states are on the clock, want 1: %s", held, differ(g, w))
	}
}
