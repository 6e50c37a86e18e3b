package rule

import (
	"math"
	"math/bits"
	"strings"
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

// access returns the keys of which every event that meets the condition has at least one, the expected hits, and
// whether there are such keys.
func (a *atoms) access(c *condition) (keys []indexKey, hits float64) {
	switch c.op {
	case opAnd:
		hits = math.Inf(1)
		for _, kid := range c.kids {
			if k, h := a.access(kid); h < hits {
				keys, hits = k, h
			}
		}
		return keys, hits
	case opOr:
		for _, kid := range c.kids {
			k, h := a.access(kid)
			keys, hits = append(keys, k...), hits+h
		}
		return keys, hits
	case opNot:
		at := &a.list[c.kids[0].atom]
		if c.kids[0].op == opAtom && at.absent != nil {
			return []indexKey{*at.absent}, at.absent.hits()
		}
		return nil, math.Inf(1)
	}
	at := &a.list[c.atom]
	if at.keys == nil {
		return nil, math.Inf(1)
	}
	for _, k := range at.keys {
		hits += k.hits()
	}
	return at.keys, hits
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
type index struct {
	always []int // steps without a necessary condition that can be looked up
	fields []fieldIndex
	attrs  map[string]*textIndex
}

type fieldIndex struct {
	get func(*event) string
	textIndex
}

// newIndex files each step under its rarest necessary condition.
func newIndex(a *atoms, steps []stepRef) *index {
	x := &index{attrs: map[string]*textIndex{}}
	byField := map[string]*textIndex{}
	var order []string
	for i, s := range steps {
		keys, hits := a.access(s.step.when)
		if math.IsInf(hits, 1) {
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
		x.fields = append(x.fields, fieldIndex{textFields[name], *byField[name]})
	}
	return x
}

// candidates adds the steps that the event may match.
func (x *index) candidates(e *event, into stepSet) {
	into.addAll(x.always)
	for i := range x.fields {
		f := &x.fields[i]
		if v := f.get(e); v != "" {
			f.lookup(v, into)
		}
	}
	if len(x.attrs) > 0 {
		for i := range e.Attrs {
			if t := x.attrs[e.Attrs[i].Key]; t != nil && e.Attrs[i].Value != "" {
				t.lookup(e.Attrs[i].Value, into)
			}
		}
	}
}

// textIndex files steps under the values of one text.
type textIndex struct {
	present  []int
	equal    map[string][]int
	prefix   affixes
	suffix   affixes
	contains substrings
}

func (t *textIndex) add(k indexKey, step int) {
	switch k.op {
	case keyPresent:
		t.present = append(t.present, step)
	case keyEqual:
		if t.equal == nil {
			t.equal = map[string][]int{}
		}
		t.equal[k.value] = append(t.equal[k.value], step)
	case keyPrefix:
		t.prefix.add(k.value, step)
	case keySuffix:
		t.suffix.add(k.value, step)
	case keyContains:
		t.contains.add(k.value, step)
	}
}

func (t *textIndex) lookup(v string, into stepSet) {
	into.addAll(t.present)
	if t.equal != nil {
		into.addAll(t.equal[v])
	}
	for _, n := range t.prefix.lengths {
		if n <= len(v) {
			into.addAll(t.prefix.steps[v[:n]])
		}
	}
	for _, n := range t.suffix.lengths {
		if n <= len(v) {
			into.addAll(t.suffix.steps[v[len(v)-n:]])
		}
	}
	t.contains.lookup(v, into)
}

// affixes finds steps by beginnings, or by ends: one look-up for each length that there is.
type affixes struct {
	lengths []int
	steps   map[string][]int
}

func (a *affixes) add(value string, step int) {
	if a.steps == nil {
		a.steps = map[string][]int{}
	}
	known := false
	for _, n := range a.lengths {
		known = known || n == len(value)
	}
	if !known {
		a.lengths = append(a.lengths, len(value))
	}
	a.steps[value] = append(a.steps[value], step)
}

// substrings finds steps by what a text contains. Literals of four bytes and more are filed under their first four
// bytes: one pass over the text looks each window of four up in a bit table, and only on a hit in the map.
type substrings struct {
	short []substring
	grams map[uint32][]substring
	bits  [1 << 9]uint64 // which hashes of grams exist
}

type substring struct {
	text  string
	steps []int
}

func gramHash(g uint32) uint32 { return g * 0x9e3779b1 >> 17 } // 15 bits

func (s *substrings) add(text string, step int) {
	if len(text) < 4 {
		s.short = insert(s.short, text, step)
		return
	}
	if s.grams == nil {
		s.grams = map[uint32][]substring{}
	}
	g := gram(text)
	h := gramHash(g)
	s.bits[h/64] |= 1 << (h % 64)
	s.grams[g] = insert(s.grams[g], text, step)
}

func insert(list []substring, text string, step int) []substring {
	for i := range list {
		if list[i].text == text {
			list[i].steps = append(list[i].steps, step)
			return list
		}
	}
	return append(list, substring{text, []int{step}})
}

func gram(s string) uint32 {
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func (s *substrings) lookup(v string, into stepSet) {
	for i := range s.short {
		if strings.Contains(v, s.short[i].text) {
			into.addAll(s.short[i].steps)
		}
	}
	if s.grams == nil {
		return
	}
	for i := 0; i+4 <= len(v); i++ {
		g := gram(v[i:])
		if h := gramHash(g); s.bits[h/64]&(1<<(h%64)) == 0 {
			continue
		}
		for _, sub := range s.grams[g] {
			if strings.HasPrefix(v[i:], sub.text) {
				into.addAll(sub.steps)
			}
		}
	}
}
