package correlate

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

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

const (
	matchRule = `
id: M
kind: match
key: ev.Actor
when: ev.Type == "c"
dedup: 1m
`
	untilRule = `
id: U
kind: sequence
key: ev.Actor
steps:
  - {id: a, when: ev.Type == "a", within: 5m}
  - {id: c, when: ev.Type == "c"}
until: {when: ev.Type == "b"}
`
)

// belowRule compares versions of the last step with those of the step before.
const belowRule = `
id: V
kind: sequence
key: ev.Actor
steps:
  - {id: b, when: ev.Type == "b", within: 5m}
  - {id: a, when: ev.Type == "a", within: 4m, version: ev.Purl}
  - {id: c, when: ev.Type == "c", version: ev.Purl, below: a}
`

// belowOracle tries every b, a and c of which the last has the older version.
func belowOracle(events []pipeline.Event) []string {
	fired := map[string]bool{}
	for i, b := range events {
		for j, a := range events[i+1:] {
			for _, c := range events[i+1+j+1:] {
				if b.Type+a.Type+c.Type == "bac" && b.Actor == a.Actor && a.Actor == c.Actor && a.Time.Sub(b.Time) <= 5*time.Minute && c.Time.Sub(a.Time) <= 4*time.Minute && c.Purl < a.Purl {
					fired["V|"+a.Actor] = true
				}
			}
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

// untilOracle tries every a and c with no b between them.
func untilOracle(events []pipeline.Event) []string {
	fired := map[string]bool{}
	for i, a := range events {
		for _, e := range events[i+1:] {
			if a.Type != "a" || e.Actor != a.Actor {
				continue
			}
			if e.Type == "b" {
				break
			}
			if e.Type == "c" && e.Time.Sub(a.Time) <= 5*time.Minute {
				fired["U|"+a.Actor] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(fired))
}

func TestSequenceEqualsOracle(t *testing.T) {
	set := load(t, sequenceRule, spanRule, matchRule, belowRule)
	set.Rule("W").Span = 4 * time.Minute
	oracle{number: 3, keys: 12, stream: func(rng *rand.Rand, _ uint64) ([]pipeline.Event, []string) {
		events := stream(rng, 20, 30+60*rng.Float64(), "a", "a", "b", "c")
		matched := map[string]bool{}
		for i := range events {
			e := &events[i]
			e.Purl = fmt.Sprintf("pkg:gem/x@1.%d", rng.IntN(4))
			if e.Type == "c" {
				matched["M|"+e.Actor] = true
			}
		}
		return events, slices.Concat(slices.Sorted(maps.Keys(matched)), sequenceOracle(events), belowOracle(events), spanOracle(events, 4*time.Minute))
	}}.agrees(t, set)
}

// What until forgets cannot lead to an alert. One that comes later than what it would have prevented is too late.
func TestUntilEqualsOracle(t *testing.T) {
	oracle{number: 9, keys: 3, inOrder: true, stream: func(rng *rand.Rand, _ uint64) ([]pipeline.Event, []string) {
		events := stream(rng, 18, 20+60*rng.Float64(), "a", "a", "b", "c", "x")
		return events, untilOracle(events)
	}}.agrees(t, load(t, untilRule))
}
