package sigma

import (
	"math/bits"
	"slices"
	"strings"
)

// substrings finds what is filed under texts that a text contains. A literal of four bytes and more is filed under that of its windows of
// four bytes which the fewest others have; one pass over the text looks each window up in a Bloom filter that fits the
// nearest cache, and only on a hit in the table of windows. That is faster here than an Aho-Corasick automaton, whose
// transitions for thousands of literals do not stay in the cache.
type substrings struct {
	short []substring
	long  map[string]*substring
	// filter has two bits for each window, both in the word that its hash chooses; shift leaves the number of the word.
	filter []uint64
	shift  uint8
	// table holds the windows by open addressing, half full or less; it is only looked into on a hit in the filter.
	table    []gramSlot
	literals []substring // by window
}

// gramSlot says which literals are filed under a window: from up to to; none where the slot is free.
type gramSlot struct{ gram, from, to uint32 }

type substring struct {
	text  string
	at    int // offset of the window that it is filed under
	filed filed
}

func gram(s string) uint32 {
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func hashGram(g uint32) uint64 { return uint64(g) * 0x9e3779b97f4a7c15 }

// twoBits are the two bits of a hash within its word.
func twoBits(h uint64) uint64 { return 1<<(h>>32&63) | 1<<(h>>38&63) }

func (s *substrings) add(text string, what int32) {
	if len(text) >= minPlain {
		if s.long == nil {
			s.long = map[string]*substring{}
		}
		sub := s.long[text]
		if sub == nil {
			sub = &substring{text: text}
			s.long[text] = sub
		}
		sub.filed = append(sub.filed, what)
		return
	}
	for i := range s.short {
		if s.short[i].text == text {
			s.short[i].filed = append(s.short[i].filed, what)
			return
		}
	}
	s.short = append(s.short, substring{text: text, filed: filed{what}})
}

// file files the long literals, once all are known.
func (s *substrings) file() {
	if len(s.long) == 0 {
		return
	}
	count := map[uint32]int{}
	for text := range s.long {
		for i := 0; i+4 <= len(text); i++ {
			count[gram(text[i:])]++
		}
	}
	for _, sub := range s.long {
		for i := 0; i+4 <= len(sub.text); i++ {
			if count[gram(sub.text[i:])] < count[gram(sub.text[sub.at:])] {
				sub.at = i
			}
		}
		s.literals = append(s.literals, *sub)
	}
	slices.SortFunc(s.literals, func(a, b substring) int {
		if x, y := gram(a.text[a.at:]), gram(b.text[b.at:]); x != y {
			return int(int64(x) - int64(y))
		}
		return strings.Compare(a.text, b.text)
	})
	size := max(3, bits.Len(uint(len(s.literals)/4))) // 8 to 16 bits a literal
	s.shift = uint8(64 - size)
	s.filter = make([]uint64, 1<<size)
	s.table = make([]gramSlot, 1<<bits.Len(uint(len(s.literals)*2)))
	for i := range s.literals {
		g := gram(s.literals[i].text[s.literals[i].at:])
		h := hashGram(g)
		s.filter[h>>s.shift] |= twoBits(h)
		slot := s.slot(g, h)
		if slot.to == 0 {
			*slot = gramSlot{g, uint32(i), 0}
		}
		slot.to = uint32(i) + 1
	}
}

// slot returns the window's place in the table, or a free one.
func (s *substrings) slot(g uint32, h uint64) *gramSlot {
	for i := h >> 20; ; i++ {
		slot := &s.table[i&uint64(len(s.table)-1)]
		if slot.gram == g || slot.to == 0 {
			return slot
		}
	}
}

// lookup gives the matcher what is filed under each text that v contains.
func (s *substrings) lookup(v string, m *Matcher) {
	for i := range s.short {
		if strings.Contains(v, s.short[i].text) {
			m.found(s.short[i].filed)
		}
	}
	if s.filter == nil || len(v) < 4 {
		return
	}
	g, shift, filter := gram(v), s.shift, s.filter
	for end := 4; ; end++ {
		h := hashGram(g)
		if p := twoBits(h); filter[h>>shift]&p == p {
			s.hit(g, h, v, end-4, m)
		}
		if end == len(v) {
			break
		}
		g = g>>8 | uint32(v[end])<<24
	}
}

// hit compares the literals that are filed under the window at i.
func (s *substrings) hit(g uint32, h uint64, v string, i int, m *Matcher) {
	slot := s.slot(g, h)
	for n := slot.from; n < slot.to; n++ {
		if sub := &s.literals[n]; i >= sub.at && strings.HasPrefix(v[i-sub.at:], sub.text) {
			m.found(sub.filed)
		}
	}
}
