package parse

import (
	"slices"
	"strings"
)

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

// secretEnds3 are the last three letters of names of secrets, in the low five bits of either case.
var secretEnds3 = func() (ends [32][32][32]bool) {
	for _, names := range secretNames {
		for _, n := range names {
			end := n.name[len(n.name)-3:]
			ends[end[2]&31][end[1]&31][end[0]&31] = true
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
	s := c.s
	if i > 4 && s[i-1] == '"' && s[i-2] != '\\' {
		last, before, third := s[i-2], s[i-3], s[i-4]
		if !secretEnds[last&31][before&31] || before >= 'A' && third >= 'A' && third != '_' && third != '\\' && before != '_' && !secretEnds3[last&31][before&31][third&31] {
			return i + 1 // most keys of JSON
		}
	}
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

// namesSecret reports whether a name says that its value is a secret, and the value may be one.
func namesSecret(key, value string) bool {
	c := scrubber{s: key}
	k := c.key(len(key))
	return k.class != notSecret && k.class != valueOf && secretValue(k.class, value, false)
}
