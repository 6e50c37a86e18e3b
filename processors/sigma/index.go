package sigma

import (
	"math"
	"net/netip"
)

// index finds the rules that an event may match. It never misses one: a property test holds it against trying all.
type index struct {
	always []int32 // rules without a necessary condition that can be looked up
	fields []*fieldIndex
	any    *fieldIndex // keywords: all values
}

// newIndex files each rule under its rarest necessary condition.
func newIndex(rules []*Rule, slots int, slot func(field string) int32) *index {
	x := &index{fields: make([]*fieldIndex, slots)}
	p := &planner{map[indexKey]int{}}
	for _, r := range rules {
		p.survey(r.when)
	}
	for i, r := range rules {
		keys, cost := p.access(r.when)
		if math.IsInf(cost, 1) {
			x.always = append(x.always, int32(i))
			continue
		}
		for _, k := range keys {
			at := &x.any
			if k.field != "" {
				at = &x.fields[slot(k.field)]
			}
			if *at == nil {
				*at = &fieldIndex{}
			}
			(*at).add(k, int32(i))
		}
	}
	for _, f := range x.fields {
		if f != nil {
			f.texts.contains.file()
		}
	}
	if x.any != nil {
		x.any.texts.contains.file()
	}
	return x
}

// fieldIndex files rules under the values of one field.
type fieldIndex struct {
	present  []int32
	texts    texts
	networks networks
}

func (f *fieldIndex) add(k indexKey, rule int32) {
	switch k.op {
	case keyPresent:
		f.present = append(f.present, rule)
	case keyNetwork:
		f.networks.add(k.network, rule)
	default:
		f.texts.add(k, rule)
	}
}

func (f *fieldIndex) lookup(v *value, m *Matcher) {
	if v.kind != valueText {
		return
	}
	for rules := range f.texts.in(m.folded(v)) {
		m.candidates(rules)
	}
	if f.networks.rules != nil {
		if addr, ok := v.addr(); ok {
			f.networks.lookup(addr, m)
		}
	}
}

// networks finds rules by the networks of an address: one look-up for each length of mask that there is.
type networks struct {
	masks map[int]struct{} // of both families: an address has at most its own bits
	rules map[netip.Prefix][]int32
}

func (n *networks) add(p netip.Prefix, rule int32) {
	if n.rules == nil {
		n.rules, n.masks = map[netip.Prefix][]int32{}, map[int]struct{}{}
	}
	n.masks[p.Bits()] = struct{}{}
	n.rules[p] = append(n.rules[p], rule)
}

func (n *networks) lookup(addr netip.Addr, m *Matcher) {
	for bits := range n.masks {
		if p, err := addr.Prefix(bits); err == nil {
			m.candidates(n.rules[p])
		}
	}
}
