package rule

import (
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
)

// indexOp is a condition that the index knows to look up.
type indexOp uint8

const (
	keyEqual indexOp = iota
	keyPrefix
	keySuffix
	keyContains
	keyPresent
	keyNumber
	keyLeast // the number or more
	keyMost  // the number or less
	keyNetwork
)

// indexKey is one necessary condition of a step: a text, number or address of the event compared with a constant.
type indexKey struct {
	op      indexOp
	attr    bool   // name is an attribute's, not a field's
	name    string // Go name of the field, or the attribute's name
	value   string
	number  float64      // of keyNumber, keyLeast and keyMost
	network netip.Prefix // of keyNetwork
}

// wantsValue tells that only an event with a value there has the key: no number is 0.
func (k indexKey) wantsValue() bool { return k.op != keyNumber && k.op != keyLeast && k.op != keyMost }

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
	case keyLeast, keyMost:
		if k.name == "Severity" {
			return 20 // most rules ask for high ones, and most events are of low ones
		}
		return 10
	case keyNumber:
		return 5
	case keyNetwork:
		bits := k.network.Bits()
		if k.network.Addr().Is6() {
			bits /= 2 // sites have a /48, networks a /64
		}
		return 50 / (1 + float64(bits*bits)/16)
	}
	if k.attr {
		switch _, err := strconv.Atoi(k.value); {
		case err == nil && len(k.value) != 3: // a port, a process, a count
			return 2
		case len(k.value) <= 7: // a method, a status, a protocol: one of a few
			return 15
		}
		return 2
	}
	switch k.name {
	case "Phase", "Team", "Outcome", "NetScope", "Environment":
		return 25
	case "Project", "Source", "Service", "Topic":
		return 10
	case "Type", "Ref", "Pipeline", "Rule", "Metric", "DBName":
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
	// typ is the type that all events have, "" where they have any.
	typ string
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
	if p.typ != "" && isTypeKey(keys[0]) {
		if slices.ContainsFunc(keys, func(k indexKey) bool { return k.value == p.typ }) {
			return nil, math.Inf(1) // all events have it
		}
		return keys[:0:0], 0 // none has it
	}
	for _, k := range keys {
		cost += k.hits() * math.Sqrt(float64(p.steps[k]))
	}
	return keys, cost
}

// stepSet is a set of steps, by their number among all steps of the set of rules. To empty it costs as much as there is in
// it, not as much as there could be.
type stepSet struct {
	words   []uint64
	touched []uint64 // a bit for each word that is not empty
}

func newStepSet(n int) stepSet {
	words := (n + 63) / 64
	return stepSet{make([]uint64, words), make([]uint64, (words+63)/64)}
}

func (s *stepSet) add(i int32) {
	w := i / 64
	s.words[w] |= 1 << (i % 64)
	s.touched[w/64] |= 1 << (w % 64)
}

func (s *stepSet) addAll(list []int32) {
	for _, i := range list {
		s.add(i)
	}
}

// drain empties the set, and appends what was in it to list in rising order.
func (s *stepSet) drain(list []int32) []int32 {
	for t, touched := range s.touched {
		if touched == 0 {
			continue
		}
		s.touched[t] = 0
		for ; touched != 0; touched &= touched - 1 {
			w := t*64 + bits.TrailingZeros64(touched)
			for word := s.words[w]; word != 0; word &= word - 1 {
				list = append(list, int32(w*64+bits.TrailingZeros64(word)))
			}
			s.words[w] = 0
		}
	}
	return list
}

// index finds the steps that an event may match. It never misses one: a property test holds it against looking at all.
// Steps that demand a type of event are asked for events of that type only; those types' rules look at few fields.
type index struct {
	byType names[*fieldIndexes]
	others *fieldIndexes   // of steps that demand no type
	types  []*fieldIndexes // all of them, others first
}

// fieldIndexes file steps under their rarest necessary conditions.
type fieldIndexes struct {
	typ    string // type of the events, "" for others
	number int    // in index.types
	// wanted are the fields that the steps look for a value in.
	wanted []string
	always []int32 // steps without a necessary condition that can be looked up

	texts     []fieldIndex
	numbers   []*numberIndex
	addresses []*networkIndex
	attrs     names[*textIndex]
}

type fieldIndex struct {
	get func(*event) string
	*textIndex
}

// newIndex files all steps.
func newIndex(a *atoms, steps []stepRef) *index {
	p := &planner{atoms: a, steps: map[indexKey]int{}}
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
	x := &index{others: p.file("", steps, others)}
	x.types = append(x.types, x.others)
	filed := make(map[string]*fieldIndexes, len(byType))
	for t, numbers := range byType {
		f := p.file(t, steps, numbers)
		f.number = len(x.types)
		filed[t] = f
		x.types = append(x.types, f)
	}
	x.byType = newNames(filed)
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

// file files the steps of those numbers for events of a type, or of any.
func (p *planner) file(typ string, steps []stepRef, numbers []int) *fieldIndexes {
	p.typ = typ
	x := &fieldIndexes{typ: typ}
	attrs := map[string]*textIndex{}
	texts, numeric, addresses := map[string]*textIndex{}, map[string]*numberIndex{}, map[string]*networkIndex{}
	for _, i := range numbers {
		x.wanted = append(x.wanted, steps[i].step.reads...)
		keys, cost := p.access(steps[i].step.when)
		if math.IsInf(cost, 1) {
			x.always = append(x.always, int32(i))
			continue
		}
		for _, k := range keys {
			switch {
			case k.op == keyNumber || k.op == keyLeast || k.op == keyMost:
				if numeric[k.name] == nil {
					numeric[k.name] = &numberIndex{get: numberFields[k.name]}
					x.numbers = append(x.numbers, numeric[k.name])
				}
				numeric[k.name].add(k, int32(i))
			case k.op == keyNetwork:
				if addresses[k.name] == nil {
					addresses[k.name] = &networkIndex{get: addrFields[k.name], steps: map[netip.Prefix][]int32{}}
					x.addresses = append(x.addresses, addresses[k.name])
				}
				addresses[k.name].add(k, int32(i))
			case k.attr:
				if attrs[k.name] == nil {
					attrs[k.name] = &textIndex{}
				}
				attrs[k.name].add(k, int32(i))
			default:
				if texts[k.name] == nil {
					texts[k.name] = &textIndex{}
					x.texts = append(x.texts, fieldIndex{textFields[k.name], texts[k.name]})
				}
				texts[k.name].add(k, int32(i))
			}
		}
	}
	for _, t := range x.texts {
		t.file()
	}
	for _, t := range attrs {
		t.file()
	}
	for _, n := range x.numbers {
		n.file()
	}
	for _, a := range x.addresses {
		a.file()
	}
	x.attrs = newNames(attrs)
	slices.Sort(x.wanted)
	x.wanted = slices.Compact(x.wanted)
	return x
}

// candidates adds the steps that the event may match. It returns the index of the event's type, nil where no step asks for it.
func (x *index) candidates(e *event, into *stepSet) *fieldIndexes {
	t := x.byType.find(e.Type)
	if t != nil {
		t.candidates(e, into)
	}
	x.others.candidates(e, into)
	return t
}

func (x *fieldIndexes) candidates(e *event, into *stepSet) {
	into.addAll(x.always)
	for i := range x.texts {
		f := &x.texts[i]
		if v := f.get(e); v != "" {
			f.lookup(v, into)
		}
	}
	for _, n := range x.numbers {
		n.lookup(n.get(e), into)
	}
	for _, a := range x.addresses {
		if addr := a.get(e); addr.IsValid() {
			a.lookup(addr, into)
		}
	}
	if x.attrs.lengths == 0 {
		return
	}
	for i := range e.Attrs {
		a := &e.Attrs[i]
		if t := x.attrs.find(a.Key); t != nil && a.Value != "" {
			t.lookup(a.Value, into)
		}
	}
}
