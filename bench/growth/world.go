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
	worldDays = 28
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
	const n = worldDays * 86400 / step
	l := life{bytesPerRow: d.logBetween(80, 12000), commits: d.logBetween(0.01, 2), net: d.between(0.3, 1.6),
		logins: d.logBetween(0.02, 12), tests: d.logBetween(0.01, 0.4), daily: d.between(0, 0.97), phase: d.between(0, 24),
		weekend: d.between(0.25, 1.1), sigma: d.between(0.1, 0.5), memory: d.between(1, 30), burstsPerDay: d.between(0, 2),
		batchDay: -1, batchRate: d.between(2, 15), batchSize: d.between(0.3, 1.2)}
	l.rowRate = size * d.logBetween(0.0005, 0.01) / 288 / l.bytesPerRow
	if d.chance(0.3) {
		l.trend = d.between(0, 0.04)
	}
	if d.chance(0.5) {
		l.batchHour, l.batchLen = d.IntN(288), 4+d.IntN(28)
		if d.chance(0.3) {
			l.batchDay = d.IntN(7)
		}
	}
	if d.chance(0.4) {
		l.purgeEvery, l.purgePart = []int{288, 7 * 288}[d.IntN(2)], d.between(0.5, 1)
	}
	if d.chance(0.4) {
		l.vacuumEvery, l.bloat = 100+d.IntN(900), d.between(0.3, 2)
	}

	// What happens: harmless events anywhere, attacks from day 6 on, one after the other.
	campaign := make([]float64, n)
	for i := range campaign {
		campaign[i] = 1
	}
	extra := make([]func(i int, size float64) rates, 0, 4)
	during := func(s int, e *int, f func(i int, size float64) rates) {
		extra = append(extra, func(i int, size float64) rates {
			if i < s || i >= *e {
				return rates{}
			}
			return f(i-s, size)
		})
	}
	between := func(s, e int, f func(i int, size float64) rates) { during(s, &e, f) }
	label := func(kind string, s, e int) {
		db.benign = append(db.benign, event{name, kind, worldT0 + int64(s)*step, worldT0 + int64(e)*step})
	}
	giveBack := map[int]float64{} // bytes that a finished rebuild frees
	if d.chance(0.3) {
		s, length := d.IntN(n-100), 10+d.IntN(55)
		perStep, commits := size*d.between(0.03, 0.4)/float64(length)/l.bytesPerRow, l.commits/d.logBetween(8, 40)
		between(s, s+length, func(int, float64) rates {
			r := perStep * d.noise(0.2)
			b := r * l.bytesPerRow * 1.2
			return rates{rows: r, bytes: b, commits: r * commits, net: b * 1.1}
		})
		label("migration", s, s+length)
	}
	if d.chance(0.35) {
		s, length := d.IntN(n-100), 6+d.IntN(30)
		part := d.between(0.02, 0.2)
		between(s, s+length, func(int, float64) rates { return rates{bytes: size * part / float64(length)} })
		giveBack[s+length] = size * part
		label("index_rebuild", s, s+length)
	}
	if d.chance(0.35) {
		s, length, f := d.IntN(n-600), 80+d.IntN(420), d.between(1.5, 4)
		for i := s; i < s+length; i++ {
			ramp := math.Min(1, math.Min(float64(i-s), float64(s+length-i))/float64(1+length/6))
			campaign[i] = 1 + (f-1)*ramp
		}
		label("campaign", s, s+length)
	}

	type plan struct {
		attack
		s, e    int
		headway float64 // bytes of excess so far
	}
	var plans []*plan
	for at := 6*288 + d.IntN(12*288); at < n-400 && d.chance(0.55); at += 3 * 288 {
		p := &plan{s: at}
		p.Kind = []string{"exp_flood", "exp_flood", "slow_drip", "slow_drip", "cred_stuffing", "retry_storm", "spam_insert", "ransomware"}[d.IntN(8)]
		switch p.Kind {
		case "exp_flood":
			T, e0 := d.logBetween(1.5, 18), d.logBetween(0.02, 0.15)
			p.Doubling, p.e = T*step, min(n-50, at+int(T*25))
			during(p.s, &p.e, func(i int, _ float64) rates {
				r := l.rowRate * e0 * math.Exp2(float64(i)/T) * d.noise(0.15)
				return rates{rows: r, bytes: r * l.bytesPerRow, commits: r * l.commits, net: r * l.bytesPerRow * 1.2, tests: 0.2}
			})
		case "slow_drip":
			T, e0, shaped := d.logBetween(24, 420), d.logBetween(0.02, 0.15), d.chance(0.5)
			p.Doubling, p.e = T*step, min(n-50, at+int(T*d.between(8, 20)))
			during(p.s, &p.e, func(i int, _ float64) rates {
				r := l.rowRate * e0 * math.Exp2(float64(i)/T) * d.noise(0.15)
				if shaped {
					r *= l.shape(p.s + i)
				}
				return rates{rows: r, bytes: r * l.bytesPerRow, commits: r * l.commits, net: r * l.bytesPerRow * 1.2}
			})
		case "cred_stuffing":
			T, e0, rows := d.logBetween(4, 80), l.logins*d.between(0.3, 2), d.between(0.3, 1)
			p.Doubling, p.e = T*step, min(n-50, at+int(T*d.between(6, 24)))
			during(p.s, &p.e, func(i int, _ float64) rates {
				f := d.poisson(e0 * math.Exp2(math.Min(float64(i)/T, 22)))
				return rates{rows: f * rows, bytes: f * rows * 900, commits: f * 0.2, logins: f, net: f * 500}
			})
		case "retry_storm":
			T, top := d.between(1.5, 8), d.logBetween(20, 500)
			p.Doubling, p.e = T*step, at+80+d.IntN(60)
			during(p.s, &p.e, func(i int, _ float64) rates {
				g := 0.1 * math.Exp2(float64(i)/T)
				r := l.rowRate * g / (1 + g/top) * d.noise(0.15)
				return rates{rows: r, bytes: r * l.bytesPerRow, commits: r * 3, net: r * l.bytesPerRow * 2, tests: d.between(0.5, 5)}
			})
		case "spam_insert":
			f := d.logBetween(4, 40)
			p.e = at + 150 + d.IntN(500)
			during(p.s, &p.e, func(int, float64) rates {
				r := l.rowRate * f * d.noise(0.1)
				return rates{rows: r, bytes: r * l.bytesPerRow * 0.8, commits: r * l.commits, net: r * l.bytesPerRow * 1.2}
			})
		case "ransomware":
			length := 30 + d.IntN(60)
			p.e = at + length
			part := d.between(0.5, 1)
			during(p.s, &p.e, func(int, float64) rates {
				b := size * part / float64(length) * d.noise(0.1)
				return rates{bytes: b, commits: b / 250, tests: 0.5}
			})
		}
		if p.e-p.s < 2 {
			continue
		}
		p.DB, p.Start, p.End = name, worldT0+int64(p.s)*step, worldT0+int64(p.e)*step
		plans = append(plans, p)
		at = p.e
	}

	gap := [2]int{-1, -1}
	if d.chance(0.7) {
		gap[0] = d.IntN(n)
		gap[1] = gap[0] + 6 + d.IntN(140)
		label("gap", gap[0], gap[1])
	}
	restart := -1
	if d.chance(0.7) {
		restart = d.IntN(n)
		label("restart", restart, restart)
	}

	noise, burst := 0.0, 0.0
	bloat, purgeable := 0.0, 0.0
	rows := size / l.bytesPerRow
	sizeAt0 := size
	var c rates
	for i := range n {
		noise += -noise/l.memory + l.sigma*math.Sqrt(2/l.memory)*d.NormFloat64()*math.Min(1, math.Sqrt(l.memory/2))
		if burst *= 0.8; d.chance(l.burstsPerDay / 288) {
			burst = d.between(1, 8)
		}
		act := l.shape(i) * math.Exp(noise-l.sigma*l.sigma/2) * (1 + burst) * campaign[i] * math.Pow(1+l.trend, float64(i)/288)
		r := l.rowRate * act
		add := rates{rows: r, bytes: r * l.bytesPerRow, commits: r * l.commits, logins: d.poisson(l.logins * act),
			tests: d.poisson(l.tests), net: r * l.bytesPerRow * l.net * d.noise(0.12)}
		if l.batchLen > 0 && (i-l.batchHour+288)%288 < l.batchLen && (l.batchDay < 0 || i/288%7 == l.batchDay) {
			b := l.rowRate * l.batchRate * d.noise(0.1)
			add.rows += b
			add.bytes += b * l.bytesPerRow * l.batchSize
			add.commits += b * l.commits
		}
		bloat += add.bytes * l.bloat
		add.bytes += add.bytes * l.bloat
		for _, f := range extra {
			x := f(i, size)
			add.rows += x.rows
			add.bytes += x.bytes
			add.commits += x.commits
			add.logins += x.logins
			add.tests += d.poisson(x.tests)
			add.net += x.net
		}
		for _, p := range plans {
			if i == p.e {
				// The clean-up deletes what the attack wrote, some hours later.
				giveBack[i+40+d.IntN(120)] = p.headway
				p.Clear = worldT0 + int64(i+170)*step
			}
			if i < p.s || i >= p.e {
				continue
			}
			p.headway += math.Max(0, math.Min(add.bytes-r*l.bytesPerRow*(1+l.bloat), db.capacity-size))
			if p.Visible == 0 && add.rows+add.bytes/l.bytesPerRow > 3*2*math.Max(r, l.rowRate) {
				p.Visible = worldT0 + int64(i)*step
			}
		}
		size = math.Min(size+add.bytes, db.capacity)
		rows += add.rows
		purgeable += r * l.bytesPerRow
		for _, p := range plans {
			if i < p.s || i >= p.e {
				continue
			}
			if p.HalfHeadroom == 0 && p.headway > 0.5*(db.capacity-size+p.headway) {
				p.HalfHeadroom = worldT0 + int64(i)*step
			}
			if p.Full == 0 && size >= db.capacity {
				p.Full, p.End, p.e = p.HalfHeadroom, worldT0+int64(i)*step, i+1
				p.Full = p.End
			}
		}
		if l.purgeEvery > 0 && i%l.purgeEvery == l.purgeEvery/3 {
			size -= purgeable * l.purgePart
			rows -= purgeable * l.purgePart / l.bytesPerRow
			purgeable *= 1 - l.purgePart
		}
		if l.vacuumEvery > 0 && i%l.vacuumEvery == 0 {
			size -= bloat
			bloat = 0
		}
		if b, ok := giveBack[i]; ok {
			size -= b
			if b > 0 && rows > 2*b/l.bytesPerRow {
				rows -= b / l.bytesPerRow * boolTo(len(plans) > 0)
			}
		}
		size = math.Max(size, sizeAt0*0.3)
		c.commits += add.commits
		c.logins += add.logins
		c.tests += add.tests
		c.net += add.net
		if i == restart {
			c = rates{}
		}
		if i >= gap[0] && i < gap[1] || d.chance(0.002) {
			continue
		}
		s := detect.GrowthSample{Time: unix(worldT0 + int64(i)*step), Size: math.Floor(size/db.extent) * db.extent, Rows: math.Floor(rows),
			Commits: math.Floor(c.commits), FailedLogins: c.logins, FailedTests: c.tests, NetIn: math.Floor(c.net)}
		if i == restart && d.chance(0.5) {
			s.Size = 0
		}
		db.samples = append(db.samples, s)
	}
	for _, p := range plans {
		if p.Clear == 0 || p.Full != 0 {
			p.Clear = max(p.Clear, p.End+170*step)
		}
		db.attacks = append(db.attacks, p.attack)
	}
	return db
}

func boolTo(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// shape is the usual activity at step i, 1 in the mean.
func (l *life) shape(i int) float64 {
	hour := float64(i%288) / 12
	a := 1 + l.daily*math.Cos(2*math.Pi*(hour-l.phase)/24)
	if i/288%7 >= 5 {
		a *= l.weekend
	}
	return a
}
