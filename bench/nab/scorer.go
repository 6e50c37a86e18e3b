package main

import (
	"math"
	"slices"
)

// A profile is what an outcome is worth: a window found at its first row
// earns TP, a window missed costs FN, a row far outside any window costs FP.
// The three are NAB v1.1's application profiles (Lavin and Ahmad 2015, and
// config/profiles.json of the benchmark).
type profile struct {
	name       string
	tp, fp, fn float64
}

var profiles = [...]profile{
	{"standard", 1, 0.11, 1},
	{"reward_low_FP", 1, 0.22, 1},
	{"reward_low_FN", 1, 0.11, 2},
}

// scaledSigmoid is the benchmark's worth of a position: -1 the window's left
// edge, 0 just past its right edge, above 0 behind it in window widths.
func scaledSigmoid(position float64) float64 {
	if position >= 3 {
		return -1
	}
	return 2/(1+math.Exp(5*position)) - 1
}

// noWindow is the window of a row outside all of them.
const noWindow = -1

// A point is a scored row after the probationary period.
type point struct {
	score float64
	// window is its number in the corpus, or noWindow.
	window int
	// worth is in 0..1 inside a window (1 at its left edge) and in -1..0
	// outside, before the profile's weight.
	worth float64
}

// probation is the number of first rows that are not scored: 15 %, at most
// 15 % of 5000.
func probation(rows int) int {
	return int(min(math.Floor(0.15*float64(rows)), 0.15*5000))
}

// points places the scores of one series of the corpus; its windows are
// numbered from first on.
func points(s *series, scores []float64, first int) []point {
	out := make([]point, 0, len(scores))
	skip := probation(len(scores))
	next := 0                // window to enter
	var open, closed *window // the one we are in, the last one left
	for i, score := range scores {
		if open == nil && next < len(s.windows) && i == s.windows[next].first {
			open = &s.windows[next]
			next++
		}
		p := point{score: score, window: noWindow, worth: -1}
		switch {
		case open != nil:
			p.window = first + next - 1
			p.worth = scaledSigmoid(-float64(open.last-i+1)/float64(open.width())) / scaledSigmoid(-1)
		case closed != nil:
			p.worth = scaledSigmoid(float64(i-closed.last) / float64(closed.width()-1))
		}
		if i >= skip {
			out = append(out, p)
		}
		if open != nil && i == open.last {
			open, closed = nil, open
		}
	}
	return out
}

// An outcome is what a threshold gives.
type outcome struct {
	threshold float64
	// raw is the benchmark's score before normalisation.
	raw float64
	// found is the number of windows with a detection, alarms the number of
	// rows outside windows at or above the threshold.
	found, alarms int
}

// sweep returns the outcome of the best threshold for a profile: the one with
// the highest raw score over all points, the greatest of equals. A row is a
// detection if its score is at or above the threshold; 1.1 detects nothing.
func sweep(p profile, all []point) outcome {
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b point) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return 0
	})
	t := newTally(p, all)
	best := t.outcome(1.1)
	for i := range sorted {
		t.detect(sorted[i])
		if i+1 < len(sorted) && sorted[i+1].score == sorted[i].score {
			continue
		}
		if o := t.outcome(sorted[i].score); o.raw > best.raw {
			best = o
		}
	}
	return best
}

// scoreAt returns the outcome of a given threshold.
func scoreAt(p profile, some []point, threshold float64) outcome {
	t := newTally(p, some)
	for _, x := range some {
		if x.score >= threshold {
			t.detect(x)
		}
	}
	return t.outcome(threshold)
}

// A tally adds up detections.
type tally struct {
	profile
	raw    float64
	best   map[int]float64 // earned per window; -fn if not found
	found  int
	alarms int
}

func newTally(p profile, all []point) *tally {
	t := &tally{profile: p, best: map[int]float64{}}
	for _, x := range all {
		if _, known := t.best[x.window]; x.window != noWindow && !known {
			t.best[x.window] = -p.fn
			t.raw -= p.fn
		}
	}
	return t
}

func (t *tally) detect(x point) {
	if x.window == noWindow {
		t.alarms++
		t.raw += x.worth * t.fp
		return
	}
	earned, was := x.worth*t.tp, t.best[x.window]
	if was == -t.fn {
		t.found++
	}
	if earned > was {
		t.raw += earned - was
		t.best[x.window] = earned
	}
}

func (t *tally) outcome(threshold float64) outcome {
	return outcome{threshold, t.raw, t.found, t.alarms}
}

// normalised maps a raw score over all points to 0 for the null detector, which
// detects nothing, and 100 for the perfect one, which detects the first row of
// every window and nothing else.
func normalised(p profile, raw float64, all []point, windows int) float64 {
	null, perfect := newTally(p, all).raw, p.tp*float64(windows)
	return 100 * (raw - null) / (perfect - null)
}
