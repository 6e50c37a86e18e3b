package detect

// A span is the range that one view of a series has kept to so far. It is the
// detector's only model: a record tells of a change without any assumption on
// distribution, scale or independence (of n exchangeable readings the next one
// is a record with probability 2/(n+1), whatever their distribution; Rényi
// 1962), and the rarer the longer the series is known.
//
// Its two sides are judged apart, from the mean to the bound, because load,
// latency and error counts are one-sided.
type span struct {
	Low, Mean, High float64
	// Rows counts readings; 0 means that there is no range yet.
	Rows uint32
}

// spanYoung is how many readings make a range half trustworthy: a record
// over n readings counts n/(n+spanYoung).
const spanYoung = 300

// spanGrowth bounds what one reading may do: it widens a range at most
// tenfold, so that one absurd value cannot blind the detector for good.
const spanGrowth = 9

// beyond says how far x lies outside the range: out/(out+side), 0 inside, one
// half if it is as far outside as the bound is from the mean, and near 1 far
// away. Then it learns x. forget is the share of each side that is given up.
func (s *span) beyond(x, forget float64) float64 {
	if s.Rows == 0 {
		s.Low, s.Mean, s.High, s.Rows = x, x, x, 1
		return 0
	}
	width := s.High - s.Low
	var out, side float64
	switch {
	case x > s.High:
		out, side = x-s.High, s.High-s.Mean
		if width > 0 {
			x = min(x, s.High+spanGrowth*width)
		}
		s.High = x
	case x < s.Low:
		out, side = s.Low-x, s.Mean-s.Low
		if width > 0 {
			x = max(x, s.Low-spanGrowth*width)
		}
		s.Low = x
	}
	known := float64(s.Rows)
	s.Rows = min(s.Rows+1, 1<<31)
	s.Mean += (x - s.Mean) / (known + 1)
	s.Low += (s.Mean - s.Low) * forget
	s.High += (s.Mean - s.High) * forget
	if out == 0 {
		return 0
	}
	return out / (out + side) * known / (known + spanYoung)
}

// clip returns x within the range.
func (s *span) clip(x float64) float64 {
	return max(s.Low, min(x, s.High))
}
