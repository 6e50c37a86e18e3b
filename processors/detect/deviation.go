package detect

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"
)

// DeviationConfig configures a [Deviation].
type DeviationConfig struct {
	// Last is how many values before it a value is compared with: 3 to [MaxLast]. Until so many are known nothing is judged.
	Last int
	// Deviations is by how many times their median absolute deviation a value must be above their mean. Above 0.
	Deviations float64
	// Rise is by what part of their mean it must be above it at least: of a series that hardly moves every change is many
	// deviations. 0 or more.
	Rise float64
}

// MaxLast bounds DeviationConfig.Last, and so the state of a series: 8 bytes a value.
const MaxLast = 100

// Deviation tells a value that is worse than the few before it: above their mean by so many of their median
// absolute deviations (MAD; Hampel 1974). It is for short series where each value counts, such as one a build, of which
// [Anomaly] would want hundreds. More is worse; who means less turns the sign.
//
// State: at most 8*MaxLast+2 bytes. Not safe for concurrent use.
type Deviation struct {
	cfg  DeviationConfig
	last []float64 // oldest first
}

const deviationVersion = 1

// NewDeviation returns a detector that has seen nothing.
func NewDeviation(cfg DeviationConfig) *Deviation { return &Deviation{cfg: cfg} }

// Observe judges one value, then learns it. A NaN is no value: it scores 0 and teaches nothing. The score is a half where
// the value is as far above the mean as is allowed, near 1 far beyond that, and 0 up to the mean.
func (d *Deviation) Observe(_ time.Time, v float64) AnomalyVerdict {
	verdict := AnomalyVerdict{Expected: v, Got: v}
	if math.IsNaN(v) {
		return verdict
	}
	v = max(-anomalyLimit, min(v, anomalyLimit))
	if len(d.last) == d.cfg.Last {
		mean, mad := meanAndMAD(d.last)
		allowed := max(d.cfg.Deviations*mad, d.cfg.Rise*math.Abs(mean))
		verdict.Expected, verdict.Limit = mean, mean+allowed
		if above := v - mean; above > 0 {
			verdict.Score = above / (above + allowed)
		}
		d.last = slices.Delete(d.last, 0, 1)
	}
	d.last = append(d.last, v)
	return verdict
}

// meanAndMAD returns the mean of the values, and the median of their distances from their median.
func meanAndMAD(values []float64) (mean, mad float64) {
	sorted := slices.Sorted(slices.Values(values))
	middle := middleOf(sorted)
	for i, v := range sorted {
		mean += v
		sorted[i] = math.Abs(v - middle)
	}
	slices.Sort(sorted)
	return mean / float64(len(values)), middleOf(sorted)
}

// middleOf returns the middle of sorted values.
func middleOf(sorted []float64) float64 {
	n := len(sorted)
	return sorted[(n-1)/2]/2 + sorted[n/2]/2
}

// AppendBinary appends the state to b; it implements [encoding.BinaryAppender]. The configuration is not part of it.
func (d *Deviation) AppendBinary(b []byte) ([]byte, error) {
	return binary.Append(append(b, deviationVersion, byte(len(d.last))), binary.LittleEndian, d.last)
}

// UnmarshalBinary replaces the state by one that AppendBinary wrote; it implements [encoding.BinaryUnmarshaler]. On an
// error nothing changes.
func (d *Deviation) UnmarshalBinary(data []byte) error {
	if len(data) < 2 || data[0] != deviationVersion || int(data[1]) > d.cfg.Last || len(data) != 2+8*int(data[1]) {
		return fmt.Errorf("restore deviation detector: %d bytes are not a state of version %d", len(data), deviationVersion)
	}
	last := make([]float64, data[1], d.cfg.Last)
	if _, err := binary.Decode(data[2:], binary.LittleEndian, last); err != nil {
		return fmt.Errorf("restore deviation detector: %w", err)
	}
	d.last = last
	return nil
}
