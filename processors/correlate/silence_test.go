package correlate

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/detect"
)

const silenceRule = `
id: Z
kind: silence
key: ev.Actor
expect: {when: ev.Type == "heartbeat"}
while: {when: ev.Type == "attack", count: 2, within: 1m}
factor: 1.5
min: 2s
`

// TestSilenceEqualsOracle shows all events in order to the detector, and asks it before each.
func TestSilenceEqualsOracle(t *testing.T) {
	end := func(events []pipeline.Event) time.Time { return events[len(events)-1].Time.Add(time.Hour) }
	oracle{number: 42, keys: 3, share: 4, end: end, stream: func(rng *rand.Rand, seed uint64) ([]pipeline.Event, []string) {
		events := stream(rng, 150, 0.3+rng.Float64(), "heartbeat", "heartbeat", "heartbeat", "x", "attack")
		last := events[len(events)*2/3].Time
		events = slices.DeleteFunc(events, func(e pipeline.Event) bool {
			return e.Actor == "a" && e.Type == "heartbeat" && e.Time.After(last) || e.Type == "attack" && seed%3 == 0
		})
		fired := map[string]bool{}
		for _, actor := range []string{"a", "b", "c"} {
			d := detect.NewSilence(detect.SilenceConfig{Factor: 1.5, Min: 2 * time.Second, Warmup: 20})
			check := func(t time.Time) {
				v := d.Check(t)
				if !v.Fired {
					return
				}
				n := 0
				for _, e := range events {
					if e.Type == "attack" && e.Actor == actor && !e.Time.Before(v.LastSeen.Add(-time.Minute)) && !e.Time.After(v.LastSeen.Add(v.Limit)) {
						n++
					}
				}
				if n >= 2 {
					fired["Z|"+actor] = true
				}
			}
			for _, e := range events {
				if e.Type == "heartbeat" && e.Actor == actor {
					check(time.UnixMilli(e.Time.UnixMilli()))
					d.Observe(e.Time)
				}
			}
			check(end(events))
		}
		return events, slices.Sorted(maps.Keys(fired))
	}, also: func(t *testing.T, seed uint64, e *Engine, out *pipeline.Output) {
		for _, s := range ends(nil, at(61*24*3600)) {
			e.Process(&s, &pipeline.Output{Now: t0})
		}
		forgets(t, seed, e, out)
	}}.agrees(t, load(t, silenceRule))
}
