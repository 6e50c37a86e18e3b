package sigma

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// Processor appends a signal for each Sigma rule that an event matches, and for each correlation that it counts in. It
// comes after the matcher of our own rules and serves one worker.
type Processor struct {
	detector *Detector
	matchers map[*scope]*Matcher // made when the first event of a view comes
	topic    string              // a copy of the batch's topic that signals may keep
	watch    *rule.Matcher       // is told what rules take, and says which are quarantined; nil for nobody
	events   uint64              // judged, for which of them are timed

	batch *pipeline.Batch
	event *pipeline.Event
	done  []*Rule        // rules that the event at hand matched
	told  []*correlation // correlations that it counted in
	// what the correlation at hand reads: the parts of its group, the values of its condition, what its alerts carry
	parts, values, carries []string
}

// Processor returns a processor for one worker.
func (d *Detector) Processor() *Processor {
	return &Processor{detector: d, matchers: map[*scope]*Matcher{}}
}

// Watched returns a processor for the worker of a matcher: it tells it what rules take, and does not judge those that are
// quarantined.
func (d *Detector) Watched(m *rule.Matcher) *Processor {
	p := d.Processor()
	p.watch = m
	return p
}

// playgroundLabel marks events of a place where attacks are part of the plan: no Sigma rule judges them.
const playgroundLabel = "playground"

// Process appends the signals of the batch's events to b.Signals, in the order of records that the engine counts on. It
// never fails a batch: a raw record that cannot be read has no fields.
func (p *Processor) Process(_ context.Context, b *pipeline.Batch) error {
	if p.topic != b.Topic {
		p.topic = strings.Clone(b.Topic)
	}
	p.batch = b
	if p.watch != nil && p.watch.Quarantines() {
		for _, m := range p.matchers {
			p.leave(m)
		}
	}
	before := len(b.Signals)
	for i := range b.Events {
		e := &b.Events[i]
		scopes := p.detector.bySource[e.Source]
		if len(scopes) == 0 || e.Dropped() != "" || e.HasLabel(playgroundLabel) {
			continue
		}
		p.event, p.done, p.told = e, p.done[:0], p.told[:0]
		p.events++
		for _, s := range scopes {
			if s.sees(e) {
				p.judge(s)
			}
		}
	}
	if len(b.Signals) > before {
		renumber(b.Signals)
	}
	return nil
}

// renumber puts signals in the order of their records and counts those of each record.
func renumber(signals []pipeline.Signal) {
	slices.SortStableFunc(signals, func(a, b pipeline.Signal) int { return cmp.Compare(a.Offset, b.Offset) })
	for i := range signals {
		signals[i].Seq = 0
		if i > 0 && signals[i].Offset == signals[i-1].Offset {
			signals[i].Seq = signals[i-1].Seq + 1
		}
	}
}

func (p *Processor) judge(s *scope) {
	m := p.matchers[s]
	if m == nil {
		m = s.program.NewMatcher()
		p.matchers[s] = m
		p.leave(m)
	}
	m.timed, m.took = p.watch != nil && p.events%rule.TimedEvery == 0, m.took[:0]
	p.records(s, m)
	for _, t := range m.took {
		for _, r := range p.detector.serves(t.rule) {
			p.watch.Took(r, t.time)
		}
	}
}

// serves returns the rules of the engine that the matches of a rule are for.
func (d *Detector) serves(r *Rule) (all []*rule.Rule) {
	if out := d.made[r]; out != nil {
		all = append(all, out)
	}
	for _, part := range d.parts[r] {
		all = append(all, part.rule)
	}
	return all
}

// leave notes which rules are for quarantined ones only.
func (p *Processor) leave(m *Matcher) {
	if p.watch == nil || !p.watch.Quarantines() {
		return
	}
	m.off = make([]bool, len(m.program.rules))
	for i, r := range m.program.rules {
		m.off[i] = !slices.ContainsFunc(p.detector.serves(r), func(out *rule.Rule) bool { return !p.isQuarantined(out) })
	}
}

func (p *Processor) isQuarantined(r *rule.Rule) bool {
	return p.watch != nil && p.watch.IsQuarantined(r)
}

// records judges what the view shows of the event: the event itself, or the lines of its record.
func (p *Processor) records(s *scope, m *Matcher) {
	if s.raw != rawAudit {
		m.read(s, p.event, "")
		p.take(s, m, m.judge())
		return
	}
	for line := range strings.Lines(p.event.Raw) { // to Sigma each record of the audit daemon is an event
		m.read(s, p.event, line)
		p.take(s, m, m.judge())
	}
}

// read takes an event as the view shows it; of the audit daemon's records one line is an event.
func (m *Matcher) read(s *scope, e *pipeline.Event, line string) {
	m.begin()
	m.readColumns(s, e)
	if s.raw == rawAudit {
		m.readAudit(line)
		return
	}
	read := false
	if s.raw == rawJSON {
		if at := strings.IndexByte(e.Raw, '{'); at >= 0 { // a syslog header may stand before it
			read = m.readJSON(bytesOf(e.Raw[at:])) == nil
		}
		if !read { // what was read of it goes
			m.begin()
			m.readColumns(s, e)
		}
	}
	if !read && m.program.keywords {
		m.add(nil, newText(e.Raw))
	}
}

// readColumns takes the fields that are mapped to columns.
func (m *Matcher) readColumns(s *scope, e *pipeline.Event) {
	for i := range s.fields {
		at := fieldTree{slot: s.fields[i].slot, exact: true}
		for j := range s.fields[i].columns {
			if text := s.fields[i].columns[j].of(e); text != "" {
				m.add(&at, newText(text))
			}
		}
	}
	m.mapped = len(m.values)
}

// take makes signals of what matched.
func (p *Processor) take(s *scope, m *Matcher, matched []*Rule) {
	for _, r := range matched {
		if slices.Contains(p.done, r) {
			continue
		}
		p.done = append(p.done, r)
		if out := p.detector.made[r]; out != nil && !p.isQuarantined(out) {
			p.parts = p.parts[:0]
			for _, c := range s.key {
				v, _ := p.event.Field(c)
				p.parts = append(p.parts, v)
			}
			p.signal(out, 0, nil)
		}
		for i, part := range p.detector.parts[r] {
			at := s.parts[r][i]
			p.read(m, at)
			p.correlate(part)
		}
	}
}

// read takes what a correlation reads of the matcher's event. Where a field of the group or of the condition is not there,
// there are fewer.
func (p *Processor) read(m *Matcher, at slots) {
	p.parts, p.values, p.carries = p.parts[:0], p.values[:0], p.carries[:0]
	for _, g := range at.groups {
		if v := m.first(g); v != nil {
			p.parts = append(p.parts, v.raw)
		}
	}
	for _, f := range at.values {
		if v := m.first(f); v != nil {
			p.values = append(p.values, v.raw)
		}
	}
	for _, f := range at.carries {
		text := ""
		if v := m.first(f); v != nil {
			text = v.raw
		}
		p.carries = append(p.carries, text)
	}
}

// Hear is rule.Judged.Hear: an alert of a correlation counts in those that refer to it, with what it carries.
func (d *Detector) Hear(id string, e *pipeline.Event, b *pipeline.Batch) {
	p := &Processor{detector: d, batch: b, event: e}
	for _, part := range d.hears[id] {
		p.parts, p.values, p.carries = p.parts[:0], p.values[:0], p.carries[:0]
		for _, g := range part.to.groupBy {
			if v, _ := e.Field(carried(g.of[part.nth])); v != "" {
				p.parts = append(p.parts, v)
			}
		}
		for _, f := range part.to.fields {
			if v, _ := e.Field(carried(f)); v != "" {
				p.values = append(p.values, v)
			}
		}
		for _, f := range part.carries {
			if group := slices.IndexFunc(part.to.groupBy, func(g groupField) bool { return g.name == f }); group >= 0 {
				f = part.to.groupBy[group].of[part.nth]
			}
			v, _ := e.Field(carried(f))
			p.carries = append(p.carries, v)
		}
		p.correlate(part)
	}
}

// correlate makes the signal of a correlation that the event counts in: once, or for temporal ones once a rule.
func (p *Processor) correlate(part part) {
	c := part.to
	temporal := c.kind == "temporal" || c.kind == "temporal_ordered"
	if !temporal && slices.Contains(p.told, c) || p.isQuarantined(part.rule) {
		return
	}
	if len(p.parts) < len(c.groupBy) || len(p.values) < len(c.fields) {
		return // it lacks a field, so it takes no part
	}
	var values []string
	switch {
	case c.kind == "temporal_ordered" || c.absence == without:
	case c.presence != nil:
		values = make([]string, len(c.rules))
		values[part.nth] = "1"
	case temporal:
		values = []string{c.names[part.nth]}
	case len(c.fields) > 0:
		if _, ok := number(p.values[0]); !ok && c.kind != "value_count" {
			return
		}
		values = []string{rule.Key(p.values...)}
	}
	p.told = append(p.told, c)
	p.signal(part.rule, part.step, values)
	s := &p.batch.Signals[len(p.batch.Signals)-1]
	for i, f := range part.carries {
		if p.carries[i] != "" {
			s.Fields = append(s.Fields, pipeline.Attr{Key: carried(f), Value: strings.Clone(p.carries[i])})
		}
	}
}

// signal appends a signal with the key's parts at hand.
func (p *Processor) signal(r *rule.Rule, step int, values []string) {
	e := p.event
	s := pipeline.Signal{
		Kind:   pipeline.SignalMatch,
		Origin: pipeline.TopicPartition{Topic: p.topic, ID: p.batch.ID, Partition: p.batch.Partition},
		Offset: e.Offset, Rule: r.ID, Version: r.Version, Digest: r.Digest, Step: step,
		Key: rule.Key(p.parts...), Time: e.Time, Ingest: e.IngestTime, EventID: e.ID, Values: values,
	}
	for _, c := range alertColumns {
		if v, _ := e.Field(c); v != "" {
			s.Fields = append(s.Fields, pipeline.Attr{Key: c, Value: strings.Clone(v)})
		}
	}
	p.batch.Signals = append(p.batch.Signals, s)
}
