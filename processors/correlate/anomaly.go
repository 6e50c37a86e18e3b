package correlate

import (
	"cmp"
	"encoding"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/alert"
	"github.com/tocsin-project/tocsin/processors/detect"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// anomaly is the state of a series of values: its detector (detect.Anomaly, or detect.Deviation where the rule compares with
// the last values alone), which judges them in the order of time. Values wait for the watermark, so that order of arrival
// makes no difference; a rule's own lateness shortens that wait.
type anomaly struct {
	detector scorer
	pending  []sample // not judged yet, by time and then by value
	born     int64    // time of the first
	last     int64    // time of the last that was judged; 0 before the first
	// raised is the least score that fires since an alert was dismissed: half-way from what that one had to 1.
	raised    float64
	dismissed int64
	context   alert.Context
	episode   *alert.Episode
}

type sample struct {
	time  int64
	value float64
	id    uuid.UUID
}

// scorer judges the values of a series in the order of time.
type scorer interface {
	Observe(t time.Time, v float64) detect.AnomalyVerdict
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

func newAnomaly(r *rule.Rule) *anomaly {
	if r.Last > 0 {
		return &anomaly{detector: detect.NewDeviation(detect.DeviationConfig{Last: r.Last, Deviations: r.Factor, Rise: r.Min})}
	}
	return &anomaly{detector: detect.NewAnomaly(detect.AnomalyConfig{Period: r.Period})}
}

func (k *anomaly) observe(c *call, s *pipeline.Signal) {
	v, ok := number(s.Values[0])
	if !ok {
		return
	}
	k.context.Note(c.rule, s)
	one := sample{s.Time.UnixNano(), v, s.EventID}
	at, _ := slices.BinarySearchFunc(k.pending, one, func(a, b sample) int {
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.value, b.value))
	})
	if one.time < k.last {
		return // it came later than the rule waits
	}
	k.pending = slices.Insert(k.pending, at, one)
	if len(k.pending) > maxWaiting {
		k.judge(c, k.pending[0])
		k.pending = slices.Delete(k.pending, 0, 1)
		c.stats.Truncated++
	}
}

// judge takes the next value.
func (k *anomaly) judge(c *call, one sample) {
	if k.last == 0 {
		k.born = one.time
	}
	k.last = one.time
	v := k.detector.Observe(time.Unix(0, one.time), one.value)
	if v.Score < k.bar(c.rule, one.time) || one.time < k.born+int64(c.rule.Learn) {
		return
	}
	e := k.episode
	if e == nil || !e.Belongs(c.rule, one.time) {
		e = &alert.Episode{Key: c.key}
		k.episode = e
	}
	e.Add(one.time, one.id, 1)
	e.Metrics = append(e.Metrics[:0], alert.Metric{Name: "value", Value: v.Got}, alert.Metric{Name: "expected", Value: v.Expected},
		alert.Metric{Name: "score", Value: v.Score})
	e.Explanation = v.Explain()
	e.Fire(c.rule, &k.context, one.time, time.Unix(0, one.time), rule.LevelWarn, &c.out)
}

// bar is the least score that fires: the rule's, or more for some weeks after a false positive.
func (k *anomaly) bar(r *rule.Rule, t int64) float64 {
	if t < k.dismissed+int64(dismissHolds) {
		return max(k.raised, r.Score)
	}
	return r.Score
}

func (k *anomaly) found(r *rule.Rule, alertID uuid.UUID) bool { return isOf(k.episode, r, alertID) }

func (k *anomaly) dismiss(r *rule.Rule, _ uuid.UUID) {
	score := r.Score
	for _, m := range k.episode.Metrics {
		if m.Name == "score" {
			score = max(score, m.Value)
		}
	}
	k.raised, k.dismissed = (1+max(score, k.bar(r, k.last)))/2, k.last
}

func (k *anomaly) expire(c *call) {
	n := 0
	for n < len(k.pending) && k.pending[n].time <= c.watermark+c.ahead {
		k.judge(c, k.pending[n])
		n++
	}
	k.pending = slices.Delete(k.pending, 0, n)
	e := k.episode
	if e != nil && e.Open && c.watermark >= e.Held+int64(c.rule.Dedup) {
		e.Resolve(c.rule, &k.context, &c.out)
	}
	if e != nil && !e.Open && c.watermark >= e.Ends(c.rule) {
		k.episode = nil
	}
	if k.last != 0 && c.watermark >= k.forgotten() && k.episode == nil {
		k.last, k.detector = 0, newAnomaly(c.rule).detector
	}
}

// forgotten is when a series without values is forgotten.
func (k *anomaly) forgotten() int64 { return k.last + int64(giveUp) }

func (k *anomaly) due(c *call) (due int64, keep bool) {
	sooner := func(t int64) {
		if !keep || t < due {
			due, keep = t, true
		}
	}
	if len(k.pending) > 0 {
		sooner(k.pending[0].time - c.ahead)
	}
	switch e := k.episode; {
	case e != nil && e.Open:
		sooner(e.Held + int64(c.rule.Dedup))
	case e != nil:
		sooner(e.Ends(c.rule))
	case k.last != 0:
		sooner(k.forgotten())
	}
	return due, keep
}

func (k *anomaly) close(c *call) {
	if k.episode != nil {
		k.episode.Resolve(c.rule, &k.context, &c.out)
	}
}

func (k *anomaly) explain(r *rule.Rule) []string {
	lines := []string{fmt.Sprintf("%d values wait for the watermark", len(k.pending))}
	if k.last != 0 {
		lines = append(lines, fmt.Sprintf("last judged: %s; anomalies matter from %s on", formatTime(k.last), formatTime(k.born+int64(r.Learn))))
	}
	if k.bar(r, k.last) > r.Score {
		lines = append(lines, fmt.Sprintf("a dismissed alert raises the score that fires to %.2f, from %.2f", k.bar(r, k.last), r.Score))
	}
	return append(lines, explainEpisode(k.episode)...)
}

func (k *anomaly) encode(b []byte) []byte {
	b = appendState(b, k.detector)
	b = binary.AppendVarint(b, k.born)
	b = binary.AppendVarint(b, k.last)
	b = binary.AppendUvarint(b, math.Float64bits(k.raised))
	b = binary.AppendVarint(b, k.dismissed)
	b = binary.AppendUvarint(b, uint64(len(k.pending)))
	for _, one := range k.pending {
		b = binary.AppendVarint(b, one.time)
		b = binary.AppendUvarint(b, math.Float64bits(one.value))
		b = append(b, one.id[:]...)
	}
	b = appendContext(b, &k.context)
	return appendEpisode(b, k.episode)
}

func (k *anomaly) decode(d *decoder) {
	d.state(k.detector)
	k.born, k.last = d.varint(), d.varint()
	k.raised, k.dismissed = math.Float64frombits(d.uvarint()), d.varint()
	for range d.count() {
		k.pending = append(k.pending, sample{d.varint(), math.Float64frombits(d.uvarint()), d.uuid()})
	}
	k.context = d.context()
	k.episode = d.episode()
}
