package rule

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/tocsin-project/tocsin/pipeline"
)

// maxKeyBytes bounds a correlation key; what is longer is cut and told apart by a hash.
const maxKeyBytes = 256

// playgroundLabel marks events of a place where attacks are part of the plan.
const playgroundLabel = "playground"

// Counts are what a matcher has counted of one rule since it was made.
type Counts struct {
	Candidates  uint64 // steps that the index gave out
	Evaluated   uint64 // those whose condition was looked at
	Matched     uint64 // steps that matched: signals, but for those without a key
	Excepted    uint64 // their condition held, but an exception did as well
	Keyless     uint64 // matched, but a part of the key was empty
	Errors      uint64 // an expression ended with an error; the event did not match
	Nanoseconds uint64 // spent on the candidates; of the events that have some, one in TimedEvery is timed, and stands for the others
}

// TimedEvery is how many events there are to one whose candidates are timed: a look at the clock costs more than most
// conditions. It is a power of two.
const TimedEvery = 64

// Matcher evaluates a set of rules on batches and appends a signal for each step of a rule that matched. It serves one
// worker.
type Matcher struct {
	evaluator
	live    *Live              // whose set the matcher follows; nil for a set that stays
	other   pipeline.Processor // finds the events of rules that are judged elsewhere; nil where there are none
	found   stepSet
	steps   []int32  // those of found, while they are judged
	counts  []Counts // by the rule's number
	counted []int32  // rules of which something was counted
	// quarantined rules by their number; nil where there are none.
	quarantined []bool
	types       []typeTraffic
	excepted    []uint64 // by the exception's number
	events      uint64
	heard       uint64 // alerts that were looked at, for rules that take them
	timing      uint64 // events, for which of them are timed

	buf   []byte
	ends  []int
	topic string // a copy of the batch's topic that signals may keep
}

// NewMatcher returns a matcher of the set for one worker.
func (s *Set) NewMatcher() *Matcher {
	m := &Matcher{}
	m.use(s)
	return m
}

// use makes the set the one that the matcher judges by.
func (m *Matcher) use(s *Set) {
	m.evaluator, m.found, m.counts = newEvaluator(s), newStepSet(len(s.steps)), make([]Counts, len(s.Rules))
	m.counted = m.counted[:0]
	m.other = nil
	if s.judged.Matcher != nil {
		m.other = s.judged.Matcher(m)
	}
	m.excepted = make([]uint64, len(s.Exceptions))
	m.types = make([]typeTraffic, len(s.index.types))
	for i, t := range s.index.types {
		m.types[i].missing = slices.Clone(t.wanted)
	}
}

// Counts returns what was counted of the rule, by its place in Set.Rules.
func (m *Matcher) Counts(rule int) Counts { return m.counts[rule] }

// Events returns the number of events that were looked at, and how often a program of expr ran for them.
func (m *Matcher) Events() (events, programs uint64) { return m.events, m.programs }

// Process appends the signals of the batch's events to b.Signals. It never fails a batch: a rule whose expression ends
// with an error does not match, and is counted.
func (m *Matcher) Process(ctx context.Context, b *pipeline.Batch) error {
	if m.live == nil {
		return m.process(ctx, b)
	}
	use := m.live.current.Load()
	if use.set != m.set {
		m.use(use.set)
	}
	m.quarantined = use.quarantined
	err := m.process(ctx, b)
	for _, r := range m.live.take(m) {
		quarantine(b, &b.Events[len(b.Events)-1], r)
	}
	return err
}

func (m *Matcher) process(ctx context.Context, b *pipeline.Batch) error {
	if m.topic != b.Topic {
		m.topic = strings.Clone(b.Topic)
	}
	record, seq := -1, uint32(0)
	for i := range b.Events {
		e := &b.Events[i]
		if e.Dropped() != "" {
			continue
		}
		if r := b.RecordIndex(e); r != record {
			record, seq = r, 0
		}
		seq = m.event(b, e, seq)
	}
	if m.other == nil {
		return nil
	}
	err := m.other.Process(ctx, b)
	for i := range b.Signals {
		if r := m.set.byID[b.Signals[i].Rule]; r.IsJudgedElsewhere() {
			c := m.candidate(m.number(r))
			c.Evaluated++
			c.Matched++
		}
	}
	return err
}

// number returns the place of a rule in the set.
func (m *Matcher) number(r *Rule) int {
	n, _ := slices.BinarySearchFunc(m.set.Rules, r.ID, func(r *Rule, id string) int { return strings.Compare(r.ID, id) })
	return n
}

// Took notes how long another matcher judged one of its rules for an event; one event in [TimedEvery] stands for the others.
func (m *Matcher) Took(r *Rule, d time.Duration) {
	m.counting(m.number(r)).Nanoseconds += TimedEvery * uint64(min(d, maxSample))
}

// Quarantines reports whether some rule is quarantined.
func (m *Matcher) Quarantines() bool { return m.quarantined != nil }

// IsQuarantined reports whether another matcher is not to judge its rule.
func (m *Matcher) IsQuarantined(r *Rule) bool {
	return m.quarantined != nil && m.quarantined[m.number(r)]
}

func (m *Matcher) counting(number int) *Counts {
	c := &m.counts[number]
	if *c == (Counts{}) {
		m.counted = append(m.counted, int32(number))
	}
	return c
}

// candidate counts that the index gave out a step of the rule.
func (m *Matcher) candidate(number int) *Counts {
	c := m.counting(number)
	c.Candidates++
	return c
}

// event judges one event. It returns the number of the record's next signal.
func (m *Matcher) event(b *pipeline.Batch, e *event, seq uint32) uint32 {
	m.events++
	m.types[0].see(e)
	if t := m.set.index.candidates(e, &m.found); t != nil {
		m.types[t.number].see(e)
	}
	if m.steps = m.found.drain(m.steps[:0]); len(m.steps) == 0 {
		return seq
	}
	m.begin(e)
	playground := e.HasLabel(playgroundLabel)
	m.timing++
	timed := m.timing%TimedEvery == 0
	for _, i := range m.steps {
		s := &m.set.steps[i]
		c := m.candidate(s.number)
		if playground && !s.rule.Playground || m.quarantined != nil && m.quarantined[s.number] {
			continue
		}
		c.Evaluated++
		if !timed {
			seq = m.step(b, e, s, c, seq)
			continue
		}
		began := time.Now()
		seq = m.step(b, e, s, c, seq)
		c.Nanoseconds += TimedEvery * uint64(min(time.Since(began), maxSample))
	}
	return seq
}

// Hear appends to b the signals of the steps that take the alerts of a rule. e is the alert as an event; see package alert.
// Where the set is that of a Live, what is counted counts there, and a rule that takes too much time is quarantined. Alerts are
// few: each is timed.
func (m *Matcher) Hear(rule string, e *pipeline.Event, b *pipeline.Batch) {
	live := m.set.live
	if live != nil {
		m.quarantined = nil
		if use := live.current.Load(); use.set == m.set { // or else the next signal changes over
			m.quarantined = use.quarantined
		}
	}
	m.heard++
	m.begin(e)
	playground, seq := e.HasLabel(playgroundLabel), uint32(0)
	for _, i := range m.set.listeners[rule] {
		s := &m.set.steps[i]
		c := m.candidate(s.number)
		if playground && !s.rule.Playground || m.quarantined != nil && m.quarantined[s.number] {
			continue
		}
		c.Evaluated++
		began := time.Now()
		seq = m.step(b, e, s, c, seq)
		c.Nanoseconds += uint64(min(time.Since(began), maxSample))
	}
	if m.set.judged.Hear != nil {
		m.set.judged.Hear(rule, e, b)
	}
	if live != nil {
		for _, r := range live.take(m) {
			quarantine(b, e, r)
		}
	}
}

// step judges one step of a rule on the event at hand.
func (m *Matcher) step(b *pipeline.Batch, e *event, s *stepRef, c *Counts, seq uint32) uint32 {
	m.failed = false
	matched := m.holds(s.step.when)
	if m.failed {
		c.Errors++
		return seq
	}
	if !matched {
		return seq
	}
	if x := m.excepts(s.rule, s.step); x != nil {
		c.Excepted++
		m.excepted[x.number]++
		return seq
	}
	c.Matched++
	if m.signal(b, e, s, seq) {
		return seq + 1
	}
	if m.failed {
		c.Errors++
	} else {
		c.Keyless++
	}
	return seq
}

// signal appends the signal of a step that matched. It appends none, and returns false, where a part of the key is empty
// (there is nothing to correlate by) or an expression failed.
func (m *Matcher) signal(b *pipeline.Batch, e *event, s *stepRef, seq uint32) bool {
	m.buf, m.ends = m.buf[:0], m.ends[:0]
	for i, part := range s.step.key {
		v := m.valueOf(part)
		if v == "" || m.failed {
			return false
		}
		if i > 0 {
			m.buf = append(m.buf, '|')
		}
		m.buf = appendKeyPart(m.buf, v, len(s.step.key) > 1)
	}
	m.buf = boundKey(m.buf)
	m.ends = append(m.ends, len(m.buf))
	for _, v := range s.step.values {
		m.buf = append(m.buf, m.valueOf(v)...)
		m.ends = append(m.ends, len(m.buf))
	}
	if m.failed {
		return false
	}
	fields := 0
	for _, c := range s.step.columns {
		if v, _ := e.Field(c); v != "" {
			fields++
		}
		m.buf = append(m.buf, fieldOf(e, c)...)
		m.ends = append(m.ends, len(m.buf))
	}
	all, at := string(m.buf), 0 // one allocation holds all texts of the signal
	next := func() string {
		end := m.ends[0]
		m.ends = m.ends[1:]
		text := all[at:end]
		at = end
		return text
	}
	out := pipeline.Signal{
		Kind:   pipeline.SignalMatch,
		Origin: pipeline.TopicPartition{Topic: m.topic, ID: b.ID, Partition: b.Partition},
		Offset: e.Offset, Seq: seq,
		Rule: s.rule.ID, Version: s.rule.Version, Digest: s.rule.Digest, Step: s.index,
		Key: next(), Time: e.Time, Ingest: e.IngestTime, EventID: e.ID,
	}
	if n := len(s.step.values); n > 0 {
		out.Values = make([]string, n)
		for i := range out.Values {
			out.Values[i] = next()
		}
	}
	if fields > 0 {
		out.Fields = make([]pipeline.Attr, 0, fields)
		for _, c := range s.step.columns {
			if v := next(); v != "" {
				out.Fields = append(out.Fields, pipeline.Attr{Key: c, Value: v})
			}
		}
	}
	b.Signals = append(b.Signals, out)
	return true
}

func fieldOf(e *event, column string) string {
	v, _ := e.Field(column)
	return v
}

// Key joins the parts of a correlation key, for signals that another matcher makes. Parts may be empty.
func Key(parts ...string) string {
	var b []byte
	for i, part := range parts {
		if i > 0 {
			b = append(b, '|')
		}
		b = appendKeyPart(b, part, len(parts) > 1)
	}
	return string(boundKey(b))
}

func boundKey(b []byte) []byte {
	if len(b) <= maxKeyBytes {
		return b
	}
	h := xxhash.Sum64(b)
	b = append(b[:maxKeyBytes-17], '#')
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[h>>shift&15])
	}
	return b
}

// appendKeyPart appends a part of a key. Parts are joined by a bar, so a bar within one is escaped: ("a|b", "c") and
// ("a", "b|c") are different keys.
func appendKeyPart(dst []byte, part string, escape bool) []byte {
	if !escape || !strings.ContainsAny(part, `|\`) {
		return append(dst, part...)
	}
	for i := range len(part) {
		if part[i] == '|' || part[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, part[i])
	}
	return dst
}
