package correlate

import (
	"cmp"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/detect"
)

const anomalyRule = `
id: Y
kind: anomaly
key: ev.Actor
when: ev.Type == "flow"
value: ev.Bytes
learn: 20s
`

const deviationRule = `
id: D
kind: anomaly
key: ev.Actor
when: ev.Type == "flow"
value: ev.Bytes
last: 7
deviations: 2
rise: 0.3
dedup: 1m
`

// month is long enough for a series to be forgotten.
func month([]pipeline.Event) time.Time { return at(30 * 24 * 3600) }

// TestAnomalyEqualsOracle shows all values in order to the detector.
func TestAnomalyEqualsOracle(t *testing.T) {
	set := load(t, strings.Replace(anomalyRule, "learn: 20s", "learn: 1m\ndedup: 1m", 1))
	oracle{number: 43, keys: 3, share: 4, end: month, also: forgets, stream: func(rng *rand.Rand, _ uint64) ([]pipeline.Event, []string) {
		events := stream(rng, 200, 1+rng.Float64(), "flow")
		for i := range events {
			if rng.IntN(150) == 0 {
				events[i].Bytes = uint64(rng.IntN(6000))
			}
		}
		slices.SortFunc(events, func(a, b pipeline.Event) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Bytes, b.Bytes)) })
		fired := map[string]bool{}
		for _, actor := range []string{"a", "b", "c"} {
			d, born := detect.NewAnomaly(detect.AnomalyConfig{}), time.Time{}
			for _, e := range events {
				if e.Actor != actor {
					continue
				}
				if born.IsZero() {
					born = e.Time
				}
				if d.Observe(e.Time, float64(e.Bytes)).Score >= 0.75 && e.Time.Sub(born) >= time.Minute {
					fired["Y|"+actor] = true
				}
			}
		}
		return events, slices.Sorted(maps.Keys(fired))
	}}.agrees(t, set)
}

// deviationOracle compares each value with the seven before it.
func deviationOracle(events []pipeline.Event) []string {
	middle := func(list []float64) float64 { return slices.Sorted(slices.Values(list))[len(list)/2] }
	fired := map[string]bool{}
	for i, e := range events {
		var before []float64
		for j := i - 1; j >= 0 && len(before) < 7; j-- {
			if events[j].Actor == e.Actor {
				before = append(before, float64(events[j].Bytes))
			}
		}
		if len(before) < 7 {
			continue
		}
		mean := 0.0
		var away []float64
		for _, v := range before {
			mean += v
			away = append(away, math.Abs(v-middle(before)))
		}
		mean /= 7
		if above := float64(e.Bytes) - mean; above >= 2*middle(away) && above >= 0.3*mean {
			fired["D|"+e.Actor] = true
		}
	}
	return slices.Sorted(maps.Keys(fired))
}

func TestDeviationEqualsOracle(t *testing.T) {
	oracle{number: 44, keys: 3, share: 4, end: month, also: forgets, stream: func(rng *rand.Rand, _ uint64) ([]pipeline.Event, []string) {
		events := stream(rng, 45, 1+rng.Float64(), "flow")
		for i := range events {
			events[i].Bytes += 200 // 200 to 499
		}
		slices.SortFunc(events, func(a, b pipeline.Event) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Bytes, b.Bytes)) })
		return events, deviationOracle(events)
	}}.agrees(t, load(t, deviationRule))
}
