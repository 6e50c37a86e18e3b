package parse

import "strings"

// value masks the value of the name k that begins at or after s[i], if it is a secret, and returns where to go on.
func (c *scrubber) value(k name, i int) int {
	s := c.s
	next := i
	for i < len(s) && (s[i] == '>' || s[i] == '=') { // => and :=
		i++
	}
	gap := i
	for i < len(s) && (s[i] == ' ' || s[i] == '\t') && i-gap < 8 {
		i++
	}
	blank := i > gap
	list := false
	if i < len(s) && s[i] == '[' && !strings.HasPrefix(s[i:], mask) { // a list of values, as of HTTP headers
		j := i + 1 + blanks(s[i+1:])
		if q := quoteAt(s, j); q.width > 0 {
			i, list = j, true
		}
	}
	q := quoteAt(s, i)
	if q.width == 0 {
		if i < len(s) && strings.IndexByte("{[(", s[i]) >= 0 || strings.HasPrefix(s[i:], "${") || strings.HasPrefix(s[i:], "$(") {
			return next // an object, a list, code, or a reference
		}
		end := c.bareEnd(k, i)
		prose := blank && s[next-1] == ':'
		if !secretValue(k.class, s[i:end], prose) || prose && c.sentence(k, s[i:end], end) {
			return next
		}
		return c.mask(c.afterScheme(k, i, end), end)
	}
	for {
		from := i + q.width
		end, after := q.end(s, from)
		if !secretValue(k.class, s[from:end], false) {
			return next
		}
		c.mask(c.afterScheme(k, from, end), end)
		next = after
		if !list {
			return next
		}
		i = next + blanks(s[next:])
		if i >= len(s) || s[i] != ',' {
			return next
		}
		i++
		i += blanks(s[i:])
		if q = quoteAt(s, i); q.width == 0 {
			return next
		}
	}
}

// sentence reports whether name and value are words of a sentence: "rejects bad password: failure: ...".
func (c *scrubber) sentence(k name, v string, end int) bool {
	s := c.s
	word := strings.TrimSuffix(v, ":")
	if strings.Trim(word, "abcdefghijklmnopqrstuvwxyz") != "" {
		return false
	}
	if len(word) < len(v) {
		return true
	}
	switch word {
	case "success", "failure", "failed", "passed", "error", "ok", "skipped", "cancelled", "valid", "invalid", "incorrect", "wrong",
		"accepted", "rejected", "denied", "expired", "changed", "missing", "must", "not", "is", "should", "cannot":
		return true
	}
	before := k.start >= 2 && s[k.start-1] == ' ' && isWord(s[k.start-2])
	after := end+1 < len(s) && s[end] == ' ' && isWord(s[end+1])
	return before && after
}

// afterScheme returns where the credential of a header begins: behind its scheme.
func (c *scrubber) afterScheme(k name, from, end int) int {
	if k.class != credential {
		return from
	}
	v := c.s[from:end]
	for _, scheme := range schemes {
		if hasFold(v, scheme) {
			return from + len(scheme)
		}
	}
	return from
}

// bareEnd returns where an unquoted value ends.
func (c *scrubber) bareEnd(k name, i int) int {
	if !k.class.header() {
		return bareEnd(c.s, k.class, i)
	}
	if i > c.restEnd || c.restEnd == 0 { // a line of many headers must not be searched through for each
		c.restEnd = bareEnd(c.s, k.class, i)
	}
	return c.restEnd
}

func bareEnd(s string, class secrecy, i int) int {
	for ; i < len(s); i++ {
		switch ch := s[i]; ch {
		case '\n', '\r', '"', '\'', '`', '<':
			return i
		case ' ', '\t', ',', ';', ')', ']', '}', '>', '|':
			if !class.header() {
				return i
			}
		case '&':
			if !class.header() && queryGoesOn(s[i+1:]) {
				return i
			}
		case '\\':
			m := 1
			for i+m < len(s) && s[i+m] == '\\' {
				m++
			}
			if i+m < len(s) && (s[i+m] == '"' || s[i+m] == '\'' || m%2 == 1 && strings.IndexByte("nrt", s[i+m]) >= 0) {
				return i
			}
			i += m - 1
		case '%':
			if hasFold(s[i:], "%26") || hasFold(s[i:], "%22") || hasFold(s[i:], "%0a") {
				return i
			}
		}
	}
	return i
}

// queryGoesOn reports whether another parameter follows an ampersand.
func queryGoesOn(s string) bool {
	if strings.HasPrefix(s, "amp;") {
		return true
	}
	for i := 0; i < len(s); i++ {
		if s[i] == '=' {
			return i > 0
		}
		if !isWord(s[i]) && s[i] != '-' && s[i] != '.' && s[i] != '%' && s[i] != '[' && s[i] != ']' {
			return false
		}
	}
	return false
}

// secretValue reports whether v may be a secret, given how sure its name is. prose says that it is a word after a blank,
// as in "unexpected token: end".
func secretValue(class secrecy, v string, prose bool) bool {
	if v == "" || isMasked(v) || strings.TrimSpace(v) == "" {
		return false
	}
	switch strings.ToLower(v[:min(len(v), 16)]) {
	case "true", "false", "null", "nil", "none", "yes", "no", "undefined", "(null)", "-", "n/a", "empty", "bearer", "basic", "unknown", "required":
		return false
	}
	switch v[0] {
	case '{', '[', '(': // an object, a list, code
		return false
	case '$': // a reference to where the secret is
		if len(v) > 1 && (v[1] == '{' || v[1] == '(' || v[1] >= 'A' && v[1] <= 'Z' && strings.Trim(v[1:], "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == "") {
			return false
		}
	case '/', '~', '.':
		if !class.header() && isPath(v) {
			return false
		}
	}
	v = v[:min(len(v), 256)] // enough to tell
	digits := strings.ContainsAny(v, "0123456789")
	switch class {
	case perhaps:
		if prose {
			return len(v) >= 16 || len(v) >= 8 && digits
		}
		return len(v) >= 4 && strings.Trim(v, "0123456789") != "" || len(v) >= 6
	case cookies:
		return strings.Contains(v, "=")
	case credential:
		return strings.Contains(v, "=") || len(v) >= 8 && digits || len(v) >= 16 && !strings.Contains(v, " ") || hasScheme(v)
	}
	return true
}

// schemes are those of the header Authorization.
var schemes = [...]string{"basic ", "bearer ", "digest ", "token ", "negotiate ", "ntlm ", "apikey ", "aws4-hmac-sha256 "}

func hasScheme(v string) bool {
	for _, scheme := range schemes {
		if hasFold(v, scheme) {
			return true
		}
	}
	return false
}

// isPath reports whether v is a file's path rather than base64 that begins with a slash.
func isPath(v string) bool {
	if !strings.Contains(v, "/") {
		return false
	}
	for i := 0; i < len(v); i++ {
		if ch := v[i]; (ch < 'a' || ch > 'z') && (ch < '0' || ch > '9') && strings.IndexByte("/._-~@", ch) < 0 {
			return false
		}
	}
	return true
}

// sqlPassword masks the literal of IDENTIFIED BY '...', PASSWORD '...' and PASSWORD('...').
func (c *scrubber) sqlPassword(i int) int {
	window := c.s[max(c.done, i-32):i]
	before := strings.TrimRight(window, " \t\\(")
	if len(before) == len(window) || !hasFold(tail(before, 13), "identified by") && !hasFold(tail(before, 8), "password") {
		return i + 1
	}
	q := quote{char: '\'', width: 1}
	end, after := q.end(c.s, i+1)
	c.mask(i+1, end)
	return after
}

// quote is how a value is quoted in the text: a quote character behind backslashes, or an escape of one.
type quote struct {
	char    byte
	slashes int
	text    string // of an escape such as %22
	width   int    // bytes that open it; 0 is "not quoted"
}

func quoteAt(s string, i int) quote {
	if i >= len(s) {
		return quote{}
	}
	j := i
	for j < len(s) && s[j] == '\\' {
		j++
	}
	if j < len(s) && (s[j] == '"' || s[j] == '\'' || s[j] == '`') {
		return quote{char: s[j], slashes: j - i, width: j - i + 1}
	}
	for _, text := range [...]string{"%22", "%27", "&quot;", "&#34;"} {
		if strings.HasPrefix(s[i:], text) {
			return quote{text: text, width: len(text)}
		}
	}
	return quote{}
}

// end returns where the quoted value that begins at s[from] ends and where the text goes on. Without a closing quote it
// ends with the line.
func (q quote) end(s string, from int) (end, after int) {
	if q.text != "" {
		if i := strings.Index(s[from:], q.text); i >= 0 {
			return from + i, from + i + len(q.text)
		}
		return lineEnd(s, from)
	}
	for i := from; ; i++ {
		k := strings.IndexByte(s[i:], q.char)
		if k < 0 {
			return lineEnd(s, from)
		}
		i += k
		m := 0
		for i-m > from && s[i-1-m] == '\\' {
			m++
		}
		// A closing quote has as many backslashes as the opening one, behind escaped backslashes of the value perhaps.
		if m <= q.slashes || m%(2*(q.slashes+1)) == q.slashes {
			return i - min(m, q.slashes), i + 1
		}
	}
}

func lineEnd(s string, from int) (int, int) {
	if i := strings.IndexByte(s[from:], '\n'); i >= 0 {
		return from + i, from + i
	}
	return len(s), len(s)
}
