package correlate

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-project/tocsin/pipeline"
)

func gather(t *testing.T, m *Metrics) map[string]float64 {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(m)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, one := range f.GetMetric() {
			name := f.GetName()
			for _, l := range one.GetLabel() {
				name += " " + l.GetValue()
			}
			all[name] = one.GetCounter().GetValue() + one.GetGauge().GetValue()
		}
	}
	return all
}

// What is reported is what was committed: after rollbacks, restarts and floods the figures are those of the state.
func TestMetricsAreThoseOfTheState(t *testing.T) {
	set := load(t, thresholdRule, sequenceRule, newValueRule, absenceRule)
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 9))
		in := mixed(t, rng, set, 300)
		m := NewMetrics()
		e, out := New(set, Config{Lateness: 30 * time.Second, MaxKeys: 5}), &pipeline.Output{}
		e.Report(m)
		alerts := 0
		for len(in) > 0 {
			poll := in[:min(len(in), 1+rng.IntN(20))]
			for {
				out.Reset(t0)
				for i := range poll {
					s := poll[i]
					e.Process(&s, out)
				}
				e.Tick(out)
				e.Dirty(func([]byte, []byte) {})
				if rng.IntN(3) > 0 {
					break
				}
				e.Rollback()
			}
			e.Commit()
			alerts += len(out.Alerts)
			in = in[len(poll):]
			for id, r := range e.rules {
				sum := int64(0)
				for _, k := range r.keys {
					if n := len(k.judge.encode([]byte{stateVersion})); n != int(k.size) {
						t.Fatalf("seed %d: a key of %s has %d bytes, and is said to have %d", seed, id, n, k.size)
					}
					sum += int64(k.size)
				}
				if sum != r.bytes {
					t.Fatalf("seed %d: %s has %d bytes, and is said to have %d", seed, id, sum, r.bytes)
				}
			}
		}
		got := gather(t, m)
		if got["tocsin_detect_signals_total judged"] != float64(e.stats.Signals) || got["tocsin_detect_forgotten_total keys"] != float64(e.stats.Evicted) {
			t.Fatalf("seed %d: %v, want %+v", seed, got, e.stats)
		}
		said := 0.0
		for _, status := range []string{pipeline.StatusFiring, pipeline.StatusUpdated, pipeline.StatusResolved} {
			for id, r := range e.rules {
				said += got["tocsin_rule_alerts_total "+id+" "+status]
				if got["tocsin_rule_keys "+id] != float64(len(r.keys)) || got["tocsin_rule_state_bytes "+id] != float64(r.bytes) {
					t.Fatalf("seed %d: %s: %v", seed, id, got)
				}
			}
		}
		if int(said) != alerts || alerts == 0 {
			t.Fatalf("seed %d: %v records of alerts, want %d", seed, said, alerts)
		}
	}
}

func TestEngineThatIsGoneIsNotReported(t *testing.T) {
	m := NewMetrics()
	New(load(t, thresholdRule), Config{}).Report(m)
	for deadline := time.Now().Add(10 * time.Second); ; {
		runtime.GC()
		m.mu.Lock()
		n := len(m.held)
		m.mu.Unlock()
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("it is still there")
		}
		time.Sleep(time.Millisecond)
	}
}
