package main

import "math"

// attackPlan is an attack and its course.
type attackPlan struct {
	attack
	start, end int     // steps
	excess     float64 // bytes so far
}

// cleanUp is when, after an attack, what it wrote has been deleted for sure, in steps.
const cleanUp = 170

// drawAttacks draws attacks from the sixth day on, one after the other.
func (r *play) drawAttacks() {
	kinds := []string{"exp_flood", "exp_flood", "slow_drip", "slow_drip", "cred_stuffing", "retry_storm", "spam_insert", "ransomware"}
	for start := 6*day + r.IntN(12*day); start < steps-400 && r.chance(0.55); start += 3 * day {
		p := &attackPlan{start: start}
		p.Kind = kinds[r.IntN(len(kinds))]
		add, doubling, length := r.drawAttack(p.Kind, start)
		p.end = min(start+length, steps-50)
		p.DB, p.Start, p.End, p.Clear, p.Doubling = r.db.name, at(start), at(p.end), at(p.end+cleanUp), doubling*step
		r.extra = append(r.extra, cause{start, &p.end, add})
		r.attacks = append(r.attacks, p)
		start = p.end
	}
}

// drawAttack gives what an attack adds i steps after its start, its doubling time (0: none) and length in steps.
func (r *play) drawAttack(kind string, start int) (add func(i int) rates, doubling float64, length int) {
	l := r.life
	// like is so many times the usual rows, as the usual clients write them.
	like := func(times float64) rates {
		rows := l.rowRate * times * r.noise(0.15)
		return rates{rows: rows, bytes: rows * l.bytesPerRow, commits: rows * l.commits, net: rows * l.bytesPerRow * 1.2}
	}
	switch kind {
	case "exp_flood":
		doubling = r.logBetween(1.5, 18)
		first := r.logBetween(0.02, 0.15)
		return func(i int) rates {
			x := like(first * math.Exp2(float64(i)/doubling))
			x.tests = 0.2
			return x
		}, doubling, int(doubling * 25)
	case "slow_drip":
		doubling = r.logBetween(24, 420)
		first, shaped := r.logBetween(0.02, 0.15), r.chance(0.5)
		return func(i int) rates {
			times := first * math.Exp2(float64(i)/doubling)
			if shaped {
				times *= l.shape(start + i)
			}
			return like(times)
		}, doubling, int(doubling * r.between(8, 20))
	case "cred_stuffing":
		doubling = r.logBetween(4, 80)
		first, rows := l.logins*r.between(0.3, 2), r.between(0.3, 1)
		return func(i int) rates {
			n := r.poisson(first * math.Exp2(math.Min(float64(i)/doubling, 22)))
			return rates{rows: n * rows, bytes: n * rows * 900, commits: n * 0.2, logins: n, net: n * 500}
		}, doubling, int(doubling * r.between(6, 24))
	case "retry_storm":
		doubling = r.between(1.5, 8)
		top := r.logBetween(20, 500)
		return func(i int) rates {
			g := 0.1 * math.Exp2(float64(i)/doubling)
			x := like(g / (1 + g/top))
			x.commits, x.net, x.tests = x.rows*3, x.bytes*2, r.between(0.5, 5)
			return x
		}, doubling, 80 + r.IntN(60)
	case "spam_insert":
		times := r.logBetween(4, 40)
		return func(int) rates {
			x := like(times)
			x.bytes *= 0.8
			return x
		}, 0, 150 + r.IntN(500)
	case "ransomware":
		length = 30 + r.IntN(60)
		perStep := r.size * r.between(0.5, 1) / float64(length)
		return func(int) rates {
			b := perStep * r.noise(0.1)
			return rates{bytes: b, commits: b / 250, tests: 0.5}
		}, 0, length
	}
	panic("BUG: no attack " + kind)
}

// follow notes an attack's milestones at step i, ends it when the database is full, and cleans up after it.
func (r *play) follow(p *attackPlan, i int, excess float64, clear bool) {
	if i == p.end {
		r.giveBack[i+40+r.IntN(120)] = p.excess
	}
	if i < p.start || i >= p.end {
		return
	}
	p.excess += excess
	if p.Visible == 0 && clear {
		p.Visible = at(i)
	}
	free := r.db.capacity - r.size
	if p.HalfHeadroom == 0 && p.excess > free {
		p.HalfHeadroom = at(i)
	}
	if free <= 0 {
		p.end = i + 1
		p.Full, p.End, p.Clear = at(i), at(i), at(i+1+cleanUp)
	}
}
