package detect_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/processors/detect"
	"github.com/tocsin-project/tocsin/processors/detect/detecttest"
)

// silenceSubject makes an event of every sample and asks at a watermark of
// value seconds after it.
type silenceSubject struct{ *detect.Silence }

func (s silenceSubject) Observe(t time.Time, v float64) float64 {
	s.Silence.Observe(t)
	watermark := t
	if v > 0 && v < 1e9 {
		watermark = t.Add(time.Duration(v * float64(time.Second)))
	}
	verdict := s.Check(watermark)
	score := verdict.Limit.Seconds() + verdict.Quiet.Seconds()
	if verdict.Silent {
		score += 1e12
	}
	if verdict.Fired {
		score += 1e13
	}
	return score
}

func TestSilence(t *testing.T) {
	detecttest.Run(t, detecttest.Config{
		New:           func() detecttest.Subject { return silenceSubject{detect.NewSilence(detect.SilenceConfig{})} },
		MaxStateBytes: 1024,
	})
}

// TestSilenceAgainstSortedGaps compares the limit with the exact p95 of
// random gaps: never early, at most one bucket (12.5 %) late.
func TestSilenceAgainstSortedGaps(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		s := detect.NewSilence(detect.SilenceConfig{Min: time.Millisecond})
		at := start
		s.Observe(at)
		var gaps []time.Duration
		for range 20 + r.IntN(1900) {
			gap := time.Duration(1+r.ExpFloat64()*float64(int64(1)<<r.IntN(26))) * time.Millisecond
			gaps = append(gaps, gap)
			at = at.Add(gap)
			s.Observe(at)
		}
		slices.Sort(gaps)
		p95 := gaps[len(gaps)-1-len(gaps)/20]
		limit := s.Check(at).Limit
		if low, high := 3*p95, 3*p95*9/8+4*time.Millisecond; limit < low || limit > high {
			t.Errorf("seed %d: limit %v, want %v to %v for a p95 of %v", seed, limit, low, high, p95)
		}
		if v := s.Check(at.Add(limit)); v.Silent {
			t.Errorf("seed %d: silent at the limit", seed)
		}
		if v := s.Check(at.Add(limit + 1)); !v.Silent || !v.Fired || v.LastSeen != at {
			t.Errorf("seed %d: %+v just beyond the limit, want it fired, last seen %v", seed, v, at)
		}
	}
}

func TestSilenceFiresOncePerSilence(t *testing.T) {
	s := detect.NewSilence(detect.SilenceConfig{})
	at := start
	fired := 0
	for range 3 {
		for range 30 {
			at = at.Add(30 * time.Second)
			s.Observe(at)
		}
		for range 60 {
			at = at.Add(10 * time.Second)
			if s.Check(at).Fired {
				fired++
			}
		}
	}
	if fired != 3 {
		t.Errorf("fired %d times in 3 silences", fired)
	}
}

func TestSilenceKeepsQuiet(t *testing.T) {
	every := func(s *detect.Silence, gap time.Duration, n int) time.Time {
		for i := range n {
			s.Observe(start.Add(time.Duration(i) * gap))
		}
		return start.Add(time.Duration(n-1) * gap)
	}
	for name, test := range map[string]struct {
		events int
		gap    time.Duration
		quiet  time.Duration
	}{
		"never seen":              {0, 0, time.Hour},
		"seen once":               {1, 0, 1000 * time.Hour},
		"habit not known yet":     {20, time.Second, 1000 * time.Hour},
		"within three p95":        {100, time.Minute, 3 * time.Minute},
		"below the minimum":       {100, time.Millisecond, time.Minute},
		"watermark before events": {100, time.Minute, -time.Hour},
	} {
		s := detect.NewSilence(detect.SilenceConfig{})
		last := every(s, test.gap, test.events)
		if v := s.Check(last.Add(test.quiet)); v.Silent {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func TestSilenceExplains(t *testing.T) {
	s := detect.NewSilence(detect.SilenceConfig{})
	if got := s.Check(start).Explain(); got != "never seen" {
		t.Errorf("got %q", got)
	}
	for i := range 100 {
		s.Observe(start.Add(time.Duration(i) * time.Minute))
	}
	got := s.Check(start.Add(3 * time.Hour)).Explain()
	for _, want := range []string{"last seen 2026-03-01T01:39:00Z", "1h21m0s ago", "is ordinary"} {
		if !strings.Contains(got, want) {
			t.Errorf("explanation %q lacks %q", got, want)
		}
	}
}

// TestSilenceForgets gives up a slow habit for a fast one.
func TestSilenceForgets(t *testing.T) {
	s := detect.NewSilence(detect.SilenceConfig{})
	at := start
	for _, habit := range []struct {
		gap time.Duration
		n   int
	}{{time.Hour, 2000}, {time.Minute, 10000}} {
		for range habit.n {
			at = at.Add(habit.gap)
			s.Observe(at)
		}
	}
	if v := s.Check(at.Add(5 * time.Minute)); !v.Silent {
		t.Errorf("still waits %v after 10000 gaps of a minute", v.Limit)
	}
}

// Due is the very watermark at which Check fires.
func TestSilenceDue(t *testing.T) {
	d := detect.NewSilence(detect.SilenceConfig{})
	t0 := time.UnixMilli(1_800_000_000_000)
	for i := range 30 {
		if _, ok := d.Due(); ok != (i > 20) {
			t.Fatalf("after %d events it is due: %t", i, ok)
		}
		d.Observe(t0.Add(time.Duration(i) * 40 * time.Second))
	}
	due, _ := d.Due()
	if v := d.Check(due.Add(-time.Millisecond)); v.Silent {
		t.Errorf("a millisecond before it is due: %s", v.Explain())
	}
	if v := d.Check(due); !v.Fired {
		t.Errorf("when it is due: %s", v.Explain())
	}
	if _, ok := d.Due(); ok {
		t.Error("it is due again")
	}
}
