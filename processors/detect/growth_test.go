package detect

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// The series of the design's simulation (§4.3): 10 s samples of a 50 GB table that grows 6 MB/min
// with 30 % noise; at minute 12 something begins. growth returns bytes per minute, m minutes after
// it, with base the usual growth.
type simSeries struct {
	name     string
	growth   func(m, base float64) float64
	evidence bool
}

const (
	simBase  = 6e6 // bytes a minute
	simSize  = 50e9
	simStart = 12.0 // minutes
	simRuns  = 100
)

func simulate(s simSeries, seed uint64, run time.Duration) (firstEver, firstWarn, firstCrit, gainWarn, gainCrit float64) {
	rng := rand.New(rand.NewPCG(seed, 43))
	g := NewGrowth(GrowthConfig{Capacity: 80e9})
	size, logins := simSize, 0.0
	t0 := time.Unix(1_800_000_000, 0)
	for i := 0; time.Duration(i)*10*time.Second <= run; i++ {
		m := float64(i)/6 - simStart
		size += math.Max(s.growth(m, simBase)*(1+0.3*rng.NormFloat64())/6, 0)
		if s.name == "vacuum sawtooth" && i%60 == 59 {
			size -= 10 * simBase * 0.9
		}
		if s.name == "step +20 %" && i == int(simStart*6) {
			size *= 1.2
		}
		if s.evidence && m > 0 {
			logins += 5
		}
		v := g.Observe(GrowthSample{Time: t0.Add(time.Duration(i) * 10 * time.Second), Size: math.Floor(size),
			Rows: math.NaN(), Commits: math.NaN(), FailedLogins: logins, FailedTests: math.NaN(), NetIn: math.NaN()})
		if v.Tier >= GrowthWatch && firstEver == 0 {
			firstEver = m
		}
		if v.Tier >= GrowthWarn && firstWarn == 0 {
			firstWarn, gainWarn = m, size/simSize-1
		}
		if v.Tier >= GrowthCrit && firstCrit == 0 {
			firstCrit, gainCrit = m, size/simSize-1
		}
	}
	return
}

func doublingEvery(t float64) func(m, base float64) float64 {
	return func(m, base float64) float64 {
		if m < 0 {
			return base
		}
		return base * math.Pow(2, m/t)
	}
}

func TestGrowthStaysQuietWithoutAttack(t *testing.T) {
	for _, s := range []simSeries{
		{name: "flat", growth: func(m, b float64) float64 { return b }},
		{name: "no growth", growth: func(m, b float64) float64 { return 0 }},
		{name: "linear x20", growth: func(m, b float64) float64 {
			if m < 0 {
				return b
			}
			return 20 * b
		}},
		{name: "step +20 %", growth: func(m, b float64) float64 { return b }},
		{name: "seasonal", growth: func(m, b float64) float64 { return b * (1 + 0.8*math.Sin(2*math.Pi*m/60)) }},
		{name: "vacuum sawtooth", growth: func(m, b float64) float64 { return b }},
		{name: "2-min ramp then flat", growth: func(m, b float64) float64 { return b * math.Pow(2, 4*min(max(m, 0), 2)) * boolFloat(m < 2) }},
		{name: "bulk load", growth: func(m, b float64) float64 { return b * (1 + 80*boolFloat(m >= 0 && m < 10)) }},
	} {
		watch := 0
		for seed := range uint64(simRuns) {
			ever, warn, _, _, _ := simulate(s, seed, time.Hour)
			if warn != 0 {
				t.Errorf("%s, seed %d: warned at minute %.1f without an attack", s.name, seed, warn)
			}
			if ever != 0 {
				watch++
			}
		}
		t.Logf("%-22s watch %3d %%, alarm 0 %%", s.name, 100*watch/simRuns)
		if watch > simRuns/20 {
			t.Errorf("%s: %d of %d runs reached watch, want 5 %% or fewer", s.name, watch, simRuns)
		}
	}
}

func boolFloat(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func TestGrowthFindsAttackInMinutes(t *testing.T) {
	for _, c := range []struct {
		doubling, warnBy, critBy, gain float64 // minutes, minutes, minutes, part of the size
	}{
		{1, 2.7, 6.5, 0.016},
		{2, 5.5, 10.5, 0.014},
		{3, 13, 13.5, 0.013},
		{5, 19, 19, 0.013},
		{8, 26, 26, 0.014},
	} {
		s := simSeries{name: "attack", growth: doublingEvery(c.doubling), evidence: true}
		var warns, crits, gainsWarn, gainsCrit []float64
		for seed := range uint64(simRuns) {
			_, warn, crit, gw, gc := simulate(s, seed, time.Duration(simStart+min(11*c.doubling, 48))*time.Minute)
			if crit == 0 {
				t.Errorf("doubling %v min, seed %d: missed", c.doubling, seed)
				continue
			}
			warns, crits = append(warns, warn), append(crits, crit)
			gainsWarn, gainsCrit = append(gainsWarn, gw), append(gainsCrit, gc)
		}
		t.Logf("doubling %v min: warn %.1f min +%.2f %%, crit %.1f min +%.2f %%", c.doubling, median(warns), 100*median(gainsWarn), median(crits), 100*median(gainsCrit))
		if median(warns) > c.warnBy || median(crits) > c.critBy || median(gainsCrit) > c.gain {
			t.Errorf("doubling %v min: warn after %.1f min, crit after %.1f at +%.2f %%, want %v, %v and +%.1f %%",
				c.doubling, median(warns), median(crits), 100*median(gainsCrit), c.warnBy, c.critBy, 100*c.gain)
		}
	}
}

func median(x []float64) float64 {
	if len(x) == 0 {
		return math.Inf(1)
	}
	x = append([]float64(nil), x...)
	for i := range x {
		for j := i; j > 0 && x[j] < x[j-1]; j-- {
			x[j], x[j-1] = x[j-1], x[j]
		}
	}
	return x[len(x)/2]
}

// While an attack goes on elsewhere on the host, a load of constant rate seldom passes for its work.
func TestGrowthSeldomBlamesALoadForEvidence(t *testing.T) {
	warned, crit := 0, 0
	for seed := range uint64(simRuns) {
		_, w, c, _, _ := simulate(simSeries{name: "bulk load", evidence: true, growth: func(m, b float64) float64 {
			return b * (1 + 80*boolFloat(m >= 0 && m < 10))
		}}, seed, 30*time.Minute)
		if w != 0 {
			warned++
		}
		if c != 0 {
			crit++
		}
	}
	if warned > simRuns/20 || crit > simRuns/50 {
		t.Errorf("%d of %d bulk loads reached warn, %d crit", warned, simRuns, crit)
	}
}

func TestGrowthKeepsItsTierWithoutANewSize(t *testing.T) {
	v, g := newServer(1, 5*time.Minute), NewGrowth(GrowthConfig{})
	for range quietDays * 288 {
		g.Observe(v.next(1, flow{}))
	}
	var last GrowthVerdict
	for range 6 {
		last = g.Observe(v.next(1, v.ordinary(20*v.rows)))
	}
	if last.Tier < GrowthWarn {
		t.Fatal("twenty times the usual did not alarm")
	}
	for name, s := range map[string]GrowthSample{
		"repeated": {Time: last.Time, Size: 1}, "older": {Time: last.Time.Add(-time.Hour), Size: 1},
		"without size": {Time: last.Time.Add(time.Second), Size: math.NaN()}, "restart": {Time: last.Time.Add(2 * time.Second)},
		"beyond reason": {Time: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), Size: 1},
	} {
		if got := g.Observe(s); got.Tier != last.Tier || got.Score != last.Score {
			t.Errorf("%s: %v %.2f, want %v %.2f as before", name, got.Tier, got.Score, last.Tier, last.Score)
		}
	}
}

// Growth alone is no attack: an early trend is silent, a sustained one is for the dashboard.
func TestGrowthWithoutEvidenceOnlyWatches(t *testing.T) {
	s := simSeries{name: "attack", growth: doublingEvery(1)}
	ever, warn, _, _, _ := simulate(s, 1, 20*time.Minute)
	if ever == 0 || warn != 0 {
		t.Errorf("watch at %.1f, warn at %.1f; want a watch and no warn", ever, warn)
	}
}

func TestGrowthForecastsTheTimeToFull(t *testing.T) {
	g := NewGrowth(GrowthConfig{Capacity: 80e9})
	size, full := 50e9, 0.0
	type forecast struct{ at, eta, low, high float64 }
	var first *forecast
	for i := 0; i < 240; i++ {
		m := float64(i)/6 - simStart
		size += doublingEvery(1)(m, simBase) / 6
		now := time.Unix(1_800_000_000+int64(10*i), 0)
		if m > 0 {
			g.Evidence(now, 5)
		}
		v := g.Observe(GrowthSample{Time: now, Size: size, Rows: math.NaN(), Commits: math.NaN(),
			FailedLogins: math.NaN(), FailedTests: math.NaN(), NetIn: math.NaN()})
		if v.Tier == GrowthCrit && first == nil {
			first = &forecast{m, v.TimeToFull.Minutes(), v.TimeToFullLow.Minutes(), v.TimeToFullHigh.Minutes()}
			t.Log(v.Explain())
		}
		if size >= 80e9 {
			full = m
			break
		}
	}
	if first == nil {
		t.Fatal("no crit before the disk is full")
	}
	if err := first.at + first.eta - full; math.Abs(err) > 1 || first.low > first.eta || first.high < first.eta {
		t.Errorf("forecast at %.1f min: full in %.1f (%.1f to %.1f), was full at %.1f", first.at, first.eta, first.low, first.high, full)
	}
}

// wild is a stream with everything a source can do wrong.
func wild(seed uint64, n int) []GrowthSample {
	rng := rand.New(rand.NewPCG(seed, 7))
	pick := func(v float64) float64 {
		switch rng.IntN(60) {
		case 0:
			return math.NaN()
		case 1:
			return math.Inf(1 - 2*rng.IntN(2))
		case 2:
			return -v
		case 3:
			return 0
		case 4:
			return math.MaxFloat64
		}
		return v
	}
	now, size := time.Unix(1_700_000_000, 0), 1e9
	var counter [4]float64
	out := make([]GrowthSample, n)
	for i := range out {
		step := []time.Duration{10 * time.Second, 5 * time.Minute}[i*2/n]
		switch rng.IntN(80) {
		case 0:
			step = 0
		case 1:
			step = -step
		case 2:
			step *= time.Duration(rng.IntN(300))
		case 3:
			counter = [4]float64{}
		}
		now = now.Add(step)
		size *= 1 + 0.001*rng.Float64()
		for j := range counter {
			counter[j] += float64(rng.IntN(50))
		}
		out[i] = GrowthSample{Time: now, Size: pick(size), Rows: pick(size / 100), Commits: pick(counter[0]),
			FailedLogins: pick(counter[1]), FailedTests: pick(counter[2]), NetIn: pick(counter[3])}
	}
	return out
}

func TestGrowthRestoredEqualsNeverStopped(t *testing.T) {
	samples := wild(1, 6000)
	whole, resumed := NewGrowth(GrowthConfig{Capacity: 1e10}), NewGrowth(GrowthConfig{Capacity: 1e10})
	for i, s := range samples {
		if i%97 == 0 {
			b, err := resumed.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			if len(b) > 4096 {
				t.Fatalf("state has %d bytes, want 4096 or fewer", len(b))
			}
			resumed = NewGrowth(GrowthConfig{Capacity: 1e10})
			if err := resumed.UnmarshalBinary(b); err != nil {
				t.Fatal(err)
			}
		}
		want, got := whole.Observe(s), resumed.Observe(s)
		if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
			t.Fatalf("sample %d: restored gives %+v, want %+v", i, got, want)
		}
		if !(want.Score >= 0 && want.Score <= 1) || want.TimeToFull < 0 || math.IsNaN(want.RatePerMin) {
			t.Fatalf("sample %d: not a sane verdict: %+v", i, want)
		}
	}
}

func TestGrowthOutlivesDamagedState(t *testing.T) {
	g := NewGrowth(GrowthConfig{})
	good, _ := g.MarshalBinary()
	for i := range good[1:] {
		// Whatever a byte becomes, the state is refused or harmless.
		bad := append([]byte(nil), good...)
		bad[1+i] = 0xff
		if NewGrowth(GrowthConfig{}).UnmarshalBinary(bad) == nil {
			g := NewGrowth(GrowthConfig{})
			_ = g.UnmarshalBinary(bad)
			for _, s := range wild(3, 20) {
				g.Observe(s)
			}
		}
	}
}

func TestRunGrowthNamesTheBadLine(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{growthHeader + "\n1,a,1,1,1,1,1,1\n2,a,1,1,1,1,1\n", "line 3: want the 8 fields"},
		{"x,a,1,1,1,1,1,1\n", "line 1: ts:"},
		{"1,,1,1,1,1,1,1\n", "line 1: db: empty"},
		{"1,a,1,1,z,1,1,1\n", "line 1: commits_total:"},
	} {
		err := RunGrowth(strings.NewReader(c.in), &bytes.Buffer{}, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("RunGrowth(%q) = %v, want an error with %q", c.in, err, c.want)
		}
	}
	if err := RunGrowth(strings.NewReader(""), &bytes.Buffer{}, []byte("{")); err == nil {
		t.Error("a broken list of databases was taken")
	}
}

func BenchmarkGrowth(b *testing.B) {
	for _, c := range []struct {
		name     string
		doubling float64 // minutes, 0: no attack
	}{{"life", 0}, {"flood", 30}} {
		b.Run(c.name, func(b *testing.B) {
			v := newServer(1, 5*time.Minute)
			samples := make([]GrowthSample, 9*288)
			for i := range samples {
				extra := flow{}
				if m := float64(5 * (i - 8*288)); c.doubling > 0 && m > 0 {
					extra = v.ordinary(0.1 * v.rows * math.Exp2(min(m/c.doubling, 10)))
				}
				samples[i] = v.next(1, extra)
			}
			g := NewGrowth(GrowthConfig{Capacity: 1e13})
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%len(samples) == 0 {
					g = NewGrowth(GrowthConfig{Capacity: 1e13})
				}
				g.Observe(samples[i%len(samples)])
			}
		})
	}
}

// TestGrowthDismissedBlame: after a false positive as many attack events are no reason to alarm again; clearly more are.
func TestGrowthDismissedBlame(t *testing.T) {
	g := NewGrowth(GrowthConfig{})
	now, size, logins := time.Unix(1_800_000_000, 0), 50e9, 0.0
	attack := func(each float64) (worst GrowthTier) {
		for i := range 120 {
			now = now.Add(10 * time.Second)
			size += 1e6
			if m := float64(i)/6 - 10; m > 0 {
				size += 5e6 * math.Exp2(m/1.5)
				logins += each
			}
			worst = max(worst, g.Observe(GrowthSample{Time: now, Size: size, Rows: math.NaN(), Commits: math.NaN(),
				FailedLogins: logins, FailedTests: math.NaN(), NetIn: math.NaN()}).Tier)
		}
		return worst
	}
	if tier := attack(5); tier != GrowthCrit {
		t.Fatalf("an attack is %v", tier)
	}
	g.Dismiss()
	now = now.Add(6 * time.Hour)
	if tier := attack(5); tier > GrowthWatch {
		t.Errorf("what was dismissed is %v again", tier)
	}
	now = now.Add(6 * time.Hour)
	if tier := attack(25); tier != GrowthCrit {
		t.Errorf("five times as many events are %v", tier)
	}
	now = now.Add(120 * 24 * time.Hour)
	if tier := attack(5); tier != GrowthCrit {
		t.Errorf("after months it is %v", tier)
	}
}
