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

// TestOneWrongClock: what a sender's clock dates ahead of its arrival makes nothing else late.
func TestOneWrongClock(t *testing.T) {
	set := load(t, thresholdRule)
	e, out := New(set, Config{Lateness: 30 * time.Second}), &pipeline.Output{}
	in := signals(t, set, 0,
		pipeline.Event{Time: at(100), Type: "auth.failed", Actor: "a"},
		pipeline.Event{Time: at(100 + 3600), Type: "auth.failed", Actor: "b"},
		pipeline.Event{Time: at(102), Type: "auth.failed", Actor: "a"})
	in[1].Ingest = at(101)
	for i := range in {
		e.Process(&in[i], out)
	}
	if w, _ := e.Watermark(); e.Stats().Late != 0 || !w.Equal(at(102).Add(-30*time.Second)) {
		t.Errorf("%d are late, the watermark is %v", e.Stats().Late, w)
	}
}

// TestTornSignals is of a worker that went on for a moment after the broker had refused one of its signals, and of the one
// that reads the same records after it.
func TestTornSignals(t *testing.T) {
	set := load(t, thresholdRule)
	e, out := New(set, Config{Lateness: 30 * time.Second}), &pipeline.Output{}
	in := signals(t, set, 0,
		pipeline.Event{Time: at(100), Type: "auth.failed", Actor: "a"},
		pipeline.Event{Time: at(101), Type: "auth.failed", Actor: "a"},
		pipeline.Event{Time: at(102), Type: "auth.failed", Actor: "a"})
	for i := 1; i < len(in); i++ {
		in[i].After = pipeline.Place{Offset: in[i-1].Offset, Seq: in[i-1].Seq + 1}
	}
	mark := pipeline.Signal{Kind: pipeline.SignalWatermark, Origin: in[2].Origin, Offset: in[2].Offset, After: pipeline.Place{Offset: in[2].Offset, Seq: in[2].Seq + 1}, Time: at(500)}
	take := func(all ...pipeline.Signal) Stats {
		for i := range all {
			e.Process(&all[i], out)
		}
		return e.Stats()
	}
	if s := take(in[0], in[2], mark); s.Signals != 1 || s.Torn != 2 {
		t.Errorf("got %+v, want the first judged, the third and the watermark torn", s)
	}
	again := in[1]
	again.After = pipeline.Place{} // the first of its worker
	if s := take(again, in[2], mark); s.Signals != 3 || s.Torn != 2 || s.Late != 0 {
		t.Errorf("got %+v, want all three judged in the end", s)
	}
	if s := take(in...); s.Signals != 3 || s.Duplicates != 3 {
		t.Errorf("got %+v, want three seen before", s)
	}
}
