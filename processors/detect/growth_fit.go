package detect

import (
	"math"
	"time"
)

// The fast part: an exponential is fitted to increments over the last minutes. It needs samples a
// minute apart or closer; slower series never reach it.
const (
	fastSlot  = 10 * time.Second // grid the sizes are put on
	fastSlots = 121              // twenty minutes and the size before them
	fastGap   = time.Minute      // a longer hole empties the window
)

// fastState holds the sizes of the last twenty minutes. Windows are anchored at the newest grid
// point, so no bucket is ever incomplete: a partial edge bucket can turn the sign of a fit.
type fastState struct {
	Sizes   [fastSlots]float64 // ring, bytes
	Next, N uint8              // where the next size goes; how many are held
	Early   uint8              // windows in a row the early fit held
	Short   uint8              // the same for the five minutes fit
	Long    uint8              // the same for the twenty minutes fit
}

type fastTier uint8

const (
	fastNone fastTier = iota
	fastEarly
	fastStandard
)

// fit is an exponential through the increments of equal buckets: ln(increment) = a + lambda*t.
type fit struct {
	lambda float64       // per minute
	se     float64       // standard error of lambda
	r2     float64       // of the fit to the logarithms
	late   float64       // the lesser of the two newest rises, per minute: a step has none once it is over
	gain   float64       // growth over the window, part of the size at its start
	rate   float64       // newest bucket, bytes per minute
	span   time.Duration // of the window
}

// fitWindow is a kind of window: six buckets, and what its fit must show.
type fitWindow struct {
	slots  int     // of one bucket
	lambda float64 // at least, per minute
	gain   float64 // at least, part of the size
	hits   uint8   // windows in a row
}

// The thresholds are those of the design's simulation (§4.3), but for the early gain: 0.0007 instead
// of 0.001 warns half a minute sooner, and costs nothing now that fitLate holds bulk loads back.
var (
	earlyWindow = fitWindow{slots: 3, lambda: 0.25, gain: 0.0007, hits: 2}
	shortWindow = fitWindow{slots: 5, lambda: 0.10, gain: 0.01, hits: 3}
	longWindow  = fitWindow{slots: 20, lambda: 0.05, gain: 0.01, hits: 3}
)

// fitR2 is the least part of the variance of ln(increment) the exponential must explain.
const fitR2 = 0.8

// fitLate is the part of lambda the two newest rises must each reach. Without it the logarithm of a
// step (a bulk load) passes for an exponential while the step is inside the window.
const fitLate = 0.4

// observe moves the grid from the last sample to this one and judges the newest windows.
func (f *fastState) observe(t0 int64, size0 float64, t1 int64, size1 float64) (fastTier, fit) {
	if t0 == 0 || t1-t0 > int64(fastGap) || size1 < size0 {
		// A hole, or a vacuum, purge or truncate: what was before says nothing of what comes.
		*f = fastState{}
		t0, size0 = t1-1, size1
	}
	const slot = int64(fastSlot)
	for g := (t0/slot + 1) * slot; g <= t1; g += slot {
		f.Sizes[f.Next] = size0 + (size1-size0)*float64(g-t0)/float64(t1-t0)
		f.Next = (f.Next + 1) % fastSlots
		f.N = min(f.N+1, fastSlots)
	}
	early, okEarly := f.fit(earlyWindow, &f.Early)
	short, okShort := f.fit(shortWindow, &f.Short)
	long, okLong := f.fit(longWindow, &f.Long)
	switch {
	case okShort:
		return fastStandard, short
	case okLong:
		return fastStandard, long
	case okEarly:
		return fastEarly, early
	}
	return fastNone, fit{rate: early.rate}
}

// fit fits the newest six buckets and counts how often in a row they were exponential.
func (f *fastState) fit(w fitWindow, hits *uint8) (fit, bool) {
	r, ok := f.window(w)
	if !ok || r.lambda < w.lambda || r.late < fitLate*r.lambda || r.gain < w.gain || r.r2 < fitR2 {
		*hits = 0
		return r, false
	}
	*hits = min(*hits+1, w.hits)
	return r, *hits >= w.hits
}

// window fits ln(increment) over the newest six buckets by least squares.
func (f *fastState) window(w fitWindow) (r fit, ok bool) {
	const k = 6
	if int(f.N) < k*w.slots+1 {
		return r, false
	}
	at := func(back int) float64 { return f.Sizes[(int(f.Next)-1-back+2*fastSlots)%fastSlots] }
	per := (time.Duration(w.slots) * fastSlot).Minutes()
	start := at(k * w.slots)
	r.span, r.gain = k*time.Duration(w.slots)*fastSlot, (at(0)-start)/start
	r.rate = (at(0) - at(w.slots)) / per
	if r.gain < w.gain {
		return r, false
	}
	var y [k]float64
	rising := 0
	for i, prev := 0, start; i < k; i++ {
		size := at((k - 1 - i) * w.slots)
		if size <= prev {
			return r, false
		}
		y[i] = math.Log(size - prev)
		if i > 0 && y[i] > y[i-1] {
			rising++
		}
		prev = size
	}
	var sxy, sy, syy float64
	const sxx = 17.5 // sum of (i - 2.5)^2
	for i, v := range y {
		sxy += (float64(i) - 2.5) * v
		sy += v
	}
	for _, v := range y {
		syy += (v - sy/k) * (v - sy/k)
	}
	slope := sxy / sxx
	r.lambda = slope / per
	r.r2 = sxy * sxy / (sxx * syy)
	r.se = math.Sqrt(math.Max(syy-slope*sxy, 0)/(k-2)/sxx) / per
	r.late = math.Min(y[k-1]-y[k-2], y[k-2]-y[k-3]) / per
	return r, rising >= 4
}
