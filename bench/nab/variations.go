package main

import (
	"math"
	"math/rand/v2"
	"time"
)

// Half a hundred windows decide little: one window more or less found is
// worth 1.7 points. A choice is therefore judged by the mean over the corpus
// and variations of it that leave every anomaly in its place, and by the
// standard score on one half of the series at the threshold of the other.

// variations returns the corpus and eight variations: later starts, another
// time of day, rows put in between, noise on top.
func variations(corpus []*series) [][]*series {
	all := [][]*series{corpus}
	for _, v := range []struct{ trim, insert, noise, hours float64 }{
		{trim: 0.02},
		{trim: 0.04},
		{trim: 0.07},
		{hours: 0.4},
		{hours: 0.6, insert: 0.1},
		{insert: 0.2},
		{noise: 0.1},
		{noise: 0.3},
	} {
		var varied []*series
		for n, s := range corpus {
			r := rand.New(rand.NewPCG(uint64(len(all)), uint64(n)))
			varied = append(varied, vary(s, r, v.trim, v.insert, v.noise, time.Duration(v.hours*float64(time.Hour))))
		}
		all = append(all, varied)
	}
	return all
}

// vary returns s without the first share trim of its rows, with a row half way
// between two put in with probability insert, with normal noise of a share of
// the mean change, and with its clock put forward.
func vary(s *series, r *rand.Rand, trim, insert, noise float64, forward time.Duration) *series {
	out := &series{name: s.name}
	change := 0.0
	for i := 1; i < len(s.values); i++ {
		change += math.Abs(s.values[i]-s.values[i-1]) / float64(len(s.values)-1)
	}
	add := func(t time.Time, v float64) {
		out.times = append(out.times, t.Add(forward))
		out.values = append(out.values, v+noise*change*r.NormFloat64())
	}
	at := make([]int, len(s.values))
	for i := int(trim * float64(len(s.values))); i < len(s.values); i++ {
		if len(out.values) > 0 && r.Float64() < insert {
			add(s.times[i-1].Add(s.times[i].Sub(s.times[i-1])/2), (s.values[i-1]+s.values[i])/2)
		}
		at[i] = len(out.values)
		add(s.times[i], s.values[i])
	}
	for _, w := range s.windows {
		out.windows = append(out.windows, window{at[w.first], at[w.last]})
	}
	return out
}

// acrossHalves returns the mean standard score on one half of the series at
// the best threshold of the other half, over 100 random divisions.
func acrossHalves(corpus []*series, r result) float64 {
	rng := rand.New(rand.NewPCG(1, 2))
	const divisions = 100
	p, sum := profiles[0], 0.0
	for range divisions {
		order := rng.Perm(len(corpus))
		half := len(order) / 2
		for _, side := range [2][2][]int{{order[:half], order[half:]}, {order[half:], order[:half]}} {
			var known []point
			for _, n := range side[0] {
				known = append(known, r.series[n]...)
			}
			threshold := sweep(p, known).threshold
			var unknown []point
			windows := 0
			for _, n := range side[1] {
				unknown = append(unknown, r.series[n]...)
				windows += len(corpus[n].windows)
			}
			sum += normalised(p, scoreAt(p, unknown, threshold).raw, unknown, windows) / (2 * divisions)
		}
	}
	return sum
}
