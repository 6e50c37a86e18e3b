package main

import (
	"math"
	"time"

	"github.com/tocsin-project/tocsin/processors/detect"
)

// A detector scores the rows of one series in order, in 0..1.
type detector func(t time.Time, v float64) float64

// A contender is a detector with a name; start makes a fresh one a series.
type contender struct {
	name  string
	start func() detector
}

func general(cfg detect.AnomalyConfig) func() detector {
	return func() detector {
		d := detect.NewAnomaly(cfg)
		return func(t time.Time, v float64) float64 { return d.Observe(t, v).Score }
	}
}

// baselines are what any detector must beat.
var baselines = []contender{
	{"null", func() detector { return func(time.Time, float64) float64 { return 0 } }},
	{"EWMA z", ewmaZ},
	{"windowed Gaussian", windowedGaussian},
	{"range novelty", rangeNovelty},
}

// rangeNovelty is the distance outside the range seen so far over that range.
func rangeNovelty() detector {
	lo, hi := math.Inf(1), math.Inf(-1)
	return func(_ time.Time, v float64) float64 {
		if lo > hi {
			lo, hi = v, v
			return 0
		}
		out := max(lo-v, v-hi, 0)
		width := hi - lo
		lo, hi = min(lo, v), max(hi, v)
		if out == 0 {
			return 0
		}
		return out / (out + width)
	}
}

// ewmaZ is the distance from an exponential mean in its deviations.
func ewmaZ() detector {
	const weight = 0.02
	mean, variance, rows := 0.0, 0.0, 0
	return func(_ time.Time, v float64) float64 {
		if rows++; rows == 1 {
			mean = v
		}
		d := v - mean
		z := math.Abs(d) / math.Sqrt(variance+1e-12)
		mean += weight * d
		variance += weight * (d*d - variance)
		return z / (z + 5)
	}
}

// windowedGaussian is the benchmark's own simple detector: one minus the
// normal tail above the row, with mean and deviation of the last 6400 rows,
// moved on by 100 rows at a time. Its published scores verify the scorer.
func windowedGaussian() detector {
	const size, step = 6400, 100
	var rows []float64
	mean, squares, deviation := 0.0, 0.0, 1.0
	learn := func(v float64, n int) { // Welford's update by the n-th row
		d := v - mean
		mean += d / float64(n)
		squares += d * (v - mean)
		deviation = max(math.Sqrt(squares/float64(n)), 1e-6)
	}
	return func(_ time.Time, v float64) float64 {
		score := 0.0
		if len(rows) > 0 {
			score = 1 - math.Erfc((v-mean)/deviation/math.Sqrt2)/2
		}
		rows = append(rows, v)
		switch {
		case len(rows) <= size:
			learn(v, len(rows))
		case len(rows) == size+step:
			rows = append(rows[:0], rows[step:]...)
			mean, squares = 0, 0
			for i, x := range rows {
				learn(x, i+1)
			}
		}
		return score
	}
}
