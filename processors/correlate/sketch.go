package correlate

import (
	"cmp"
	"math"
	"slices"
)

// sketch counts numbers in bins whose width is 2 % of their value: a DDSketch (Masson, Rim, Lee: "DDSketch: A fast and
// fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019, section 2). A quantile is within 1 % of the
// number of that rank. Numbers can be taken out again, which libraries do not offer, and which a sliding window needs.
// Where exact numbers are asked for, each has a bin of its own. The zero value is empty.
type sketch struct {
	bins []bin // by index
	n    int64
}

type bin struct {
	index float64 // of binOf, or the exact number
	n     int64
}

const (
	// sketchGamma is the ratio of a bin's bounds: (1+a)/(1-a) for an error of a.
	sketchGamma = 1.01 / 0.99
	// sketchZero is the smallest magnitude that is not zero; binOfLeast is the bin of the numbers above it.
	sketchZero = 1e-9
	binOfLeast = 1
)

var logGamma = math.Log(sketchGamma)

// binOf returns the bin of a number, an integer; the order of bins is that of numbers. 0 is that of zero.
func binOf(v float64) float64 {
	m := math.Abs(v)
	if m < sketchZero {
		return 0
	}
	i := math.Ceil(math.Log(m/sketchZero)/logGamma) + binOfLeast
	if v < 0 {
		return -i
	}
	return i
}

// binValue returns what stands for the numbers of a bin.
func binValue(i float64) float64 {
	switch {
	case i == 0:
		return 0
	case i < 0:
		return -binValue(-i)
	}
	return sketchZero * math.Pow(sketchGamma, i-binOfLeast) * 2 / (1 + sketchGamma)
}

// add counts a number so many times more, or less; what is none is left out.
func (s *sketch) add(text string, times int64, exact bool) {
	index, ok := number(text)
	if !ok {
		return
	}
	s.n += times
	if !exact {
		index = binOf(index)
	}
	i, found := slices.BinarySearchFunc(s.bins, index, func(b bin, index float64) int { return cmp.Compare(b.index, index) })
	if !found {
		s.bins = slices.Insert(s.bins, i, bin{index: index})
	}
	if s.bins[i].n += times; s.bins[i].n == 0 {
		s.bins = slices.Delete(s.bins, i, i+1)
	}
}

// quantile returns the number of rank q*n, counted from 1 and rounded up; NaN where there are none.
func (s *sketch) quantile(q float64, exact bool) float64 {
	index := s.rank(max(int64(math.Ceil(q*float64(s.n))), 1))
	if exact || math.IsNaN(index) {
		return index
	}
	return binValue(index)
}

// median returns the mean of the middle two of exact numbers; NaN where there are none.
func (s *sketch) median() float64 { return (s.rank((s.n+1)/2) + s.rank(s.n/2+1)) / 2 }

// rank returns the index of the bin with the number of that rank, counted from 1; NaN where there are not so many.
func (s *sketch) rank(rank int64) float64 {
	for _, b := range s.bins {
		if rank -= b.n; rank <= 0 {
			return b.index
		}
	}
	return math.NaN()
}
