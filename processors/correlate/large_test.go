package correlate

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/tocsin-project/tocsin/pipeline"
)

// What a large window keeps beside its entries must say what the entries say, whatever comes late or is dropped.
func TestLargeWindowsAreTheirEntries(t *testing.T) {
	set := load(t, distinctCount)
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 9))
		var events []pipeline.Event
		for i := range 4000 {
			late := 0.0
			if rng.IntN(20) == 0 {
				late = 90 * rng.Float64()
			}
			events = append(events, pipeline.Event{Time: at(1000 + float64(i)/20 - late), Type: "auth.failed", Actor: "a",
				SrcIP: netip.AddrFrom4([4]byte{203, 0, byte(rng.IntN(3)), byte(rng.IntN(256))})})
		}
		e, out := New(set, Config{}), &pipeline.Output{}
		for i, s := range signals(t, set, 0, events...) {
			e.Process(&s, out)
			if i%97 != 0 {
				continue
			}
			k := e.rules["N"].keys["a"]
			w := k.judge.(*window)
			if w.large == nil {
				continue
			}
			values := map[string]bool{}
			for i := w.lo; i < w.hi; i++ {
				values[value(w.entries[i].values, 0)] = true
			}
			if got := w.large.running[0].tally.values; got != len(values) {
				t.Fatalf("seed %d: %d values, want %d", seed, got, len(values))
			}
			want := (&window{entries: w.entries, lo: w.lo, hi: w.hi, end: w.end, notes: w.notes, episode: w.episode}).encode(nil)
			saved, chunks := w.save(nil)
			for range 2 { // made, and made of what was made
				if got := w.encode(nil); !bytes.Equal(got, want) {
					t.Fatalf("seed %d, signal %d: the encoding of %d entries is another one than that of each", seed, i, len(w.entries))
				}
			}
			if got := withChunks(saved, chunks); !bytes.Equal(got, want) {
				t.Fatalf("seed %d, signal %d: %d entries are put back as others", seed, i, len(w.entries))
			}
			if rng.IntN(4) == 0 {
				w.drop(set.Rules[0], rng.IntN(1+len(w.entries)/4))
			}
			if i > 2000 && w.large.covered == 0 {
				t.Fatal("nothing was kept")
			}
		}
	}
}

// A tally counts as a map does.
func TestTallyIsAMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var got tally
	want := map[string]int{}
	for i := range 50_000 {
		v, n := fmt.Sprint(rng.IntN(1+i/20)), 1
		if want[v] > 0 && rng.IntN(2) == 0 {
			n = -rng.IntN(want[v] + 1)
		}
		if n == 0 {
			continue
		}
		got.add(v, n)
		if want[v] += n; want[v] == 0 {
			delete(want, v)
		}
		if got.values != len(want) {
			t.Fatalf("after %d: %d values, want %d", i, got.values, len(want))
		}
	}
}
