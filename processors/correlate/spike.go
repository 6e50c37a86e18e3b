package correlate

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/alert"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// spike is the state of a key whose events are counted, or whose values are added up, by buckets of time. A bucket fires as
// soon as it holds more than Factor times a quantile of the buckets before it, and more than Min. It is not judged before
// the watermark has passed its beginning: what it is compared with can change no more, and what fires does not depend on
// the order of events.
type spike struct {
	buckets []bucket // that hold something, by index; those of the history and newer
	born    int64    // first bucket of the key
	fresh   []fresh  // buckets that events may still come into
	bar     bar      // raised by dismissed alerts
	notes   notes
	episode *alert.Episode
}

// bucket is what came in one slice of time.
type bucket struct {
	index             int64 // time / length
	whole, millionths int64
}

// fresh is what an alert tells of a bucket.
type fresh struct {
	index       int64
	first, last int64 // times of its events
	id          uuid.UUID
	n           uint32
	// usual is the quantile of the history; NaN before the bucket is judged. It is computed anew from what is encoded.
	usual float64
}

func (k *spike) observe(c *call, s *pipeline.Signal) {
	v := 1.0
	if len(s.Values) > 0 {
		var ok bool
		if v, ok = number(s.Values[0]); !ok || v < 0 {
			return
		}
	}
	t := s.Time.UnixNano()
	index := floorDiv(t, int64(c.rule.Window))
	if len(k.buckets) == 0 || index < k.born {
		k.born = index
	}
	k.notes.take(c.rule, s)
	at, ok := slices.BinarySearchFunc(k.buckets, index, func(b bucket, index int64) int { return int(b.index - index) })
	if !ok {
		k.buckets = slices.Insert(k.buckets, at, bucket{index: index})
	}
	whole, fraction := math.Modf(v)
	k.buckets[at].whole += int64(whole)
	k.buckets[at].millionths += int64(math.Round(fraction * 1e6))
	f := k.freshOf(index)
	if f.n == 0 || t < f.first {
		f.first, f.id = t, s.EventID
	}
	f.last = max(f.last, t)
	f.n++
	if k.episode != nil && k.episode.Open {
		k.episode.Add(t, s.EventID, 1)
	}
}

// freshOf returns what is told of a bucket, made where there is nothing.
func (k *spike) freshOf(index int64) *fresh {
	at := len(k.fresh)
	for at > 0 && k.fresh[at-1].index > index {
		at--
	}
	if at > 0 && k.fresh[at-1].index == index {
		return &k.fresh[at-1]
	}
	k.fresh = slices.Insert(k.fresh, at, fresh{index: index, last: minTime, usual: math.NaN()})
	return &k.fresh[at]
}

// count is what a bucket holds.
func (k *spike) count(index int64) float64 {
	at, ok := slices.BinarySearchFunc(k.buckets, index, func(b bucket, index int64) int { return int(b.index - index) })
	if !ok {
		return 0
	}
	return k.buckets[at].value()
}

func (b bucket) value() float64 { return float64(b.whole) + float64(b.millionths)/1e6 }

// past returns how many buckets before one it is compared with.
func (k *spike) past(r *rule.Rule, index int64) int {
	return int(min(index-k.born, int64(r.Memory/r.Window)))
}

// history returns the quantile of the buckets before one, empty ones too.
func (k *spike) history(r *rule.Rule, index int64) float64 {
	n := k.past(r, index)
	if n <= 0 {
		return 0
	}
	from := index - int64(n)
	counts := make([]float64, 0, n)
	for _, b := range k.buckets {
		if b.index >= from && b.index < index {
			counts = append(counts, b.value())
		}
	}
	counts = append(counts, make([]float64, n-len(counts))...)
	slices.Sort(counts)
	return counts[max(int(math.Ceil(r.Quantile*float64(n)))-1, 0)]
}

// judge fires where a bucket that can be judged holds too much.
func (k *spike) judge(c *call, f *fresh) {
	r := c.rule
	if math.IsNaN(f.usual) {
		f.usual = k.history(r, f.index)
	}
	if (f.index-k.born)*int64(r.Window) < int64(r.Learn) {
		return
	}
	limit, count := max(r.Factor*f.usual, r.Min)*k.bar.height(f.index*int64(r.Window)), k.count(f.index)
	if count <= limit {
		return
	}
	e := k.episode
	if e == nil || !e.Belongs(r, f.first) {
		e = &alert.Episode{Key: c.key}
		k.episode = e
	}
	if !e.Open && (e.Count == 0 || f.last > e.Last) {
		e.Add(f.first, f.id, f.n)
		e.Last = max(e.Last, f.last)
	}
	if e.Open && e.Held >= f.last {
		return
	}
	e.Metrics = append(e.Metrics[:0], alert.Metric{Name: "count", Value: count}, alert.Metric{Name: "usual", Value: f.usual},
		alert.Metric{Name: "limit", Value: limit})
	e.Explanation = k.words(r, f.index, f.usual)
	e.Fire(r, k.notes.read(), f.last, time.Unix(0, f.last), rule.LevelWarn, &c.out)
}

// words say what a bucket holds and what it is compared with.
func (k *spike) words(r *rule.Rule, index int64, usual float64) string {
	return fmt.Sprintf("%.10g in the %s from %s; %s of the %d before is %.4g, more than %.4g is a spike", k.count(index), rule.FormatDuration(r.Window),
		formatTime(index*int64(r.Window)), quantileName(r.Quantile), k.past(r, index), usual, max(r.Factor*usual, r.Min)*k.bar.height(index*int64(r.Window)))
}

func quantileName(q float64) string {
	if q == 0.5 {
		return "the median"
	}
	return fmt.Sprintf("the p%g", 100*q)
}

func (k *spike) expire(c *call) {
	length := int64(c.rule.Window)
	for i := range k.fresh {
		if k.fresh[i].index*length <= c.watermark {
			k.judge(c, &k.fresh[i])
		}
	}
	k.fresh = slices.DeleteFunc(k.fresh, func(f fresh) bool { return (f.index+1)*length <= c.watermark })
	e := k.episode
	if e != nil && e.Open && c.watermark >= k.over(c.rule) {
		e.Resolve(c.rule, k.notes.read(), &c.out)
	}
	if e != nil && !e.Open && c.watermark >= e.Ends(c.rule) {
		k.episode = nil
	}
	oldest := floorDiv(c.watermark, length) - int64(c.rule.Memory/c.rule.Window)
	k.buckets = slices.DeleteFunc(k.buckets, func(b bucket) bool { return b.index < oldest })
}

// over is when an open alert ends: a whole bucket has not been too much.
func (k *spike) over(r *rule.Rule) int64 {
	return (floorDiv(k.episode.Held, int64(r.Window)) + 2) * int64(r.Window)
}

func (k *spike) due(c *call) (due int64, keep bool) {
	length := int64(c.rule.Window)
	sooner := func(t int64) {
		if !keep || t < due {
			due, keep = t, true
		}
	}
	for i := range k.fresh {
		if begin := k.fresh[i].index * length; math.IsNaN(k.fresh[i].usual) {
			sooner(begin)
		} else {
			sooner(begin + length)
		}
	}
	if e := k.episode; e != nil && e.Open {
		sooner(k.over(c.rule))
	}
	if keep {
		return due, true
	}
	if n := len(k.buckets); n > 0 {
		due, keep = (k.buckets[n-1].index+int64(c.rule.Memory/c.rule.Window)+1)*length, true
	}
	if k.episode != nil {
		due, keep = max(due, k.episode.Ends(c.rule)), true
	}
	return due, keep
}

func (k *spike) found(r *rule.Rule, alertID uuid.UUID) bool { return isOf(k.episode, r, alertID) }

// dismiss raises the bar to 1.2 times what the alert's bucket held.
func (k *spike) dismiss(*rule.Rule, uuid.UUID) {
	var count, limit float64
	for _, m := range k.episode.Metrics {
		switch m.Name {
		case "count":
			count = m.Value
		case "limit":
			limit = m.Value
		}
	}
	k.bar.raise(1.2*count/limit, k.episode.Held)
}

func (k *spike) close(c *call) {
	if k.episode != nil {
		k.episode.Resolve(c.rule, k.notes.read(), &c.out)
	}
}

func (k *spike) explain(r *rule.Rule) []string {
	var lines []string
	if n := len(k.buckets); n > 0 {
		last := k.buckets[n-1].index
		lines = append(lines, k.words(r, last, k.history(r, last)))
		lines = append(lines, k.bar.explain(last*int64(r.Window))...)
		if learnt := k.born*int64(r.Window) + int64(r.Learn); last*int64(r.Window) < learnt {
			lines = append(lines, "its usual is learnt until "+formatTime(learnt))
		}
	}
	return append(lines, explainEpisode(k.episode)...)
}

func (k *spike) encode(b []byte) []byte {
	b = binary.AppendVarint(b, k.born)
	b = binary.AppendUvarint(b, uint64(len(k.buckets)))
	index := int64(0)
	for _, one := range k.buckets {
		b = binary.AppendVarint(b, one.index-index)
		index = one.index
		b = binary.AppendVarint(b, one.whole)
		b = binary.AppendVarint(b, one.millionths)
	}
	b = binary.AppendUvarint(b, uint64(len(k.fresh)))
	for _, f := range k.fresh {
		b = binary.AppendVarint(b, f.index)
		b = binary.AppendVarint(b, f.first)
		b = binary.AppendVarint(b, f.last)
		b = append(b, f.id[:]...)
		b = binary.AppendUvarint(b, uint64(f.n))
	}
	b = k.bar.encode(b)
	b = appendNotes(b, &k.notes)
	return appendEpisode(b, k.episode)
}

func (k *spike) decode(d *decoder) {
	k.born = d.varint()
	index := int64(0)
	for range d.count() {
		index += d.varint()
		k.buckets = append(k.buckets, bucket{index, d.varint(), d.varint()})
	}
	for range d.count() {
		k.fresh = append(k.fresh, fresh{index: d.varint(), first: d.varint(), last: d.varint(), id: d.uuid(), n: uint32(d.uvarint()), usual: math.NaN()})
	}
	k.bar = d.bar()
	k.notes = d.notes()
	k.episode = d.episode()
}
