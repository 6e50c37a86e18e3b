package main

import (
	"math"

	"github.com/tocsin-project/tocsin/processors/detect"
)

// ours is the detector under test; it alarms from score on.
type ours struct {
	g     *detect.Growth
	score float64
}

func newOurs(score float64) func(*database) rule {
	return func(db *database) rule {
		return &ours{detect.NewGrowth(detect.GrowthConfig{Capacity: db.capacity, Extent: db.extent}), score}
	}
}

func (o *ours) observe(s detect.GrowthSample) (bool, float64) {
	v := o.g.Observe(s)
	return v.Score >= o.score, v.TimeToFull.Seconds()
}

// linear is Prometheus' predict_linear: a least squares line over a window, full within ahead seconds.
type linear struct {
	capacity      float64
	window, ahead float64 // seconds
	t, y          []float64
}

func newLinear(hours, ahead float64) func(*database) rule {
	return func(db *database) rule {
		return &linear{capacity: db.capacity, window: hours * 3600, ahead: ahead * 3600}
	}
}

func (l *linear) observe(s detect.GrowthSample) (bool, float64) {
	if !(s.Size > 0) {
		return false, 0
	}
	now := float64(s.Time.Unix())
	l.t, l.y = append(l.t, now), append(l.y, s.Size)
	for l.t[0] < now-l.window {
		l.t, l.y = l.t[1:], l.y[1:]
	}
	var st, sy, stt, sty float64
	n := float64(len(l.t))
	for i := range l.t {
		t := l.t[i] - now
		st, sy, stt, sty = st+t, sy+l.y[i], stt+t*t, sty+t*l.y[i]
	}
	slope := (n*sty - st*sy) / (n*stt - st*st)
	if n < 3 || !(slope > 0) {
		return false, 0
	}
	eta := (l.capacity - (sy-slope*st)/n) / slope
	return eta < l.ahead, math.Max(eta, 0)
}

// used alarms on a part of the capacity.
type used struct{ capacity, part float64 }

func newUsed(part float64) func(*database) rule {
	return func(db *database) rule { return &used{db.capacity, part} }
}

func (u *used) observe(s detect.GrowthSample) (bool, float64) { return s.Size > u.part*u.capacity, 0 }

// ewma alarms on growth above sigmas deviations of its exponentially weighted mean (about a day).
type ewma struct {
	sigmas             float64
	last, mean, square float64
	n                  int
}

func newEWMA(sigmas float64) func(*database) rule {
	return func(*database) rule { return &ewma{sigmas: sigmas} }
}

func (e *ewma) observe(s detect.GrowthSample) (bool, float64) {
	if !(s.Size > 0) {
		return false, 0
	}
	x := s.Size - e.last
	e.last = s.Size
	if e.n++; e.n == 1 {
		return false, 0
	}
	const alpha = 1.0 / 288
	dev := x - e.mean
	alarm := e.n > 288 && dev > e.sigmas*math.Sqrt(e.square)
	e.mean += alpha * dev
	e.square = (1 - alpha) * (e.square + alpha*dev*dev)
	return alarm, 0
}
