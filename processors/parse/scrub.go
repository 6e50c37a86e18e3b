package parse

import "strings"

// scrub returns s with everything masked that looks like a secret by itself: tokens of well-known shapes, private keys,
// credentials in URLs, and the values of keys named password and the like. It returns s itself when there is nothing.
//
// It is one pass over the bytes. Most bytes begin nothing; those that could, by a table, are looked at more closely,
// backwards for what names a secret and forwards for where it ends. scrub(scrub(s)) is scrub(s).
func (p *Parser) scrub(s string) string {
	c := scrubber{s: s}
	return c.run()
}

// run scrubs the text.
func (c *scrubber) run() string {
	s := c.s
	before := marks[0].before
	for i := 0; i < len(s); {
		m := &marks[s[i]]
		if before&m.at == 0 {
			before = m.before
			i++
			continue
		}
		if s[i] == ':' && i > 3 && s[i-1] == '"' && s[i-2] != '\\' && !secretEnds[s[i-2]&31][s[i-3]&31] {
			i++ // behind the key of a JSON member that names no secret
		} else {
			i = c.look(m.trigger, i)
		}
		before = marks[s[i-1]].before
	}
	if c.out == nil {
		return s
	}
	return string(append(c.out, s[c.done:]...))
}

// scrubber is one scrubbing of one text.
type scrubber struct {
	s    string
	out  []byte // the masked text so far, nil while nothing was masked
	done int    // what s[:done] became is in out; nothing looks back beyond it

	collect bool     // also gather what is masked
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
	}
	c.out = append(append(c.out, c.s[c.done:from]...), mask...)
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

// trigger is what a byte may be part of, given the byte before it.
type trigger uint8

const (
	noTrigger    trigger = iota
	trigValue            // = or : ends the name of a value
	trigElement          // > ends an XML tag
	trigEscape           // % begins an escaped = or :
	trigQuote            // ' opens what SQL sets as a password
	trigURL              // / is the last of ://
	trigUnder            // the last byte of a token's prefix
	trigDot              // the same
	trigZ                // the same
	trigDash             // - is that, or begins a private key or an option
	trigJWT              // J of eyJ
	trigAWS              // K of AKIA, S of ASIA
	trigBearer           // B of Bearer
	trigAzureKey         // ~ within a client secret of Azure
	trigCount
)

var triggers = [256]trigger{
	'=': trigValue, ':': trigValue, '>': trigElement, '%': trigEscape, '\'': trigQuote, '/': trigURL,
	'_': trigUnder, '.': trigDot, 'z': trigZ, '-': trigDash,
	'J': trigJWT, 'K': trigAWS, 'S': trigAWS, 'B': trigBearer, 'b': trigBearer, '~': trigAzureKey,
}

// follows reports whether a trigger means anything behind that byte; 0 is the text's beginning.
func follows(t trigger, b byte) bool {
	word := isWord(b)
	switch t {
	case noTrigger:
		return false
	case trigValue, trigElement:
		return !word || secretNames[lower(b)] != nil || b >= '0' && b <= '9'
	case trigURL:
		return b == '/' || b == '\\'
	case trigUnder:
		return tokenPrefixes[b][tokenEnd('_')] != nil
	case trigDot:
		return tokenPrefixes[b][tokenEnd('.')] != nil
	case trigZ:
		return tokenPrefixes[b][tokenEnd('z')] != nil
	case trigDash:
		return tokenPrefixes[b][tokenEnd('-')] != nil || b == '-'
	case trigQuote:
		return b == ' ' || b == '(' || b == '\\'
	case trigBearer:
		return !word || b == 'n' || b == 'r' || b == 't' // \n and the like
	case trigJWT:
		return b == 'y'
	case trigAWS:
		return b == 'A'
	case trigAzureKey:
		return b == 'Q'
	}
	return true
}

// marks says of each byte which trigger it is, and as bits which triggers mean something behind it.
var marks = func() (m [256]struct {
	at, before uint32
	trigger    trigger
}) {
	for b := range m {
		m[b].trigger = triggers[b]
		m[b].at = 1 << triggers[b]
		for t := noTrigger + 1; t < trigCount; t++ {
			if follows(t, byte(b)) {
				m[b].before |= 1 << t
			}
		}
	}
	return m
}()

// look looks at the trigger at s[i] and returns where to go on.
func (c *scrubber) look(t trigger, i int) int {
	s := c.s
	switch t {
	case trigValue:
		if s[i] == ':' && i+2 < len(s) {
			switch {
			case s[i+1] == 'A' && s[i+2] == 'A':
				if next := c.telegram(i); next > 0 {
					return next
				}
			case s[i+1] == '/' && s[i+2] == '/', strings.HasPrefix(s[i+1:], `\/\/`):
				return i + 1 // a URL's scheme
			}
		}
		return c.named(i, i+1)
	case trigURL:
		if i > 1 && s[i-1] == '/' && s[i-2] == ':' || i > 3 && s[i-4:i] == `:\/\` {
			return c.userinfo(i+1, false)
		}
	case trigElement:
		if k := c.key(i); k.class != notSecret && k.start > 0 && s[k.start-1] == '<' {
			return c.value(k, i+1)
		}
	case trigEscape:
		if hasFold(s[i:], "%3d") {
			return c.named(i, i+3)
		}
		if hasFold(s[i:], "%3a") {
			if hasFold(s[i+3:], "%2f%2f") {
				return c.userinfo(i+9, true)
			}
			return c.named(i, i+3)
		}
	case trigQuote:
		return c.sqlPassword(i)
	case trigUnder, trigDot, trigZ:
		return c.token(i)
	case trigDash:
		if i > c.done && s[i-1] == '-' {
			return c.dashes(i)
		}
		return c.token(i)
	case trigJWT:
		return c.jwt(i)
	case trigAWS:
		return c.aws(i)
	case trigBearer:
		if i+8 < len(s) && s[i+1]|0x20 == 'e' && hasFold(s[i:], "bearer ") && c.wordStart(i) {
			return c.bearer(i + 7)
		}
	case trigAzureKey:
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
