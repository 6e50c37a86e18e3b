package correlate

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// flood makes signals of a rule's first step, a millisecond apart, over so many keys and addresses.
func flood(tb testing.TB, set *rule.Set, n, keys, addrs int) []pipeline.Signal {
	events := make([]pipeline.Event, n)
	for i := range events {
		a := i * 7919 % addrs
		events[i] = pipeline.Event{
			Time: at(float64(i) / 1000), Type: "auth.failed", Actor: fmt.Sprint("user-", i*31%keys), Host: "h",
			SrcIP: netip.AddrFrom4([4]byte{203, byte(a >> 16), byte(a >> 8), byte(a)}),
		}
	}
	return signals(tb, set, 0, events...)
}

const (
	plainCount = `
id: N
kind: threshold
key: ev.Actor
when: ev.Type == "auth.failed"
window: 1m
aggregates: {n: count}
having: n >= 1000000000`
	distinctCount = `
id: N
kind: threshold
key: ev.Actor
when: ev.Type == "auth.failed"
window: 1m
aggregates: {n: distinct ev.SrcIP}
having: n >= 1000000000`
	twoSteps = `
id: N
kind: sequence
key: ev.Actor
steps:
  - {id: a, when: ev.Type == "auth.failed", within: 10m, count: 20}
  - {id: b, when: ev.Type == "auth.success"}`
)

func BenchmarkEngine(b *testing.B) {
	for _, c := range []struct {
		name, rule  string
		keys, addrs int
	}{
		{"count/keys=1", plainCount, 1, 10_000},
		{"count/keys=10000", plainCount, 10_000, 10_000},
		{"distinct/keys=1/values=10000", distinctCount, 1, 10_000},
		{"distinct/keys=10000", distinctCount, 10_000, 10_000},
		{"sequence/keys=10000", twoSteps, 10_000, 10_000},
	} {
		b.Run(c.name, func(b *testing.B) {
			set := load(b, c.rule)
			in := flood(b, set, 200_000, c.keys, c.addrs)
			b.ReportAllocs()
			done := 0
			for b.Loop() {
				e := New(set, Config{})
				var out pipeline.Output
				for i := range in {
					e.Process(&in[i], &out)
					if i%5000 == 4999 { // a poll
						e.Tick(&out)
						e.Dirty(func(_, _ []byte) {})
						e.Commit()
					}
				}
				done += len(in)
			}
			b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "signals/s")
		})
	}
}

// An idle key takes 256 bytes or less beyond its name and its value, whatever its kind.
func TestIdleKeysAreSmall(t *testing.T) {
	const n = 50_000
	for name, text := range map[string]string{"count": plainCount, "distinct": distinctCount, "sequence": twoSteps} {
		set := load(t, text)
		in := flood(t, set, n, n, n)
		e := New(set, Config{Lateness: time.Hour})
		var out pipeline.Output
		heap := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := heap()
		for i := range in {
			e.Process(&in[i], &out)
			if i%1000 == 0 {
				e.Commit()
			}
		}
		e.Commit()
		if e.Keys() != n {
			t.Fatalf("%s: %d keys, want %d", name, e.Keys(), n)
		}
		perKey := (float64(heap()) - float64(before)) / n
		t.Logf("%s: %.0f bytes a key", name, perKey)
		if perKey > 256+20 {
			t.Errorf("%s: %.0f bytes a key", name, perKey)
		}
		runtime.KeepAlive(in)
		runtime.KeepAlive(e)
	}
}
