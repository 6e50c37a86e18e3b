package correlate

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

const (
	absenceRule = `
id: A
kind: absence
key: ev.Actor
trigger: {when: ev.Type == "deployed"}
expect: {when: ev.Type == "approved"}
within: 20s
before: 2m
`
	heartbeatRule = `
id: H
kind: absence
key: ev.Actor
expect: {when: ev.Type == "heartbeat"}
while: {when: ev.Type == "attack", count: 2, within: 1m}
within: 30s
lateness: 30s
`
)

// absenceOracle looks for triggers that nothing answers, and for heartbeats that are the last for too long while there
// were attacks.
func absenceOracle(events []pipeline.Event, end time.Time) []string {
	fired := map[string]bool{}
	for _, trigger := range events {
		answered, attacks := false, 0
		for _, e := range events {
			if e.Actor != trigger.Actor {
				continue
			}
			switch d := e.Time.Sub(trigger.Time); e.Type {
			case "approved":
				answered = answered || trigger.Type == "deployed" && d >= -2*time.Minute && d <= 20*time.Second
			case "heartbeat":
				answered = answered || trigger.Type == "heartbeat" && d > 0 && d <= 30*time.Second
			case "attack":
				if d >= -time.Minute && d <= 30*time.Second {
					attacks++
				}
			}
		}
		switch {
		case answered:
		case trigger.Type == "deployed" && trigger.Time.Add(50*time.Second).Before(end):
			fired["A|"+trigger.Actor] = true
		case trigger.Type == "heartbeat" && attacks >= 2 && trigger.Time.Add(60*time.Second).Before(end):
			fired["H|"+trigger.Actor] = true
		}
	}
	return slices.Sorted(maps.Keys(fired))
}

// denseStream has many events a second in which the heartbeats end early: all the rest comes before the watermark
// has passed the end of the wait.
func denseStream(rng *rand.Rand) []pipeline.Event {
	events := stream(rng, 1500, 0.02+0.08*rng.Float64(), "heartbeat", "heartbeat", "approved", "deployed", "attack", "attack", "attack")
	last := events[len(events)/3].Time
	return slices.DeleteFunc(events, func(e pipeline.Event) bool { return e.Type == "heartbeat" && e.Time.After(last) })
}

func TestAbsenceEqualsOracle(t *testing.T) {
	end := func(events []pipeline.Event) time.Time { return events[len(events)-1].Time.Add(3 * time.Hour) }
	oracle{number: 6, keys: 6, end: end, stream: func(rng *rand.Rand, seed uint64) ([]pipeline.Event, []string) {
		events := stream(rng, 60, 1+7*rng.Float64(), "heartbeat", "heartbeat", "heartbeat", "approved", "approved", "deployed", "attack", "attack")
		if seed%8 == 0 {
			events = denseStream(rng)
		}
		return events, absenceOracle(events, end(events))
	}, also: func(t *testing.T, seed uint64, _ *Engine, out *pipeline.Output) {
		open := map[string]bool{}
		for _, a := range out.Alerts {
			open[a.DedupKey] = a.Status != pipeline.StatusResolved
		}
		for key, isOpen := range open {
			if isOpen && strings.HasPrefix(key, "A|") {
				t.Fatalf("seed %d: %s was never resolved", seed, key)
			}
		}
	}}.agrees(t, load(t, absenceRule, heartbeatRule))
}

// More triggers in one window than are kept: the key comes to its end all the same.
func TestAbsenceWithManyTriggersFires(t *testing.T) {
	set := load(t, absenceRule)
	var events []pipeline.Event
	for i := range 40 * maxPending { // the rule's 20 s hold four times what is kept
		events = append(events, pipeline.Event{Time: at(float64(i) / (0.2 * maxPending)), Type: "deployed", Actor: "web"})
	}
	in := signals(t, set, 0, events...)
	// The watermark follows the events.
	e, out := New(set, Config{}), &pipeline.Output{Now: t0}
	for i := range in {
		e.Process(&in[i], out)
		if i%maxPending == 0 {
			w := pipeline.Signal{Kind: pipeline.SignalWatermark, Origin: pipeline.TopicPartition{Topic: "in"}, Time: events[i].Time}
			e.Process(&w, out)
		}
	}
	if len(out.Alerts) == 0 {
		t.Error("no alert, though nothing was approved for minutes")
	}
}
