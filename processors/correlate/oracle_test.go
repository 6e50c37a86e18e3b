package correlate

import (
	"bytes"
	"flag"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// seeds is how many random streams are tried. The default is for every day; 10,000 take some minutes.
var seeds = flag.Int("seeds", 60, "random streams to try")

// oracle says what must fire, by looking at all events of a stream at once in the plainest way. The engine sees the same
// events one by one, of several partitions, out of order within the lateness bound, and is restarted in between.
type oracle struct {
	number uint64 // tells its streams from those of others
	keys   int    // that a stream can fire
	share  int    // one in so many seeds must fire a key at least, and leave one quiet; 2 where it is not given
	// stream returns the events, in the order of time, and the keys that must fire, sorted by rule.
	stream func(rng *rand.Rand, seed uint64) (events []pipeline.Event, want []string)
	// end is how far the watermark goes behind the events; zero leaves it where they do.
	end func(events []pipeline.Event) time.Time
	// inOrder keeps events from being late.
	inOrder bool
	// also looks at more than the keys that fired; nil for no more.
	also func(t *testing.T, seed uint64, e *Engine, out *pipeline.Output)
	// ignore is the prefix of keys that do not matter.
	ignore string
}

// agrees tries the streams.
func (o oracle) agrees(t *testing.T, set *rule.Set) {
	t.Helper()
	alerts, quiet := 0, 0
	for seed := range uint64(*seeds) {
		rng := rand.New(rand.NewPCG(seed, o.number))
		events, want := o.stream(rng, seed)
		lates := []time.Duration{0, 29 * time.Second}
		if o.inOrder {
			lates[1] = 0
		}
		for try, late := range lates {
			in := shuffle(t, rng, set, events, 3, late)
			if o.end != nil {
				in = ends(in, o.end(events))
			}
			var restarts []int
			if try > 0 { // one restart: nothing was committed before it, so that what is written then is all
				restarts = append(restarts, rng.IntN(len(in)))
			}
			got, e, out := run(t, set, in, restarts...)
			if o.ignore != "" {
				got = slices.DeleteFunc(got, func(key string) bool { return strings.HasPrefix(key, o.ignore) })
			}
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, late by %s: %v fired, want %v", seed, late, got, want)
			}
			if s := e.Stats(); s.Late > 0 || s.Foreign > 0 {
				t.Fatalf("seed %d: %+v of signals within the bound", seed, s)
			}
			if o.also != nil {
				o.also(t, seed, e, out)
			}
		}
		alerts += len(want)
		quiet += o.keys - len(want)
	}
	t.Logf("%d keys fired, %d stayed quiet", alerts, quiet)
	if least := *seeds / max(o.share, 2); alerts < least || quiet < least {
		t.Errorf("%d keys fired and %d did not: the streams prove too little", alerts, quiet)
	}
}

// forgets holds that nothing is kept of keys that are over.
func forgets(t *testing.T, seed uint64, e *Engine, _ *pipeline.Output) {
	t.Helper()
	if e.Keys() > 0 {
		t.Fatalf("seed %d: %d keys are never forgotten", seed, e.Keys())
	}
}

// stream is a random stream of events, in the order of time.
func stream(rng *rand.Rand, n int, gap float64, types ...string) []pipeline.Event {
	events := make([]pipeline.Event, n)
	now := 3600.0
	for i := range events {
		now += rng.ExpFloat64() * gap
		events[i] = pipeline.Event{
			Time: at(float64(int64(now*1000)) / 1000), Type: types[rng.IntN(len(types))], Actor: string('a' + rune(rng.IntN(3))),
			SrcIP: netip.AddrFrom4([4]byte{203, 0, 113, byte(rng.IntN(6))}), Bytes: uint64(rng.IntN(300)),
		}
	}
	return events
}

// shuffle deals the events out to partitions and lets each come up to late after its time. Within a partition they come
// in the order of arrival.
func shuffle(t testing.TB, rng *rand.Rand, set *rule.Set, events []pipeline.Event, partitions int, late time.Duration) []pipeline.Signal {
	type arrival struct {
		event pipeline.Event
		at    time.Time
	}
	parts := make([][]arrival, partitions)
	for _, e := range events {
		p := rng.IntN(partitions)
		delay := time.Duration(0)
		if late > 0 {
			delay = time.Duration(rng.Int64N(int64(late)))
		}
		parts[p] = append(parts[p], arrival{e, e.Time.Add(delay)})
	}
	var lists [][]pipeline.Signal
	var arrivals [][]time.Time
	for p, list := range parts {
		slices.SortStableFunc(list, func(a, b arrival) int { return a.at.Compare(b.at) })
		var evs []pipeline.Event
		for _, a := range list {
			evs = append(evs, a.event)
		}
		lists = append(lists, signals(t, set, int32(p), evs...))
		times := make([]time.Time, len(lists[p]))
		for i, s := range lists[p] {
			times[i] = list[s.Offset].at
		}
		arrivals = append(arrivals, times)
	}
	var out []pipeline.Signal
	for p := range partitions { // all partitions have an owner from the start
		out = append(out, pipeline.Signal{Kind: pipeline.SignalWatermark, Origin: pipeline.TopicPartition{Topic: "in", Partition: int32(p)}})
	}
	for {
		next := -1
		for p := range lists {
			if len(lists[p]) > 0 && (next < 0 || arrivals[p][0].Before(arrivals[next][0])) {
				next = p
			}
		}
		if next < 0 {
			return out
		}
		out = append(out, lists[next][0])
		lists[next], arrivals[next] = lists[next][1:], arrivals[next][1:]
	}
}

// run gives the engine all signals and returns what fired: for each key and dedup window whether there is an alert. Before
// the signals of the numbers given the engine is replaced by one that reads its state from the changelog.
func run(t testing.TB, set *rule.Set, in []pipeline.Signal, restarts ...int) (fired []string, e *Engine, out *pipeline.Output) {
	t.Helper()
	cfg := Config{Lateness: 30 * time.Second}
	e, out = New(set, cfg), &pipeline.Output{Now: t0}
	for i := range in {
		if slices.Contains(restarts, i) {
			next := New(set, cfg)
			e.Dirty(func(key, value []byte) {
				if err := next.Restore(bytes.Clone(key), bytes.Clone(value)); err != nil {
					t.Fatal(err)
				}
			})
			next.Commit()
			e = next
		}
		e.Process(&in[i], out)
		e.Feed(out)
	}
	seen := map[string]bool{}
	for _, a := range out.Alerts {
		if a.Status == pipeline.StatusFiring {
			seen[a.DedupKey] = true
		}
	}
	return slices.Sorted(maps.Keys(seen)), e, out
}

// ends moves the watermark of three partitions to a time.
func ends(in []pipeline.Signal, t time.Time) []pipeline.Signal {
	for p := range int32(3) {
		in = append(in, pipeline.Signal{Kind: pipeline.SignalWatermark, Origin: pipeline.TopicPartition{Topic: "in", Partition: p}, Time: t})
	}
	return in
}
