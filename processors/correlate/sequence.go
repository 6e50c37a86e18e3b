package correlate

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/alert"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// sequence is the state of a key of a sequence rule, or of a match rule: that is a sequence of one step.
//
// A match of the first step is armed. A match of a later step at time t is armed if at least Count armed matches of the
// step before it lie in [t-Within, t]. The rule fires when Count armed matches of the last step lie within its Within.
// That says nothing of the order in which matches come, so a late match arms what it would have armed. Where the rule has
// a span, a match is armed only by matches that began within the span before it: of all ways to be armed it keeps the one
// that began last, which leaves most to those that follow.
type sequence struct {
	steps   [][]hit // by time; nothing is kept of a single last step, which fires at once
	cleared int64   // matches up to this time are forgotten; 0 for none
	notes   notes
	episode *alert.Episode
}

// hit is one match of a step.
type hit struct {
	time  int64 // Unix nanoseconds
	id    uuid.UUID
	armed bool
	start int64 // when the matches that armed it began
	// version is what the last step is compared with, or compares; nil where the rule compares none, as most do.
	version *string
}

// maxHits of one step are kept beyond those that its count needs; the oldest are forgotten. A flood of failed logins is
// told by its newest.
const maxHits = 64

func (q *sequence) observe(c *call, s *pipeline.Signal) {
	t := s.Time.UnixNano()
	if role := c.rule.Steps[s.Step].Role; role >= rule.RoleUntil {
		q.stop(c, role, t)
		return
	}
	if q.cleared != 0 && t <= q.cleared {
		return
	}
	q.notes.take(c.rule, s)
	last := c.rule.LastStep()
	if len(q.steps) == 0 && last > 0 {
		q.steps = make([][]hit, last+1)
	}
	if last == 0 {
		q.fire(c, s, hit{time: t, id: s.EventID, armed: true})
		return
	}
	h := hit{time: t, id: s.EventID, armed: true, start: t}
	if len(s.Values) > 0 {
		version := strings.Clone(s.Values[0])
		h.version = &version
	}
	if s.Step > 0 {
		h.start, h.armed = q.arms(c.rule, s.Step-1, &h)
	}
	at := len(q.steps[s.Step])
	for at > 0 && q.steps[s.Step][at-1].time > t {
		at--
	}
	q.steps[s.Step] = slices.Insert(q.steps[s.Step], at, h)
	if over := len(q.steps[s.Step]) - maxHits - c.rule.Steps[s.Step].Count; over > 0 {
		q.steps[s.Step] = slices.Delete(q.steps[s.Step], 0, over)
		c.stats.Truncated += uint64(over)
	}
	if h.armed {
		q.arm(c, s, s.Step, h)
	}
}

// leadsTo reports whether what the rule says of versions lets a match of the step lead to one of the step after it.
func (h *hit) leadsTo(next *hit, r *rule.Rule, step int) bool {
	return step+1 >= len(r.Steps) || !r.Steps[step+1].Below || next.version != nil && h.version != nil && rule.VersionBelow(*next.version, *h.version)
}

// arms reports whether the step is complete for a match of the next one, and when that began. The event that asks does not
// count: it cannot be what came before it.
func (q *sequence) arms(r *rule.Rule, step int, next *hit) (start int64, ok bool) {
	n := 0
	for i := len(q.steps[step]) - 1; i >= 0; i-- {
		h := &q.steps[step][i]
		if h.time > next.time || !h.armed || h.id == next.id || !h.leadsTo(next, r, step) {
			continue
		}
		if h.time < next.time-int64(r.Steps[step].Within) {
			break
		}
		if r.Span > 0 && h.start <= next.time-int64(r.Span) {
			continue
		}
		if n++; n == 1 || h.start > start {
			start = h.start
		}
		if n >= r.Steps[step].Count && r.Span == 0 {
			return start, true
		}
	}
	return start, n >= r.Steps[step].Count
}

// arm says that a match of the step is armed: matches of the next step that came before it, but happened after it, may
// be armed by it; one of the last step may fire.
func (q *sequence) arm(c *call, s *pipeline.Signal, step int, h hit) {
	if step == c.rule.LastStep() {
		// The match may complete a count for itself and for later ones.
		for i := range q.steps[step] {
			l := q.steps[step][i]
			if !l.armed || l.time < h.time || l.time > h.time+int64(c.rule.Steps[step].Within) {
				continue
			}
			if _, ok := q.arms(c.rule, step, &hit{time: l.time}); ok {
				q.fire(c, s, l)
			}
		}
		return
	}
	until := h.time + int64(c.rule.Steps[step].Within)
	for i := range q.steps[step+1] {
		next := &q.steps[step+1][i]
		if next.time < h.time || next.time > until || next.armed && (c.rule.Span == 0 || step+1 == c.rule.LastStep()) {
			continue
		}
		if start, ok := q.arms(c.rule, step, next); ok && (!next.armed || start > next.start) {
			next.armed, next.start = true, start
			q.arm(c, s, step+1, *next)
		}
	}
}

// fire adds what led to the last match to the alert.
func (q *sequence) fire(c *call, s *pipeline.Signal, final hit) {
	path := q.path(c.rule, final)
	e := q.episode
	if e == nil || !e.Belongs(c.rule, path[0].time) {
		e = &alert.Episode{Key: c.key}
		q.episode = e
	}
	known, fresh := e.Last, e.Count == 0
	for _, h := range path {
		if fresh || h.time > known || h.id == final.id && !slices.Contains(e.Events, h.id) {
			e.Add(h.time, h.id, 1)
		}
	}
	e.Fire(c.rule, q.notes.read(), final.time, s.Ingest, c.rule.Level(s.Values), &c.out)
}

// path returns the matches that led to the final one, oldest first.
func (q *sequence) path(r *rule.Rule, final hit) []hit {
	path := []hit{final}
	t := final.time
	for step := r.LastStep(); step >= 0 && len(q.steps) > 0; step-- {
		from := t - int64(r.Steps[step].Within)
		if r.Span > 0 {
			from = max(from, final.time-int64(r.Span)+1)
		}
		for _, h := range q.steps[step] {
			if h.armed && h.time >= from && h.time <= t && h.id != final.id && (step != r.LastStep()-1 || h.leadsTo(&final, r, step)) {
				path = append(path, h)
			}
		}
		for _, h := range path {
			t = min(t, h.time)
		}
	}
	slices.SortStableFunc(path, func(a, b hit) int {
		switch {
		case a.time < b.time:
			return -1
		case a.time > b.time:
			return 1
		}
		return 0
	})
	return path
}

// stop forgets what led up to time t, and with a resolve step ends the alert as well.
func (q *sequence) stop(c *call, role rule.Role, t int64) {
	q.cleared = max(q.cleared, t)
	for i := range q.steps {
		q.steps[i] = slices.DeleteFunc(q.steps[i], func(h hit) bool { return h.time <= t })
	}
	if e := q.episode; role == rule.RoleResolve && e != nil && e.Open && e.Last <= t {
		e.Resolve(c.rule, q.notes.read(), &c.out)
	}
}

func (q *sequence) expire(c *call) {
	e := q.episode
	if e != nil && e.Open && c.watermark >= e.Held+int64(c.rule.Dedup) {
		e.Resolve(c.rule, q.notes.read(), &c.out)
	}
	if e != nil && !e.Open && c.watermark >= e.Ends(c.rule) {
		q.episode = nil
	}
	if q.cleared != 0 && q.cleared < c.watermark {
		q.cleared = 0
	}
	for i := range q.steps {
		within := int64(c.rule.Steps[i].Within)
		q.steps[i] = slices.DeleteFunc(q.steps[i], func(h hit) bool { return h.ends(within) <= c.watermark })
	}
}

// ends is when a match can bring nothing about any more. What was not armed by what came up to the watermark will not be.
func (h *hit) ends(within int64) int64 {
	if h.armed {
		return h.time + within + 1
	}
	return h.time + 1
}

func (q *sequence) due(c *call) (due int64, keep bool) {
	r := c.rule
	e := q.episode
	if e != nil && e.Open {
		return e.Held + int64(r.Dedup), true
	}
	for i, hits := range q.steps {
		for j := range hits {
			due, keep = max(due, hits[j].ends(int64(r.Steps[i].Within))), true
		}
	}
	if q.cleared != 0 {
		due, keep = max(due, q.cleared+1), true
	}
	if e != nil {
		due, keep = max(due, e.Ends(r)), true
	}
	return due, keep
}

func (q *sequence) close(c *call) {
	if q.episode != nil {
		q.episode.Resolve(c.rule, q.notes.read(), &c.out)
	}
}

func (q *sequence) explain(r *rule.Rule) []string {
	var lines []string
	for i, hits := range q.steps {
		armed := 0
		for _, h := range hits {
			if h.armed {
				armed++
			}
		}
		s := &r.Steps[i]
		lines = append(lines, fmt.Sprintf("step %s: %d of %d within %s, and %d that came before their turn",
			s.ID, armed, s.Count, rule.FormatDuration(s.Within), len(hits)-armed))
	}
	return append(lines, explainEpisode(q.episode)...)
}

// How a match is encoded, behind its time and id.
const (
	hitWaits       uint64 = iota
	hitArmed                  // by what began with it
	hitArmedBefore            // the time follows, from its own
	hitVersion     uint64 = 4 // is added: the version follows
)

func (q *sequence) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(q.steps)))
	for _, hits := range q.steps {
		b = binary.AppendUvarint(b, uint64(len(hits)))
		for _, h := range hits {
			b = binary.AppendVarint(b, h.time)
			b = append(b, h.id[:]...)
			code := hitWaits
			switch {
			case h.armed && h.start == h.time:
				code = hitArmed
			case h.armed:
				code = hitArmedBefore
			}
			if h.version != nil {
				code += hitVersion
			}
			if b = binary.AppendUvarint(b, code); code&^hitVersion == hitArmedBefore {
				b = binary.AppendVarint(b, h.start-h.time)
			}
			if h.version != nil {
				b = appendText(b, *h.version)
			}
		}
	}
	b = binary.AppendVarint(b, q.cleared)
	b = appendNotes(b, &q.notes)
	return appendEpisode(b, q.episode)
}

func (q *sequence) decode(d *decoder) {
	if n := d.count(); n > 0 {
		q.steps = make([][]hit, n)
		for i := range q.steps {
			for range d.count() {
				h := hit{time: d.varint(), id: d.uuid()}
				code := d.uvarint()
				armed := code &^ hitVersion
				if h.armed, h.start = armed > hitWaits, h.time; armed == hitArmedBefore {
					h.start += d.varint()
				}
				if code != armed {
					version := d.text()
					h.version = &version
				}
				q.steps[i] = append(q.steps[i], h)
			}
		}
	}
	q.cleared = d.varint()
	q.notes = d.notes()
	q.episode = d.episode()
}
