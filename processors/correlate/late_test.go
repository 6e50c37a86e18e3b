package correlate

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// What comes behind the watermark is counted, each once: the watermark is the least of the partitions' newest times less the
// bound.
func TestLateCounterEqualsOracle(t *testing.T) {
	set := load(t, "id: M\nkind: match\nkey: ev.Actor\nwhen: \"true\"")
	lost, kept := uint64(0), uint64(0)
	for seed := range uint64(*seeds) {
		rng := rand.New(rand.NewPCG(seed, 51))
		const bound = 30 * time.Second
		in := shuffle(t, rng, set, stream(rng, 200, 1+2*rng.Float64(), "x"), 3, 3*bound)
		newest, watermark := map[pipeline.TopicPartition]time.Time{}, time.Time{}
		want := uint64(0)
		for _, s := range in {
			if s.Kind == pipeline.SignalWatermark { // a partition that was not read yet
				newest[s.Origin] = time.Time{}
				continue
			}
			if s.Time.After(newest[s.Origin]) {
				newest[s.Origin] = s.Time
			}
			least := s.Time
			for _, t := range newest {
				if t.Before(least) {
					least = t
				}
			}
			if !least.IsZero() && least.Add(-bound).After(watermark) {
				watermark = least.Add(-bound)
			}
			if s.Time.Before(watermark) {
				want++
			}
		}
		_, e, _ := run(t, set, in)
		if s := e.Stats(); s.Late != want || s.Late+s.Signals != uint64(len(in)-3) {
			t.Fatalf("seed %d: %+v of %d signals, want %d late", seed, s, len(in)-3, want)
		}
		lost += want
		kept += uint64(len(in)-3) - want
	}
	t.Logf("%d signals were late, %d were not", lost, kept)
	if lost < uint64(*seeds) || kept < uint64(*seeds) {
		t.Errorf("%d late and %d in time: the streams prove too little", lost, kept)
	}
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
