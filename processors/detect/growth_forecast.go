package detect

import (
	"math"
	"time"
)

// The course of the last three days is kept at three resolutions, finer the younger, and one
// exponential is fitted to the increments of all of it.
const (
	courseBuckets = 20
	courseScales  = 3
)

var (
	courseWidth = [courseScales]time.Duration{5 * time.Minute, 30 * time.Minute, 3 * time.Hour}
	// courseSigma is how far ln(seen) of a bucket usually lies off its expectation.
	courseSigma = [courseScales]float64{0.4, 0.3, 0.2}
)

// courseState is a ring of sums, seen and usual, at one resolution. A usual of 0 is a bucket without ticks.
type courseState struct {
	Bucket      int64 // number of the newest bucket since 1970
	Seen, Usual [courseBuckets]float32
}

func (c *courseState) add(t tick, width time.Duration) {
	b := (t.now - 1) / int64(width)
	if ahead := b - c.Bucket; ahead < 0 || ahead >= courseBuckets {
		*c = courseState{Bucket: b}
	}
	for c.Bucket < b {
		c.Bucket++
		c.Seen[c.Bucket%courseBuckets], c.Usual[c.Bucket%courseBuckets] = 0, 0
	}
	c.Seen[b%courseBuckets] += float32(t.activity + t.few)
	c.Usual[b%courseBuckets] += float32(t.usual.Activity + t.few)
}

// trendState is an exponential excess over the usual; the zero value is none.
type trendState struct {
	At       int64   // Unix nanoseconds
	Doubling float64 // seconds
	SE       float64 // standard error of ln(Doubling)
	Rate     float64 // of the excess at At, activity per second
}

// forecastSpread is the widest interval, as a factor between its ends, a forecast may have to be
// given. Wider gives forecasts sooner, and worse ones.
const forecastSpread = 1.35

// follow fits the course anew when an eighth of a doubling has passed since the last fit.
func (x *excessState) follow(now int64) {
	if tr := &x.Trend; tr.At == 0 || time.Duration(now-tr.At).Seconds() >= tr.Doubling/8 {
		if fresh, ok := x.fitCourse(now); ok {
			*tr = fresh
		}
	}
}

// forecast says in how many minutes free bytes are full if the excess goes on doubling, with the
// interval that holds it four times of five. Not ok while that is wide.
func (x *excessState) forecast(now int64, free float64) (eta, low, high time.Duration, ok bool) {
	tr, w := x.Trend, x.Seen[0]
	if tr.At == 0 || !(free > 0) || !(w.Size > 0) {
		return 0, 0, 0, false
	}
	// What a unit of activity is on disk is known from the last minutes.
	rate := tr.Rate * math.Exp2(time.Duration(now-tr.At).Seconds()/tr.Doubling) * w.Size / w.Activity * 60
	at := func(doubling float64) time.Duration { return timeToFull(free, rate, doubling/60) }
	eta, low, high = at(tr.Doubling), at(tr.Doubling*math.Exp(-1.3*tr.SE)), at(tr.Doubling*math.Exp(1.3*tr.SE))
	return eta, low, high, float64(high) <= forecastSpread*float64(low)
}

// coursePoint is a complete bucket.
type coursePoint struct {
	age         float64 // seconds, of its middle
	seen, usual float64 // per second
	weight      float64
}

// fitCourse fits ln(seen) by least squares (Gauss-Newton, Björck 1996, 9.2; in logarithms the noise is even), once with
// an excess that goes on day and night, once with one that follows the shape of the day.
func (x *excessState) fitCourse(now int64) (tr trendState, ok bool) {
	var buf [courseScales * courseBuckets]coursePoint
	points := buf[:0]
	mean, since := 0.0, now
	for i, width := range courseWidth {
		c := &x.Course[i]
		// The newest bucket is incomplete; what a finer resolution has told is not told again.
		for b := c.Bucket - 1; b > max(c.Bucket-courseBuckets, 0); b-- {
			end, u := (b+1)*int64(width), float64(c.Usual[b%courseBuckets])
			if end > since || u == 0 {
				continue
			}
			sigma := courseSigma[i]
			points = append(points, coursePoint{age: time.Duration(now - end + int64(width)/2).Seconds(), usual: u / width.Seconds(),
				seen: float64(c.Seen[b%courseBuckets]) / width.Seconds(), weight: 1 / (sigma * sigma)})
			mean += u / width.Seconds()
		}
		since = (c.Bucket - courseBuckets + 1) * int64(width)
	}
	if len(points) < 6 {
		return tr, false
	}
	mean /= float64(len(points))
	flat, costFlat := fitExcess(points, mean, x.Trend, false)
	shaped, costShaped := fitExcess(points, mean, x.Trend, true)
	if costShaped < costFlat {
		flat = shaped
	}
	flat.At = now
	return flat, true
}

// fitExcess fits three parameters: the level of the usual, the size of the excess now in means of
// the usual, and the time in which the excess grows e-fold; each as a logarithm with a wide prior,
// so that the system is never singular. It sets out from the last fit.
func fitExcess(points []coursePoint, mean float64, last trendState, shaped bool) (tr trendState, cost float64) {
	prior := [3]float64{0, math.Log(math.Max(points[0].seen-points[0].usual, 0.1*mean) / mean), math.Log(2 * 3600)}
	spread := [3]float64{0.2, 3, 2}
	p := prior
	if last.At != 0 {
		p[1], p[2] = math.Log(last.Rate/mean), math.Log(last.Doubling/math.Ln2)
	}
	var h [3][3]float64
	for range 15 {
		var g [3]float64
		h, cost = [3][3]float64{}, 0
		level, size, rate := math.Exp(p[0]), math.Exp(p[1]), math.Exp(-p[2])
		for _, q := range points {
			base, excess := q.usual*level, size*math.Exp(-rate*q.age)*mean
			if shaped {
				excess *= q.usual / mean
			}
			r := math.Log(q.seen / (base + excess))
			part := excess / (base + excess)
			d := [3]float64{1 - part, part, part * rate * q.age}
			cost += q.weight * r * r
			for j := range d {
				g[j] += q.weight * d[j] * r
				for k := range j + 1 {
					h[j][k] += q.weight * d[j] * d[k]
				}
			}
		}
		far := 0.0
		for j := range p {
			off, w := prior[j]-p[j], 1/(spread[j]*spread[j])
			g[j] += w * off
			h[j][j] += w
			cost += w * off * off
		}
		step := solve3(h, g)
		for j := range p {
			p[j] += clamp(step[j], -1, 1)
			far = math.Max(far, math.Abs(step[j]))
		}
		if far < 0.01 {
			break
		}
	}
	v := solve3(h, [3]float64{0, 0, 1})
	return trendState{Doubling: math.Ln2 * math.Exp(p[2]), SE: math.Sqrt(math.Max(v[2], 0)), Rate: mean * math.Exp(p[1])}, cost
}

// solve3 solves a*x = b for a positive definite a, of which it reads the lower half (Cholesky).
func solve3(a [3][3]float64, b [3]float64) (x [3]float64) {
	for j := range a {
		for k := range j {
			a[j][j] -= a[j][k] * a[j][k]
		}
		a[j][j] = math.Sqrt(math.Max(a[j][j], 1e-12))
		for i := j + 1; i < 3; i++ {
			for k := range j {
				a[i][j] -= a[i][k] * a[j][k]
			}
			a[i][j] /= a[j][j]
		}
	}
	x = b
	for j := range x {
		for k := range j {
			x[j] -= a[j][k] * x[k]
		}
		x[j] /= a[j][j]
	}
	for j := 2; j >= 0; j-- {
		for k := j + 1; k < 3; k++ {
			x[j] -= a[k][j] * x[k]
		}
		x[j] /= a[j][j]
	}
	return x
}
