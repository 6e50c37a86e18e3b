package main

import (
	"math"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/processors/detect"
)

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9 {
		t.Errorf("%s: got %.12f, want %.12f", what, got, want)
	}
}

// TestScaledSigmoid holds the values that the benchmark documents.
func TestScaledSigmoid(t *testing.T) {
	for position, want := range map[float64]float64{-1: 0.98661, -0.5: 0.84828, 0: 0, 1: -0.98661, 3: -1, 100: -1} {
		if got := scaledSigmoid(position); math.Abs(got-want) > 5e-6 {
			t.Errorf("at %v: got %.6f, want %.5f", position, got, want)
		}
	}
}

func TestProbation(t *testing.T) {
	for rows, want := range map[int]int{0: 0, 10: 1, 1000: 150, 4032: 604, 4999: 749, 5000: 750, 22695: 750} {
		if got := probation(rows); got != want {
			t.Errorf("%d rows: got %d, want %d", rows, got, want)
		}
	}
}

// made returns a series of n rows with windows, and scores that are 1 at the
// given rows.
func made(n int, windows []window, detections ...int) (*series, []float64) {
	scores := make([]float64, n)
	for _, i := range detections {
		scores[i] = 1
	}
	return &series{windows: windows}, scores
}

// TestPublishedOutcomes holds single outcomes of the benchmark's published
// results: windows and detections rebuilt, scores as printed there for the
// standard profile.
func TestPublishedOutcomes(t *testing.T) {
	for _, test := range []struct {
		name       string
		windows    []window
		detections []int
		want       float64
	}{
		{"one window of 403 rows, found from its middle on", []window{{1000, 1402}}, []int{1201, 1202, 1300}, 0.8606718242697022},
		{"window missed", []window{{1000, 1402}}, nil, -1},
		{"two windows missed, four far alarms", []window{{2000, 2094}, {2500, 2594}}, []int{700, 800, 900, 1000}, -2.44},
		{"twelve far alarms and no window", nil, []int{700, 701, 702, 703, 704, 705, 706, 707, 708, 709, 710, 711}, -1.32},
		{"window found at its first row", []window{{1000, 1402}}, []int{1000}, 1},
		{"alarm on probation is not scored", nil, []int{0, 603}, 0},
		{"alarm right behind a window is cheap", []window{{1000, 1402}}, []int{1000, 1403}, 1 + 0.11*scaledSigmoid(1.0/402)},
		{"alarm three widths behind a window costs all", []window{{1000, 1100}}, []int{1000, 1400}, 1 - 0.11},
	} {
		s, scores := made(4032, test.windows, test.detections...)
		p := points(s, scores, 0)
		near(t, test.name, scoreAt(profiles[0], p, 1).raw, test.want)
	}
}

func TestNormalisation(t *testing.T) {
	windows := []window{{1000, 1402}, {2000, 2402}, {3000, 3402}}
	for _, p := range profiles {
		for _, test := range []struct {
			name       string
			detections []int
			want       float64
		}{
			{"null", nil, 0},
			{"perfect", []int{1000, 2000, 3000}, 100},
			{"one missed", []int{1000, 2000}, 200.0 / 3},
		} {
			s, scores := made(4032, windows, test.detections...)
			all := points(s, scores, 0)
			near(t, p.name+" "+test.name, normalised(p, sweep(p, all).raw, all, 3), test.want)
		}
	}
}

// TestSweepIsTheBestThreshold compares the sweep with every threshold tried.
func TestSweepIsTheBestThreshold(t *testing.T) {
	s, scores := made(2000, []window{{500, 700}, {1500, 1600}})
	d := general(detect.AnomalyConfig{})()
	for i := range scores {
		scores[i] = math.Round(50*d(time.Unix(int64(300*i), 0), math.Sin(float64(i*i%977)))) / 50
	}
	all := points(s, scores, 0)
	for _, p := range profiles {
		want := scoreAt(p, all, 1.1).raw
		for _, x := range all {
			want = max(want, scoreAt(p, all, x.score).raw)
		}
		got := sweep(p, all)
		near(t, p.name, got.raw, want)
		near(t, p.name+" at its threshold", scoreAt(p, all, got.threshold).raw, want)
	}
}

// TestVariationsKeepWindows wants every window to begin and end at the rows it
// did, whatever was done to the series.
func TestVariationsKeepWindows(t *testing.T) {
	s := &series{name: "a/b.csv", windows: []window{{300, 350}, {900, 999}}}
	for i := range 1000 {
		s.times = append(s.times, time.Unix(int64(300*i), 0))
		s.values = append(s.values, float64(i))
	}
	for n, v := range variations([]*series{s}) {
		for i, w := range v[0].windows {
			first, last := v[0].values[w.first], v[0].values[w.last]
			if math.Abs(first-float64(s.windows[i].first)) > 2 || math.Abs(last-float64(s.windows[i].last)) > 2 {
				t.Errorf("variation %d: window %d runs from %v to %v, want %v", n, i, first, last, s.windows[i])
			}
		}
	}
}
