package sigma

import (
	"math/bits"
	"strings"
)

// substrings finds rules by what a text contains. A literal of four bytes and more is filed under that of its windows of
// four bytes which the fewest others have; one pass over the text looks each window up in a bit table, and only on a hit
// in the table of windows. That is faster here than an Aho-Corasick automaton, whose transitions for thousands of literals do not stay
// in the cache.
type substrings struct {
	short []substring
	long  map[string]*substring
	bits  []uint64 // which hashes of windows exist
	shift uint8
	// table holds the windows by open addressing, a quarter full or less; it is only looked into on a hit in bits.
	table      []gramSlot
	tableShift uint8
}

type gramSlot struct {
	gram     uint32
	literals []*substring // none: the slot is free
}

type substring struct {
	text  string
	at    int // offset of the window that it is filed under
	rules []int32
}

func gram(s string) uint32 {
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

const gramPrime = 0x9e3779b1

func (s *substrings) hash(g uint32) uint32 { return g * gramPrime >> s.shift }

func (s *substrings) add(text string, rule int32) {
	if len(text) >= 4 {
		if s.long == nil {
			s.long = map[string]*substring{}
		}
		sub := s.long[text]
		if sub == nil {
			sub = &substring{text: text}
			s.long[text] = sub
		}
		sub.rules = append(sub.rules, rule)
		return
	}
	for i := range s.short {
		if s.short[i].text == text {
			s.short[i].rules = append(s.short[i].rules, rule)
			return
		}
	}
	s.short = append(s.short, substring{text: text, rules: []int32{rule}})
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
	size := max(9, bits.Len(uint(len(s.long)*32))) // one bit in 32 or fewer is set
	s.shift = uint8(32 - size)
	s.bits = make([]uint64, 1<<size/64)
	size = bits.Len(uint(len(s.long) * 4))
	s.tableShift = uint8(32 - size)
	s.table = make([]gramSlot, 1<<size)
	for _, sub := range s.long {
		for i := 0; i+4 <= len(sub.text); i++ {
			if count[gram(sub.text[i:])] < count[gram(sub.text[sub.at:])] {
				sub.at = i
			}
		}
		g := gram(sub.text[sub.at:])
		h := s.hash(g)
		s.bits[h/64] |= 1 << (h % 64)
		slot := s.slot(g)
		slot.gram, slot.literals = g, append(slot.literals, sub)
	}
}

// slot returns the window's place in the table, or a free one.
func (s *substrings) slot(g uint32) *gramSlot {
	for i := g * gramPrime >> s.tableShift; ; i++ {
		slot := &s.table[i&uint32(len(s.table)-1)]
		if slot.gram == g || slot.literals == nil {
			return slot
		}
	}
}

// in yields the rules of each literal that v contains.
func (s *substrings) in(v string, yield func([]int32) bool) bool {
	for i := range s.short {
		if strings.Contains(v, s.short[i].text) && !yield(s.short[i].rules) {
			return false
		}
	}
	if s.bits == nil {
		return true
	}
	if len(v) < 4 {
		return true
	}
	g, shift, table := gram(v), s.shift, s.bits
	for end := 4; ; end++ {
		if h := g * gramPrime >> shift; table[h/64]&(1<<(h%64)) != 0 {
			i := end - 4
			for _, sub := range s.slot(g).literals {
				if i >= sub.at && strings.HasPrefix(v[i-sub.at:], sub.text) && !yield(sub.rules) {
					return false
				}
			}
		}
		if end == len(v) {
			break
		}
		g = g>>8 | uint32(v[end])<<24
	}
	return true
}
