package detect

import (
	"math"
	"time"
)

// Excess is judged on three spans at once: a flood shows on the first, a drip on the last.
const growthSpans = 3

var excessSpan = [growthSpans]float64{40 * 60, 4 * 3600, 24 * 3600} // seconds

// The knobs of the slow part. All are logarithms or log likelihoods (nats), so that none depends on
// a database's size or traffic. bench/growth prints what each signal adds.
const (
	// usualMargin: ln(activity/usual) must be this many times what passed as harmless before.
	// More is fewer false alarms from bursts, and later warnings.
	usualMargin = 1.5
	// organicNats: failed logins grow with the usual clients' traffic. Where they make it this sure
	// that the traffic is others', the bar for activity is halved; as sure of the contrary, doubled.
	// Less trusts the logins more.
	organicNats = 8.0
	// testNats: the bar is halved for each so many nats of failed tests and joined attack events
	// above testSure, up to testHalvings times. Less trusts them more.
	testNats, testSure, testHalvings = 4.0, 2.0, 1.5
	// loginNats, loginMargin: failed logins are an attack when they are so improbable, and so many
	// times more than what passed as harmless before. Less finds stuffing earlier, and takes a
	// forgetful script for it.
	loginNats, loginMargin = 9.0, 1.6
	// rewritePart: part of the size that is rewritten in 40 minutes in an attack.
	rewritePart = 0.012
	// peakMemory: seconds in which what passed as harmless is forgotten.
	peakMemory = 20 * 86400.0
	// dismissMargin, dismissMost: what is dismissed must be exceeded so many times to alarm again;
	// and at most so much is taken from a dismissal, or a dismissed attack would blind for months.
	dismissMargin, dismissMost = 1.2, 4.0
	// warmUp: ticks before anything is judged; the sensitivity is full after twice as many.
	warmUp = 288
)

// activityFloor is the least ln(activity/usual) that is odd, on each span: five, three and two
// times the usual. Lower is earlier, and takes campaigns for attacks.
var activityFloor = [growthSpans]float64{1.65, 1.12, 0.72}

// excessKeeps is what the spans' sums keep: the spans are six times longer each.
func excessKeeps(day float64) [growthSpans]float64 {
	hours := day * day * day
	hours *= hours
	minutes := hours * hours * hours
	return [growthSpans]float64{minutes * minutes, hours, day}
}

// windowState holds sums that decay with their span.
type windowState struct{ Activity, Logins, UsualLogins, Tests, Size float64 }

// peakState is the largest value that turned out harmless, slowly forgotten.
type peakState struct{ Usual, Rising float64 }

func (p *peakState) observe(x, sec float64) {
	p.Usual *= 1 - sec/peakMemory
	if x > p.Rising {
		p.Rising = x
	} else if x < p.Rising/3 {
		// It is over and no alarm came of it: this is what the database does.
		p.Usual, p.Rising = math.Max(p.Usual, p.Rising), math.Max(x, 0)
	}
}

// excessState is how far the present is above the usual.
type excessState struct {
	Seen, Usual [growthSpans]windowState // what came, and what usually comes
	Rewritten   float64                  // bytes of the last 40 minutes
	Peak        [growthSpans]peakState   // of ln(activity/usual)
	LoginPeak   [growthSpans]peakState   // of the log likelihood of failed logins
	Since       int64                    // of the alarm, Unix nanoseconds; 0: none
	Calm        uint16                   // calm ticks of an alarm, less the others
	Strength    float64                  // of the evidence, 1 alarms
	Cause       growthCause              // of Strength
	Worst       float64                  // greatest Strength of this alarm
	Dismissed   float64                  // Strength of dismissed alarms, slowly forgotten
	Course      [courseScales]courseState
	Trend       trendState // while the alarm lasts
}

// growthCause is what spoke loudest.
type growthCause uint8

const (
	causeNone growthCause = iota
	causeActivity
	causeLogins
	causeRewrite
	causeShape
	causeStanding
)

var growthCauses = [...]string{
	causeNone:     "nothing odd",
	causeActivity: "clients write more than is usual at this hour",
	causeLogins:   "failed logins beyond what the traffic explains",
	causeRewrite:  "data is rewritten",
	causeShape:    "increments grow exponentially",
	causeStanding: "no new size, as before",
}

// observe judges a tick. Unless what clients send is measured, a batch job cannot be told from
// them, and that failed logins stayed away says nothing against them.
func (x *excessState) observe(t tick, ticks uint32, sent bool) {
	x.add(t)
	strength, cause := 0.0, causeNone
	consider := func(s float64, c growthCause) {
		if s > strength {
			strength, cause = s, c
		}
	}
	for i := range growthSpans {
		seen, usual := &x.Seen[i], &x.Usual[i]
		above := math.Log((seen.Activity + t.few) / (usual.Activity + t.few))
		tests := poissonNats(seen.Tests, usual.Tests)
		// Poisson log likelihood of failed logins that stayed as they were, against failed logins
		// that grew as the activity did.
		alien := usual.UsualLogins*(math.Exp(above)-1) - seen.Logins*above
		if !sent {
			alien = math.Min(alien, 0)
		}
		halvings := clamp(alien/organicNats, -1, 1) + clamp((tests-testSure)/testNats, 0, testHalvings)
		bar := math.Max(activityFloor[i], usualMargin*x.Peak[i].Usual) * math.Exp(-math.Ln2*halvings)
		consider(above/bar, causeActivity)
		logins := poissonNats(seen.Logins, usual.Logins)
		if seen.Logins+1 < 1.5*(usual.Logins+1) {
			logins = 0 // improbable only because there are so many
		}
		consider(logins/math.Max(loginNats, loginMargin*x.LoginPeak[i].Usual), causeLogins)
		if x.Since == 0 && ticks > 2*warmUp {
			x.Peak[i].observe(above, t.sec)
			x.LoginPeak[i].observe(logins, t.sec)
		}
	}
	consider(x.Rewritten/(rewritePart*t.size), causeRewrite)
	x.Dismissed *= 1 - t.sec/peakMemory
	x.Strength, x.Cause = strength*clamp(float64(ticks)/warmUp-1, 0, 1)/math.Max(1, dismissMargin*x.Dismissed), cause
	x.alarm(t)
}

// add takes a tick into the windows.
func (x *excessState) add(t tick) {
	keeps := excessKeeps(t.keepDay)
	for i, keep := range keeps {
		for _, w := range []*windowState{&x.Seen[i], &x.Usual[i]} {
			w.Activity *= keep
			w.Logins *= keep
			w.UsualLogins *= keep
			w.Tests *= keep
			w.Size *= keep
		}
		seen, usual := &x.Seen[i], &x.Usual[i]
		seen.Activity += t.activity
		usual.Activity += t.usual.Activity
		seen.Size += math.Max(t.d.Size, 0)
		// What is not known is left out on both sides.
		if !math.IsNaN(t.d.Logins) {
			seen.Logins += t.d.Logins
			usual.Logins += t.logins
			usual.UsualLogins += t.usual.Logins
		}
		if !math.IsNaN(t.d.Tests) {
			seen.Tests += t.d.Tests
			usual.Tests += t.usual.Tests
		}
	}
	for i, width := range courseWidth {
		x.Course[i].add(t, width)
	}
	x.Rewritten = x.Rewritten*keeps[0] + t.rewrite
}

// alarm begins an alarm, or ends it when for an hour, all in all, the ticks were calm: the windows
// would stay high for a day after a flood.
func (x *excessState) alarm(t tick) {
	if x.Since == 0 {
		if x.Strength < 1 {
			return
		}
		x.Since, x.Calm = t.now, 0
	}
	x.Worst = math.Max(x.Worst, x.Strength)
	x.follow(t.now)
	switch {
	case t.activity < 1.5*t.usual.Activity+t.few && !(t.d.Logins >= 2*t.logins+3) && t.rewrite < 0.0005*t.size:
		x.Calm++
	case x.Calm > 0:
		x.Calm--
	}
	if x.Calm >= 12 {
		x.end()
	}
}

// end ends an alarm and empties the windows.
func (x *excessState) end() {
	*x = excessState{Seen: x.Usual, Usual: x.Usual, Course: x.Course, Peak: x.Peak, LoginPeak: x.LoginPeak, Dismissed: x.Dismissed}
	for i := range growthSpans {
		x.Peak[i].Rising, x.LoginPeak[i].Rising = 0, 0
	}
}

// dismiss ends an alarm that was false, and raises the bar by it.
func (x *excessState) dismiss() {
	x.Dismissed = clamp(x.Worst*math.Max(1, dismissMargin*x.Dismissed), x.Dismissed, dismissMost)
	x.end()
}

// clip says how much above the usual may be learnt: much in peace, nothing in the first two days
// of an alarm, a little later, for a new usual must be learnt some day.
func (x *excessState) clip(now int64) float64 {
	switch {
	case x.Since == 0:
		return peaceClip
	case time.Duration(now-x.Since) < 48*time.Hour:
		return 0
	}
	return 1.5
}

// poissonNats is the log likelihood ratio of n events where mean were expected, half the Poisson
// deviance (McCullagh and Nelder, Generalized Linear Models, 1989, 2.3); 0 if n is not more. Half an
// event is added to the mean, or the first ever would be infinitely improbable.
func poissonNats(n, mean float64) float64 {
	mean += 0.5
	if n <= mean {
		return 0
	}
	return n*math.Log(n/mean) - (n - mean)
}

func clamp(x, lo, hi float64) float64 { return math.Max(lo, math.Min(hi, x)) }
