package detect

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/processors/detect/detecttest"
)

// server is a database with a daily shape, weekends, noise, a nightly batch that receives nothing,
// and clients who fail to log in now and then.
type server struct {
	rng  *rand.Rand
	now  time.Time
	step time.Duration
	s    GrowthSample // gauges and counters so far

	rows, rowSize, commits, logins, tests float64 // a minute at the mean; bytes; per row; a minute; a minute
}

func newServer(seed uint64, step time.Duration) *server {
	return &server{rng: rand.New(rand.NewPCG(seed, 5)), now: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), step: step,
		s: GrowthSample{Size: 50e9, Rows: 5e7}, rows: 100, rowSize: 1000, commits: 0.2, logins: 0.3, tests: 0.02}
}

// flow is what one cause adds in a minute.
type flow struct{ rows, bytes, commits, logins, tests, net float64 }

// ordinary is a flow of rows as the server's clients cause it.
func (v *server) ordinary(rows float64) flow {
	return flow{rows: rows, bytes: rows * v.rowSize, commits: rows * v.commits, net: rows * v.rowSize * 1.2}
}

// next is the next sample; busy multiplies what clients do, extra comes on top.
func (v *server) next(busy float64, extra flow) GrowthSample {
	v.now = v.now.Add(v.step)
	m := v.step.Minutes()
	hour := v.now.Sub(v.now.Truncate(24 * time.Hour)).Hours()
	busy *= (1 + 0.7*math.Sin(2*math.Pi*(hour-9)/24)) * math.Exp(0.2*v.rng.NormFloat64())
	if d := v.now.Weekday(); d == time.Saturday || d == time.Sunday {
		busy *= 0.5
	}
	f := v.ordinary(v.rows * busy)
	if hour >= 2 && hour < 3 {
		b := v.ordinary(v.rows * 10)
		f.rows, f.bytes, f.commits = f.rows+b.rows, f.bytes+b.bytes, f.commits+b.commits
	}
	v.s.Time = v.now
	v.s.Size += m * (f.bytes + extra.bytes)
	v.s.Rows += math.Floor(m * (f.rows + extra.rows))
	v.s.Commits += math.Floor(m * (f.commits + extra.commits))
	v.s.NetIn += math.Floor(m * (f.net + extra.net))
	v.s.FailedLogins += v.poisson(m * (v.logins*busy + extra.logins))
	v.s.FailedTests += v.poisson(m * (v.tests + extra.tests))
	return v.s
}

func (v *server) poisson(mean float64) float64 {
	if mean > 30 {
		return math.Round(math.Max(mean+math.Sqrt(mean)*v.rng.NormFloat64(), 0))
	}
	n, p := 0.0, v.rng.Float64()
	for limit := math.Exp(-mean); p > limit; n++ {
		p *= v.rng.Float64()
	}
	return n
}

const quietDays = 8

// watchServer runs quiet days, then the event for the given time, m minutes after its start. It returns the
// minutes of the first alarm after the start (negative: before it; 0: none) and the verdict then.
func watchServer(seed uint64, step, length time.Duration, event func(v *server, m float64) (busy float64, extra flow), hide func(*GrowthSample)) (float64, GrowthVerdict) {
	v := newServer(seed, step)
	g := NewGrowth(GrowthConfig{Capacity: 120e9, Extent: 8192})
	start := v.now.Add(quietDays*24*time.Hour + 10*time.Hour)
	for v.now.Before(start.Add(length)) {
		busy, extra := 1.0, flow{}
		if m := v.now.Add(step).Sub(start).Minutes(); m > 0 {
			busy, extra = event(v, m)
		}
		s := v.next(busy, extra)
		if hide != nil {
			hide(&s)
		}
		if got := g.Observe(s); got.Tier >= GrowthWarn {
			return v.now.Sub(start).Minutes(), got
		}
	}
	return 0, GrowthVerdict{}
}

func TestGrowthTakesLifeForLife(t *testing.T) {
	day := 24 * time.Hour
	for _, c := range []struct {
		name  string
		event func(v *server, m float64) (float64, flow)
	}{
		{"nothing", func(*server, float64) (float64, flow) { return 1, flow{} }},
		{"campaign: three times the clients for a day", func(v *server, m float64) (float64, flow) {
			return 1 + 2*clamp(min(m, 1440-m)/240, 0, 1), flow{}
		}},
		{"migration: rows by the thousand, few commits", func(v *server, m float64) (float64, flow) {
			if m > 180 {
				return 1, flow{}
			}
			return 1, flow{rows: 2e4, bytes: 2.4e7, commits: 2e4 * 0.2 / 16, net: 2.6e7}
		}},
		{"index rebuild: bytes without rows or commits", func(v *server, m float64) (float64, flow) {
			if m == 120 {
				v.s.Size -= 120 * 5e7
			}
			if m > 120 {
				return 1, flow{}
			}
			return 1, flow{bytes: 5e7}
		}},
		{"purge and restart", func(v *server, m float64) (float64, flow) {
			if m == 60 {
				v.s.Size, v.s.Rows = v.s.Size-5e9, v.s.Rows-5e6
			}
			if m == 120 {
				v.s.Commits, v.s.NetIn, v.s.FailedLogins, v.s.FailedTests = 0, 0, 0, 0
			}
			return 1, flow{}
		}},
		{"gap of a night", func(v *server, m float64) (float64, flow) {
			if m == 60 {
				v.now = v.now.Add(9 * time.Hour)
				v.s.Size, v.s.Rows = v.s.Size+5e7, v.s.Rows+5e4
			}
			return 1, flow{}
		}},
		{"burst of twenty minutes", func(v *server, m float64) (float64, flow) {
			if m > 20 {
				return 1, flow{}
			}
			return 8, flow{}
		}},
	} {
		for seed := range uint64(4) {
			if at, v := watchServer(seed, 5*time.Minute, 3*day, c.event, nil); at != 0 {
				t.Errorf("%s, seed %d: alarm %.0f min after its start: %s", c.name, seed, at, v.Explain())
			}
		}
	}
}

func TestGrowthFindsAttacksInSlowSamples(t *testing.T) {
	flood := func(doubling float64) func(v *server, m float64) (float64, flow) {
		return func(v *server, m float64) (float64, flow) { return 1, v.ordinary(v.rows * 0.1 * math.Exp2(m/doubling)) }
	}
	onlySize := func(s *GrowthSample) {
		nan := math.NaN()
		*s = GrowthSample{s.Time, s.Size, nan, nan, nan, nan, nan}
	}
	for _, c := range []struct {
		name   string
		event  func(v *server, m float64) (float64, flow)
		hide   func(*GrowthSample)
		within float64 // minutes, the worst of four seeds
	}{
		{"flood doubling in 20 min", flood(20), nil, 130},
		{"flood doubling in 20 min, size alone", flood(20), onlySize, 170},
		{"drip doubling in 8 h", flood(480), nil, 2900},
		{"credential stuffing doubling in 2 h", func(v *server, m float64) (float64, flow) {
			n := 0.3 * math.Exp2(m/120)
			return 1, flow{rows: n * 0.5, bytes: n * 450, commits: n * 0.2, logins: n, net: n * 500}
		}, nil, 240},
		{"retry storm", func(v *server, m float64) (float64, flow) {
			r := v.rows * min(0.1*math.Exp2(m/15), 50)
			return 1, flow{rows: r, bytes: r * v.rowSize, commits: 3 * r, net: r * v.rowSize * 2, tests: 0.3}
		}, nil, 80},
		{"spam: fifteen times the rows", func(v *server, m float64) (float64, flow) { return 1, v.ordinary(15 * v.rows) }, nil, 20},
		{"ransomware", func(v *server, m float64) (float64, flow) {
			return 1, flow{bytes: 1.5e8, commits: 6e5, tests: 0.1}
		}, nil, 20},
	} {
		worst := 0.0
		for seed := range uint64(4) {
			at, v := watchServer(seed, 5*time.Minute, 4*24*time.Hour, c.event, c.hide)
			if at <= 0 {
				t.Errorf("%s, seed %d: alarm at %.0f min, want one after the start", c.name, seed, at)
			}
			worst = math.Max(worst, at)
			if seed == 0 {
				t.Logf("%s: after %.0f min: %s", c.name, at, v.Explain())
			}
		}
		if worst > c.within {
			t.Errorf("%s: alarm after %.0f min, want %.0f or sooner", c.name, worst, c.within)
		}
	}
}

// The same server read every ten seconds: both parts see it, nothing alarms before the attack.
func TestGrowthWatchesDaysOfShortSamples(t *testing.T) {
	at, v := watchServer(1, 10*time.Second, 3*time.Hour, func(v *server, m float64) (float64, flow) {
		f := v.ordinary(v.rows * 0.5 * math.Exp2(m/10))
		f.logins = 5
		return 1, f
	}, nil)
	if at <= 0 || at > 40 {
		t.Errorf("alarm after %.1f min, want one in 40: %s", at, v.Explain())
	}
}

func TestGrowthForecastsFromSlowSamples(t *testing.T) {
	v, g := newServer(3, 5*time.Minute), NewGrowth(GrowthConfig{Capacity: 120e9})
	start := v.now.Add(quietDays * 24 * time.Hour)
	var at time.Time
	var first GrowthVerdict
	for v.s.Size < 120e9 {
		extra := flow{}
		if m := v.now.Add(v.step).Sub(start).Minutes(); m > 0 {
			extra = v.ordinary(v.rows * 0.1 * math.Exp2(m/40))
		}
		if got := g.Observe(v.next(1, extra)); got.TimeToFull > 0 && at.IsZero() {
			at, first = v.now, got
		}
	}
	if at.IsZero() {
		t.Fatal("no forecast before it was full")
	}
	left := v.now.Sub(at)
	t.Logf("%s; was full after %s", first.Explain(), left)
	if err := math.Abs(math.Log2(first.TimeToFull.Seconds() / left.Seconds())); err > 0.4 {
		t.Errorf("forecast %s, was full after %s: off by a factor 2^%.2f", first.TimeToFull, left, err)
	}
	if first.TimeToFullLow > first.TimeToFull || first.TimeToFullHigh < first.TimeToFull {
		t.Errorf("forecast %s is not between %s and %s", first.TimeToFull, first.TimeToFullLow, first.TimeToFullHigh)
	}
}

// Events that other sources saw make growth alarm sooner, and alarm nothing that does not grow.
func TestGrowthJoinsEvidence(t *testing.T) {
	first := func(grows bool, events float64) float64 {
		v, g := newServer(4, 5*time.Minute), NewGrowth(GrowthConfig{})
		start := v.now.Add(quietDays * 24 * time.Hour)
		for {
			m := v.now.Add(v.step).Sub(start).Minutes()
			if m > 600 {
				return math.Inf(1)
			}
			extra, n := flow{}, 0.0
			if m > 0 {
				n = events
				if grows {
					extra = v.ordinary(v.rows * 0.1 * math.Exp2(m/60))
				}
			}
			s := v.next(1, extra)
			nan := math.NaN()
			s.Rows, s.Commits, s.FailedLogins, s.FailedTests, s.NetIn = nan, nan, nan, nan, nan
			g.Evidence(s.Time, n)
			if got := g.Observe(s); got.Tier >= GrowthWarn {
				return m
			}
		}
	}
	alone, joined, only := first(true, 0), first(true, 20), first(false, 20)
	t.Logf("flood: %.0f min, with events %.0f min", alone, joined)
	if !(joined > 0 && joined < alone-60) || !math.IsInf(only, 1) {
		t.Errorf("alarm after %.0f min, with evidence after %.0f, on evidence alone after %.0f", alone, joined, only)
	}
}

// What was dismissed does not alarm again; more than it does.
func TestGrowthDismissRaisesTheBar(t *testing.T) {
	v, g := newServer(2, 5*time.Minute), NewGrowth(GrowthConfig{})
	alarms := func(rows float64, length time.Duration) (n int) {
		for end := v.now.Add(length); v.now.Before(end); {
			if g.Observe(v.next(1, v.ordinary(rows))).Tier >= GrowthWarn {
				n++
			}
		}
		return n
	}
	alarms(0, quietDays*24*time.Hour)
	if alarms(1500, 2*time.Hour) == 0 {
		t.Fatal("fifteen times the usual did not alarm")
	}
	g.Dismiss()
	alarms(0, 24*time.Hour)
	if n := alarms(1500, 2*time.Hour); n != 0 {
		t.Errorf("what was dismissed alarmed again, %d times", n)
	}
	alarms(0, 24*time.Hour)
	if alarms(500*1500, 2*time.Hour) == 0 {
		t.Error("five hundred times what was dismissed did not alarm")
	}
}

// growthSubject derives the other columns from the suite's value.
type growthSubject struct{ *Growth }

func (s growthSubject) Observe(t time.Time, v float64) float64 {
	got := s.Growth.Observe(GrowthSample{t, v * 1e7, v * 1e4, v * 1e3, v, v / 9, v * 1e6})
	h := fnv.New32()
	h.Write([]byte(got.Explain()))
	return math.Round(1e6*got.Score) + float64(h.Sum32())*1e7
}

func TestGrowth(t *testing.T) {
	detecttest.Run(t, detecttest.Config{
		New:           func() detecttest.Subject { return growthSubject{NewGrowth(GrowthConfig{Capacity: 1e12, Extent: 8192})} },
		MaxStateBytes: 4096,
	})
}
