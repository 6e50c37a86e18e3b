package correlate

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

const newValueRule = `
id: V
kind: new_value
key: ev.Actor
when: ev.Type == "flow"
value: ev.SrcIP
learn: 2m
memory: 3m
`

// newValueOracle looks for values that nobody has had in the key's memory, once the key is known for long enough.
func newValueOracle(events []pipeline.Event) []string {
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
		}
	}
	return slices.Sorted(maps.Keys(fired))
}

func TestNewValueEqualsOracle(t *testing.T) {
	oracle{number: 7, keys: 18, inOrder: true, stream: func(rng *rand.Rand, _ uint64) ([]pipeline.Event, []string) {
		events := stream(rng, 40, 5+20*rng.Float64(), "flow")
		return events, newValueOracle(events)
	}}.agrees(t, load(t, newValueRule))
}
