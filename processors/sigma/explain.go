package sigma

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// Explain is rule.Judged.Explain: what each step of one of the detector's rules makes of the event, condition by condition.
func (d *Detector) Explain(r *rule.Rule, e *pipeline.Event) []rule.Explanation {
	of := d.of[r]
	set := &Set{}
	set.with(of)
	one := NewDetector(set, d.taxonomy)
	p := one.Processor()
	b := &pipeline.Batch{Events: []pipeline.Event{*e}}
	_ = p.Process(context.Background(), b) // it never fails
	out := make([]rule.Explanation, len(r.Steps))
	for i := range out {
		x := &out[i]
		x.Rule, x.Step = r, &r.Steps[i]
		if x.Step.Alerts != nil {
			x.Reason = "it takes alerts of " + strings.Join(x.Step.Alerts, ", ")
		}
		for _, s := range b.Signals {
			if s.Rule == r.ID && s.Step == i {
				x.Matched, x.Key = true, s.Key
			}
		}
		parts := set.Rules
		if c := of.correlation; c != nil {
			parts = c.detections(i)
		}
		matched := false
		for _, part := range parts {
			line := rule.ExplainedCondition{Text: part.Source.String()}
			if len(parts) > 1 {
				line.Text = "rule " + part.Key() + ", " + line.Text
			}
			m := p.shows(part, e)
			x.Conditions = append(x.Conditions, line)
			if m == nil {
				continue
			}
			at := len(x.Conditions) - 1
			x.Conditions[at].Holds = m.explain(part.when, 1, &x.Conditions)
			matched = matched || x.Conditions[at].Holds
		}
		switch {
		case x.Matched:
		case e.Dropped() != "":
			x.Reason = "the event is dropped: " + e.Dropped()
		case e.HasLabel(playgroundLabel):
			x.Reason = "the event is labelled " + playgroundLabel
		case matched:
			x.Reason = "it lacks a field of group-by, or the number that is asked for"
		}
	}
	return out
}

// with adds the rule, behind those that it refers to.
func (s *Set) with(r *Rule) {
	switch {
	case slices.Contains(s.Rules, r) || slices.Contains(s.Correlations, r):
	case r.correlation == nil:
		s.Rules = append(s.Rules, r)
	default:
		for _, of := range r.correlation.rules {
			s.with(of)
		}
		s.Correlations = append(s.Correlations, r)
	}
}

// detections are the detection rules that count in a step of the engine's rule, each once.
func (c *correlation) detections(step int) (all []*Rule) {
	for i, r := range c.rules {
		if c.step(i) == step && r.correlation == nil && !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	return all
}

// shown is an event as a view shows it.
type shown struct {
	*Matcher
	scope *scope
}

// shows returns the event as the first view of it in which the rule matches, or else the first; nil where no view of the
// rule's log source has it.
func (p *Processor) shows(r *Rule, e *pipeline.Event) (best *shown) {
	for _, s := range p.detector.bySource[e.Source] {
		if yes, _ := s.may(r.when, map[string]bool{}); !yes || !r.Source.Covers(s.source) || !s.sees(e) {
			continue
		}
		lines := []string{""}
		if s.raw == rawAudit {
			lines = slices.Collect(strings.Lines(e.Raw))
		}
		for _, line := range lines {
			m := &shown{s.program.NewMatcher(), s}
			m.read(s, e, line)
			if best == nil {
				best = m
			}
			if m.explain(r.when, 0, new([]rule.ExplainedCondition)) {
				return m
			}
		}
	}
	return best
}

// explain appends a line for each part of the condition, and says whether it holds.
func (m *shown) explain(c *condition, depth int, out *[]rule.ExplainedCondition) bool {
	at := len(*out)
	*out = append(*out, rule.ExplainedCondition{Depth: depth})
	line := rule.ExplainedCondition{Depth: depth}
	switch c.op {
	case opAtom:
		a := newCompiledAtom(c.atom, m.scope.slot)
		line.Text, line.Holds = c.atom.words(), a.judge(m.Matcher, a.tests)
		if a.slot >= 0 {
			line.Got = m.words(a.slot)
		}
	case opNot:
		line.Text, line.Holds = "not", !m.explain(c.kids[0], depth+1, out)
	default:
		line.Text, line.Holds = "all of", true
		if c.op == opOr {
			line.Text, line.Holds = "any of", false
		}
		for _, k := range c.kids {
			if m.explain(k, depth+1, out) == (c.op == opOr) {
				line.Holds = c.op == opOr
			}
		}
	}
	(*out)[at] = line
	return line.Holds
}

// words are the field's values for people.
func (m *Matcher) words(slot int32) string {
	if !m.present(slot) {
		return ""
	}
	var all []string
	for i := m.slots[slot].head; i >= 0; i = m.values[i].next {
		switch v := &m.values[i]; v.kind {
		case valueText:
			all = append(all, v.raw)
		case valueNull:
			all = append(all, "null")
		}
	}
	return strings.Join(all, ", ")
}

// words say what the atom asks, for people.
func (a *atom) words() string {
	field := a.field
	if field == "" {
		field = "any value"
	}
	switch a.kind {
	case atomNull:
		return field + " is null or absent"
	case atomExists:
		return field + " is there"
	case atomAbsent:
		return field + " is absent"
	case atomFieldRef:
		return field + map[[2]bool]string{{true, true}: " contains ", {true, false}: " ends with ", {false, true}: " begins with "}[[2]bool{a.startOpen, a.endOpen}] + "the field " + a.other
	}
	var all []string
	for _, t := range a.tests {
		all = append(all, t.words())
	}
	if len(all) == 1 {
		return field + " " + all[0]
	}
	return field + " is any of: " + strings.Join(all, "; ")
}

func (p *pattern) words() string {
	var b strings.Builder
	if p.cased {
		b.WriteString("(cased) ")
	}
	if !p.start {
		b.WriteByte('*')
	}
	for i, g := range p.segments {
		if i > 0 {
			b.WriteByte('*')
		}
		for _, e := range g.elems {
			b.WriteString(map[elemKind]string{elemText: e.text, elemOne: "?", elemDash: "-"}[e.kind])
		}
	}
	if !p.end && len(p.segments) > 0 {
		b.WriteByte('*')
	}
	return "is " + b.String()
}

func (t *regexpTest) words() string { return "matches " + t.re.String() }
func (t *cidrTest) words() string   { return "is in " + t.network.String() }
func (t *rangeTest) words() string {
	return sqlOps[t.compare] + " " + strconv.FormatFloat(t.limit, 'g', -1, 64)
}
func (t *partTest) words() string {
	return fmt.Sprintf("has a %s %s %g", t.part, sqlOps[t.compare], t.limit)
}
