package correlate

import (
	"cmp"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/detect"
)

const (
	spikeRule = `
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
	sumSpikeRule = `
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
	silenceRule = `
id: Z
kind: silence
key: ev.Actor
expect: {when: ev.Type == "heartbeat"}
while: {when: ev.Type == "attack", count: 2, within: 1m}
factor: 1.5
min: 2s
`
	anomalyRule = `
id: Y
kind: anomaly
key: ev.Actor
when: ev.Type == "flow"
value: ev.Bytes
learn: 20s
`
)

// ends moves the watermark of three partitions to a time.
func ends(in []pipeline.Signal, t time.Time) []pipeline.Signal {
	for p := range int32(3) {
		in = append(in, pipeline.Signal{Kind: pipeline.SignalWatermark, Origin: pipeline.TopicPartition{Topic: "in", Partition: p}, Time: t})
	}
	return in
}

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
	set := load(t, spikeRule, sumSpikeRule)
	alerts, quiet := 0, 0
	for seed := range uint64(*seeds) {
		rng := rand.New(rand.NewPCG(seed, 41))
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
		want := append(spikeOracle(events, "P", 20*time.Second, 3*time.Minute, time.Minute, 0.5, 2.5, 3, func(pipeline.Event) float64 { return 1 }),
			spikeOracle(events, "Q", 30*time.Second, 4*time.Minute, 0, 0.95, 1.5, 500, func(e pipeline.Event) float64 { return float64(e.Bytes) })...)
		for _, late := range []time.Duration{0, 29 * time.Second} {
			got, e, _ := run(t, set, ends(shuffle(t, rng, set, events, 3, late), at(24*3600)))
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, late by %s: %v fired, want %v", seed, late, got, want)
			}
			if e.Keys() > 0 {
				t.Fatalf("seed %d: %d keys are never forgotten", seed, e.Keys())
			}
		}
		alerts += len(want)
		quiet += 6 - len(want)
	}
	t.Logf("%d keys fired, %d stayed quiet", alerts, quiet)
	if alerts < *seeds/2 || quiet < *seeds/2 {
		t.Errorf("%d keys fired and %d did not: the streams prove too little", alerts, quiet)
	}
}

// TestSilenceEqualsOracle shows all events in order to the detector, and asks it before each.
func TestSilenceEqualsOracle(t *testing.T) {
	set := load(t, silenceRule)
	alerts, quiet := 0, 0
	for seed := range uint64(*seeds) {
		rng := rand.New(rand.NewPCG(seed, 42))
		events := stream(rng, 150, 0.3+rng.Float64(), "heartbeat", "heartbeat", "heartbeat", "x", "attack")
		last := events[len(events)*2/3].Time
		events = slices.DeleteFunc(events, func(e pipeline.Event) bool {
			return e.Actor == "a" && e.Type == "heartbeat" && e.Time.After(last) || e.Type == "attack" && seed%3 == 0
		})
		end := events[len(events)-1].Time.Add(time.Hour)
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
			check(end)
		}
		want := slices.Sorted(maps.Keys(fired))
		for _, late := range []time.Duration{0, 29 * time.Second} {
			got, e, _ := run(t, set, ends(shuffle(t, rng, set, events, 3, late), end))
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, late by %s: %v fired, want %v", seed, late, got, want)
			}
			for _, s := range ends(nil, end.Add(60*24*time.Hour)) {
				e.Process(&s, &pipeline.Output{Now: t0})
			}
			if e.Keys() > 0 {
				t.Fatalf("seed %d: %d keys are never forgotten", seed, e.Keys())
			}
		}
		alerts += len(want)
		quiet += 3 - len(want)
	}
	t.Logf("%d keys fired, %d stayed quiet", alerts, quiet)
	if alerts < *seeds/4 || quiet < *seeds/4 {
		t.Errorf("%d keys fired and %d did not: the streams prove too little", alerts, quiet)
	}
}

// TestAnomalyEqualsOracle shows all values in order to the detector.
func TestAnomalyEqualsOracle(t *testing.T) {
	set := load(t, strings.Replace(anomalyRule, "learn: 20s", "learn: 1m\ndedup: 1m", 1))
	alerts, quiet := 0, 0
	for seed := range uint64(*seeds) {
		rng := rand.New(rand.NewPCG(seed, 43))
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
		want := slices.Sorted(maps.Keys(fired))
		for _, late := range []time.Duration{0, 29 * time.Second} {
			got, e, _ := run(t, set, ends(shuffle(t, rng, set, events, 3, late), at(30*24*3600)))
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, late by %s: %v fired, want %v", seed, late, got, want)
			}
			if e.Keys() > 0 {
				t.Fatalf("seed %d: %d keys are never forgotten", seed, e.Keys())
			}
		}
		alerts += len(want)
		quiet += 3 - len(want)
	}
	t.Logf("%d keys fired, %d stayed quiet", alerts, quiet)
	if alerts < *seeds/4 || quiet < *seeds/4 {
		t.Errorf("%d keys fired and %d did not: the streams prove too little", alerts, quiet)
	}
}

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
	set := load(t, deviationRule)
	alerts, quiet := 0, 0
	for seed := range uint64(*seeds) {
		rng := rand.New(rand.NewPCG(seed, 44))
		events := stream(rng, 45, 1+rng.Float64(), "flow")
		for i := range events {
			events[i].Bytes += 200 // 200 to 499
		}
		slices.SortFunc(events, func(a, b pipeline.Event) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Bytes, b.Bytes)) })
		want := deviationOracle(events)
		for _, late := range []time.Duration{0, 29 * time.Second} {
			if got, _, _ := run(t, set, ends(shuffle(t, rng, set, events, 3, late), at(30*24*3600))); !slices.Equal(got, want) {
				t.Fatalf("seed %d, late by %s: %v fired, want %v", seed, late, got, want)
			}
		}
		alerts += len(want)
		quiet += 3 - len(want)
	}
	t.Logf("%d keys fired, %d stayed quiet", alerts, quiet)
	if alerts < *seeds/4 || quiet < *seeds/4 {
		t.Errorf("%d keys fired and %d did not: the streams prove too little", alerts, quiet)
	}
}

// What learns from the past says in the alert, and to whoever asks, what it expected and what came.
func TestDetectorsExplain(t *testing.T) {
	set := load(t, spikeRule+"alert: {title: \"{count} {usual} {limit}\", summary: \"{explanation}\"}",
		silenceRule+"alert: {title: \"{quiet_s} {limit_s}\", summary: \"{explanation}\"}",
		anomalyRule+"score: 0.2\nalert: {title: \"{value} {expected} {score}\", summary: \"{explanation}\"}")
	var events []pipeline.Event
	for i := range 150 {
		events = append(events, pipeline.Event{Time: at(float64(i)), Type: "heartbeat", Actor: "x"})
		if i%10 == 0 {
			events = append(events, pipeline.Event{Time: at(float64(i)), Type: "flow", Actor: "x", Bytes: 100})
		}
	}
	for i := range 30 {
		events = append(events, pipeline.Event{Time: at(150 + float64(i)/10), Type: "flow", Actor: "x", Bytes: 5000},
			pipeline.Event{Time: at(150 + float64(i)/10), Type: "attack", Actor: "x"})
	}
	e, out := New(set, Config{Lateness: 5 * time.Second}), &pipeline.Output{Now: t0}
	in := signals(t, set, 0, events...)
	for i := range in {
		e.Process(&in[i], out)
	}
	e.Process(&pipeline.Signal{Kind: pipeline.SignalWatermark, Origin: pipeline.TopicPartition{Topic: "in"}, Time: at(190)}, out)
	said := map[string]string{}
	for _, a := range out.Alerts {
		if a.Status == pipeline.StatusFiring {
			said[a.Rule] = a.Title + ": " + a.Summary
		}
	}
	for id, want := range map[string][]string{
		"P": {"6 2 5: ", "in the 20s from 2026-11-23T10:02:20Z; the median of the 7 before is 2, more than 5 is a spike"},
		"Z": {" 2: last seen 2026-11-23T10:02:29Z", "at most 2s is ordinary"},
		"Y": {"5000 100 ", "expected 100, got 5000; value beyond its range"},
	} {
		for _, w := range want {
			if !strings.Contains(said[id], w) {
				t.Errorf("%s says %q, want %q", id, said[id], w)
			}
		}
		lines := strings.Join(e.Explain(id, "x"), "\n")
		if !strings.Contains(lines, "2026-11-23T10:02:") {
			t.Errorf("%s is explained as %s", id, lines)
		}
	}
}
