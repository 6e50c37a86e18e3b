package parse

import (
	"slices"
	"strings"
)

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
	for i := 0; i < len(s); {
		t := triggers[s[i]]
		if t == noTrigger {
			i++
			continue
		}
		prev := byte(0)
		if i > 0 {
			prev = s[i-1]
		}
		switch {
		case !follows[t][prev]:
			i++
		case prev == '"' && t == trigValue && i > 3 && s[i-2] != '\\' && !secretEnds[s[i-2]&31][s[i-3]&31]:
			i++ // the key of a JSON member that names no secret
		default:
			i = c.look(t, i)
		}
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

// namesSecret reports whether a name says that its value is a secret, and the value may be one.
func namesSecret(key, value string) bool {
	c := scrubber{s: key}
	k := c.key(len(key))
	return k.class != notSecret && k.class != valueOf && secretValue(k.class, value, false)
}

// The triggers: what a byte may be part of.
const (
	noTrigger    = iota
	trigValue    // = or : ends the name of a value, or the scheme of a URL
	trigElement  // > ends an XML tag
	trigEscape   // % begins an escaped = or :
	trigQuote    // ' opens what SQL sets as a password
	trigUnder    // the last byte of a token's prefix
	trigDot      // the same
	trigZ        // the same
	trigDash     // - is that, or begins a private key or an option
	trigJWT      // J of eyJ
	trigAWS      // K of AKIA, S of ASIA
	trigBearer   // B of Bearer
	trigAzureKey // ~ within a client secret of Azure
	trigCount
)

var triggers = [256]uint8{
	'=': trigValue, ':': trigValue, '>': trigElement, '%': trigEscape, '\'': trigQuote,
	'_': trigUnder, '.': trigDot, 'z': trigZ, '-': trigDash,
	'J': trigJWT, 'K': trigAWS, 'S': trigAWS, 'B': trigBearer, 'b': trigBearer, '~': trigAzureKey,
}

// follows tells which bytes may stand before a trigger; 0 is the text's beginning.
var follows = func() (f [trigCount][256]bool) {
	for t := range f {
		for b := range f[t] {
			word := isWord(byte(b))
			switch t {
			case noTrigger:
			case trigValue, trigElement:
				f[t][b] = !word || secretNames[lower(byte(b))] != nil || b >= '0' && b <= '9'
			case trigUnder:
				f[t][b] = tokenPrefixes[b][tokenEnd('_')] != nil
			case trigDot:
				f[t][b] = tokenPrefixes[b][tokenEnd('.')] != nil
			case trigZ:
				f[t][b] = tokenPrefixes[b][tokenEnd('z')] != nil
			case trigDash:
				f[t][b] = tokenPrefixes[b][tokenEnd('-')] != nil || b == '-'
			case trigQuote:
				f[t][b] = b == ' ' || b == '(' || b == '\\'
			case trigBearer:
				f[t][b] = !word || b == 'n' || b == 'r' || b == 't' // \n and the like
			case trigJWT:
				f[t][b] = b == 'y'
			case trigAWS:
				f[t][b] = b == 'A'
			case trigAzureKey:
				f[t][b] = b == 'Q'
			default:
				f[t][b] = true
			}
		}
	}
	return f
}()

// look looks at the trigger at s[i] and returns where to go on.
func (c *scrubber) look(t uint8, i int) int {
	s := c.s
	switch t {
	case trigValue:
		if s[i] == ':' {
			if i+2 < len(s) && (s[i+2] == '/' || s[i+2] == 'A') || i+4 < len(s) && s[i+1] == '\\' {
				if next := c.afterColon(i); next > 0 {
					return next
				}
			}
		}
		return c.named(i, i+1)
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

// secrecy says how sure a name is that its value is a secret.
type secrecy uint8

const (
	notSecret  secrecy = iota
	password           // whatever its value, it is secret
	perhaps            // the name is an ordinary word as well: the value must look like a secret
	credential         // of an HTTP header: the rest of the line, after the scheme
	cookies            // of an HTTP header: the rest of the line
	valueOf            // "value", whose name is the value of a neighbouring "name"
)

// header reports whether the value is that of an HTTP header, which goes to the end of its line.
func (s secrecy) header() bool { return s == credential || s == cookies }

// name is a name of a value as it stands in the text.
type name struct {
	start int // of the name
	class secrecy
}

// secretNames are the ends of names of secrets, in lower case without separators, by their last byte.
var secretNames = func() (byLast [256][]secretName) {
	for class, list := range map[secrecy]string{
		password: `password passwd passphrase pwd passcode dbpass userpass mysqlpwd pgpassword
			clientsecret secretkey secretaccesskey sharedsecret appsecret webhooksecret consumersecret jwtsecret
			apikey apitoken accesskey accesstoken refreshtoken idtoken sessiontoken securitytoken authtoken bearertoken
			privatetoken personalaccesstoken jobtoken oauthtoken deploytoken bottoken
			privatekey accountkey sharedaccesskey storagekey encryptionkey signingkey masterkey licensekey xamzsignature`,
		perhaps:    `token secret pass auth sig credential`,
		credential: `authorization`,
		cookies:    `cookie`,
		valueOf:    `value`,
	} {
		for _, n := range strings.Fields(list) {
			byLast[n[len(n)-1]] = append(byLast[n[len(n)-1]], secretName{n, class})
		}
	}
	for _, names := range byLast { // "access_token" before "token"
		slices.SortFunc(names, func(a, b secretName) int { return len(b.name) - len(a.name) })
	}
	return byLast
}()

// secretEnds has the last two letters of all secretNames, the last one first.
var secretEnds = func() (ends [32][32]bool) {
	for _, names := range secretNames {
		for _, n := range names {
			ends[n.name[len(n.name)-1]&31][n.name[len(n.name)-2]&31] = true
		}
	}
	return ends
}()

type secretName struct {
	name  string
	class secrecy
}

// named looks for a secret's name before the separator at s[i] and masks the value that begins at or after s[from].
func (c *scrubber) named(i, from int) int {
	k := c.key(i)
	if k.class == notSecret {
		return i + 1
	}
	return c.value(k, from)
}

// key returns the name that ends before s[i], past blanks, quotes and their escapes.
func (c *scrubber) key(i int) name {
	s, end := c.s, i
	for gap := 0; end > c.done; end-- {
		switch s[end-1] {
		case ' ', '\t':
			if gap++; gap > 3 {
				return name{}
			}
			continue
		case '"', '\'', '`', '\\', ']':
			continue
		case '2', '7': // %22 and %27
			if end-3 >= c.done && s[end-3] == '%' && s[end-2] == '2' {
				end -= 2
				continue
			}
		case ';': // &quot; and &#34;
			if strings.HasSuffix(s[c.done:end], "&quot;") {
				end -= 5
				continue
			}
			if strings.HasSuffix(s[c.done:end], "&#34;") {
				end -= 4
				continue
			}
		}
		break
	}
	if end <= c.done {
		return name{}
	}
	candidates := secretNames[lower(s[end-1])]
	if candidates == nil || end-2 < c.done || !secretEnds[s[end-1]&31][s[end-2]&31] {
		return name{}
	}
	// The name in lower case without separators, from its end; longer ones end alike.
	var buf [24]byte
	n, start := len(buf), end
	for start > c.done {
		ch := s[start-1]
		if ch == '_' || ch == '-' || ch == '.' {
			start--
			continue
		}
		if ch = lower(ch); ch < 'a' && (ch < '0' || ch > '9') || ch > 'z' {
			break
		}
		if n > 0 {
			n--
			buf[n] = ch
		} else if end-start > 96 {
			break
		}
		start--
	}
	word := buf[n:]
	for _, candidate := range candidates {
		if len(word) < len(candidate.name) || string(word[len(word)-len(candidate.name):]) != candidate.name {
			continue
		}
		k := name{start, candidate.class}
		whole := len(word) == len(candidate.name)
		switch candidate.name {
		case "sig", "auth", "credential", "value": // part of many other names
			if !whole {
				continue
			}
		case "pass":
			if !whole && !c.separated(end-4) {
				continue
			}
		case "pwd":
			if s[start:end] == "PWD" || s[start:end] == "OLDPWD" {
				k.class = perhaps // the shell's working directory
			}
		}
		if k.class == valueOf {
			if k.class = c.neighbour(start); k.class == notSecret {
				continue
			}
		}
		return k
	}
	return name{}
}

// separated reports whether a word of the name begins at s[i]: after a separator, or as a capital.
func (c *scrubber) separated(i int) bool {
	if i <= c.done {
		return i == c.done
	}
	switch c.s[i-1] {
	case '_', '-', '.':
		return true
	}
	return c.s[i] >= 'A' && c.s[i] <= 'Z' && c.s[i-1] >= 'a' && c.s[i-1] <= 'z'
}

// neighbour tells what the name before a "value" says: {"name":"DB_PASSWORD","value":"..."}, <a name="password" value="...">.
func (c *scrubber) neighbour(i int) secrecy {
	s := c.s[max(c.done, i-96):i]
	cut := strings.TrimRight(s, " \t\r\n,\"'\\")
	if !strings.ContainsAny(s[len(cut):], `"'`) {
		return notSecret
	}
	from := strings.LastIndexAny(cut, `"'`)
	if from < 0 {
		return notSecret
	}
	before := strings.TrimRight(cut[:from], " \t\r\n\\:=\"'")
	if !hasFold(tail(before, 4), "name") && !hasFold(tail(before, 3), "key") {
		return notSecret
	}
	inner := scrubber{s: cut[from+1:]}
	if k := inner.key(len(inner.s)); k.class == password || k.class == perhaps {
		return password
	}
	return notSecret
}

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
