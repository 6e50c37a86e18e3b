package main

import (
	"math"
	"math/rand/v2"

	"github.com/tocsin-project/tocsin/processors/detect"
)

// A world is sixteen databases over 28 days, one sample every five minutes, with normal life, odd
// but harmless events, and attacks. It is drawn from its seed alone. The ranges are wider than
// those of the sample worlds the detector is also scored on, which come from another generator.
type world struct {
	dbs []*database
}

type database struct {
	name             string
	capacity, extent float64
	samples          []detect.GrowthSample
	attacks          []attack
	benign           []event
}

type event struct {
	DB    string `json:"db"`
	Kind  string `json:"kind"`
	Start int64  `json:"start"` // Unix seconds
	End   int64  `json:"end"`
}

// attack carries what the scorer needs; times are Unix seconds, 0 is never.
type attack struct {
	event
	Visible      int64   `json:"visible"`
	Full         int64   `json:"full"`
	HalfHeadroom int64   `json:"half_headroom"`
	Clear        int64   `json:"clear"`
	Doubling     float64 `json:"doubling_s"`
}

const (
	step      = 300 // seconds between samples
	day       = 86400 / step
	worldDays = 28
	steps     = worldDays * day
	worldT0   = 1_767_571_200 // a Monday, 00:00 UTC
)

func newWorld(seed uint64) *world {
	rng := rand.New(rand.NewPCG(seed, 0x67726f77))
	w := &world{}
	for i := range 16 {
		w.dbs = append(w.dbs, newDatabase("db"+string(rune('a'+i)), rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64()))))
	}
	return w
}

// dice are the draws the generator is made of.
type dice struct{ *rand.Rand }

func (d dice) between(lo, hi float64) float64 { return lo + (hi-lo)*d.Float64() }
func (d dice) logBetween(lo, hi float64) float64 {
	return math.Exp(d.between(math.Log(lo), math.Log(hi)))
}
func (d dice) chance(p float64) bool       { return d.Float64() < p }
func (d dice) noise(sigma float64) float64 { return math.Exp(sigma*d.NormFloat64() - sigma*sigma/2) }
func (d dice) poisson(mean float64) float64 {
	if mean > 50 {
		return math.Max(0, math.Round(mean+math.Sqrt(mean)*d.NormFloat64()))
	}
	k, p, limit := 0.0, d.Float64(), math.Exp(-mean)
	for p > limit {
		p *= d.Float64()
		k++
	}
	return k
}

// life is how a database behaves while nothing happens to it.
type life struct {
	rowRate               float64 // rows a step, mean
	bytesPerRow           float64
	commits, net          float64 // per row, bytes per byte of rows
	logins, tests         float64 // failed, a step
	daily, phase, weekend float64
	sigma, memory         float64 // of the activity's noise; its memory in steps
	burstsPerDay          float64
	trend                 float64 // per day
	batchHour, batchLen   int     // steps; length 0: none
	batchDay              int     // of the week, -1: every night
	batchRate, batchSize  float64 // of the usual rows; of the usual bytes per row
	purgeEvery            int     // steps, 0: never
	purgePart             float64
	vacuumEvery           int     // steps, 0: no sawtooth
	bloat                 float64 // bytes per byte of rows that a vacuum gives back
}

// rates is what one cause adds in one step.
type rates struct{ rows, bytes, commits, logins, tests, net float64 }

func newDatabase(name string, rng *rand.Rand) *database {
	d := dice{rng}
	db := &database{name: name, extent: []float64{8192, 8192, 8192, 512 << 10, 64 << 20}[d.IntN(5)]}
	size := d.logBetween(3e8, 2e12)
	for size/db.extent < 500 {
		db.extent /= 8
	}
	db.capacity = size * d.between(1.6, 4)
	r := &play{dice: d, db: db, life: newLife(d, size), size: size, first: size, giveBack: map[int]float64{}}
	r.drawHarmless()
	r.drawAttacks()
	r.run()
	return db
}

func newLife(d dice, size float64) life {
	l := life{bytesPerRow: d.logBetween(80, 12000), commits: d.logBetween(0.01, 2), net: d.between(0.3, 1.6),
		logins: d.logBetween(0.02, 12), tests: d.logBetween(0.01, 0.4), daily: d.between(0, 0.97), phase: d.between(0, 24),
		weekend: d.between(0.25, 1.1), sigma: d.between(0.1, 0.5), memory: d.between(1, 30), burstsPerDay: d.between(0, 2),
		batchDay: -1, batchRate: d.between(2, 15), batchSize: d.between(0.3, 1.2)}
	l.rowRate = size * d.logBetween(0.0005, 0.01) / day / l.bytesPerRow
	if d.chance(0.3) {
		l.trend = d.between(0, 0.04)
	}
	if d.chance(0.5) {
		l.batchHour, l.batchLen = d.IntN(day), 4+d.IntN(28)
		if d.chance(0.3) {
			l.batchDay = d.IntN(7)
		}
	}
	if d.chance(0.4) {
		l.purgeEvery, l.purgePart = []int{day, 7 * day}[d.IntN(2)], d.between(0.5, 1)
	}
	if d.chance(0.4) {
		l.vacuumEvery, l.bloat = 100+d.IntN(900), d.between(0.3, 2)
	}
	return l
}

// shape is the usual activity at step i, about 1 in the mean.
func (l *life) shape(i int) float64 {
	hour := float64(i%day) * 24 / day
	a := 1 + l.daily*math.Cos(2*math.Pi*(hour-l.phase)/24)
	if i/day%7 >= 5 {
		a *= l.weekend
	}
	return a
}

// play is a database's four weeks as they happen.
type play struct {
	dice
	db    *database
	life  life
	size  float64 // bytes now
	rows  float64 // now
	first float64 // bytes at the start

	extra    []cause
	attacks  []*attackPlan
	giveBack map[int]float64 // bytes freed at a step
	campaign struct {
		start, end int
		factor     float64
	}
	gapStart, gapEnd, restart int // steps; -1: none

	counters rates
}

// cause adds something from step start until before end, seen from its start.
type cause struct {
	start int
	end   *int // an attack that fills the database ends early
	add   func(i int) rates
}

func at(i int) int64 { return worldT0 + int64(i)*step }

func (r *play) label(kind string, start, end int) {
	r.db.benign = append(r.db.benign, event{r.db.name, kind, at(start), at(end)})
}

// drawHarmless draws what looks odd and is no attack.
func (r *play) drawHarmless() {
	l := r.life
	if r.chance(0.3) {
		start, length := r.IntN(steps-100), 10+r.IntN(55)
		end := start + length
		perStep, commits := r.size*r.between(0.03, 0.4)/float64(length)/l.bytesPerRow, l.commits/r.logBetween(8, 40)
		r.extra = append(r.extra, cause{start, &end, func(int) rates {
			rows := perStep * r.noise(0.2)
			b := rows * l.bytesPerRow * 1.2
			return rates{rows: rows, bytes: b, commits: rows * commits, net: b * 1.1}
		}})
		r.label("migration", start, end)
	}
	if r.chance(0.35) {
		start, length := r.IntN(steps-100), 6+r.IntN(30)
		end, bytes := start+length, r.size*r.between(0.02, 0.2)
		r.extra = append(r.extra, cause{start, &end, func(int) rates { return rates{bytes: bytes / float64(length)} }})
		r.giveBack[end] = bytes
		r.label("index_rebuild", start, end)
	}
	if r.chance(0.35) {
		c := &r.campaign
		c.start, c.factor = r.IntN(steps-600), r.between(1.5, 4)
		c.end = c.start + 80 + r.IntN(420)
		r.label("campaign", c.start, c.end)
	}
	r.gapStart, r.gapEnd, r.restart = -1, -1, -1
	if r.chance(0.7) {
		r.gapStart = r.IntN(steps)
		r.gapEnd = r.gapStart + 6 + r.IntN(140)
		r.label("gap", r.gapStart, r.gapEnd)
	}
	if r.chance(0.7) {
		r.restart = r.IntN(steps)
		r.label("restart", r.restart, r.restart)
	}
}

// busy is the campaign's factor at step i: it ramps up and down over a sixth of its length.
func (r *play) busy(i int) float64 {
	c := r.campaign
	if i < c.start || i >= c.end {
		return 1
	}
	ramp := math.Min(float64(i-c.start), float64(c.end-i)) / float64(1+(c.end-c.start)/6)
	return 1 + (c.factor-1)*math.Min(1, ramp)
}

// run plays the steps and keeps the samples.
func (r *play) run() {
	l := &r.life
	noise, burst, bloat, purgeable := 0.0, 0.0, 0.0, 0.0
	r.rows = r.size / l.bytesPerRow
	for i := range steps {
		noise += -noise/l.memory + l.sigma*math.Sqrt(2/l.memory)*r.NormFloat64()*math.Min(1, math.Sqrt(l.memory/2))
		if burst *= 0.8; r.chance(l.burstsPerDay / day) {
			burst = r.between(1, 8)
		}
		activity := l.shape(i) * math.Exp(noise-l.sigma*l.sigma/2) * (1 + burst) * r.busy(i) * math.Pow(1+l.trend, float64(i)/day)
		usual := l.rowRate * activity
		add := rates{rows: usual, bytes: usual * l.bytesPerRow, commits: usual * l.commits, logins: r.poisson(l.logins * activity),
			tests: r.poisson(l.tests), net: usual * l.bytesPerRow * l.net * r.noise(0.12)}
		if l.batchLen > 0 && (i-l.batchHour+day)%day < l.batchLen && (l.batchDay < 0 || i/day%7 == l.batchDay) {
			b := l.rowRate * l.batchRate * r.noise(0.1)
			add.rows += b
			add.bytes += b * l.bytesPerRow * l.batchSize
			add.commits += b * l.commits
		}
		bloat += add.bytes * l.bloat
		add.bytes += add.bytes * l.bloat
		for _, c := range r.extra {
			if i < c.start || i >= *c.end {
				continue
			}
			x := c.add(i - c.start)
			add.rows += x.rows
			add.bytes += x.bytes
			add.commits += x.commits
			add.logins += x.logins
			add.tests += r.poisson(x.tests)
			add.net += x.net
		}
		excess := math.Max(0, math.Min(add.bytes-usual*l.bytesPerRow*(1+l.bloat), r.db.capacity-r.size))
		r.size = math.Min(r.size+add.bytes, r.db.capacity)
		r.rows += add.rows
		clear := add.rows+add.bytes/l.bytesPerRow > 3*2*math.Max(usual, l.rowRate)
		for _, p := range r.attacks {
			r.follow(p, i, excess, clear)
		}

		purgeable += usual * l.bytesPerRow
		if l.purgeEvery > 0 && i%l.purgeEvery == l.purgeEvery/3 {
			r.size -= purgeable * l.purgePart
			r.rows -= purgeable * l.purgePart / l.bytesPerRow
			purgeable *= 1 - l.purgePart
		}
		if l.vacuumEvery > 0 && i%l.vacuumEvery == 0 {
			r.size -= bloat
			bloat = 0
		}
		r.size = math.Max(r.size-r.giveBack[i], 0.3*r.first)
		r.counters.commits += add.commits
		r.counters.logins += add.logins
		r.counters.tests += add.tests
		r.counters.net += add.net
		if i == r.restart {
			r.counters = rates{}
		}
		if i >= r.gapStart && i < r.gapEnd || r.chance(0.002) {
			continue
		}
		r.sample(i)
	}
	for _, p := range r.attacks {
		r.db.attacks = append(r.db.attacks, p.attack)
	}
}

func (r *play) sample(i int) {
	s := detect.GrowthSample{Time: unix(at(i)), Size: math.Floor(r.size/r.db.extent) * r.db.extent, Rows: math.Floor(r.rows),
		Commits: math.Floor(r.counters.commits), FailedLogins: r.counters.logins, FailedTests: r.counters.tests, NetIn: math.Floor(r.counters.net)}
	if i == r.restart && r.chance(0.5) {
		s.Size = 0
	}
	r.db.samples = append(r.db.samples, s)
}
