package detect

import "math"

// The medians are of the last 10 and the last 40 rows: at five-minute rows,
// of somewhat less than one and of three hours and a half. Anything from 8 to
// 12 and from 25 to 48 serves as well within half a point of the benchmark.
const (
	shortRows = 10
	longRows  = 40
)

// recent holds the last rows and their order, for running medians. Means in
// their place lose three points of the benchmark: a spike drags its mean
// along, and the way back looks like a second anomaly.
type recent struct {
	// Values is a ring; Next is the oldest row, to be replaced next.
	Values [longRows]float64
	Next   uint8
	// Order lists the places in Values by ascending value.
	Order [longRows]uint8
}

// fill makes every row v.
func (r *recent) fill(v float64) {
	for i := range r.Values {
		r.Values[i], r.Order[i] = v, uint8(i)
	}
	r.Next = 0
}

// push replaces the oldest row by v.
func (r *recent) push(v float64) {
	place := r.Next
	r.Next = (place + 1) % longRows
	i := 0
	for r.Order[i] != place {
		i++
	}
	r.Values[place] = v
	for ; i > 0 && r.Values[r.Order[i-1]] > v; i-- {
		r.Order[i] = r.Order[i-1]
	}
	for ; i < longRows-1 && r.Values[r.Order[i+1]] < v; i++ {
		r.Order[i] = r.Order[i+1]
	}
	r.Order[i] = place
}

// medians returns the medians of the last shortRows and of all rows.
func (r *recent) medians() (short, long float64) {
	long = (r.Values[r.Order[longRows/2-1]] + r.Values[r.Order[longRows/2]]) / 2
	lower, seen := math.NaN(), 0
	for _, place := range r.Order {
		age := (int(r.Next) - 1 - int(place) + longRows) % longRows
		if age >= shortRows {
			continue
		}
		switch seen++; seen {
		case shortRows / 2:
			lower = r.Values[place]
		case shortRows/2 + 1:
			return (lower + r.Values[place]) / 2, long
		}
	}
	panic("BUG: order of recent rows is not a permutation")
}

// valid says whether a restored state is one that push can have left.
func (r *recent) valid() bool {
	var seen [longRows]bool
	for i, place := range r.Order {
		if place >= longRows || seen[place] {
			return false
		}
		seen[place] = true
		if i > 0 && !(r.Values[r.Order[i-1]] <= r.Values[place]) {
			return false
		}
	}
	return r.Next < longRows
}
