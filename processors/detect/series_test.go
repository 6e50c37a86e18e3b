package detect

import (
	"flag"
	"math"
	"runtime"
	"testing"
	"time"
)

var many = flag.Int("series", 5_000, "series of TestManySeries")

// TestManySeries: each series takes a kilobyte and no more, and does not disturb the others. -series says how many.
func TestManySeries(t *testing.T) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	series := make([]*Anomaly, *many)
	for i := range series {
		series[i] = NewAnomaly(AnomalyConfig{})
	}
	const rows = 60
	start, began := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), time.Now()
	found := 0
	for row := range rows {
		now := start.Add(time.Duration(row) * 5 * time.Minute)
		for i, d := range series {
			v := 100 + math.Sin(float64(i%7+row)) // each has its own habit
			if i%1000 == 0 && row == rows-1 {
				v *= 50
			}
			if score := d.Observe(now, v).Score; row == rows-1 && (score > 0.5) != (i%1000 == 0) {
				t.Errorf("series %d scores %.2f", i, score)
			} else if score > 0.5 {
				found++
			}
		}
	}
	elapsed := time.Since(began)
	each := float64(heap()-before) / float64(len(series))
	t.Logf("%d series, %d rows: %.0f bytes a series, %.0f ns a row, %d anomalies", len(series), rows*len(series), each, float64(elapsed.Nanoseconds())/float64(rows*len(series)), found)
	if each > AnomalyStateBytes+16 {
		t.Errorf("%.0f bytes a series, at most %d are meant", each, AnomalyStateBytes)
	}
	if found == 0 {
		t.Error("none of the jumps was found")
	}
	runtime.KeepAlive(series)
}
