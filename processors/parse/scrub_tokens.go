package parse

import "strings"

// tokenPrefix is how the tokens of one issuer begin, and what follows.
type tokenPrefix struct {
	prefix string
	min    int    // bytes that must follow
	chars  string // of what follows: w letters and digits, _ also underscores, - also dashes, . also dots
}

// tokenPrefixes are the prefixes of tokens by their last byte but one and their last byte. Sources: the issuers' documentation of token formats.
var tokenPrefixes = func() (byLast [256][4][]tokenPrefix) {
	for _, t := range []tokenPrefix{
		{"ghp_", 16, "_"}, {"gho_", 16, "_"}, {"ghu_", 16, "_"}, {"ghs_", 16, "_-."}, {"ghr_", 16, "_"}, {"github_pat_", 20, "_"},
		{"glpat-", 16, "_-."}, {"gldt-", 16, "_-"}, {"glptt-", 16, "_-"}, {"glrt-", 16, "_-."}, {"glcbt-", 16, "_-"}, {"glft-", 16, "_-"},
		{"glsoat-", 16, "_-"}, {"glimt-", 16, "_-"}, {"glagent-", 16, "_-"}, {"gloas-", 16, "_-"}, {"glffct-", 16, "_-"},
		{"xoxb-", 10, "_-"}, {"xoxp-", 10, "_-"}, {"xoxa-", 10, "_-"}, {"xoxr-", 10, "_-"}, {"xoxs-", 10, "_-"}, {"xoxe-", 10, "_-"},
		{"xoxe.xoxp-", 10, "_-"}, {"xapp-", 10, "_-"},
		{"sk_live_", 10, "w"}, {"sk_test_", 10, "w"}, {"rk_live_", 10, "w"}, {"rk_test_", 10, "w"}, {"whsec_", 16, "w"},
		{"AIz", 30, "_-"}, {"ya29.", 16, "_-."}, {"GOCSPX-", 20, "_-"},
		{"npm_", 30, "w"}, {"pypi-", 30, "_-"}, {"rubygems_", 32, "w"}, {"dckr_pat_", 16, "_-"},
		{"sk-", 20, "_-"}, {"sk-ant-", 10, "_-"}, {"sk-proj-", 10, "_-"}, {"hf_", 30, "w"}, {"gsk_", 30, "w"}, {"r8_", 30, "w"},
		{"SG.", 30, "_-."}, {"xkeysib-", 30, "_-"}, {"hvs.", 20, "_-"}, {"hvb.", 20, "_-"}, {"hvr.", 20, "_-"},
		{"dop_v1_", 20, "w"}, {"doo_v1_", 20, "w"}, {"dor_v1_", 20, "w"},
		{"shpat_", 20, "w"}, {"shpss_", 20, "w"}, {"shpca_", 20, "w"}, {"shppa_", 20, "w"}, {"sq0atp-", 16, "_-"}, {"sq0csp-", 16, "_-"},
		{"glsa_", 20, "_"}, {"lin_api_", 20, "w"}, {"NRAK-", 20, "w"}, {"PMAK-", 20, "_-"}, {"tskey-auth-", 16, "_-"}, {"AGE-SECRET-KEY-", 20, "w"},
		{"sntrys_", 20, "_=+/."}, {"sbp_", 30, "w"}, {"figd_", 20, "_-"},
	} {
		at := &byLast[t.prefix[len(t.prefix)-2]][tokenEnd(t.prefix[len(t.prefix)-1])]
		*at = append(*at, t)
	}
	return byLast
}()

// tokenThirds has, as bits, the last bytes but two of those prefixes: names in logs end like some of them.
var tokenThirds = func() (bits [256][4]uint32) {
	for b := range tokenPrefixes {
		for end, list := range tokenPrefixes[b] {
			for _, t := range list {
				bits[b][end] |= 1 << (t.prefix[len(t.prefix)-3] & 31)
			}
		}
	}
	return bits
}()

// tokenEnd numbers the bytes that prefixes of tokens end in.
func tokenEnd(c byte) int {
	switch c {
	case '_':
		return 0
	case '-':
		return 1
	case '.':
		return 2
	}
	return 3 // z
}

// tokenChar reports whether c may be part of a token: a letter, a digit or one of chars.
func tokenChar(c byte, chars string) bool {
	if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
		return true
	}
	return strings.IndexByte(chars, c) >= 0 && c != 'w'
}

// token masks a token whose prefix ends with s[i].
func (c *scrubber) token(i int) int {
	s, end := c.s, tokenEnd(c.s[i])
	if i < c.done+2 || tokenThirds[s[i-1]][end]>>(s[i-2]&31)&1 == 0 {
		return i + 1
	}
	for _, t := range tokenPrefixes[s[i-1]][end] {
		start := i + 1 - len(t.prefix)
		if start < c.done || s[start] != t.prefix[0] || s[start:i+1] != t.prefix || !c.wordStart(start) {
			continue
		}
		end, digits := i+1, 0
		for end < len(s) && tokenChar(s[end], t.chars) {
			if s[end] >= '0' && s[end] <= '9' {
				digits++
			}
			end++
		}
		if end-i-1 < t.min {
			continue
		}
		if digits == 0 {
			return end // nor has any token within it a digit
		}
		return c.mask(start, end)
	}
	return i + 1
}

// dashes looks at the second dash of a private key's head or of an option with a password.
func (c *scrubber) dashes(i int) int {
	if strings.HasPrefix(c.s[i-1:], "-----BEGIN ") {
		return max(c.pem(i-1), i+1)
	}
	return max(c.option(i-1), i+1)
}

// option masks the argument of --password and its like, which stands behind a blank. With = it is a named value.
func (c *scrubber) option(i int) int {
	s := c.s
	if i+2 >= len(s) || s[i+2] == '-' {
		return i + 2
	}
	end := i + 2
	for end < len(s) && (isWord(s[end]) || s[end] == '-') && end-i < 64 {
		end++
	}
	if end >= len(s) || s[end] != ' ' {
		return i + 2
	}
	inner := scrubber{s: s[i+2 : end]}
	k := inner.key(len(inner.s))
	if k.class != password && k.class != perhaps || end+1 < len(s) && s[end+1] == '-' {
		return end
	}
	return c.value(name{i, k.class}, end)
}

// pem masks a private key in PEM: to its end line, or as far as what follows looks like one.
func (c *scrubber) pem(i int) int {
	s := c.s
	head := strings.Index(s[i+11:min(len(s), i+75)], "-----")
	if head < 0 || !strings.Contains(s[i:i+11+head], "PRIVATE KEY") {
		return i + 2
	}
	body := i + 11 + head + 5
	if end := c.nextPEMEnd(body) - body; end < 32<<10 && body+end < len(s) {
		between := s[body : body+end]
		if tail := strings.Index(s[body+end+9:min(len(s), body+end+73)], "-----"); tail >= 0 &&
			!strings.ContainsAny(between, "{}") && !strings.Contains(between, "-----BEGIN ") && !strings.Contains(between, `":`) {
			return c.mask(i, body+end+9+tail+5)
		}
	}
	return c.mask(i, pemRun(s, body))
}

// nextPEMEnd returns where the next end line at or behind s[i] begins, len(s) where there is none. It remembers: a text of
// heads without ends must not be searched through for each.
func (c *scrubber) nextPEMEnd(i int) int {
	if i > c.pemEnd {
		c.pemEnd = len(c.s)
		if end := strings.Index(c.s[i:], "-----END "); end >= 0 {
			c.pemEnd = i + end
		}
	}
	return c.pemEnd
}

// pemRun returns where the lines of a key without an end line end.
func pemRun(s string, end int) int {
	for i := end; ; {
		quoted := false
	separators:
		for i < len(s) {
			switch s[i] {
			case ' ', '\t', '\r', '\n', '>', '|', '#':
			case '"', '\'', '+', ',':
				quoted = true
			case '\\':
				for i+1 < len(s) && s[i+1] == '\\' {
					i++
				}
				if i+1 < len(s) && strings.IndexByte(`nrt"'`, s[i+1]) >= 0 {
					i++
				}
			default:
				break separators
			}
			i++
		}
		if isPEMHeader(s[i:]) {
			for i < len(s) && s[i] != '\n' && s[i] != '\\' && s[i] != '"' {
				i++
			}
			end = i
			continue
		}
		start := i
		for i < len(s) && (tokenChar(s[i], "+/=-") || s[i] == '\\' && i+1 < len(s) && s[i+1] == '/' || s[i] == '*') {
			i++
		}
		n := i - start
		if n < 16 && !(n > 0 && s[i-1] == '=') || quoted && n < 40 {
			return end
		}
		end = i
	}
}

func isPEMHeader(s string) bool {
	for _, header := range [...]string{"Proc-Type: ", "DEK-Info: ", "Version: ", "Comment: "} {
		if strings.HasPrefix(s, header) {
			return true
		}
	}
	return false
}

// jwt masks a JSON web token whose header has its J at s[i]; it always begins as {" does in base64.
func (c *scrubber) jwt(i int) int {
	s := c.s
	start := i - 2
	if start < c.done || s[start:i] != "ey" || !c.wordStart(start) {
		return i + 1
	}
	end := run(s, i)
	if end-start < 12 || end+4 >= len(s) || s[end] != '.' {
		return end
	}
	payload := run(s, end+1)
	if payload-end < 5 {
		return end
	}
	for end = payload; end < len(s) && s[end] == '.'; {
		next := run(s, end+1)
		if next == end+1 {
			break
		}
		end = next
	}
	return c.mask(start, end)
}

// run returns where the base64url that begins at s[i] ends.
func run(s string, i int) int {
	for i < len(s) && (isWord(s[i]) || s[i] == '-' || s[i] == '=') {
		i++
	}
	return i
}

// aws masks an AWS access key id that has its second byte at s[i]. It is public, but the text that holds it mostly holds
// more; formats that know it put it into attribute credential.id. Masked ids of other tools go as well.
func (c *scrubber) aws(i int) int {
	s := c.s
	start := i - 1
	if start < c.done || s[start] != 'A' || !strings.HasPrefix(s[i+1:], "IA") || !c.wordStart(start) {
		return i + 1
	}
	end := i + 3
	for end < len(s) && (s[end] >= 'A' && s[end] <= 'Z' || s[end] >= '0' && s[end] <= '9' || s[end] == '*') {
		end++
	}
	if end-start < 16 {
		return end
	}
	return c.mask(start, end)
}

// bearer masks what follows "Bearer ".
func (c *scrubber) bearer(i int) int {
	s := c.s
	end, digits := i, 0
	for end < len(s) && tokenChar(s[end], "_-.~+/=") {
		if s[end] >= '0' && s[end] <= '9' {
			digits++
		}
		end++
	}
	if end-i < 16 && (end-i < 8 || digits == 0) {
		return i
	}
	return c.mask(i, end)
}

// azureSecret masks a client secret of Azure AD around its "Q~" at s[i-1:i+1].
func (c *scrubber) azureSecret(i int) int {
	s := c.s
	start := i - 5
	if start < c.done || s[i-1] != 'Q' || !c.wordStart(start) {
		return i + 1
	}
	end := i + 1
	for end < len(s) && tokenChar(s[end], "_-.~") {
		end++
	}
	if end-i < 31 {
		return i + 1
	}
	return c.mask(start, end)
}

// telegram masks the token of a Telegram bot, whose colon is s[i] and followed by two A.
func (c *scrubber) telegram(i int) int {
	s := c.s
	digits := 0
	for j := i; j > c.done && s[j-1] >= '0' && s[j-1] <= '9'; j-- {
		digits++
	}
	if end := run(s, i+1); digits >= 8 && digits <= 10 && end-i > 33 {
		return c.mask(i+1, end)
	}
	return i + 3
}

// userinfo masks the password, or a token instead of a user, in the URL whose authority begins at s[i].
func (c *scrubber) userinfo(i int, escaped bool) int {
	s := c.s
	for _, hook := range [...]string{"hooks.slack.com/services/", "discord.com/api/webhooks/", "discordapp.com/api/webhooks/"} {
		if strings.HasPrefix(s[i:], hook) {
			from := i + len(hook)
			end := from
			for end < len(s) && (isWord(s[end]) || s[end] == '/' || s[end] == '-') {
				end++
			}
			if end-from < 16 {
				return end
			}
			return c.mask(from, end)
		}
	}
	at, colon, end := -1, -1, i
authority:
	for ; end < len(s) && end-i < 1024; end++ {
		switch s[end] {
		case '/', '?', '#', ' ', '\t', '\n', '\r', '"', '\'', '<', '>', '`', '\\', '|':
			break authority
		case '&':
			if escaped {
				break authority
			}
		case ':':
			if colon < 0 {
				colon = end
			}
		case '@':
			at = end
		case '%':
			if !escaped {
				continue
			}
			switch {
			case hasFold(s[end:], "%3a") && colon < 0:
				colon = end + 2
			case hasFold(s[end:], "%40"):
				at = end
			case hasFold(s[end:], "%2f"):
				break authority
			}
		}
	}
	switch {
	case at < 0:
	case colon >= 0 && colon < at:
		c.mask(colon+1, at)
		return at
	case at-i >= 20 && strings.ContainsAny(s[i:at], "0123456789"):
		return c.mask(i, at)
	}
	return i
}

// wordStart reports whether no word goes on at s[i]: nothing of one stands before, or an escape does.
func (c *scrubber) wordStart(i int) bool {
	if i <= c.done {
		return true
	}
	s, b := c.s, c.s[i-1]
	if !isWord(b) {
		return true
	}
	if i >= 2 && s[i-2] == '\\' {
		return strings.IndexByte("nrtbf", b) >= 0
	}
	if i >= 3 && s[i-3] == '%' {
		return isHex(b) && isHex(s[i-2])
	}
	if i >= 6 && s[i-6] == '\\' && s[i-5] == 'u' { // as for < and & in JSON of Go
		return isHex(b)
	}
	return false
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
