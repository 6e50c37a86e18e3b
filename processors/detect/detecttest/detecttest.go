// Package detecttest is the suite every detector must pass: determinism,
// snapshot and restore mid-stream, bad numbers, bad times, bounded state.
//
// A detector takes part through [Subject]; one whose samples are richer than
// a time and a value is adapted in its own test by a few lines that derive the
// other fields from the value.
package detecttest

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// Subject is a detector reduced to what the suite needs.
type Subject interface {
	// Observe takes one sample and returns a number that stands for all the
	// detector says of it: its score, or a hash of its verdict. Never NaN.
	Observe(t time.Time, v float64) float64
	// AppendBinary appends the whole state to b.
	AppendBinary(b []byte) ([]byte, error)
	// UnmarshalBinary replaces the whole state. It keeps no reference to data.
	UnmarshalBinary(data []byte) error
}

// Config says what to test.
type Config struct {
	// New returns a fresh detector. Two of them are equal.
	New func() Subject
	// MaxStateBytes bounds the encoded state after any input.
	MaxStateBytes int
	// MaxScore is the greatest value Observe may return; the least is 0.
	// Zero leaves the result unbounded, for subjects that return a hash.
	MaxScore float64
}

// Run runs the suite, one subtest a property.
func Run(t *testing.T, c Config) {
	t.Helper()
	for _, s := range Streams() {
		t.Run(s.Name, func(t *testing.T) {
			t.Run("deterministic", func(t *testing.T) { deterministic(t, c, s) })
			t.Run("restored equals never stopped", func(t *testing.T) { restores(t, c, s) })
			t.Run("bounded", func(t *testing.T) { bounded(t, c, s) })
		})
	}
	t.Run("rejects damaged state", func(t *testing.T) { rejectsDamage(t, c) })
}

// A Stream is a named sequence of samples.
type Stream struct {
	Name    string
	Samples []Sample
}

// A Sample is one reading.
type Sample struct {
	Time  time.Time
	Value float64
}

// Streams returns the suite's inputs; the same on every call. Each is an
// ordinary daily series with noise, spoilt in the way its name says.
func Streams() []Stream {
	ordinary := func(seed uint64, spoil func(i int, s *Sample, r *rand.Rand)) []Sample {
		r := rand.New(rand.NewPCG(seed, 1))
		start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		samples := make([]Sample, 1500)
		for i := range samples {
			t := start.Add(time.Duration(i) * 5 * time.Minute)
			day := 2 * math.Pi * float64(i) / 288
			samples[i] = Sample{t, 100 + 30*math.Sin(day) + 5*r.NormFloat64()}
			spoil(i, &samples[i], r)
		}
		return samples
	}
	return []Stream{
		{"ordinary", ordinary(1, func(int, *Sample, *rand.Rand) {})},
		{"constant", ordinary(2, func(_ int, s *Sample, _ *rand.Rand) { s.Value = 7 })},
		{"constant then step", ordinary(3, func(i int, s *Sample, _ *rand.Rand) { s.Value = float64(i / 750) })},
		{"NaN", ordinary(4, func(i int, s *Sample, _ *rand.Rand) {
			if i < 3 || i%7 == 0 {
				s.Value = math.NaN()
			}
		})},
		{"infinities", ordinary(5, func(i int, s *Sample, _ *rand.Rand) {
			if i%11 == 0 {
				s.Value = math.Inf(i%2*2 - 1)
			}
		})},
		{"huge values", ordinary(6, func(i int, s *Sample, r *rand.Rand) {
			s.Value = math.Ldexp(s.Value, r.IntN(2000)-1000)
			if i%13 == 0 {
				s.Value = math.MaxFloat64 * float64(i%2*2-1)
			}
		})},
		{"tiny values", ordinary(7, func(i int, s *Sample, _ *rand.Rand) {
			s.Value = float64(i%5) * math.SmallestNonzeroFloat64
		})},
		{"repeated times", ordinary(8, func(i int, s *Sample, _ *rand.Rand) {
			s.Time = s.Time.Add(-time.Duration(i%10) * 5 * time.Minute)
		})},
		{"disordered times", ordinary(9, func(_ int, s *Sample, r *rand.Rand) {
			s.Time = s.Time.Add(time.Duration(r.IntN(7200)-3600) * time.Second)
		})},
		{"extreme times", ordinary(10, func(i int, s *Sample, _ *rand.Rand) {
			switch i % 100 {
			case 50:
				s.Time = time.Time{}
			case 51:
				s.Time = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
			}
		})},
	}
}

func run(t *testing.T, c Config, d Subject, samples []Sample) []float64 {
	t.Helper()
	out := make([]float64, len(samples))
	for i, s := range samples {
		out[i] = d.Observe(s.Time, s.Value)
		if math.IsNaN(out[i]) || c.MaxScore > 0 && (out[i] < 0 || out[i] > c.MaxScore) {
			t.Fatalf("sample %d (%v, %v): got %v, want 0..%v", i, s.Time, s.Value, out[i], c.MaxScore)
		}
	}
	return out
}

func state(t *testing.T, d Subject) []byte {
	t.Helper()
	b, err := d.AppendBinary(nil)
	if err != nil {
		t.Fatalf("encode state: %v", err)
	}
	return b
}

func deterministic(t *testing.T, c Config, s Stream) {
	a, b := c.New(), c.New()
	equal(t, 0, run(t, c, a, s.Samples), run(t, c, b, s.Samples))
	if !bytes.Equal(state(t, a), state(t, b)) {
		t.Error("two runs over the same samples left different states")
	}
}

func restores(t *testing.T, c Config, s Stream) {
	want := run(t, c, c.New(), s.Samples)
	for _, at := range []int{0, 1, 2, 50, len(s.Samples) / 2, len(s.Samples) - 1} {
		before, after := c.New(), c.New()
		run(t, c, before, s.Samples[:at])
		snapshot := state(t, before)
		prefix := []byte("prefix")
		if b, err := before.AppendBinary(prefix); err != nil || !bytes.Equal(b, append(prefix, snapshot...)) {
			t.Fatalf("at sample %d: AppendBinary does not append (%v)", at, err)
		}
		if err := after.UnmarshalBinary(snapshot); err != nil {
			t.Fatalf("restore at sample %d: %v", at, err)
		}
		if !bytes.Equal(state(t, after), snapshot) {
			t.Errorf("state restored at sample %d encodes differently", at)
		}
		clear(snapshot) // a reference kept would show below
		equal(t, at, run(t, c, after, s.Samples[at:]), want[at:])
	}
}

func bounded(t *testing.T, c Config, s Stream) {
	d := c.New()
	run(t, c, d, s.Samples)
	if n := len(state(t, d)); n > c.MaxStateBytes {
		t.Errorf("state takes %d bytes, want at most %d", n, c.MaxStateBytes)
	}
}

func rejectsDamage(t *testing.T, c Config) {
	d := c.New()
	run(t, c, d, Streams()[0].Samples)
	good := state(t, d)
	for _, bad := range [][]byte{nil, good[:1], good[:len(good)-1], append(bytes.Clone(good), 0)} {
		if err := c.New().UnmarshalBinary(bad); err == nil {
			t.Errorf("a state of %d bytes instead of %d was accepted", len(bad), len(good))
		}
	}
	wrongVersion := bytes.Clone(good)
	wrongVersion[0] ^= 0xff
	if err := c.New().UnmarshalBinary(wrongVersion); err == nil {
		t.Error("a state of another version was accepted")
	}
	if err := d.UnmarshalBinary(good[:1]); err == nil || !bytes.Equal(state(t, d), good) {
		t.Error("a refused state changed the detector")
	}
}

func equal(t *testing.T, from int, got, want []float64) {
	t.Helper()
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("sample %d: got %v, want %v", from+i, got[i], want[i])
		}
	}
}
