package correlate

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/alert"
	"github.com/tocsin-project/tocsin/processors/detect"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// silence is the state of a key that is expected to go on talking. How long it may be quiet is learnt from its own pauses
// (detect.Silence). Events wait for the watermark and are learnt in the order of time, so that order of arrival makes no
// difference; a rule's own lateness shortens that wait.
type silence struct {
	detector *detect.Silence
	pending  []seen // not learnt yet, by time
	last     seen   // learnt last; its time is 0 before the first
	attack   []int64
	bar      bar // raised by dismissed alerts
	context  alert.Context
	episode  *alert.Episode
}

// seen is an event: its time in Unix milliseconds, as the detector counts, and its id.
type seen struct {
	time int64
	id   uuid.UUID
}

// maxWaiting is how many events of a key wait for the watermark. Beyond it the oldest is taken as if its time had come.
const maxWaiting = 4096

func newSilence(r *rule.Rule) *silence {
	return &silence{detector: detect.NewSilence(detect.SilenceConfig{Factor: r.Factor, Min: r.Quiet, Warmup: r.Gaps})}
}

func (k *silence) observe(c *call, s *pipeline.Signal) {
	k.context.Note(c.rule, s)
	step, t := &c.rule.Steps[s.Step], s.Time.UnixNano()
	if step.Role == rule.RoleWhile {
		k.attack = insertTime(k.attack, t, int64(step.Within), step.Count)
		return
	}
	if e := k.episode; e != nil && e.Open && t > e.Held {
		e.Resolve(c.rule, &k.context, &c.out)
	}
	one := seen{s.Time.UnixMilli(), s.EventID}
	at, known := slices.BinarySearchFunc(k.pending, one.time, func(s seen, t int64) int { return int(s.time - t) })
	if known || one.time <= k.last.time {
		return
	}
	k.pending = slices.Insert(k.pending, at, one)
	if len(k.pending) > maxWaiting {
		k.learn(c, k.pending[0])
		k.pending = slices.Delete(k.pending, 0, 1)
		c.stats.Truncated++
	}
}

// learn takes the next event. The pause before it may have been too long.
func (k *silence) learn(c *call, one seen) {
	if k.last.time != 0 {
		k.check(c, time.UnixMilli(one.time))
		if e := k.episode; e != nil && e.Open && one.time*int64(time.Millisecond) > e.Held {
			e.Resolve(c.rule, &k.context, &c.out)
		}
	}
	k.detector.Observe(time.UnixMilli(one.time))
	k.last = one
}

// check fires where the key has been quiet for too long at a time.
func (k *silence) check(c *call, t time.Time) {
	k.detector.Stretch(k.bar.height(k.last.time * int64(time.Millisecond)))
	v := k.detector.Check(t)
	if !v.Fired {
		return
	}
	begin := k.last.time * int64(time.Millisecond)
	end := begin + int64(v.Limit)
	if _, while := absenceSteps(c.rule); while >= 0 {
		step, n := &c.rule.Steps[while], 0
		for _, t := range k.attack {
			if t >= begin-int64(step.Within) && t <= end {
				n++
			}
		}
		if n < step.Count {
			return
		}
	}
	e := k.episode
	if e == nil || !e.Belongs(c.rule, begin) {
		e = &alert.Episode{Key: c.key}
		k.episode = e
	}
	e.Add(begin, k.last.id, 1)
	e.Metrics = append(e.Metrics[:0], alert.Metric{Name: "quiet_s", Value: v.Quiet.Seconds()}, alert.Metric{Name: "limit_s", Value: v.Limit.Seconds()})
	e.Explanation = v.Explain()
	e.Fire(c.rule, &k.context, end, time.Unix(0, end), rule.LevelWarn, &c.out)
}

func (k *silence) expire(c *call) {
	now := c.watermark + c.ahead
	n := 0
	for n < len(k.pending) && k.pending[n].time*int64(time.Millisecond) <= now {
		k.learn(c, k.pending[n])
		n++
	}
	k.pending = slices.Delete(k.pending, 0, n)
	if k.last.time != 0 && now > k.last.time*int64(time.Millisecond) {
		k.check(c, time.Unix(0, now))
	}
	if e := k.episode; e != nil {
		if e.Open && c.watermark >= e.Held+int64(giveUp) {
			e.Resolve(c.rule, &k.context, &c.out)
		}
		if !e.Open && c.watermark >= e.Ends(c.rule) {
			k.episode = nil
		}
	}
	if k.last.time != 0 && c.watermark >= k.forgotten(c.rule) && (k.episode == nil || !k.episode.Open) {
		k.last, k.detector = seen{}, newSilence(c.rule).detector
	}
	if _, while := absenceSteps(c.rule); while >= 0 {
		from := c.watermark
		if k.last.time != 0 {
			from = min(from, k.last.time*int64(time.Millisecond))
		}
		old, _ := slices.BinarySearch(k.attack, from-int64(c.rule.Steps[while].Within))
		k.attack = slices.Delete(k.attack, 0, old)
	}
}

// limit is how long the key may be quiet; 0 while that is not known.
func (k *silence) limit() int64 {
	k.detector.Stretch(k.bar.height(k.last.time * int64(time.Millisecond)))
	return int64(k.detector.Check(time.Time{}).Limit)
}

// forgotten is when a key that has gone for good is forgotten.
func (k *silence) forgotten(r *rule.Rule) int64 {
	return k.last.time*int64(time.Millisecond) + max(int64(giveUp), 2*k.limit()) + int64(r.Dedup)
}

func (k *silence) due(c *call) (due int64, keep bool) {
	sooner := func(t int64) {
		if !keep || t < due {
			due, keep = t, true
		}
	}
	if len(k.pending) > 0 {
		sooner(k.pending[0].time*int64(time.Millisecond) - c.ahead)
	}
	if k.last.time != 0 {
		k.detector.Stretch(k.bar.height(k.last.time * int64(time.Millisecond)))
		if t, ok := k.detector.Due(); ok {
			sooner(t.UnixNano() - c.ahead)
		}
		if e := k.episode; e != nil && e.Open {
			sooner(e.Held + int64(giveUp))
		} else {
			sooner(k.forgotten(c.rule))
		}
	}
	if e := k.episode; e != nil && !e.Open {
		sooner(e.Ends(c.rule))
	}
	if _, while := absenceSteps(c.rule); !keep && while >= 0 && len(k.attack) > 0 {
		sooner(k.attack[len(k.attack)-1] + int64(c.rule.Steps[while].Within) + 1)
	}
	return due, keep
}

func (k *silence) found(r *rule.Rule, alertID uuid.UUID) bool { return isOf(k.episode, r, alertID) }

// dismiss doubles how long the key may be quiet: how long it will be this time nobody knows yet.
func (k *silence) dismiss(*rule.Rule, uuid.UUID) { k.bar.raise(2, k.episode.Held) }

func (k *silence) close(c *call) {
	if k.episode != nil {
		k.episode.Resolve(c.rule, &k.context, &c.out)
	}
}

func (k *silence) explain(r *rule.Rule) []string {
	lines := []string{fmt.Sprintf("%d events wait for the watermark", len(k.pending))}
	if k.last.time != 0 {
		word := "how long it may be quiet is not known yet"
		if limit := k.limit(); limit > 0 {
			word = "it may be quiet for " + rule.FormatDuration(time.Duration(limit))
		}
		lines = append(lines, fmt.Sprintf("last learnt of %s; %s", formatTime(k.last.time*int64(time.Millisecond)), word))
		lines = append(lines, k.bar.explain(k.last.time*int64(time.Millisecond))...)
	}
	if _, while := absenceSteps(r); while >= 0 {
		lines = append(lines, fmt.Sprintf("while: %d of %d", len(k.attack), r.Steps[while].Count))
	}
	return append(lines, explainEpisode(k.episode)...)
}

func (k *silence) encode(b []byte) []byte {
	b = appendState(b, k.detector)
	b = binary.AppendUvarint(b, uint64(len(k.pending)))
	for _, one := range append([]seen{k.last}, k.pending...) {
		b = binary.AppendVarint(b, one.time)
		b = append(b, one.id[:]...)
	}
	b = appendTimes(b, k.attack)
	b = k.bar.encode(b)
	b = appendContext(b, &k.context)
	return appendEpisode(b, k.episode)
}

func (k *silence) decode(d *decoder) {
	d.state(k.detector)
	n := d.count()
	k.last = seen{d.varint(), d.uuid()}
	for range n {
		k.pending = append(k.pending, seen{d.varint(), d.uuid()})
	}
	k.attack = d.times()
	k.bar = d.bar()
	k.context = d.context()
	k.episode = d.episode()
}
