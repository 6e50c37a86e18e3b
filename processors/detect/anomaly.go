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
	// Memory is how many rows a range takes to give up 63 % of its width if
	// nothing comes near its bounds. Less adapts sooner to a calmer habit and
	// tells again of what was seen before: on the benchmark 30000 costs one
	// point and 10000 three, mostly by more alarms. At least 1000; default
	// 200000, two years of five-minute rows.
	Memory float64
	// Refractory is how many rows an event lasts: the score that an event has
	// reached is held against the rows after it and decays by 63 % in so many
	// of them. More gives fewer alarms and hides a second event behind the
	// first: 25 to 75 differ by half a point, 100 costs two. At least 1;
	// default 50.
	Refractory float64
	// Period is the season that the series may follow. A series that does not
	// follow it loses nothing. At least 24 seconds; default 24 hours.
	Period time.Duration
	// Without leaves kinds of evidence out, to measure what each adds.
	Without []Evidence
}

func (c AnomalyConfig) withDefaults() AnomalyConfig {
	if !(c.Memory >= 1000) {
		c.Memory = 200000
	}
	if !(c.Refractory >= 1) {
		c.Refractory = 50
	}
	if c.Period < seasonSlots*time.Second {
		c.Period = 24 * time.Hour
	}
	return c
}

// AnomalyStateBytes bounds the encoded state of one series.
const AnomalyStateBytes = 1024

// Evidence is a view of the series that can call a row anomalous: each is a
// number for every row, judged against the range it has kept to so far.
type Evidence uint8

const (
	// Value is the row itself.
	Value Evidence = iota
	// Change is the row less a mean that moves half of the way each row.
	Change
	// Spike is the row less the median of the last 10 rows.
	Spike
	// Shift is the row less the median of the last 40 rows.
	Shift
	// Season is the row less the mean of this time of earlier periods.
	Season

	evidences
)

// String returns the evidence's name.
func (e Evidence) String() string {
	return [...]string{"value", "change", "spike", "shift", "season"}[e]
}

// AllEvidence lists the kinds of evidence.
func AllEvidence() []Evidence {
	all := make([]Evidence, evidences)
	for i := range all {
		all[i] = Evidence(i)
	}
	return all
}

// AnomalyVerdict says what an [Anomaly] makes of one row. It is a value: it
// holds no reference to the detector.
type AnomalyVerdict struct {
	// Score is 0 for ordinary to 1 for unheard of. One half is a sound bar,
	// a third where a miss costs twice as much and three quarters where a
	// false alarm does: the best thresholds for the benchmark's profiles.
	Score float64
	// Expected is the forecast from earlier rows alone: the mean of this time
	// of day if that is what the row breaks with, else the median of the last
	// 10 rows. It is Got if there are none.
	Expected float64
	// Got is the row's value.
	Got float64
	// Limit is the least value that a [Deviation] takes for worse; 0 of others, and while it knows too few.
	Limit float64
	// Beyond says for each [Evidence] how far the row lies outside the range
	// so far: 0 inside, one half if as far outside as the bound is from the
	// mean, 1 infinitely far; less while the range is young.
	Beyond [evidences]float64
	// Held says that the row is anomalous but no more than the event it
	// belongs to has been already; Score is then 0.
	Held bool
}

// Explain says in one line what was expected, what came, and which evidence
// speaks how loudly, in percent. It costs nothing until it is called.
func (v AnomalyVerdict) Explain() string {
	var b strings.Builder
	fmt.Fprintf(&b, "expected %.4g, got %.4g", v.Expected, v.Got)
	for e, x := range v.Beyond {
		if x > 0 {
			fmt.Fprintf(&b, "; %s beyond its range (%.0f %%)", Evidence(e), 100*x)
		}
	}
	if v.Limit != 0 {
		fmt.Fprintf(&b, "; from %.4g on it is worse", v.Limit)
	}
	if v.Held {
		b.WriteString("; same event as before")
	}
	return b.String()
}

// Anomaly scores the rows of one metric series in order, knowing nothing of it
// beforehand. It looks at each row in a few ways (see [Evidence]) and asks of
// each how far it lies outside all that was seen before; the answers are
// joined by their Euclidean norm. One event gives one alarm: a row scores only
// what exceeds the event's decaying peak.
//
// What each part adds on the benchmark, and what was tried and left out, is in
// the package documentation.
//
// State: at most [AnomalyStateBytes]. Not safe for concurrent use.
type Anomaly struct {
	cfg   AnomalyConfig
	mute  [evidences]bool
	state anomalyState
}

// seasonSlots divide the period; seasonRows is how many rows the mean of a
// slot remembers: 2 weeks of five-minute rows in hourly slots.
const (
	seasonSlots = 24
	seasonRows  = 168
)

// anomalyState is the memory, laid out as it is encoded.
type anomalyState struct {
	Spans  [evidences]span
	Recent recent
	// Mean is the mean that Change is measured from.
	Mean float64
	// Season holds the mean of each slot, Visits its rows up to seasonRows.
	Season [seasonSlots]float64
	Visits [seasonSlots]uint8
	// Peak is the highest joined evidence, decaying.
	Peak float64
}

const anomalyVersion = 1

// anomalyLimit bounds the values that arithmetic sees, so that no sum or
// product overflows; an infinity is a value at the limit.
const anomalyLimit = 1e150

// anomalyHalf is the joined evidence that scores one half: a row outside one
// of its ranges by a twentieth of the distance from the mean to the bound.
const anomalyHalf = 0.05

// NewAnomaly returns a detector that has seen nothing.
func NewAnomaly(cfg AnomalyConfig) *Anomaly {
	a := &Anomaly{cfg: cfg.withDefaults()}
	for _, e := range cfg.Without {
		a.mute[e] = true
	}
	return a
}

// Observe judges one row, then learns from it. t only places the row in the
// period, so repeated and disordered times do no harm. A NaN is no reading: it
// scores 0 and teaches nothing.
func (a *Anomaly) Observe(t time.Time, v float64) AnomalyVerdict {
	verdict := AnomalyVerdict{Expected: v, Got: v}
	if math.IsNaN(v) {
		return verdict
	}
	v = max(-anomalyLimit, min(v, anomalyLimit))
	s := &a.state
	if s.Spans[Value].Rows == 0 {
		s.Recent.fill(v)
		s.Mean = v
	}
	short, long := s.Recent.medians()
	slot := a.slot(t)
	forget := 1 / a.cfg.Memory

	beyond := &verdict.Beyond
	beyond[Value] = s.Spans[Value].beyond(v, forget)
	beyond[Change] = s.Spans[Change].beyond(v-s.Mean, forget)
	beyond[Spike] = s.Spans[Spike].beyond(v-short, forget)
	beyond[Shift] = s.Spans[Shift].beyond(v-long, forget)
	if s.Visits[slot] > 0 {
		beyond[Season] = s.Spans[Season].beyond(v-s.Season[slot], forget)
	}
	verdict.Expected = short
	if beyond[Season] > beyond[Spike] {
		verdict.Expected = s.Season[slot]
	}

	s.learn(s.Spans[Value].clip(v), slot)

	joined := 0.0
	for e, x := range beyond {
		if !a.mute[e] {
			joined += x * x
		}
	}
	joined = math.Sqrt(joined)
	s.Peak *= 1 - 1/a.cfg.Refractory
	if joined > s.Peak {
		news := joined - s.Peak
		s.Peak = joined
		verdict.Score = news / (news + anomalyHalf)
	} else {
		verdict.Held = joined > 0
	}
	return verdict
}

// learn takes a row into the means and medians. The row is clipped to the
// range of values, which one row can widen only so far.
func (s *anomalyState) learn(v float64, slot int) {
	s.Mean += (v - s.Mean) / 2
	s.Recent.push(v)
	s.Visits[slot] = min(s.Visits[slot]+1, seasonRows)
	s.Season[slot] += (v - s.Season[slot]) / float64(s.Visits[slot])
}

// slot returns the part of the period that t falls in.
func (a *Anomaly) slot(t time.Time) int {
	period := int64(a.cfg.Period / time.Second)
	since := t.Unix() % period
	if since < 0 {
		since += period
	}
	return int(since * seasonSlots / period)
}

// AppendBinary appends the state to b; it implements
// [encoding.BinaryAppender]. The configuration is not part of it.
func (a *Anomaly) AppendBinary(b []byte) ([]byte, error) {
	return binary.Append(append(b, anomalyVersion), binary.LittleEndian, &a.state)
}

// UnmarshalBinary replaces the state by one that AppendBinary wrote; it
// implements [encoding.BinaryUnmarshaler]. On an error nothing changes.
func (a *Anomaly) UnmarshalBinary(data []byte) error {
	var s anomalyState
	if len(data) != 1+binary.Size(&s) || data[0] != anomalyVersion {
		return fmt.Errorf("restore anomaly detector: %d bytes are not a state of version %d", len(data), anomalyVersion)
	}
	if _, err := binary.Decode(data[1:], binary.LittleEndian, &s); err != nil {
		return fmt.Errorf("restore anomaly detector: %w", err)
	}
	if s.Spans[Value].Rows > 0 && !s.Recent.valid() {
		return fmt.Errorf("restore anomaly detector: recent rows are damaged")
	}
	a.state = s
	return nil
}
