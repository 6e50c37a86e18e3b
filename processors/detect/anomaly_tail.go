package detect

import "math"

// tail says how rare a reading is in its own history: it follows a high
// quantile of a statistic by stochastic approximation (Robbins and Monro 1951)
// and fits a Pareto tail beyond it by Hill's estimator (Hill 1975), both with
// exponential forgetting. It needs no scale and no bounds.
type tail struct {
	// Rows counts readings, up to the memory.
	Rows float32
	// Quantile is the reading that a fraction tailFraction exceeds.
	Quantile float32
	// Step is the quantile's step: the decayed mean of the readings.
	Step float32
	// Hill is the decayed mean of ln(reading/Quantile) beyond Quantile.
	Hill float32
}

// tailFraction is the fraction of readings that the Pareto tail is fitted to.
const tailFraction = 0.02

// surprise returns -log10 of the probability that an ordinary reading is at
// least x (x >= 0), then counts x. memory is in readings.
func (f *tail) surprise(x, memory float64) float64 {
	s := 0.0
	q := float64(f.Quantile)
	over := 0.0
	if q > 0 && x > q {
		over = math.Log(x / q)
		s = -math.Log10(tailFraction) + over/max(float64(f.Hill), 0.05)/math.Ln10
	}
	f.Rows = float32(min(float64(f.Rows)+1, memory))
	rate := 1 / float64(f.Rows)
	f.Step += float32((min(x, 10*float64(f.Step)+x*rate) - float64(f.Step)) * rate)
	step := float64(f.Step) * max(rate, 1/memory) * 4
	switch {
	case f.Rows == 1:
		f.Quantile, f.Hill = float32(x), 0.5
	case x > q:
		f.Quantile = float32(min(x, q+step))
		f.Hill += float32((min(over, 3) - float64(f.Hill)) * max(rate, 0.02))
	default:
		f.Quantile = float32(max(0, q-step*tailFraction/(1-tailFraction)))
	}
	return s
}
