package detect_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/tocsin-project/tocsin/processors/detect"
	"github.com/tocsin-project/tocsin/processors/detect/detecttest"
)

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
// of at least a half soon, above all before it.
func TestAnomalyWarns(t *testing.T) {
	for name, spoil := range map[string]func(v float64) float64{
		"spike":  func(v float64) float64 { return v + 200 },
		"drop":   func(float64) float64 { return 0 },
		"double": func(v float64) float64 { return 2 * v },
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			d := detect.NewAnomaly(detect.AnomalyConfig{})
			before, after := 0.0, 0.0
			for i := range 3050 {
				at, v := daily(i, r)
				if i < 3000 {
					if s := d.Observe(at, v).Score; i > 1500 {
						before = max(before, s)
					}
					continue
				}
				after = max(after, d.Observe(at, spoil(v)).Score)
			}
			if after < 0.5 || after <= before {
				t.Errorf("best score %.3f in the anomaly, %.3f in the 1500 rows before", after, before)
			}
		})
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
