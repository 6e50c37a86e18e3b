package parse

import "strings"

// scrub returns s with everything masked that looks like a secret by itself: tokens of well-known shapes, private keys,
// credentials in URLs, and the values of keys named password and the like. It returns s itself when there is nothing.
//
// It is one pass over the bytes. Most bytes begin nothing; those that could, by a table, are looked at more closely,
// backwards for what names a secret and forwards for where it ends. scrub(scrub(s)) is scrub(s).
func (p *Parser) scrub(s string) string {
	c := scrubber{s: s}
	if !c.run() {
		return s
	}
	return string(c.out)
}

// run scrubs the text and reports whether anything was masked: then out is the masked text, unless it only collects.
func (c *scrubber) run() bool {
	for i := 0; ; {
		if i = nextTrigger(c.s, i); i == len(c.s) {
			break
		}
		i = c.look(i)
	}
	if c.done > 0 && !c.collect {
		c.out = append(c.out, c.s[c.done:]...)
	}
	return c.done > 0
}

// nextTrigger returns the first index from i on at which a trigger ends, len(s) where there is none. A text is mostly
// nothing, and this is where the time goes: it takes eight bytes a step, as four pairs, and looks at single bytes only
// where two neighbours could hold a trigger.
func nextTrigger(s string, i int) int {
	var c1, c2 byte // s[i-1] and s[i-2]
	if i > 0 {
		c1 = s[i-1]
	}
	if i > 1 {
		c2 = s[i-2]
	}
	before := pairs[uint16(c2)|uint16(c1)<<8]
	for ; i+8 <= len(s); i += 8 {
		x := eight(s[i:])
		p0, p1, p2, p3 := pairs[uint16(x)], pairs[uint16(x>>16)], pairs[uint16(x>>32)], pairs[uint16(x>>48)]
		if (before>>16&p0|p0>>16&p1|p1>>16&p2|p2>>16&p3)&0xffff != 0 {
			if at := triggerIn(s, i, i+8); at < i+8 {
				return at
			}
		}
		before = p3
	}
	return triggerIn(s, i, len(s))
}

// eight returns the first eight bytes of s, the first in the lowest byte.
func eight(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// triggerIn returns the first index within s[i:end] at which a trigger ends, end where there is none.
func triggerIn(s string, i, end int) int {
	before, third := marks[0]>>fieldBits, marks[0]>>(2*fieldBits) // what s[i-1] and s[i-2] allow at s[i]
	if i > 0 {
		before = marks[s[i-1]] >> fieldBits
	}
	if i > 1 {
		third = marks[s[i-2]] >> (2 * fieldBits)
	}
	for ; i < end; i++ {
		m := marks[s[i]]
		if m&before&third&fieldMask != 0 {
			return i
		}
		before, third = m>>fieldBits, before>>fieldBits
	}
	return end
}

// scrubber is one scrubbing of one text.
type scrubber struct {
	s    string
	out  []byte // the masked text so far
	done int    // what s[:done] became is in out; nothing looks back beyond it

	collect bool     // gather what is to be masked, and mask nothing
	found   []string // what was masked, as it stood there

	pemEnd  int // see nextPEMEnd
	restEnd int // where the unquoted rest of the line ends, as bareEnd found it last
}

// mask masks s[from:to], unless it is masked or empty, and returns to.
func (c *scrubber) mask(from, to int) int {
	if from < c.done || from >= to || isMasked(c.s[from:to]) {
		return to
	}
	if c.collect {
		c.found = append(c.found, c.s[from:to])
	} else {
		c.out = append(append(c.out, c.s[c.done:from]...), mask...)
	}
	c.done = to
	return to
}

// isMasked reports whether a tool, or scrub itself, took the secret out already.
func isMasked(s string) bool {
	if strings.HasPrefix(s, mask) {
		return true
	}
	if strings.Trim(s, "*.") == "" || strings.Trim(s, "xX") == "" {
		return true
	}
	if len(s) > 32 {
		return false
	}
	word := strings.ToLower(strings.Trim(s, "[]<>()*_ "))
	switch word {
	case "redacted", "masked", "filtered":
		return true
	case "hidden", "removed", "secret", "sensitive", "protected":
		return len(word) < len(s)
	}
	return false
}

// trigger is three bytes that could be part of a secret or of what names one: the last byte, which look is called at,
// the one before it and the one before that. NUL stands for the text's beginning.
type trigger struct {
	kin                 int // triggers of a number are one to the search by pairs
	last, before, third func(byte) bool
}

var triggers = [...]trigger{
	{0, in("=:>"), not(isWord), any3(isNameEnd, not(isWord), in("27"))}, // password": password =
	{1, in("=:>"), isNameEnd, isNameEndBut1},                            // password:
	{1, in("=:"), in("27"), in("2")},                                    // password%22:
	{2, in("%"), always, always},                                        // password%3d http%3a
	{3, in("'"), in(` (\`), in("yYdD \t\\(")},                           // IDENTIFIED BY '
	{3, in("/"), in(`/\`), in(":/")},                                    // http:// http:\/\/
	{4, in("A"), in("A"), in(":")},                                      // 123456789:AA
	{4, in("J"), in("y"), in("e")},                                      // eyJ
	{4, in("eE"), in("bB"), any3(not(isWord), in("nrt"), isHex)},        // Bearer
	{5, in("-"), in("-"), always},                                       // -----BEGIN --password
	{5, in("KS"), in("A"), always},                                      // AKIA ASIA
	{5, in("~"), in("Q"), always},                                       // client secrets of Azure
	tokenTrigger(6, '_'), tokenTrigger(6, 'z'), tokenTrigger(7, '.'), tokenTrigger(7, '-'),
}

// isNameEnd reports whether names of secrets end in c, and isNameEndBut1 whether it is their last byte but one.
func isNameEnd(c byte) bool { return secretNames[lower(c)] != nil }

func isNameEndBut1(c byte) bool {
	for _, ends := range secretEnds {
		if isWord(c) && ends[c&31] {
			return true
		}
	}
	return false
}

func tokenTrigger(kin int, end byte) trigger {
	return trigger{
		kin:    kin,
		last:   in(string(end)),
		before: func(c byte) bool { return tokenPrefixes[c][tokenEnd(end)] != nil },
		third: func(c byte) bool {
			for b := range tokenPrefixes {
				if tokenThirds[b][tokenEnd(end)]>>(c&31)&1 != 0 {
					return true
				}
			}
			return false
		},
	}
}

func always(byte) bool { return true }

func in(set string) func(byte) bool {
	return func(c byte) bool { return strings.IndexByte(set, c) >= 0 }
}

func not(f func(byte) bool) func(byte) bool { return func(c byte) bool { return !f(c) } }

func any3(f, g, h func(byte) bool) func(byte) bool {
	return func(c byte) bool { return f(c) || g(c) || h(c) }
}

// A mark has three fields of a bit for each trigger: whether the byte can be its last, the one before, the third.
const (
	fieldBits = len(triggers)
	fieldMask = 1<<fieldBits - 1
)

var marks = func() (marks [256]uint64) {
	for c := range marks {
		for bit, t := range triggers {
			for field, can := range [...]func(byte) bool{t.last, t.before, t.third} {
				if can(byte(c)) {
					marks[c] |= 1 << (field*fieldBits + bit)
				}
			}
		}
	}
	return marks
}()

// pairs say of two neighbouring bytes, the first in the low half of the index, which kin of triggers they could be part of.
// The upper half of a pair, by bytes: they are the third and the one before of a trigger that ends with the next byte; the
// second is the third of one. The lower half, likewise: the first is the last of one; they are the one before and the last.
// So the upper half of a pair and the lower half of the next have a bit in common where a trigger could end.
var pairs = func() (pairs [1 << 16]uint32) {
	var last, before, third [256]uint32
	for c := range marks {
		for bit, t := range triggers {
			last[c] |= uint32(marks[c]>>bit&1) << t.kin
			before[c] |= uint32(marks[c]>>(fieldBits+bit)&1) << t.kin
			third[c] |= uint32(marks[c]>>(2*fieldBits+bit)&1) << t.kin
		}
	}
	for i := range pairs {
		a, b := i&0xff, i>>8
		pairs[i] = (third[a]&before[b]|third[b]<<8)<<16 | last[a] | before[a]&last[b]<<8
	}
	return pairs
}()

// look looks at the bytes that end with s[i] and returns where to go on.
func (c *scrubber) look(i int) int {
	s := c.s
	switch s[i] {
	case ':':
		if strings.HasPrefix(s[i+1:], "//") || strings.HasPrefix(s[i+1:], `\/\/`) {
			return i + 1 // a URL's scheme
		}
		return c.named(i, i+1)
	case '=':
		return c.named(i, i+1)
	case '>':
		if k := c.key(i); k.class != notSecret && k.start > 0 && s[k.start-1] == '<' {
			return c.value(k, i+1)
		}
	case '/':
		if i > 1 && s[i-1] == '/' && s[i-2] == ':' || i > 3 && s[i-4:i] == `:\/\` {
			return c.userinfo(i+1, false)
		}
	case 'A':
		return c.telegram(i - 2)
	case '%':
		if hasFold(s[i:], "%3d") {
			return c.named(i, i+3)
		}
		if hasFold(s[i:], "%3a") {
			if hasFold(s[i+3:], "%2f%2f") {
				return c.userinfo(i+9, true)
			}
			return c.named(i, i+3)
		}
	case '\'':
		return c.sqlPassword(i)
	case '_', '.', 'z':
		return c.token(i)
	case '-':
		if i > c.done && s[i-1] == '-' {
			return c.dashes(i)
		}
		return c.token(i)
	case 'J':
		return c.jwt(i)
	case 'K', 'S':
		return c.aws(i)
	case 'e', 'E':
		if i > 0 && hasFold(s[i-1:], "bearer ") && c.wordStart(i-1) {
			return c.bearer(i + 6)
		}
	case '~':
		return c.azureSecret(i)
	}
	return i + 1
}

// blanks returns how many white bytes s begins with.
func blanks(s string) int { return len(s) - len(strings.TrimLeft(s, " \t\r\n")) }

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// hasFold reports whether s begins with prefix, which is in lower case, in any case.
func hasFold(s, prefix string) bool {
	if len(s) < len(prefix) {
		return false
	}
	for i := 0; i < len(prefix); i++ {
		if lower(s[i]) != prefix[i] {
			return false
		}
	}
	return true
}

// tail returns the last n bytes of s.
func tail(s string, n int) string { return s[max(0, len(s)-n):] }

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}
