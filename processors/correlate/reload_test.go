package correlate

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

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

// Signals of a definition that is gone, and those of one that detect does not have yet, are counted and change nothing.
// Words may change: what is under way counts.
func TestSignalsUnderWayOfAChangedRule(t *testing.T) {
	before := load(t, thresholdRule)
	events := make([]pipeline.Event, 6)
	for i := range events {
		events[i] = pipeline.Event{Time: at(float64(i)), Type: "auth.failed", Actor: "x", SrcIP: netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})}
	}
	for name, c := range map[string]struct {
		change           func(string) string
		foreign, signals uint64
	}{
		"its words":    {func(s string) string { return s + "confidence: 50\n" }, 0, 6},
		"what it asks": {func(s string) string { return strings.Replace(s, "window: 2m", "window: 3m", 1) }, 3, 3},
		"its version":  {func(s string) string { return s + "version: 2\n" }, 3, 3},
	} {
		after := load(t, c.change(thresholdRule))
		for _, order := range [][2]*rule.Set{{before, after}, {after, before}} { // detect has the new files later, or sooner
			e, out, set := New(order[0], Config{}), &pipeline.Output{Now: t0}, order[0]
			e.Follow(func() *rule.Set { return set })
			first, second := signals(t, order[0], 0, events...)[:3], signals(t, order[1], 0, events...)[3:]
			if name != "its words" {
				second = signals(t, order[0], 0, events...)[3:] // under way when the set is swapped
			}
			for i := range first {
				e.Process(&first[i], out)
			}
			set = order[1]
			for i := range second {
				e.Process(&second[i], out)
			}
			if s := e.Stats(); s.Foreign != c.foreign || s.Signals != c.signals {
				t.Errorf("%s is changed: %d signals are foreign, %d judged; want %d and %d", name, s.Foreign, s.Signals, c.foreign, c.signals)
			}
			if fires := len(out.Alerts) > 0; fires != (c.foreign == 0) {
				t.Errorf("%s is changed: it fires: %t", name, fires)
			}
		}
	}
}
