package correlate

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

const spikeRule = `
id: P
kind: spike
key: ev.Actor
when: ev.Type == "flow"
bucket: 20s
history: 3m
learn: 1m
over: median
factor: 2.5
min: 3
`

const sumSpikeRule = `
id: Q
kind: spike
key: ev.Actor
when: ev.Type == "flow"
value: ev.Bytes
bucket: 30s
history: 4m
learn: 0s
factor: 1.5
min: 500
`

// spikeOracle compares each bucket with those before it, when all is known.
func spikeOracle(events []pipeline.Event, name string, length, history, learn time.Duration, q, factor, least float64, weigh func(pipeline.Event) float64) []string {
	fired := map[string]bool{}
	totals, born := map[string]map[int64]float64{}, map[string]int64{}
	for _, e := range events {
		b := floorDiv(e.Time.UnixNano(), int64(length))
		if totals[e.Actor] == nil {
			totals[e.Actor], born[e.Actor] = map[int64]float64{}, b
		}
		totals[e.Actor][b] += weigh(e)
	}
	for actor, buckets := range totals {
		for b, total := range buckets {
			from := max(born[actor], b-int64(history/length))
			var past []float64
			for i := from; i < b; i++ {
				past = append(past, buckets[i])
			}
			sort.Float64s(past)
			usual := 0.0
			if n := len(past); n > 0 {
				rank := int(q*float64(n) + 0.999999)
				usual = past[rank-1]
			}
			if time.Duration(b-born[actor])*length >= learn && total > max(factor*usual, least) {
				fired[name+"|"+actor] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(fired))
}

func TestSpikeEqualsOracle(t *testing.T) {
	day := func([]pipeline.Event) time.Time { return at(24 * 3600) }
	oracle{number: 41, keys: 6, end: day, also: forgets, stream: func(rng *rand.Rand, _ uint64) ([]pipeline.Event, []string) {
		events := stream(rng, 120, 1+4*rng.Float64(), "flow", "flow", "x")
		for i := range events {
			if rng.IntN(100) == 0 { // a burst
				for j := i; j < min(i+12, len(events)); j++ {
					events[j].Time = events[i].Time.Add(time.Duration(j-i) * 10 * time.Millisecond)
				}
			}
		}
		events = slices.DeleteFunc(events, func(e pipeline.Event) bool { return e.Type != "flow" })
		slices.SortStableFunc(events, func(a, b pipeline.Event) int { return a.Time.Compare(b.Time) })
		return events, append(spikeOracle(events, "P", 20*time.Second, 3*time.Minute, time.Minute, 0.5, 2.5, 3, func(pipeline.Event) float64 { return 1 }),
			spikeOracle(events, "Q", 30*time.Second, 4*time.Minute, 0, 0.95, 1.5, 500, func(e pipeline.Event) float64 { return float64(e.Bytes) })...)
	}}.agrees(t, load(t, spikeRule, sumSpikeRule))
}
