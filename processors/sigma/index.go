package sigma

import (
	"math"
	"net/netip"
	"slices"
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
			f.contains.file()
		}
	}
	if x.any != nil {
		x.any.contains.file()
	}
	return x
}

// fieldIndex files rules under the values of one field.
type fieldIndex struct {
	present  []int32
	equal    map[string][]int32
	prefix   affixes
	suffix   affixes
	contains substrings
	networks networks
}

func (f *fieldIndex) add(k indexKey, rule int32) {
	switch k.op {
	case keyPresent:
		f.present = append(f.present, rule)
	case keyEqual:
		if f.equal == nil {
			f.equal = map[string][]int32{}
		}
		f.equal[k.text] = append(f.equal[k.text], rule)
	case keyPrefix:
		f.prefix.add(k.text, rule)
	case keySuffix:
		f.suffix.add(k.text, rule)
	case keyContains:
		f.contains.add(k.text, rule)
	case keyNetwork:
		f.networks.add(k.network, rule)
	}
}

func (f *fieldIndex) lookup(v *value, m *Matcher) {
	if v.kind != valueText {
		return
	}
	low := m.folded(v)
	if f.equal != nil {
		m.candidates(f.equal[low])
	}
	for _, n := range f.prefix.lengths {
		if n > len(low) {
			break
		}
		m.candidates(f.prefix.rules[low[:n]])
	}
	for _, n := range f.suffix.lengths {
		if n > len(low) {
			break
		}
		m.candidates(f.suffix.rules[low[len(low)-n:]])
	}
	f.contains.lookup(low, m)
	if f.networks.rules != nil {
		if addr, ok := v.addr(); ok {
			f.networks.lookup(addr, m)
		}
	}
}

// affixes finds rules by beginnings, or by ends: one look-up for each length that there is, in rising order.
type affixes struct {
	lengths []int
	rules   map[string][]int32
}

func (a *affixes) add(text string, rule int32) {
	if a.rules == nil {
		a.rules = map[string][]int32{}
	}
	if i, known := slices.BinarySearch(a.lengths, len(text)); !known {
		a.lengths = slices.Insert(a.lengths, i, len(text))
	}
	a.rules[text] = append(a.rules[text], rule)
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
