package correlate

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/alert"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// newValue is the state of a key of a new_value rule: the values that the key has had, and since when it is known. A
// value is new if the key has not had it within the rule's memory, and it matters if the key is older than the time to
// learn. Each new value has an alert of its own.
type newValue struct {
	born     int64            // first event of the key
	last     int64            // newest event of the key
	values   map[string]int64 // newest event of each value
	context  alert.Context
	episodes []*alert.Episode // of values that were new lately; the value is the last part of the key
}

// maxValues of one key; beyond it those seen longest ago are forgotten, an eighth at a time.
const maxValues = 10_000

func (v *newValue) observe(c *call, s *pipeline.Signal) {
	value, t := s.Values[0], s.Time.UnixNano()
	if value == "" {
		return
	}
	v.context.Note(c.rule, s)
	if v.values == nil || t > v.last+int64(c.rule.Memory) { // a key that was away for so long is learnt afresh
		v.values, v.born = map[string]int64{}, t
	}
	v.born, v.last = min(v.born, t), max(v.last, t)
	seen, known := v.values[value]
	if known {
		v.values[value] = max(seen, t)
	} else {
		v.values[strings.Clone(value)] = t
		if len(v.values) > maxValues {
			v.shrink(c)
		}
	}
	e := v.episode(c, value)
	isNew := (!known || seen < t-int64(c.rule.Memory)) && t >= v.born+int64(c.rule.Learn)
	if !isNew && (e == nil || !e.Open) {
		return
	}
	if e == nil {
		e = &alert.Episode{Key: v.episodeKey(c, value)}
		v.episodes = append(v.episodes, e)
	}
	e.Add(t, s.EventID, 1)
	e.Fire(c.rule, &v.context, t, s.Ingest, c.rule.Level(s.Values), &c.out)
}

func (v *newValue) episodeKey(c *call, value string) string { return c.key + "|" + value }

func (v *newValue) episode(c *call, value string) *alert.Episode {
	for _, e := range v.episodes {
		if len(e.Key) == len(c.key)+1+len(value) && strings.HasSuffix(e.Key, value) {
			return e
		}
	}
	return nil
}

// shrink forgets the eighth of the values that was seen longest ago.
func (v *newValue) shrink(c *call) {
	times := slices.Sorted(maps.Values(v.values))
	border := times[len(times)/8]
	before := len(v.values)
	maps.DeleteFunc(v.values, func(_ string, t int64) bool { return t <= border })
	c.stats.Truncated += uint64(before - len(v.values))
}

func (v *newValue) expire(c *call) {
	v.episodes = slices.DeleteFunc(v.episodes, func(e *alert.Episode) bool {
		if e.Open && c.watermark >= e.Held+int64(c.rule.Dedup) {
			e.Resolve(c.rule, &v.context, &c.out)
		}
		return !e.Open && c.watermark >= e.Ends(c.rule)
	})
	if v.last < c.watermark-int64(c.rule.Memory) {
		v.values, v.born = nil, 0
	}
}

func (v *newValue) due(c *call) (due int64, keep bool) {
	due = math.MaxInt64
	for _, e := range v.episodes {
		if e.Open {
			due = min(due, e.Held+int64(c.rule.Dedup))
		} else {
			due = min(due, e.Ends(c.rule))
		}
	}
	if v.values != nil {
		due = min(due, v.last+int64(c.rule.Memory)+1)
	}
	return due, due != math.MaxInt64
}

func (v *newValue) close(c *call) {
	for _, e := range v.episodes {
		e.Resolve(c.rule, &v.context, &c.out)
	}
}

func (v *newValue) explain(r *rule.Rule) []string {
	lines := []string{fmt.Sprintf("%d values are known; new ones matter from %s on", len(v.values), formatTime(v.born+int64(r.Learn)))}
	for _, e := range v.episodes {
		lines = append(lines, explainEpisode(e)...)
	}
	return lines
}

func (v *newValue) encode(b []byte) []byte {
	b = binary.AppendVarint(b, v.born)
	b = binary.AppendVarint(b, v.last)
	b = binary.AppendUvarint(b, uint64(len(v.values)))
	for _, value := range slices.Sorted(maps.Keys(v.values)) {
		b = appendText(b, value)
		b = binary.AppendVarint(b, v.values[value])
	}
	b = appendContext(b, &v.context)
	b = binary.AppendUvarint(b, uint64(len(v.episodes)))
	for _, e := range v.episodes {
		b = appendEpisode(b, e)
	}
	return b
}

func (v *newValue) decode(d *decoder) {
	v.born, v.last = d.varint(), d.varint()
	if n := d.count(); n > 0 {
		v.values = make(map[string]int64, n)
		for range n {
			value := d.text()
			v.values[value] = d.varint()
		}
	}
	v.context = d.context()
	for range d.count() {
		e := d.episode()
		if e == nil {
			d.fail()
			return
		}
		v.episodes = append(v.episodes, e)
	}
}
