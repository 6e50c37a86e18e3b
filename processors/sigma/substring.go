package sigma

import (
	"math/bits"
	"strings"
)

// substrings finds rules by what a text contains. A literal of four bytes and more is filed under that of its windows of
// four bytes which the fewest others have; one pass over the text looks each window up in a bit table, and only on a hit
// in the map. That is faster here than an Aho-Corasick automaton, whose transitions for thousands of literals do not stay
// in the cache.
type substrings struct {
	short []substring
	long  map[string]*substring
	grams map[uint32][]*substring
	bits  []uint64 // which hashes of windows exist
	shift uint8
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
	s.grams = make(map[uint32][]*substring, len(s.long))
	for _, sub := range s.long {
		for i := 0; i+4 <= len(sub.text); i++ {
			if count[gram(sub.text[i:])] < count[gram(sub.text[sub.at:])] {
				sub.at = i
			}
		}
		g := gram(sub.text[sub.at:])
		h := s.hash(g)
		s.bits[h/64] |= 1 << (h % 64)
		s.grams[g] = append(s.grams[g], sub)
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
			for _, sub := range s.grams[g] {
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
