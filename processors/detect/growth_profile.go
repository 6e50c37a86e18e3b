package detect

import (
	"math"
	"time"
)

// The slow part knows what the database's clients usually do by hour of the day, on work days and
// on days off, and looks how far the last minutes, hours and day are above it (growth_excess.go).
// It works on ticks of five minutes, or longer where the samples are.
const (
	growthTick  = 5 * time.Minute
	growthGap   = 45 * time.Minute // a longer tick tells nothing of its rates and is left out
	growthCells = 48               // hours of a work day, then hours of a day off
)

// growthCounts are the readings of a sample, or their increments over a tick. NaN is unknown.
type growthCounts struct{ Size, Rows, Commits, Logins, Tests, Net float64 }

// growthUnit is what the activity of clients is measured in: the best signal the source has. Bytes
// received are best, for nightly batches, purges and vacuums do not move them.
type growthUnit uint8

const (
	unitNone growthUnit = iota
	unitSize            // bytes the files grew by
	unitRows            // rows added
	unitNet             // bytes received
)

// profileState is what is usual. Rates are per second.
type profileState struct {
	Time    int64 // of the last tick, Unix nanoseconds; 0: none
	Last    growthCounts
	Ticks   uint32
	Unit    growthUnit
	Events  float64 // attack events from other sources since the last tick
	Joined  bool    // there have been such events
	Missing uint16  // ticks in a row without the signal of Unit

	Activity [growthCells]float32 // in Unit
	Logins   [growthCells]float32 // failed logins
	Seen     [growthCells]uint16  // ticks that went into a cell
	Mean     usualRates           // whatever the hour

	// Commits per row tell a bulk load, so they are learnt from all rows; the rest from clients'.
	CommitsPerRow, NetPerRow, BytesPerRow, LoginsPerActivity ratioState
}

// usualRates are rates per second, or what they come to over a tick.
type usualRates struct{ Activity, Logins, Tests float64 }

// ratioState follows the logarithm of a ratio of decaying sums by stochastic approximation (Robbins
// and Monro 1951) with a bounded step (Huber 1964), so a migration or an attack of some hours moves
// it little; it remembers a day of ticks.
type ratioState struct {
	Num, Den float64
	Log      float64
	N        uint16 // ticks learnt from, at most ratioMemory
}

const (
	ratioMemory  = 300 // ticks
	ratioKnown   = 12  // ticks before the ratio is believed
	ratioOutsize = 100 // times the mean tick
	ratioFewRows = 10  // rows (and commits) in the sums below which the ratio would be noise
)

// learn adds an increment to the sums, of which keep is left, and follows their ratio once each
// has reached few.
func (r *ratioState) learn(num, den, keep, few float64) {
	if !(num >= 0 && den >= 0) {
		return
	}
	// An outsized tick counts as one of ratioOutsize times the mean, or it would rule the sums for days.
	if r.N >= ratioKnown {
		most := ratioOutsize * (1 - keep)
		part := math.Min(1, math.Min(most*math.Max(r.Num, 1)/math.Max(num, 1e-9), most*math.Max(r.Den, 1)/math.Max(den, 1e-9)))
		num, den = num*part, den*part
	}
	r.Num, r.Den = r.Num*keep+num, r.Den*keep+den
	if r.Den < few || r.Num < few || r.Den == 0 || r.Num == 0 {
		return
	}
	x := math.Log(r.Num / r.Den)
	if r.N = min(r.N+1, ratioMemory); r.N == 1 {
		r.Log = x
	}
	r.Log += clamp(x-r.Log, -1, 1) / float64(r.N)
}

// value is the ratio, or NaN before an hour of ticks.
func (r *ratioState) value() float64 {
	if r.N < ratioKnown {
		return math.NaN()
	}
	return math.Exp(r.Log)
}

// tick is the increment between two readings, and what the profile makes of it.
type tick struct {
	now      int64
	sec      float64
	keepDay  float64 // what a sum that decays over a day keeps
	size     float64 // bytes on disk at its end
	d        growthCounts
	cell     int
	activity float64    // of clients, in the profile's unit
	few      float64    // activity that is never worth a thought
	usual    usualRates // expected over the tick
	logins   float64    // failed logins expected, given the activity
	bulk     bool       // rows came without the commits clients would need for them
	rewrite  float64    // bytes written without rows, while commits ran wild
}

// increment of a counter that goes back to 0 at a restart.
func increment(now, last float64) float64 {
	if now < last {
		return now
	}
	return now - last
}

// tick closes a tick if one is due.
func (p *profileState) tick(now int64, c growthCounts, extent float64) (t tick, ok bool) {
	if p.Time == 0 {
		p.Time, p.Last = now, c
		return t, false
	}
	length := time.Duration(now - p.Time)
	if length < growthTick-growthTick/20 {
		return t, false
	}
	last := p.Last
	p.Time, p.Last = now, c
	if length > growthGap || now < 0 {
		p.Events = 0
		return t, false
	}
	p.Ticks++
	sec := length.Seconds()
	t = tick{now: now, sec: sec, keepDay: math.Exp(-sec / 86400), size: c.Size, d: growthCounts{
		Size: c.Size - last.Size, Rows: c.Rows - last.Rows, Commits: increment(c.Commits, last.Commits),
		Logins: increment(c.Logins, last.Logins), Tests: increment(c.Tests, last.Tests), Net: increment(c.Net, last.Net)}}
	// Events seen elsewhere on the host say as failed tests do that growth is no accident. They are
	// no growth themselves: a host under attack has many tables that stay as they are.
	if p.Joined {
		if math.IsNaN(t.d.Tests) {
			t.d.Tests = 0
		}
		t.d.Tests += p.Events
	}
	p.Events = 0
	hours := now / int64(time.Hour)
	t.cell = int(hours % 24)
	if day := (hours/24 + 4) % 7; day == int64(time.Saturday) || day == int64(time.Sunday) { // 1970 began on a Thursday
		t.cell += 24
	}
	p.chooseUnit(&t)
	p.expect(&t)
	p.measure(&t, extent)
	return t, true
}

// chooseUnit takes the best signal there is. A better one is taken at once, a worse one when the
// better has been missing for a day; both begin the profile of the activity anew.
func (p *profileState) chooseUnit(t *tick) {
	best := unitSize
	switch {
	case !math.IsNaN(t.d.Net) && !math.IsNaN(t.d.Rows):
		best = unitNet
	case !math.IsNaN(t.d.Rows):
		best = unitRows
	}
	if p.Missing++; best >= p.Unit {
		p.Missing = 0
	}
	if best > p.Unit || p.Missing > 288 {
		p.Unit, p.Missing, p.Ticks = best, 0, 1
		p.LoginsPerActivity = ratioState{}
		p.Activity, p.Seen, p.Mean.Activity = [growthCells]float32{}, [growthCells]uint16{}, 0
	}
}

// expect fills what the hour usually brings. A cell seen little leans on the mean of all hours.
func (p *profileState) expect(t *tick) {
	n := float64(p.Seen[t.cell])
	const lean = 4 // ticks
	t.usual = usualRates{
		Activity: (float64(p.Activity[t.cell])*n + p.Mean.Activity*lean) / (n + lean) * t.sec,
		Logins:   (float64(p.Logins[t.cell])*n + p.Mean.Logins*lean) / (n + lean) * t.sec,
		Tests:    p.Mean.Tests * t.sec,
	}
}

// peaceClip is how many times the usual is learnt from while there is no alarm.
const peaceClip = 8

// bulkCommits is the part of a client's usual commits per row below which rows are a bulk load.
// A migration commits hundreds of rows at a time; a flood commits as its victim's clients do.
const bulkCommits = 0.25

const (
	fewRows      = 10 // rows in a tick that are never worth a thought
	maxNetPerRow = 4  // times the usual; more was received for something that leaves no rows
)

// rewriteCommits is how many times the usual commits per row come without rows when data is rewritten.
const rewriteCommits = 10

// measure says what clients did in the tick, and what was no client's doing.
func (p *profileState) measure(t *tick, extent float64) {
	d := &t.d
	rows := math.Max(d.Rows, 0)
	commitsPerRow := p.CommitsPerRow.value()
	t.bulk = d.Commits < bulkCommits*commitsPerRow*(rows-100)-1
	if u := d.Size - rows*p.BytesPerRow.value(); d.Commits > rewriteCommits*commitsPerRow*rows+20 && u > 0 {
		t.rewrite = u
	}
	switch p.Unit {
	case unitNet:
		perRow := p.NetPerRow.value()
		t.activity, t.few = d.Net, fewRows*perRow
		if perRow > 0 && d.Rows >= 0 {
			t.activity = math.Min(d.Net, maxNetPerRow*perRow*d.Rows+t.few)
		}
	case unitRows:
		t.activity, t.few = d.Rows, fewRows
	default:
		t.activity, t.few = d.Size, 2*math.Max(extent, 8192)
	}
	if t.bulk || !(t.activity >= 0) {
		t.activity = t.usual.Activity
	}
	if !(t.few > 0) {
		t.few = t.usual.Activity + 1
	}
	t.logins = t.usual.Logins
	if perActivity := p.LoginsPerActivity.value(); perActivity > 0 {
		t.logins = math.Max(t.logins, perActivity*t.activity)
	}
}

// learn takes the tick into the profile. What is above clip times the usual counts as that much.
func (p *profileState) learn(t tick, clip float64) {
	d := t.d
	if d.Size >= 0 && d.Rows >= 0 && clip >= peaceClip {
		halfDay, twoHours := t.keepDay*t.keepDay, excessKeeps(t.keepDay)[1]
		p.CommitsPerRow.learn(d.Commits, d.Rows, halfDay, ratioFewRows)
		if !t.bulk {
			p.NetPerRow.learn(d.Net, d.Rows, halfDay, ratioFewRows)
			p.BytesPerRow.learn(d.Size, d.Rows, halfDay, ratioFewRows)
			p.LoginsPerActivity.learn(d.Logins, t.activity, twoHours, 0)
		}
	}
	// A cell remembers five days of its hour, the mean three and a half days.
	follow := func(rate *float64, x, n, memory float64) { *rate += (x/t.sec - *rate) / math.Min(n, memory) }
	followCell := func(rate *float32, x float64) {
		r := float64(*rate)
		follow(&r, x, float64(p.Seen[t.cell]), 60)
		*rate = float32(r)
	}
	p.Seen[t.cell] = min(p.Seen[t.cell]+1, 60)
	n := float64(p.Ticks)
	settled := p.Ticks > 24
	activity := t.activity
	if settled {
		activity = math.Min(activity, clip*t.usual.Activity+t.few)
	}
	followCell(&p.Activity[t.cell], activity)
	follow(&p.Mean.Activity, activity, n, 1000)
	if logins := d.Logins; !math.IsNaN(logins) {
		if settled {
			logins = math.Min(logins, clip*t.usual.Logins+3)
		}
		followCell(&p.Logins[t.cell], logins)
		follow(&p.Mean.Logins, logins, n, 1000)
	}
	if !math.IsNaN(d.Tests) {
		follow(&p.Mean.Tests, math.Min(d.Tests, 8*t.usual.Tests+3), n, 1000)
	}
}
