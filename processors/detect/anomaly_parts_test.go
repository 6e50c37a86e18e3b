package detect

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRecentAgainstSorting compares the running medians with sorting the last
// rows, repeated values included.
func TestRecentAgainstSorting(t *testing.T) {
	median := func(rows []float64) float64 {
		sorted := slices.Sorted(slices.Values(rows))
		n := len(sorted)
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		var got recent
		got.fill(3)
		rows := slices.Repeat([]float64{3}, longRows)
		for i := range 500 {
			v := float64(r.IntN(1 + int(seed)*3))
			if seed%2 == 0 {
				v *= r.NormFloat64()
			}
			got.push(v)
			rows = append(rows[1:], v)
			short, long := got.medians()
			if want := median(rows[longRows-shortRows:]); short != want {
				t.Fatalf("seed %d, row %d: short median %v, want %v", seed, i, short, want)
			}
			if want := median(rows); long != want {
				t.Fatalf("seed %d, row %d: long median %v, want %v", seed, i, long, want)
			}
			if !got.valid() {
				t.Fatalf("seed %d, row %d: order %v of %v", seed, i, got.Order, got.Values)
			}
		}
	}
}

func TestRecentRefusesDamage(t *testing.T) {
	for name, damage := range map[string]func(r *recent){
		"place out of range": func(r *recent) { r.Order[3] = longRows },
		"place twice":        func(r *recent) { r.Order[3] = r.Order[4] },
		"wrong order":        func(r *recent) { r.Order[3], r.Order[30] = r.Order[30], r.Order[3] },
		"next out of range":  func(r *recent) { r.Next = longRows },
		"not a number":       func(r *recent) { r.Values[5] = math.NaN() },
	} {
		var r recent
		r.fill(0)
		for i := range longRows {
			r.push(float64(i * 7 % longRows))
		}
		if damage(&r); r.valid() {
			t.Errorf("%s is taken for valid", name)
		}
	}
}

func TestSpan(t *testing.T) {
	known := func(rows uint32) *span { return &span{Low: -10, Mean: 0, High: 20, Rows: rows} }
	const old = 1 << 30
	for _, test := range []struct {
		name string
		span *span
		x    float64
		want float64
	}{
		{"first reading", &span{}, 5, 0},
		{"inside", known(old), 19, 0},
		{"at the bound", known(old), 20, 0},
		{"as far above as the bound from the mean", known(old), 40, 0.5},
		{"as far below as the bound from the mean", known(old), -20, 0.5},
		{"far away", known(old), 1e9, 1},
		{"half trusted", known(spanYoung), 40, 0.25},
		{"constant so far", &span{Low: 7, Mean: 7, High: 7, Rows: old}, 7.001, 1},
	} {
		if got := test.span.beyond(test.x, 0); math.Abs(got-test.want) > 1e-6 {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

// TestSpanSurvivesAnAbsurdValue wants a like spike to be seen again soon after
// a value beyond all measure.
func TestSpanSurvivesAnAbsurdValue(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var s span
	for range 2000 {
		s.beyond(r.NormFloat64(), 1e-5)
	}
	s.beyond(anomalyLimit, 1e-5)
	if s.High > 100 || s.Mean > 1 {
		t.Errorf("one value moved the range to %+v", s)
	}
	if got := s.beyond(1000, 1e-5); got < 0.5 {
		t.Errorf("1000 in noise of deviation 1 is %v beyond", got)
	}
}

func TestSpanForgets(t *testing.T) {
	s := span{Low: -1, Mean: 0, High: 100, Rows: 1000}
	for range 1000 {
		s.beyond(0, 1.0/1000)
	}
	if want := 100 / math.E; math.Abs(s.High-want) > 1 {
		t.Errorf("bound %.1f after a memory's rows, want %.1f", s.High, want)
	}
}
