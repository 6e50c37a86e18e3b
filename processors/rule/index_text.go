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
	present  []int32
	equal    map[string][]int32
	lengths  uint64 // those that equal's texts have, modulo 64
	prefix   affixes
	suffix   affixes
	contains substrings
	// values are those of equal, prefix and suffix, by textHash.
	values bitTable
}

// file makes it ready, once all is added.
func (t *textIndex) file() {
	for v := range t.equal {
		t.lengths |= 1 << (len(v) % 64)
	}
	var values []uint32
	for _, texts := range []map[string][]int32{t.equal, t.prefix.steps, t.suffix.steps} {
		for v := range texts {
			values = append(values, textHash(v))
		}
	}
	t.values = newBitTable(values)
	t.prefix.file(func(value string, n int) uint32 { return gram(value[n-4:]) })
	t.suffix.file(func(value string, n int) uint32 { return gram(value[len(value)-n:]) })
	t.contains.file()
}

func (t *textIndex) add(k indexKey, step int32) {
	switch k.op {
	case keyPresent:
		t.present = append(t.present, step)
	case keyEqual:
		if t.equal == nil {
			t.equal = map[string][]int32{}
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

func (t *textIndex) lookup(v string, into *stepSet) {
	if t.present != nil {
		into.addAll(t.present)
	}
	if t.lengths&(1<<(len(v)%64)) != 0 && t.values.has(textHash(v)) {
		into.addAll(t.equal[v])
	}
	if n := t.prefix.shortest; n > 0 && n <= len(v) && (n < 4 || t.prefix.gate.has(gram(v[n-4:]))) {
		for _, n := range t.prefix.lengths {
			if n <= len(v) && t.values.has(textHash(v[:n])) {
				into.addAll(t.prefix.steps[v[:n]])
			}
		}
	}
	if n := t.suffix.shortest; n > 0 && n <= len(v) && (n < 4 || t.suffix.gate.has(gram(v[len(v)-n:]))) {
		for _, n := range t.suffix.lengths {
			if n <= len(v) && t.values.has(textHash(v[len(v)-n:])) {
				into.addAll(t.suffix.steps[v[len(v)-n:]])
			}
		}
	}
	if t.contains.steps != nil {
		t.contains.lookup(v, into)
	}
}

// affixes finds steps by beginnings, or by ends: one look-up for each length that there is.
type affixes struct {
	steps    map[string][]int32
	lengths  []int
	shortest int // of lengths; 0 where there are none
	// gate has one word of each affix, at the place which is innermost in the shortest; empty where that has less than four
	// bytes. Most texts do not even have that.
	gate bitTable
}

func (a *affixes) add(value string, step int32) {
	if a.steps == nil {
		a.steps = map[string][]int32{}
	}
	a.steps[value] = append(a.steps[value], step)
}

// file makes it ready, once all is added. word returns the word of an affix that the gate asks for.
func (a *affixes) file(word func(value string, shortest int) uint32) {
	for value := range a.steps {
		if !slices.Contains(a.lengths, len(value)) {
			a.lengths = append(a.lengths, len(value))
		}
	}
	if a.lengths == nil {
		return
	}
	if a.shortest = slices.Min(a.lengths); a.shortest < 4 {
		return
	}
	var words []uint32
	for value := range a.steps {
		words = append(words, word(value, a.shortest))
	}
	a.gate = newBitTable(words)
}

// names finds what is filed under one of some dozens of names. Length, last and middle byte tell nearly all of them apart, in
// less time than a hash takes. The zero value has none.
type names[T any] struct {
	lengths uint64 // that they have, modulo 64
	buckets [][]named[T]
	mask    uint32
}

type named[T any] struct {
	name string
	of   T
}

func newNames[T any](all map[string]T) names[T] {
	if len(all) == 0 {
		return names[T]{}
	}
	size := 1 << bits.Len(uint(4*len(all)))
	n := names[T]{0, make([][]named[T], size), uint32(size - 1)}
	for name, of := range all {
		n.lengths |= 1 << (len(name) % 64)
		b := &n.buckets[nameHash(name)&n.mask]
		*b = append(*b, named[T]{name, of})
	}
	return n
}

// find returns what is filed under the name, or the zero value.
func (n *names[T]) find(name string) (none T) {
	if n.lengths&(1<<(len(name)%64)) == 0 {
		return none
	}
	bucket := n.buckets[nameHash(name)&n.mask]
	for i := range bucket {
		if bucket[i].name == name {
			return bucket[i].of
		}
	}
	return none
}

func nameHash(s string) uint32 {
	if s == "" {
		return 0
	}
	return (uint32(len(s)) | uint32(s[len(s)-1])<<8 | uint32(s[len(s)/2])<<16) * wordMultiplier >> 16
}

// bitTable tells most words that are not in a set, in a nanosecond. The zero value must not be asked.
type bitTable struct {
	bits  []uint64
	shift uint8
}

// Bits of a table: so many for a word, one in as many others is taken for one of the set; and no more than stay in the
// processor's cache.
const (
	wordBits     = 16
	maxTableBits = 1 << 18
)

func newBitTable(words []uint32) bitTable {
	size := min(max(bits.Len(uint(len(words)*wordBits)), 6), bits.Len(maxTableBits)-1)
	t := bitTable{make([]uint64, 1<<size/64), uint8(32 - size)}
	for _, w := range words {
		h := w * wordMultiplier >> t.shift
		t.bits[h/64] |= 1 << (h % 64)
	}
	return t
}

func (t *bitTable) has(word uint32) bool {
	h := word * wordMultiplier >> t.shift
	return t.bits[h/64]&(1<<(h%64)) != 0
}

// wordMultiplier spreads words: the golden ratio's share of 2^32 (Knuth, The Art of Computer Programming 3, 6.4).
const wordMultiplier = 0x9e3779b1

// textHash makes a word of a text's length, its first and its last bytes.
func textHash(s string) uint32 {
	h := uint32(len(s)) * 0x85ebca6b
	if len(s) >= 4 {
		return h ^ gram(s) ^ bits.RotateLeft32(gram(s[len(s)-4:])*0xc2b2ae35, 13)
	}
	for i := range len(s) {
		h = h*31 + uint32(s[i])
	}
	return h
}

// substrings finds steps by what a text contains. A literal of four bytes and more is filed under stride words of four
// bytes, one beside the other, so that a text has to be looked at every stride bytes only: in a bit table, and on a hit
// there in the map.
type substrings struct {
	steps  map[string][]int32
	short  []string // literals of less than four bytes
	stride int      // 0 where there are no longer ones
	words  map[uint32][]literals
	known  bitTable // the keys of words
}

// literals are as long as each other and have the same word at the same place.
type literals struct {
	at, length int
	one        string // where there is one only
	steps      []int32
	all        map[string][]int32 // where there are more
}

const (
	// maxStride is as far apart as words are looked up: a literal takes so many entries.
	maxStride = 16
	// crowded is how many look-ups for one word are too many, where a smaller stride saves some.
	crowded = 4
)

func gram(s string) uint32 {
	_ = s[3] // one look at the length for four bytes
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func (s *substrings) add(text string, step int32) {
	if s.steps == nil {
		s.steps = map[string][]int32{}
	}
	s.steps[text] = append(s.steps[text], step)
}

// file makes it ready, once all is added.
func (s *substrings) file() {
	var long []string
	shortest := math.MaxInt
	count := map[uint32]int{} // literals that have a word
	for text := range s.steps {
		if len(text) < 4 {
			s.short = append(s.short, text)
			continue
		}
		long = append(long, text)
		shortest = min(shortest, len(text))
		for i := 0; i+4 <= len(text); i++ {
			count[gram(text[i:])]++
		}
	}
	if long == nil {
		return
	}
	slices.Sort(long)
	for s.stride = min(shortest-3, maxStride); ; s.stride-- {
		s.words = make(map[uint32][]literals, len(long)*s.stride)
		most := 0
		for _, text := range long {
			most = max(most, s.fileOne(text, count))
		}
		if most <= crowded || s.stride == 1 {
			break
		}
	}
	s.known = newBitTable(slices.Collect(maps.Keys(s.words)))
}

// fileOne files a literal under those stride words of it which the fewest others have. It returns how many look-ups one of
// them leads to at most.
func (s *substrings) fileOne(text string, count map[uint32]int) (most int) {
	best, least := 0, math.MaxInt
	for at := 0; at+s.stride+3 <= len(text); at++ {
		n := 0
		for i := range s.stride {
			n += count[gram(text[at+i:])]
		}
		if n < least {
			best, least = at, n
		}
	}
	for at := best; at < best+s.stride; at++ {
		word := gram(text[at:])
		list := s.words[word]
		i := slices.IndexFunc(list, func(l literals) bool { return l.at == at && l.length == len(text) })
		if i < 0 {
			s.words[word] = append(list, literals{at: at, length: len(text), one: text, steps: s.steps[text]})
			most = max(most, len(list)+1)
			continue
		}
		l := &list[i]
		if l.all == nil {
			l.all = map[string][]int32{l.one: l.steps}
		}
		l.all[text] = s.steps[text]
	}
	return most
}

func (s *substrings) lookup(v string, into *stepSet) {
	for _, text := range s.short {
		if strings.Contains(v, text) {
			into.addAll(s.steps[text])
		}
	}
	if s.stride == 0 {
		return
	}
	stride, known := s.stride, s.known
	for i := 0; i+4 <= len(v); i += stride {
		word := gram(v[i:])
		if !known.has(word) {
			continue
		}
		list := s.words[word]
		for j := range list {
			l := &list[j]
			from := i - l.at
			if from < 0 || from+l.length > len(v) {
				continue
			}
			if text := v[from : from+l.length]; l.all != nil {
				into.addAll(l.all[text])
			} else if text == l.one {
				into.addAll(l.steps)
			}
		}
	}
}
