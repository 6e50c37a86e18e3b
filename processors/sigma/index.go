package sigma

import (
	"math"
	"net/netip"
)

// index finds the rules that an event may match, and answers atoms on the way: most ask for plain texts, and one look at a
// value finds all of those. It never misses a rule: a property test holds it against trying all.
type index struct {
	always []int32 // rules without a necessary condition that can be looked up
	fields []*fieldIndex
	any    *fieldIndex // keywords: all values; they are only searched for contained texts
	ask    atomSet     // atoms that no key says anything of
}

// filed is what is filed under a key: the number of a rule that may match where the key is found, or of an atom (ofAtom).
type filed []int32

// ofAtom says what a key says of an atom: that it holds, or only that it may.
func ofAtom(atom int32, holds bool) int32 {
	if holds {
		return ^(2 * atom)
	}
	return ^(2*atom + 1)
}

// newIndex files each rule under its rarest necessary condition, and each plain text of an atom.
func newIndex(rules []*Rule, atoms []compiledAtom, slots int, slot func(field string) int32) *index {
	x := &index{fields: make([]*fieldIndex, slots)}
	file := func(k indexKey, what int32) {
		at := &x.any
		if k.field != "" {
			at = &x.fields[slot(k.field)]
		}
		if *at == nil {
			*at = &fieldIndex{}
		}
		(*at).add(k, what)
	}
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
			file(k, int32(i))
		}
	}
	x.ask = make(atomSet, (len(atoms)+63)/64)
	for i := range atoms {
		a := &atoms[i]
		for _, k := range a.plain {
			file(k.of(a.field), ofAtom(int32(i), true))
		}
		guards, ok := p.guards(a)
		if !ok {
			x.ask.add(int32(i))
		}
		for _, k := range guards {
			file(k, ofAtom(int32(i), false))
		}
	}
	x.mergeKeywords()
	for _, f := range append(x.fields, x.any) {
		if f != nil {
			f.texts.contains.file()
		}
	}
	return x
}

// mergeKeywords files what is searched in all values in the fields that are searched anyway, or they would be searched twice.
func (x *index) mergeKeywords() {
	if x.any == nil {
		return
	}
	for _, f := range x.fields {
		if f == nil || f.texts.contains.long == nil {
			continue
		}
		f.keywords = true
		f.beyond = append(f.beyond, x.any.beyond...)
		for text, sub := range x.any.texts.contains.long {
			for _, what := range sub.filed {
				f.texts.contains.add(text, what)
			}
		}
		for _, sub := range x.any.texts.contains.short {
			for _, what := range sub.filed {
				f.texts.contains.add(sub.text, what)
			}
		}
	}
}

// fieldIndex files rules and atoms under the values of one field.
type fieldIndex struct {
	keywords bool // it has those of index.any, too
	present  filed
	beyond   filed // keyBeyond
	texts    texts
	networks networks
}

func (f *fieldIndex) add(k indexKey, what int32) {
	switch k.op {
	case keyPresent:
		f.present = append(f.present, what)
	case keyBeyond:
		f.beyond = append(f.beyond, what)
	case keyNetwork:
		f.networks.add(k.network, what)
	default:
		f.texts.add(k, what)
	}
}

func (f *fieldIndex) lookup(v *value, m *Matcher) {
	if v.kind != valueText {
		return
	}
	v.searched = v.searched || f.keywords
	low := m.folded(v)
	f.texts.lookup(low, m)
	if f.beyond != nil && !isASCII(low) {
		m.found(f.beyond)
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
	rules map[netip.Prefix]filed
}

func (n *networks) add(p netip.Prefix, what int32) {
	if n.rules == nil {
		n.rules, n.masks = map[netip.Prefix]filed{}, map[int]struct{}{}
	}
	n.masks[p.Bits()] = struct{}{}
	n.rules[p] = append(n.rules[p], what)
}

func (n *networks) lookup(addr netip.Addr, m *Matcher) {
	for bits := range n.masks {
		if p, err := addr.Prefix(bits); err == nil {
			m.found(n.rules[p])
		}
	}
}
