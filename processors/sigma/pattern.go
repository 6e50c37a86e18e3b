package sigma

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type elemKind uint8

const (
	elemText        elemKind = iota
	elemOne                  // ? : one character
	elemAny                  // * : any run, also an empty one
	elemDash                 // one of the dashes of windash
	elemPlaceholder          // %name% before it is replaced
)

// elem is a piece of a Sigma string.
type elem struct {
	kind elemKind
	text string
}

// sigmaString is a value of a rule after its wildcards and escapes were read; modifiers change it.
type sigmaString []elem

// readString reads wildcards and escapes (SEMANTICS 5): after a backslash, * ? and \ stand for themselves and the
// backslash goes; any other backslash is itself. With placeholders, %name% is one and \% is a percent sign.
func readString(text string, placeholders bool) sigmaString {
	var s sigmaString
	var lit []byte
	flush := func() {
		if len(lit) > 0 {
			s = append(s, elem{elemText, string(lit)})
			lit = lit[:0]
		}
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text) && (strings.IndexByte(`*?\`, text[i+1]) >= 0 || placeholders && text[i+1] == '%'):
			i++
			lit = append(lit, text[i])
		case c == '*':
			flush()
			s = append(s, elem{kind: elemAny})
		case c == '?':
			flush()
			s = append(s, elem{kind: elemOne})
		case c == '%' && placeholders && placeholderLen(text[i:]) > 0:
			n := placeholderLen(text[i:])
			flush()
			s = append(s, elem{elemPlaceholder, text[i+1 : i+n-1]})
			i += n - 1
		default:
			lit = append(lit, c)
		}
	}
	flush()
	return s
}

// placeholderLen returns the length of the %name% that text begins with, or 0.
func placeholderLen(text string) int {
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '%':
			if i == 1 {
				return 0
			}
			return i + 1
		case !isWordByte(c) && c != '-' && c != '.':
			return 0
		}
	}
	return 0
}

func isWordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

// plain returns the text of a string without wildcards.
func (s sigmaString) plain() (text string, ok bool) {
	for _, e := range s {
		if e.kind != elemText {
			return "", false
		}
		text += e.text
	}
	return text, true
}

func (s sigmaString) startsAny() bool { return len(s) > 0 && s[0].kind == elemAny }
func (s sigmaString) endsAny() bool   { return len(s) > 0 && s[len(s)-1].kind == elemAny }

// openStart and openEnd let anything stand before or after, unless they do so already.
func (s sigmaString) openStart() sigmaString {
	if s.startsAny() {
		return s
	}
	return append(sigmaString{{kind: elemAny}}, s...)
}

func (s sigmaString) openEnd() sigmaString {
	if s.endsAny() {
		return s
	}
	return append(s[:len(s):len(s)], elem{kind: elemAny})
}

// windash makes a dash or slash that begins a parameter (regex \B[-/]\b) stand for every kind of dash. All such places
// vary independently, so they become a class instead of a list of strings.
func (s sigmaString) windash() sigmaString {
	var out sigmaString
	for _, e := range s {
		if e.kind != elemText {
			out = append(out, e)
			continue
		}
		text, from := e.text, 0
		for i := range len(text) {
			if text[i] != '-' && text[i] != '/' {
				continue
			}
			before, _ := utf8.DecodeLastRuneInString(text[:i])
			after, _ := utf8.DecodeRuneInString(text[i+1:])
			if i > 0 && isWord(before) || i+1 == len(text) || !isWord(after) {
				continue
			}
			if i > from {
				out = append(out, elem{elemText, text[from:i]})
			}
			out, from = append(out, elem{kind: elemDash}), i+1
		}
		if from < len(text) {
			out = append(out, elem{elemText, text[from:]})
		}
	}
	return out
}

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

func isDash(r rune) bool {
	switch r {
	case '-', '/', '\u2013', '\u2014', '\u2015':
		return true
	}
	return false
}

// pattern is a Sigma string made ready to be matched against whole values.
type pattern struct {
	cased       bool
	start, end  bool      // anchored there
	segments    []segment // between wildcards; none: any value matches, but for an anchored pattern only the empty one
	description string    // equal patterns have equal ones
}

// segment is what stands between two stars. Its number of characters is fixed.
type segment struct {
	elems []elem
	runes int
}

func newPattern(s sigmaString, cased bool) *pattern {
	p := &pattern{cased: cased, start: !s.startsAny(), end: !s.endsAny()}
	var seg segment
	var b strings.Builder
	if cased {
		b.WriteByte('!')
	}
	for _, e := range s {
		if e.kind == elemText && !cased {
			e.text = fold(e.text)
		}
		b.WriteByte("t?*-"[e.kind])
		if e.kind == elemText {
			b.WriteString(strings.ReplaceAll(e.text, "\x00", "\x00\x00"))
			b.WriteByte(0)
		}
		if e.kind == elemAny {
			if seg.runes > 0 {
				p.segments = append(p.segments, seg)
			}
			seg = segment{}
			continue
		}
		if n := len(seg.elems); e.kind == elemText && n > 0 && seg.elems[n-1].kind == elemText {
			seg.elems[n-1].text += e.text
		} else {
			seg.elems = append(seg.elems, e)
		}
		if e.kind == elemText {
			seg.runes += utf8.RuneCountInString(e.text)
		} else {
			seg.runes++
		}
	}
	if seg.runes > 0 {
		p.segments = append(p.segments, seg)
	}
	p.description = b.String()
	return p
}

// literal returns the text that the pattern is as a whole, without a wildcard.
func (p *pattern) literal() (text string, ok bool) {
	if !p.start || !p.end {
		return "", false
	}
	switch {
	case len(p.segments) == 0:
		return "", true
	case len(p.segments) == 1 && len(p.segments[0].elems) == 1 && p.segments[0].elems[0].kind == elemText:
		return p.segments[0].elems[0].text, true
	}
	return "", false
}

// match reports whether the whole of s matches; s is folded unless the pattern is cased. Segments are taken at their
// first place: as their number of characters is fixed, no later place could leave more room for the rest.
func (p *pattern) match(s string) bool {
	segments := p.segments
	if len(segments) == 0 {
		return !p.start || !p.end || s == ""
	}
	if p.start {
		n := segments[0].prefix(s)
		if n < 0 {
			return false
		}
		s, segments = s[n:], segments[1:]
		if len(segments) == 0 {
			return !p.end || s == ""
		}
	}
	last := len(segments)
	if p.end {
		last--
	}
	for i := range segments[:last] {
		n := segments[i].find(s)
		if n < 0 {
			return false
		}
		s = s[n:]
	}
	return !p.end || segments[last].suffix(s)
}

// prefix returns the length of the segment at the start of s, or -1.
func (g *segment) prefix(s string) int {
	at := 0
	for i := range g.elems {
		e := &g.elems[i]
		if e.kind == elemText {
			if !strings.HasPrefix(s[at:], e.text) {
				return -1
			}
			at += len(e.text)
			continue
		}
		r, n := utf8.DecodeRuneInString(s[at:])
		if n == 0 || e.kind == elemDash && !isDash(r) {
			return -1
		}
		at += n
	}
	return at
}

// find returns where the first occurrence of the segment in s ends, or -1.
func (g *segment) find(s string) int {
	head := ""
	if g.elems[0].kind == elemText {
		head = g.elems[0].text
		if len(g.elems) == 1 {
			if i := strings.Index(s, head); i >= 0 {
				return i + len(head)
			}
			return -1
		}
	}
	for at := 0; at <= len(s); {
		i := strings.Index(s[at:], head)
		if i < 0 {
			return -1
		}
		at += i
		if n := g.prefix(s[at:]); n >= 0 {
			return at + n
		}
		_, n := utf8.DecodeRuneInString(s[at:])
		at += max(n, 1)
	}
	return -1
}

// suffix reports whether s ends with the segment.
func (g *segment) suffix(s string) bool {
	if len(g.elems) == 1 && g.elems[0].kind == elemText {
		return strings.HasSuffix(s, g.elems[0].text)
	}
	at := len(s)
	for range g.runes {
		_, n := utf8.DecodeLastRuneInString(s[:at])
		if n == 0 {
			return false
		}
		at -= n
	}
	return g.prefix(s[at:]) == len(s)-at
}
