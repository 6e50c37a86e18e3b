package rule

import (
	"maps"
	"math"
	"math/bits"
	"slices"
	"strings"
)

// textIndex files steps under the values of one text.
type textIndex struct {
	present  []int
	equal    map[string][]int
	prefix   affixes
	suffix   affixes
	contains substrings
	// values are those of equal, prefix and suffix.
	values filter
}

// file makes it ready, once all is added.
func (t *textIndex) file() {
	t.values = newFilter(slices.Collect(maps.Keys(t.equal)), slices.Collect(maps.Keys(t.prefix.steps)), slices.Collect(maps.Keys(t.suffix.steps)))
	t.contains.file()
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
	if t.equal != nil && t.values.has(v) {
		into.addAll(t.equal[v])
	}
	for _, n := range t.prefix.lengths {
		if n <= len(v) && t.values.has(v[:n]) {
			into.addAll(t.prefix.steps[v[:n]])
		}
	}
	for _, n := range t.suffix.lengths {
		if n <= len(v) && t.values.has(v[len(v)-n:]) {
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

// filter tells most texts that are not in a set by their length, their first and their last bytes, in a few nanoseconds. The
// zero value has none.
type filter struct {
	bits []uint64
	mask uint32
}

// filterBits is how many bits there are for a text: one in so many others is taken for one of the set.
const filterBits = 16

func newFilter(lists ...[]string) filter {
	n := 0
	for _, list := range lists {
		n += len(list)
	}
	if n == 0 {
		return filter{}
	}
	size := max(1<<bits.Len(uint(n*filterBits-1)), 64)
	f := filter{make([]uint64, size/64), uint32(size - 1)}
	for _, list := range lists {
		for _, s := range list {
			h := filterHash(s) & f.mask
			f.bits[h/64] |= 1 << (h % 64)
		}
	}
	return f
}

func (f *filter) has(s string) bool {
	if f.bits == nil {
		return false
	}
	h := filterHash(s) & f.mask
	return f.bits[h/64]&(1<<(h%64)) != 0
}

func filterHash(s string) uint32 {
	h := uint32(len(s)) * 0x85ebca6b
	if len(s) >= 4 {
		h ^= gram(s)*0x9e3779b1 ^ bits.RotateLeft32(gram(s[len(s)-4:])*0xc2b2ae35, 13)
	} else {
		for i := range len(s) {
			h = h*31 + uint32(s[i])
		}
	}
	return h * 0x27d4eb2f >> 8
}

// substrings finds steps by what a text contains. A literal of four bytes and more is filed under stride windows of four
// bytes, one beside the other, so that a text has to be looked at every stride bytes only: in a bit table, and on a hit
// there in the map.
type substrings struct {
	short  []substring
	long   []substring
	stride int
	grams  map[uint32][]substring
	bits   *[1 << 9]uint64 // which hashes of grams exist
}

type substring struct {
	text  string
	at    int // offset of the window that it is filed under
	steps []int
}

const (
	// maxStride is as far apart as windows are looked up: a literal takes so many entries.
	maxStride = 8
	// crowded is how many literals under one window are too many, where a smaller stride tells them apart.
	crowded = 3
)

func gram(s string) uint32 {
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func gramHash(g uint32) uint32 { return g * 0x9e3779b1 >> 17 } // 15 bits

func (s *substrings) add(text string, step int) {
	list := &s.short
	if len(text) >= 4 {
		list = &s.long
	}
	for i := range *list {
		if (*list)[i].text == text {
			(*list)[i].steps = append((*list)[i].steps, step)
			return
		}
	}
	*list = append(*list, substring{text: text, steps: []int{step}})
}

// file files the long literals, once all are known.
func (s *substrings) file() {
	if len(s.long) == 0 {
		return
	}
	count := map[uint32]int{} // literals that have a window
	shortest := len(s.long[0].text)
	for _, sub := range s.long {
		shortest = min(shortest, len(sub.text))
		for i := 0; i+4 <= len(sub.text); i++ {
			count[gram(sub.text[i:])]++
		}
	}
	for s.stride = min(shortest-3, maxStride); ; s.stride-- {
		s.grams = make(map[uint32][]substring, len(s.long)*s.stride)
		most := 0
		for _, sub := range s.long {
			most = max(most, s.fileOne(sub, count))
		}
		if most <= crowded || s.stride == 1 {
			break
		}
	}
	s.bits = new([1 << 9]uint64)
	for g := range s.grams {
		h := gramHash(g)
		s.bits[h/64] |= 1 << (h % 64)
	}
}

// fileOne files a literal under those stride windows of it which the fewest others have. It returns how many literals there
// are under one of them at most.
func (s *substrings) fileOne(sub substring, count map[uint32]int) (most int) {
	best, least := 0, math.MaxInt
	for at := 0; at+s.stride+3 <= len(sub.text); at++ {
		n := 0
		for i := range s.stride {
			n += count[gram(sub.text[at+i:])]
		}
		if n < least {
			best, least = at, n
		}
	}
	for i := range s.stride {
		sub.at = best + i
		g := gram(sub.text[sub.at:])
		s.grams[g] = append(s.grams[g], sub)
		most = max(most, len(s.grams[g]))
	}
	return most
}

func (s *substrings) lookup(v string, into stepSet) {
	for i := range s.short {
		if strings.Contains(v, s.short[i].text) {
			into.addAll(s.short[i].steps)
		}
	}
	if s.stride == 0 {
		return
	}
	for i := 0; i+4 <= len(v); i += s.stride {
		g := gram(v[i:])
		if h := gramHash(g); s.bits[h/64]&(1<<(h%64)) == 0 {
			continue
		}
		for _, sub := range s.grams[g] {
			if i >= sub.at && strings.HasPrefix(v[i-sub.at:], sub.text) {
				into.addAll(sub.steps)
			}
		}
	}
}
