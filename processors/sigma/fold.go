package sigma

import (
	"strconv"
	"unicode"
	"unicode/utf8"
)

// appendFold appends s in one spelling for all cases: Unicode simple case folding, in which every rune keeps being one
// rune (full folding would change lengths, and `?` would match another number of them). Bytes that are no UTF-8 stay.
func appendFold(dst []byte, s string) []byte {
	from := len(dst)
	dst = append(dst, s...)
	for i, c := range dst[from:] {
		if c >= utf8.RuneSelf {
			return appendFoldRunes(dst[:from+i], s[i:])
		}
		if 'A' <= c && c <= 'Z' {
			dst[from+i] = c + 'a' - 'A'
		}
	}
	return dst
}

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

// isFolded reports whether s is ASCII without capitals, as most texts of logs are.
func isFolded(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
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
