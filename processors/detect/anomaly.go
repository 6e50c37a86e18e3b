package detect

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"
)

// AnomalyConfig configures an [Anomaly]. The zero value takes the defaults.
type AnomalyConfig struct {
	// Memory is how many rows the histories remember (exponential, mean age).
	// More is steadier, less adapts sooner. Default 2000.
	Memory float64
	// Period is the season that the series may follow; the profile of it is
	// learned. Default 24 hours.
	Period time.Duration
	// Refractory is how many rows an event lasts: after an alarm the score of
	// a like or lesser surprise is held down for about so long, so that one
	// event is one alarm. Default 200.
	Refractory float64
}

func (c AnomalyConfig) withDefaults() AnomalyConfig {
	if !(c.Memory > 1) {
		c.Memory = 2000
	}
	if c.Period <= 0 {
		c.Period = 24 * time.Hour
	}
	if !(c.Refractory > 1) {
		c.Refractory = 200
	}
	return c
}

// AnomalyStateBytes bounds the encoded state of one series.
const AnomalyStateBytes = 1024

// Evidence is a kind of reason to call a row anomalous.
type Evidence uint8

const (
	// Novelty is a value outside the range seen so far.
	Novelty Evidence = iota
	// Shift is a lasting change of level.
	Shift
	// Seasonal is a value unlike those at this time of the period.
	Seasonal

	evidences
)

// String returns the evidence's name.
func (e Evidence) String() string {
	return [...]string{"novelty", "shift", "seasonal"}[e]
}

// AnomalyVerdict says what an [Anomaly] makes of one row. It is a value: it
// holds no reference to the detector.
type AnomalyVerdict struct {
	// Score is 0 for ordinary to 1 for unheard of. Half is a sound bar.
	Score float64
	// Expected is what was forecast for this row, from the past alone.
	Expected float64
	// Got is the row's value.
	Got float64
	// Surprise is -log10 of the probability of the row under each evidence.
	Surprise [evidences]float64
	// Held says that the score is low because the same event was told before.
	Held bool
}

// Explain says in one line what was expected, what came, and which evidence
// speaks, strongest last. It costs nothing until it is called.
func (v AnomalyVerdict) Explain() string {
	var b strings.Builder
	fmt.Fprintf(&b, "expected %.4g, got %.4g", v.Expected, v.Got)
	for e, s := range v.Surprise {
		if s >= 1 {
			fmt.Fprintf(&b, "; %s 1 in %.2g", Evidence(e), math.Pow(10, s))
		}
	}
	if v.Held {
		b.WriteString("; same event as before")
	}
	return b.String()
}

// Anomaly scores the rows of one metric series in order, knowing nothing of it
// beforehand. Each kind of evidence is a statistic whose rarity is judged in
// its own history; the surprises are joined by their Euclidean norm, and a
// decaying peak lets one event give one alarm.
//
// State: at most [AnomalyStateBytes]. Not safe for concurrent use.
type Anomaly struct {
	cfg AnomalyConfig
	anomalyState
}

const anomalySlots = 48

// anomalyState is the memory, laid out as it is encoded.
type anomalyState struct {
	Rows       uint32
	Min, Max   float64
	Fast, Slow float64
	Profile    [anomalySlots]float32
	Visits     [anomalySlots]uint8
	Tails      [evidences]tail
	Peak       float64
}

const anomalyVersion = 1

// NewAnomaly returns a detector that has seen nothing.
func NewAnomaly(cfg AnomalyConfig) *Anomaly {
	return &Anomaly{cfg: cfg.withDefaults()}
}

// anomalyLimit bounds the values that arithmetic sees, so that no sum or
// product overflows; an infinity is a value at the limit.
const anomalyLimit = 1e30

// anomalyHalf is the joined surprise that scores one half.
const anomalyHalf = 4.0

// Observe judges one row, then learns from it. t only places the row in the
// period, so repeated and disordered times do no harm. A NaN is no reading: it
// scores 0 and teaches nothing.
func (a *Anomaly) Observe(t time.Time, v float64) AnomalyVerdict {
	verdict := AnomalyVerdict{Got: v, Expected: a.Slow}
	if math.IsNaN(v) {
		return verdict
	}
	v = max(-anomalyLimit, min(v, anomalyLimit))
	if a.Rows == 0 {
		a.Min, a.Max, a.Fast, a.Slow = v, v, v, v
		verdict.Expected = v
	}
	a.Rows++

	verdict.Surprise[Novelty] = a.novelty(v)
	verdict.Surprise[Shift] = a.shift(v)
	verdict.Surprise[Seasonal] = a.seasonal(t, v, &verdict.Expected)

	joined := 0.0
	for _, s := range verdict.Surprise {
		joined += s * s
	}
	joined = math.Sqrt(joined)
	a.Peak *= 1 - 1/a.cfg.Refractory
	if joined > a.Peak {
		joined, a.Peak = joined-a.Peak/2, joined
	} else {
		verdict.Held = joined >= anomalyHalf
		joined = 0
	}
	verdict.Score = joined / (joined + anomalyHalf)
	return verdict
}

// novelty is the distance outside the range seen so far, over that range.
func (a *Anomaly) novelty(v float64) float64 {
	out := max(a.Min-v, v-a.Max, 0)
	if out == 0 {
		return 0
	}
	width := a.Max - a.Min
	a.Min, a.Max = min(a.Min, v), max(a.Max, v)
	known := float64(a.Rows) / (float64(a.Rows) + 100) // a young range proves little
	return 8 * out / (out + width) * known
}

// shift is the distance of a fast from a slow mean.
func (a *Anomaly) shift(v float64) float64 {
	a.Fast += (v - a.Fast) / min(float64(a.Rows), 12)
	x := math.Abs(a.Fast - a.Slow)
	a.Slow += (v - a.Slow) / min(float64(a.Rows), 144)
	return a.Tails[Shift].surprise(x, a.cfg.Memory)
}

// seasonal is the distance from the mean of the same time of earlier periods.
func (a *Anomaly) seasonal(t time.Time, v float64, expected *float64) float64 {
	since := t.Unix() % max(int64(a.cfg.Period/time.Second), 1)
	if since < 0 {
		since += int64(a.cfg.Period / time.Second)
	}
	slot := int(since*anomalySlots/max(int64(a.cfg.Period/time.Second), 1)) % anomalySlots
	mean := &a.Profile[slot]
	visits := &a.Visits[slot]
	s := 0.0
	if *visits >= 12 {
		*expected = float64(*mean)
		s = a.Tails[Seasonal].surprise(math.Abs(v-float64(*mean)), a.cfg.Memory)
	}
	*visits = min(*visits+1, 48)
	*mean += float32((v - float64(*mean)) / float64(*visits))
	return s
}

// AppendBinary appends the state to b; it implements
// [encoding.BinaryAppender]. The configuration is not part of it.
func (a *Anomaly) AppendBinary(b []byte) ([]byte, error) {
	return binary.Append(append(b, anomalyVersion), binary.LittleEndian, &a.anomalyState)
}

// UnmarshalBinary replaces the state by one that AppendBinary wrote; it
// implements [encoding.BinaryUnmarshaler]. On an error nothing changes.
func (a *Anomaly) UnmarshalBinary(data []byte) error {
	if len(data) != 1+binary.Size(&a.anomalyState) || data[0] != anomalyVersion {
		return fmt.Errorf("restore anomaly detector: %d bytes are not a state of version %d", len(data), anomalyVersion)
	}
	_, err := binary.Decode(data[1:], binary.LittleEndian, &a.anomalyState)
	return err
}
