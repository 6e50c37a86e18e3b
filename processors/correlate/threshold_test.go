package correlate

import (
	"cmp"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

const thresholdRule = `
id: T
kind: threshold
key: ev.Actor
when: ev.Type == "auth.failed" || ev.Type == "auth.success"
window: 2m
aggregates:
  n: count
  failed: count ev.Type == "auth.failed"
  ips: distinct ev.SrcIP
  sent: sum ev.Bytes
having: failed >= 6 && ips >= 3 || sent > 2000
`

const (
	sessionRule = `
id: W
kind: threshold
key: ev.Actor
when: ev.Type == "flow"
window: session 12s
aggregates: {n: count, high: p90 ev.Bytes, mean: avg ev.Bytes}
having: n >= 3 && high > 250 || mean > 200 && n > 1
`
	finalRule = `
id: F
kind: threshold
key: ev.Actor
when: ev.Type == "flow"
window: tumbling 20s
final: true
aggregates: {n: count, middle: median ev.Bytes}
having: n >= 2 && middle < 120
`
)

// thresholdOracle tries every window that ends with an event.
func thresholdOracle(events []pipeline.Event, window time.Duration) []string {
	slice := int64(window) / windowSlices
	fired := map[string]bool{}
	for _, last := range events {
		end := sliceOf(last.Time.UnixNano(), slice)
		failed, sent, ips := 0, 0, map[netip.Addr]bool{}
		for _, e := range events {
			if s := sliceOf(e.Time.UnixNano(), slice); e.Actor != last.Actor || s > end || s <= end-windowSlices {
				continue
			}
			if e.Type == "auth.failed" {
				failed++
			}
			sent += int(e.Bytes)
			ips[e.SrcIP] = true
		}
		if failed >= 6 && len(ips) >= 3 || sent > 2000 {
			fired["T|"+last.Actor] = true
		}
	}
	return slices.Sorted(maps.Keys(fired))
}

func TestThresholdEqualsOracle(t *testing.T) {
	oracle{number: 2, keys: 3, stream: func(rng *rand.Rand, _ uint64) ([]pipeline.Event, []string) {
		events := stream(rng, 60, 4+12*rng.Float64(), "auth.failed", "auth.success")
		return events, thresholdOracle(events, 2*time.Minute)
	}}.agrees(t, load(t, thresholdRule))
}

const aggregateRules = `
key: ev.Actor
kind: threshold
when: ev.Type == "x"
aggregates:
  n: count
  mean: avg ev.Bytes
  middle: median ev.Bytes
  high: p90 ev.Bytes
`

// aggregateSet has the same aggregates over the three kinds of windows. More events can make the condition false.
var aggregateSet = []string{
	aggregateRules + "id: sliding\nwindow: 1m\nhaving: mean > 180 && n >= 3 || middle > 210 && n >= 4 || high < 100 && n >= 3",
	aggregateRules + "id: tumbling\nwindow: tumbling 1m\nhaving: mean > 180 && n >= 3 || middle > 210 && n >= 4 || high < 100 && n >= 3",
	aggregateRules + "id: session\nwindow: session 10s\nhaving: mean > 180 && n >= 3 || middle > 210 && n >= 4 || high < 100 && n >= 3",
}

// windowOracle collects the events of every window that ends with an event, and computes over them.
func windowOracle(events []pipeline.Event) []string {
	fired := map[string]bool{}
	for _, last := range events {
		var own []pipeline.Event
		for _, e := range events {
			if e.Actor == last.Actor && e.Type == "x" {
				own = append(own, e)
			}
		}
		judge := func(name string, length time.Duration, inside func(s, end int64) bool) {
			l := int64(length) / windowSlices
			end := sliceOf(last.Time.UnixNano(), l)
			var in []float64
			sum := 0.0
			for _, e := range own {
				if s := sliceOf(e.Time.UnixNano(), l); s <= end && inside(s, end) {
					in = append(in, float64(e.Bytes))
					sum += float64(e.Bytes)
				}
			}
			slices.Sort(in)
			rank := func(q float64) float64 { return binValue(binOf(in[int(math.Ceil(q*float64(len(in))))-1])) }
			if n := len(in); n >= 3 && sum/float64(n) > 180 || n >= 4 && rank(0.5) > 210 || n >= 3 && rank(0.9) < 100 {
				fired[name+"|"+last.Actor] = true
			}
		}
		if last.Type != "x" {
			continue
		}
		judge("sliding", time.Minute, func(s, end int64) bool { return s > end-windowSlices })
		judge("tumbling", time.Minute, func(s, end int64) bool { return floorDiv(s, windowSlices) == floorDiv(end, windowSlices) })
		l := int64(10*time.Second) / windowSlices
		end := sliceOf(last.Time.UnixNano(), l)
		begin := end
		for i := len(own) - 1; i >= 0; i-- { // own is by time
			if s := sliceOf(own[i].Time.UnixNano(), l); s <= end && begin-s < windowSlices {
				begin = min(begin, s)
			}
		}
		judge("session", 10*time.Second, func(s, _ int64) bool { return s >= begin })
	}
	return slices.Sorted(maps.Keys(fired))
}

func TestWindowsEqualOracle(t *testing.T) {
	set := load(t, aggregateSet...)
	final := load(t, aggregateSet[0]+"\nfinal: true", aggregateSet[1]+"\nfinal: true", aggregateSet[2]+"\nfinal: true")
	end := pipeline.Signal{Kind: pipeline.SignalWatermark, Time: at(100 * 3600)}
	fired := map[string]int{}
	for seed := range uint64(*seeds) {
		rng := rand.New(rand.NewPCG(seed, 31))
		gap := []float64{1, 4, 8}[seed%3]
		events := stream(rng, 70, gap, "x", "x", "y")
		if seed%5 == 0 { // long sessions of many values
			events = stream(rng, 140, 0.5, "x")
		}
		want := windowOracle(events)
		// A window that is not complete may fire as well, but for a rule that waits.
		for _, late := range []time.Duration{0, 29 * time.Second} {
			got, _, _ := run(t, set, shuffle(t, rng, set, events, 3, late))
			for _, key := range want {
				if !slices.Contains(got, key) {
					t.Fatalf("seed %d, late by %s: %v fired, want %v", seed, late, got, want)
				}
			}
		}
		in := shuffle(t, rng, final, events, 3, 29*time.Second)
		for p := range int32(3) {
			end.Origin = pipeline.TopicPartition{Topic: "in", Partition: p}
			in = append(in, end)
		}
		if got, _, _ := run(t, final, in); !slices.Equal(got, want) {
			t.Fatalf("seed %d, waiting: %v fired, want %v", seed, got, want)
		}
		for _, key := range want {
			fired[key[:len(key)-2]]++
		}
	}
	t.Log(fired)
	for _, name := range []string{"sliding", "tumbling", "session"} {
		if n := fired[name]; n < *seeds/8 || n > *seeds*3-*seeds/8 {
			t.Errorf("%s: %d of %d keys fired: the streams prove too little", name, n, 3**seeds)
		}
	}
}

// TestWindowsBehind: a rule that asks for few events fires where a window behind an event has ended with so few, however late events
// come and whenever the engine is restarted.
func TestWindowsBehind(t *testing.T) {
	set := load(t, "id: B\nkind: threshold\nkey: ev.Actor\nwhen: \"true\"\nwindow: 1m\naggregates: {n: count, m: distinct ev.SrcIP}\nhaving: n < 6 && m < 5")
	set.Rules[0].Behind = true
	slice := func(e *pipeline.Event) int64 { return sliceOf(e.Time.UnixNano(), int64(time.Minute)/windowSlices) }
	o := oracle{number: 33, keys: 3,
		stream: func(rng *rand.Rand, seed uint64) (events []pipeline.Event, want []string) {
			events = stream(rng, 90, []float64{0.9, 1.4, 2.5}[seed%3], "x")
			last := slice(&pipeline.Event{Time: events[len(events)-1].Time.Truncate(time.Second)})
			for _, actor := range []string{"a", "b", "c"} {
				for _, first := range events {
					n, ips := 0, map[netip.Addr]bool{}
					for i := range events {
						if behind := slice(&events[i]) - slice(&first); events[i].Actor == actor && behind > 0 && behind <= windowSlices {
							n++
							ips[events[i].SrcIP] = true
						}
					}
					if first.Actor == actor && slice(&first)+windowSlices < last && n < 6 && len(ips) < 5 {
						want = append(want, "B|"+actor)
						break
					}
				}
			}
			return events, want
		},
		end: func(events []pipeline.Event) time.Time {
			return events[len(events)-1].Time.Truncate(time.Second).Add(30 * time.Second) // the watermark is at the last whole second
		},
	}
	o.agrees(t, set)
}

// Tumbling windows meet where multiples of the length do; a pause as long as the gap ends a session.
func TestWindowBorders(t *testing.T) {
	for _, c := range []struct {
		window string
		times  []float64
		want   int
	}{
		{"tumbling 1m", []float64{58, 59, 60, 61}, 2},
		{"tumbling 1m", []float64{60, 61, 119, 119.9}, 4},
		{"1m", []float64{58, 59, 60, 61}, 4},
		{"session 10s", []float64{0, 9, 18, 27, 36, 45, 54, 63, 72}, 9},
		{"session 10s", []float64{0, 9, 19.1, 20}, 2},
		{"session 10s", []float64{0, 20, 9, 14}, 4}, // late ones join what was apart
	} {
		for _, n := range []int{c.want, c.want + 1} {
			set := load(t, "id: W\nkind: threshold\nkey: ev.Actor\nwhen: \"true\"\nwindow: "+c.window+"\naggregates: {n: count}\nhaving: n >= "+strconv.Itoa(n))
			var events []pipeline.Event
			for _, s := range c.times {
				events = append(events, pipeline.Event{Time: at(s), Type: "x", Actor: "a"})
			}
			got, _, _ := run(t, set, signals(t, set, 0, events...))
			if fires := len(got) > 0; fires != (n == c.want) {
				t.Errorf("%s, %v: fires with %d events: %t", c.window, c.times, n, fires)
			}
		}
	}
}

func TestSketchIsWithinOnePercent(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 32))
	for range 200 {
		var s, exact sketch
		var all []float64
		scale := math.Pow(10, float64(rng.IntN(20)-8))
		for range 1 + rng.IntN(300) {
			v := (rng.ExpFloat64() - 0.3) * scale
			s.add(strconv.FormatFloat(v, 'g', -1, 64), 2, false)
			exact.add(strconv.FormatFloat(v, 'g', -1, 64), 2, true)
			all = append(all, v, v)
		}
		for len(all) > 2 && rng.IntN(4) > 0 { // taking out is as if it had not been put in
			i := rng.IntN(len(all)/2) * 2
			s.add(strconv.FormatFloat(all[i], 'g', -1, 64), -2, false)
			exact.add(strconv.FormatFloat(all[i], 'g', -1, 64), -2, true)
			all = slices.Delete(all, i, i+2)
		}
		slices.SortFunc(all, cmp.Compare)
		if want := (all[(len(all)-1)/2] + all[len(all)/2]) / 2; exact.median() != want {
			t.Fatalf("the median of %d numbers is %g, want %g", len(all), exact.median(), want)
		}
		for _, q := range []float64{0.01, 0.25, 0.5, 0.95, 0.999} {
			want := all[max(int(math.Ceil(q*float64(len(all)))), 1)-1]
			if got := exact.quantile(q, true); got != want {
				t.Fatalf("exact p%g of %d numbers is %g, want %g", 100*q, len(all), got, want)
			}
			if got := s.quantile(q, false); math.Abs(got-want) > math.Abs(want)*0.0101+sketchZero {
				t.Fatalf("p%g of %d numbers is %g, want %g", 100*q, len(all), got, want)
			}
		}
	}
	var none sketch
	none.add("no number", 1, false)
	if !math.IsNaN(none.quantile(0.5, false)) || !math.IsNaN(none.median()) {
		t.Error("the median of nothing is a number")
	}
}
