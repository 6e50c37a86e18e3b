package sigma

import (
	"encoding/binary"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// appendFold appends s in one spelling for all cases: Unicode simple case folding, in which every rune keeps being one
// rune (full folding would change lengths, and `?` would match another number of them). Bytes that are no UTF-8 stay.
func appendFold(dst []byte, s string) []byte {
	from := len(dst)
	dst = append(dst, s...)
	low := dst[from:]
	i := 0
	for ; i+8 <= len(low); i += 8 { // eight bytes at a time
		w := binary.LittleEndian.Uint64(low[i:])
		if w&highs != 0 {
			return appendFoldRunes(dst[:from+i], s[i:])
		}
		binary.LittleEndian.PutUint64(low[i:], w|capitals(w)>>2)
	}
	for ; i < len(low); i++ {
		switch c := low[i]; {
		case c >= utf8.RuneSelf:
			return appendFoldRunes(dst[:from+i], s[i:])
		case 'A' <= c && c <= 'Z':
			low[i] = c + 'a' - 'A'
		}
	}
	return dst
}

// capitals sets the high bit of each of eight ASCII bytes that is a capital.
func capitals(w uint64) uint64 { return (w + ones*(128-'A')) &^ (w + ones*(127-'Z')) & highs }

func appendFoldRunes(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, s[i])
		} else {
			dst = utf8.AppendRune(dst, foldRune(r))
		}
		i += n
	}
	return dst
}

// foldRune returns the smallest rune of the orbit of r, lower-case where that is ASCII: the Kelvin sign is k.
func foldRune(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	if 'A' <= least && least <= 'Z' {
		least += 'a' - 'A'
	}
	return least
}

func fold(s string) string {
	if isFolded(s) {
		return s
	}
	return string(appendFold(nil, s))
}

func isASCII(s string) bool {
	b := bytesOf(s)
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b)&highs != 0 {
			return false
		}
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// isFolded reports whether s is ASCII without capitals, as most texts of logs are.
func isFolded(s string) bool {
	b := bytesOf(s)
	for ; len(b) >= 8; b = b[8:] {
		if w := binary.LittleEndian.Uint64(b); w&highs != 0 || capitals(w) != 0 {
			return false
		}
	}
	for _, c := range b {
		if c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

// appendFloat appends f so that equal numbers have equal texts.
func appendFloat(dst []byte, f float64) []byte {
	if f == 0 {
		return append(dst, '0') // -0 too
	}
	if -1e21 < f && f < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'e', -1, 64)
}
