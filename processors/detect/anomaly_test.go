package detect_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/tocsin-project/tocsin/processors/detect"
	"github.com/tocsin-project/tocsin/processors/detect/detecttest"
)

var update = flag.Bool("update", false, "rewrite golden files")

type anomalySubject struct{ *detect.Anomaly }

func (s anomalySubject) Observe(t time.Time, v float64) float64 {
	return s.Anomaly.Observe(t, v).Score
}

func TestAnomaly(t *testing.T) {
	detecttest.Run(t, detecttest.Config{
		New:           func() detecttest.Subject { return anomalySubject{detect.NewAnomaly(detect.AnomalyConfig{})} },
		MaxStateBytes: detect.AnomalyStateBytes,
		MaxScore:      1,
	})
}

func TestAnomalyFitsInAKilobyte(t *testing.T) {
	if n := unsafe.Sizeof(detect.Anomaly{}); n > detect.AnomalyStateBytes {
		t.Errorf("a series takes %d bytes of memory, want at most %d", n, detect.AnomalyStateBytes)
	}
}

var start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// daily is an ordinary day's load in five-minute rows.
func daily(i int, r *rand.Rand) (time.Time, float64) {
	return start.Add(time.Duration(i) * 5 * time.Minute),
		100 + 30*math.Sin(2*math.Pi*float64(i)/288) + 4*r.NormFloat64()
}

// TestAnomalyWarns spoils a daily series from row 3000 on and wants a score
// of at least a half within 200 rows, for nine of ten seeds. The spoiler gets
// the row's number in the anomaly, its value and its value without noise.
func TestAnomalyWarns(t *testing.T) {
	for name, spoil := range map[string]func(i int, v, plain float64) float64{
		"spike of 5 deviations":      func(i int, v, _ float64) float64 { return v + 20*float64(max(1-i, 0)) },
		"drop to nothing":            func(int, float64, float64) float64 { return 0 },
		"shift by 4 deviations":      func(_ int, v, _ float64) float64 { return v + 16 },
		"ramp of a tenth a row":      func(i int, v, _ float64) float64 { return v + 0.4*float64(i) },
		"noise of half as much more": func(_ int, v, plain float64) float64 { return plain + 1.5*(v-plain) },
		"stuck at one value":         func(int, float64, float64) float64 { return 100 },
	} {
		t.Run(name, func(t *testing.T) {
			found := 0
			const seeds = 20
			for seed := range uint64(seeds) {
				r := rand.New(rand.NewPCG(seed, 2))
				d := detect.NewAnomaly(detect.AnomalyConfig{})
				best := 0.0
				for i := range 3200 {
					at, v := daily(i, r)
					if i < 3000 {
						d.Observe(at, v)
						continue
					}
					plain := 100 + 30*math.Sin(2*math.Pi*float64(i)/288)
					best = max(best, d.Observe(at, spoil(i-3000, v, plain)).Score)
				}
				if best >= 0.5 {
					found++
				}
			}
			if found < seeds*9/10 {
				t.Errorf("found in %d of %d series", found, seeds)
			}
		})
	}
}

// TestAnomalyKeepsQuiet bounds the false alarms on 20 ordinary series.
func TestAnomalyKeepsQuiet(t *testing.T) {
	alarms := 0
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 3))
		d := detect.NewAnomaly(detect.AnomalyConfig{})
		for i := range 4000 {
			at, v := daily(i, r)
			if s := d.Observe(at, v).Score; i >= 1000 && s >= 0.5 {
				alarms++
			}
		}
	}
	t.Logf("%d alarms in 60000 rows", alarms)
	if alarms > 120 {
		t.Errorf("%d alarms in 60000 ordinary rows, want at most 120", alarms)
	}
}

func TestAnomalyTellsAnEventOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	d := detect.NewAnomaly(detect.AnomalyConfig{})
	alarms := 0
	for i := range 3100 {
		at, v := daily(i, r)
		if i >= 3000 {
			v += 300
		}
		if s := d.Observe(at, v).Score; i >= 3000 && s >= 0.5 {
			alarms++
		}
	}
	if alarms < 1 || alarms > 3 {
		t.Errorf("%d alarms for one event of 100 rows, want 1 to 3", alarms)
	}
}

func TestAnomalyExplains(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	d := detect.NewAnomaly(detect.AnomalyConfig{})
	var v detect.AnomalyVerdict
	for i := range 2000 {
		at, x := daily(i, r)
		if i == 1999 {
			x = 500
		}
		v = d.Observe(at, x)
	}
	for _, want := range []string{"expected ", "got 500", "value beyond its range"} {
		if got := v.Explain(); !strings.Contains(got, want) {
			t.Errorf("explanation %q lacks %q", got, want)
		}
	}
}

func TestAnomalyIgnoresNaN(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	a, b := detect.NewAnomaly(detect.AnomalyConfig{}), detect.NewAnomaly(detect.AnomalyConfig{})
	for i := range 1000 {
		at, v := daily(i, r)
		if s := b.Observe(at, math.NaN()).Score; s != 0 {
			t.Fatalf("NaN scores %v", s)
		}
		if x, y := a.Observe(at, v), b.Observe(at, v); x != y {
			t.Fatalf("row %d: %+v without NaN, %+v with", i, x, y)
		}
	}
}

// TestAnomalyTrace holds every score above a tenth, and its explanation, on a
// series with labelled events: row 2000 a spike, 2600 to 2700 a flat day, 3200
// a shift that stays, 3900 an infinity, 4000 NaN.
func TestAnomalyTrace(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	d := detect.NewAnomaly(detect.AnomalyConfig{})
	var trace strings.Builder
	for i := range 4500 {
		at, v := daily(i, r)
		switch {
		case i == 2000:
			v += 80
		case i >= 2600 && i < 2700:
			v = 70
		case i >= 3200 && i < 3900:
			v += 60
		case i == 3900:
			v = math.Inf(1)
		case i == 4000:
			v = math.NaN()
		}
		if verdict := d.Observe(at, v); verdict.Score > 0.1 {
			fmt.Fprintf(&trace, "%d %.3f %s\n", i, verdict.Score, verdict.Explain())
		}
	}
	golden := filepath.Join("testdata", "anomaly", "daily.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(trace.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got := trace.String(); got != string(want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestAnomalyDoesNotAllocate(t *testing.T) {
	d := detect.NewAnomaly(detect.AnomalyConfig{})
	r := rand.New(rand.NewPCG(13, 14))
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		at, v := daily(i, r)
		d.Observe(at, v)
		i++
	}); n != 0 {
		t.Errorf("%v allocations a row", n)
	}
}

func BenchmarkAnomaly(b *testing.B) {
	r := rand.New(rand.NewPCG(9, 10))
	values := make([]float64, 4096)
	for i := range values {
		_, values[i] = daily(i, r)
	}
	d := detect.NewAnomaly(detect.AnomalyConfig{})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		d.Observe(start.Add(time.Duration(i)*5*time.Minute), values[i%len(values)])
	}
}
