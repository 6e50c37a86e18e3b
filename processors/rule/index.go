package rule

import (
	"maps"
	"math"
	"math/bits"
	"slices"
)

// indexOp is a condition that the index knows to look up.
type indexOp uint8

const (
	keyEqual indexOp = iota
	keyPrefix
	keySuffix
	keyContains
	keyPresent
)

// indexKey is one necessary condition of a step: a text of the event compared with a constant.
type indexKey struct {
	op    indexOp
	attr  bool   // name is an attribute's, not a field's
	name  string // Go name of the field, or the attribute's name
	value string
}

// hits is how many events in a hundred are expected to meet the key. Only the order of these figures matters: each
// step is filed under the rarest of its necessary conditions.
func (k indexKey) hits() float64 {
	switch k.op {
	case keyPresent:
		return 30
	case keyContains:
		// A short literal is met by chance, and long ones are cheap to look for.
		return 2 + 20/float64(len(k.value))
	case keyPrefix, keySuffix:
		return 1 + 20/float64(len(k.value))
	}
	if k.attr {
		return 2
	}
	switch k.name {
	case "Phase", "Team", "Outcome", "NetScope", "Environment":
		return 25
	case "Project", "Source", "Topic":
		return 10
	case "Type":
		return 4
	}
	return 1
}

// planner chooses the keys under which each step is filed.
type planner struct {
	atoms *atoms
	// steps is how many steps could be filed under a key. What many rules ask for is what many events have, and an event
	// that has it brings them all.
	steps map[indexKey]int
}

// keys returns the keys of an atom, or of its contrary.
func (p *planner) keys(c *condition) []indexKey {
	if c.op == opNot {
		if at := &p.atoms.list[c.kids[0].atom]; c.kids[0].op == opAtom && at.absent != nil {
			return []indexKey{*at.absent}
		}
		return nil
	}
	return p.atoms.list[c.atom].keys
}

// survey notes the keys that a condition could be filed under.
func (p *planner) survey(c *condition) {
	if c.op == opAnd || c.op == opOr {
		for _, kid := range c.kids {
			p.survey(kid)
		}
		return
	}
	for _, k := range p.keys(c) {
		p.steps[k]++
	}
}

// access returns keys of which every event that meets the condition has at least one, and what they cost; infinity where
// there are none.
func (p *planner) access(c *condition) (keys []indexKey, cost float64) {
	switch c.op {
	case opAnd:
		cost = math.Inf(1)
		for _, kid := range c.kids {
			if k, h := p.access(kid); h < cost {
				keys, cost = k, h
			}
		}
		return keys, cost
	case opOr:
		for _, kid := range c.kids {
			k, h := p.access(kid)
			keys, cost = append(keys, k...), cost+h
		}
		return keys, cost
	}
	if keys = p.keys(c); keys == nil {
		return nil, math.Inf(1)
	}
	for _, k := range keys {
		cost += k.hits() * math.Sqrt(float64(p.steps[k]))
	}
	return keys, cost
}

// stepSet is a set of steps, by their number among all steps of the set of rules.
type stepSet []uint64

func newStepSet(n int) stepSet { return make(stepSet, (n+63)/64) }

func (s stepSet) add(i int) { s[i/64] |= 1 << (i % 64) }

func (s stepSet) addAll(list []int) {
	for _, i := range list {
		s.add(i)
	}
}

// each calls f for the members in rising order.
func (s stepSet) each(f func(i int)) {
	for w, word := range s {
		for word != 0 {
			f(w*64 + bits.TrailingZeros64(word))
			word &= word - 1
		}
	}
}

// index finds the steps that an event may match. It never misses one: a property test holds it against looking at all.
// Steps that demand a type of event are asked for events of that type only; those types' rules look at few fields.
type index struct {
	byType map[string]*fieldIndexes
	others *fieldIndexes   // of steps that demand no type
	types  []*fieldIndexes // all of them, others first
}

// fieldIndexes file steps under their rarest necessary conditions.
type fieldIndexes struct {
	typ    string // type of the events, "" for others
	number int    // in index.types
	// wanted are the fields that the steps look for a value in.
	wanted []string
	always []int // steps without a necessary condition that can be looked up
	fields []fieldIndex
	attrs  map[string]*textIndex
	// attrNames are those of attrs.
	attrNames filter
}

type fieldIndex struct {
	get func(*event) string
	*textIndex
}

// newIndex files all steps.
func newIndex(a *atoms, steps []stepRef) *index {
	p := &planner{a, map[indexKey]int{}}
	for _, s := range steps {
		if s.step.Alerts == nil {
			p.survey(s.step.when)
		}
	}
	byType := map[string][]int{}
	var others []int
	for i, s := range steps {
		if s.step.Alerts != nil {
			continue // no event meets them
		}
		types := p.types(s.step.when)
		s.step.types = types
		if types == nil {
			others = append(others, i)
		}
		for _, t := range types {
			byType[t] = append(byType[t], i)
		}
	}
	x := &index{byType: make(map[string]*fieldIndexes, len(byType)), others: p.file(steps, others)}
	x.types = append(x.types, x.others)
	for t, numbers := range byType {
		f := p.file(steps, numbers)
		f.typ, f.number = t, len(x.types)
		x.byType[t] = f
		x.types = append(x.types, f)
	}
	return x
}

// types returns the types of events of which one is needed to meet the condition; nil where any may do.
func (p *planner) types(c *condition) (types []string) {
	switch c.op {
	case opAnd:
		for _, kid := range c.kids {
			if t := p.types(kid); t != nil && (types == nil || len(t) < len(types)) {
				types = t
			}
		}
		return types
	case opOr:
		for _, kid := range c.kids {
			t := p.types(kid)
			if t == nil {
				return nil
			}
			types = append(types, t...)
		}
		slices.Sort(types)
		return slices.Compact(types)
	}
	for _, k := range p.keys(c) {
		if !isTypeKey(k) {
			return nil
		}
		types = append(types, k.value)
	}
	return types
}

func isTypeKey(k indexKey) bool { return k.op == keyEqual && !k.attr && k.name == "Type" }

// file files the steps of those numbers.
func (p *planner) file(steps []stepRef, numbers []int) *fieldIndexes {
	x := &fieldIndexes{attrs: map[string]*textIndex{}}
	byField := map[string]*textIndex{}
	var order []string
	for _, i := range numbers {
		x.wanted = append(x.wanted, steps[i].step.reads...)
		keys, cost := p.access(steps[i].step.when)
		if math.IsInf(cost, 1) {
			x.always = append(x.always, i)
			continue
		}
		for _, k := range keys {
			into := byField
			if k.attr {
				into = x.attrs
			}
			if into[k.name] == nil {
				into[k.name] = &textIndex{}
				if !k.attr {
					order = append(order, k.name)
				}
			}
			into[k.name].add(k, i)
		}
	}
	for _, name := range order {
		byField[name].file()
		x.fields = append(x.fields, fieldIndex{textFields[name], byField[name]})
	}
	x.attrNames = newFilter(slices.Collect(maps.Keys(x.attrs)))
	for _, t := range x.attrs {
		t.file()
	}
	slices.Sort(x.wanted)
	x.wanted = slices.Compact(x.wanted)
	return x
}

// candidates adds the steps that the event may match. It returns the index of the event's type, nil where no step asks for it.
func (x *index) candidates(e *event, into stepSet) *fieldIndexes {
	t := x.byType[e.Type]
	if t != nil {
		t.candidates(e, into)
	}
	x.others.candidates(e, into)
	return t
}

func (x *fieldIndexes) candidates(e *event, into stepSet) {
	into.addAll(x.always)
	for i := range x.fields {
		f := &x.fields[i]
		if v := f.get(e); v != "" {
			f.lookup(v, into)
		}
	}
	if len(x.attrs) > 0 {
		for i := range e.Attrs {
			a := &e.Attrs[i]
			if !x.attrNames.has(a.Key) || a.Value == "" {
				continue
			}
			if t := x.attrs[a.Key]; t != nil {
				t.lookup(a.Value, into)
			}
		}
	}
}
