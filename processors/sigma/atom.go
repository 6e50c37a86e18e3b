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

// compiledAtom is an atom whose fields are interned.
type compiledAtom struct {
	*atom
	slot, otherSlot int32      // -1: keywords
	plain           []indexKey // texts that the index looks for: the atom holds where it finds one
	rest            []test     // the other tests
}

// minPlain is the length from which on the index finds a contained text faster than a search for it would.
const minPlain = 4

func newCompiledAtom(a *atom, slot func(field string) int32) compiledAtom {
	c := compiledAtom{atom: a, slot: -1, otherSlot: -1}
	if a.field != "" {
		c.slot = slot(a.field)
	}
	if a.kind == atomFieldRef {
		c.otherSlot = slot(a.other)
	}
	for _, t := range a.tests {
		if p, ok := t.(*pattern); ok {
			if k, ok := p.key(); ok && !k.isShort() {
				c.plain = append(c.plain, k)
				continue
			}
		}
		c.rest = append(c.rest, t)
	}
	return c
}

// judge answers the atom for the matcher's event by some of its tests.
func (c *compiledAtom) judge(m *Matcher, tests []test) bool {
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
			if passes(tests, &m.values[i], m) {
				return true
			}
		}
		return false
	}
	if !m.present(c.slot) {
		return false
	}
	for i := m.slots[c.slot].head; i >= 0; i = m.values[i].next {
		if passes(tests, &m.values[i], m) {
			return true
		}
	}
	return false
}

func passes(tests []test, v *value, m *Matcher) bool {
	if v.kind != valueText {
		return false
	}
	for _, t := range tests {
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
