package enrich

import "strings"

// glob is a pattern of a name: * stands for any run of characters, / included, ? for one character, and case does not
// matter. It is kept in lower case.
type glob string

func newGlob(s string) glob { return glob(strings.ToLower(s)) }

// plain reports whether the glob is a name: it matches nothing but itself.
func (g glob) plain() bool { return !strings.ContainsAny(string(g), "*?") }

// match reports whether the glob is all of s. Its time is at most len(g) * len(s).
func (g glob) match(s string) bool {
	i, j := 0, 0         // in g and in s
	star, from := -1, -1 // the last *, and where in s its run ends for now
	for j < len(s) {
		switch {
		case i < len(g) && g[i] == '*':
			star, from = i, j
			i++
		case i < len(g) && (g[i] == '?' || g[i] == lower(s[j])):
			i++
			j++
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	for i < len(g) && g[i] == '*' {
		i++
	}
	return i == len(g)
}

// within reports whether some part of s matches the glob.
func (g glob) within(s string) bool { return ("*" + g + "*").match(s) }

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// appendLower appends s in ASCII lower case.
func appendLower(dst []byte, s string) []byte {
	for i := range len(s) {
		dst = append(dst, lower(s[i]))
	}
	return dst
}
