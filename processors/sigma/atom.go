package sigma

import (
	"fmt"
	"slices"
	"strings"
)

type atomKind uint8

const (
	atomTests    atomKind = iota // any value of the field passes any test
	atomNull                     // the field is absent or null
	atomExists                   // the field is there, be it null or empty
	atomAbsent                   // it is not
	atomFieldRef                 // the field and another one are there, and compare
)

// atom is the smallest question about an event. Rules that ask the same share it, and it is answered once an event.
type atom struct {
	field string // "": keywords, any value of the event
	kind  atomKind
	tests []test

	// of atomFieldRef: the other field, and how the texts compare.
	other                     string
	cased, startOpen, endOpen bool
}

// String describes the atom: equal atoms have equal descriptions.
func (a *atom) String() string {
	parts := make([]string, len(a.tests))
	for i, t := range a.tests {
		parts[i] = t.String()
	}
	slices.Sort(parts)
	return fmt.Sprintf("%d %q %q %t%t%t %q", a.kind, a.field, a.other, a.cased, a.startOpen, a.endOpen, slices.Compact(parts))
}

func (a *atom) cost() int {
	if a.kind != atomTests {
		return 1
	}
	sum := 0
	for _, t := range a.tests {
		sum += t.cost()
	}
	if a.field == "" {
		sum *= 20
	}
	return sum
}

// compiledAtom is an atom whose fields are interned. Many plain texts are one look-up.
type compiledAtom struct {
	*atom
	slot, otherSlot int32  // -1: keywords
	texts           *texts // nil where there are few
	rest            []test
}

// manyTexts is the number of plain texts from which on looking them up is faster than comparing one by one.
const manyTexts = 4

func newCompiledAtom(a *atom, slot func(field string) int32) compiledAtom {
	c := compiledAtom{atom: a, slot: -1, otherSlot: -1, rest: a.tests}
	if a.field != "" {
		c.slot = slot(a.field)
	}
	if a.kind == atomFieldRef {
		c.otherSlot = slot(a.other)
	}
	many := &texts{}
	var rest []test
	for i, t := range a.tests {
		if p, ok := t.(*pattern); ok {
			if k, ok := p.key(); ok {
				many.add(k, int32(i))
				continue
			}
		}
		rest = append(rest, t)
	}
	if len(a.tests)-len(rest) >= manyTexts {
		many.contains.file()
		c.texts, c.rest = many, rest
	}
	return c
}

// judge answers the atom for the matcher's event.
func (c *compiledAtom) judge(m *Matcher) bool {
	switch c.kind {
	case atomExists:
		return m.present(c.slot)
	case atomAbsent:
		return !m.present(c.slot)
	case atomNull:
		if !m.present(c.slot) {
			return true
		}
		for i := m.slots[c.slot].head; i >= 0; i = m.values[i].next {
			if m.values[i].kind == valueNull {
				return true
			}
		}
		return false
	case atomFieldRef:
		return c.judgePair(m)
	}
	if c.slot < 0 {
		for i := m.mapped; i < len(m.values); i++ {
			if c.passes(&m.values[i], m) {
				return true
			}
		}
		return false
	}
	if !m.present(c.slot) {
		return false
	}
	for i := m.slots[c.slot].head; i >= 0; i = m.values[i].next {
		if c.passes(&m.values[i], m) {
			return true
		}
	}
	return false
}

func (c *compiledAtom) passes(v *value, m *Matcher) bool {
	if v.kind != valueText {
		return false
	}
	if c.texts != nil {
		for range c.texts.in(m.folded(v)) {
			return true
		}
	}
	for _, t := range c.rest {
		if t.holds(v, m) {
			return true
		}
	}
	return false
}

// judgePair compares every value of the field with every value of the other.
func (c *compiledAtom) judgePair(m *Matcher) bool {
	if !m.present(c.slot) || !m.present(c.otherSlot) {
		return false
	}
	for i := m.slots[c.slot].head; i >= 0; i = m.values[i].next {
		for j := m.slots[c.otherSlot].head; j >= 0; j = m.values[j].next {
			v, o := &m.values[i], &m.values[j]
			if v.kind == valueText && o.kind == valueText && c.compares(v, o, m) {
				return true
			}
		}
	}
	return false
}

func (c *compiledAtom) compares(v, o *value, m *Matcher) bool {
	a, b := v.raw, o.raw
	if !c.cased {
		a, b = m.folded(v), m.folded(o)
	}
	switch {
	case c.startOpen && c.endOpen:
		return strings.Contains(a, b)
	case c.startOpen:
		return strings.HasSuffix(a, b)
	case c.endOpen:
		return strings.HasPrefix(a, b)
	}
	return a == b
}
