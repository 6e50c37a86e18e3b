package enrich

import "strings"

// What a text says of people. Each of these returns s itself where it says nothing.

// replace puts the hash in the place of a name wherever it stands as a word of its own.
func (z *anonymizer) replace(s, name string) string {
	z.buf = z.buf[:0]
	done := 0 // of s, in buf
	for from := 0; ; {
		i := strings.Index(s[from:], name)
		if i < 0 {
			break
		}
		start, end := from+i, from+i+len(name)
		from = end
		if wordEnds(s[:start]) && (end == len(s) || !wordByte(s[end])) {
			z.buf = append(append(z.buf, s[done:start]...), z.hash(name)...)
			done = end
		}
	}
	return z.result(s, done)
}

// result returns what stands in buf and the rest of s.
func (z *anonymizer) result(s string, done int) string {
	if done == 0 {
		return s
	}
	return string(append(z.buf, s[done:]...))
}

// wordEnds reports whether a new word can begin behind the text. The letter of JSON's \n is none of that word.
func wordEnds(s string) bool {
	n := len(s)
	return n == 0 || !wordByte(s[n-1]) || n >= 2 && s[n-2] == '\\' || n >= 6 && s[n-6:n-4] == `\u`
}

func wordByte(c byte) bool { return c == '_' || '0' <= c && c <= '9' || letter(c) }

// letter also takes every letter that is not ASCII, byte by byte.
func letter(c byte) bool { return 'a' <= lower(c) && lower(c) <= 'z' || c >= 0x80 }

// addresses puts hashes in the place of e-mail addresses, and drops the name in front of one in angle brackets.
func (z *anonymizer) addresses(s string) string {
	z.buf = z.buf[:0]
	done := 0
	for from := 0; ; {
		i := strings.IndexByte(s[from:], '@')
		if i < 0 {
			break
		}
		at := from + i
		from = at + 1
		start, end := addressAt(s, at, done)
		if start == end {
			continue
		}
		bracket := start
		for _, open := range []string{"<", `\u003c`, "&lt;"} {
			if strings.HasSuffix(s[done:start], open) {
				bracket = start - len(open)
			}
		}
		name := bracket
		if bracket < start {
			name = personBefore(s, bracket, done)
		}
		z.buf = append(append(z.buf, s[done:name]...), s[bracket:start]...)
		z.buf = append(z.buf, z.hash(s[start:end])...)
		done, from = end, end
	}
	return z.result(s, done)
}

// addressAt returns the e-mail address around the @, which begins behind from; start and end are equal where there is
// none. A user in a URL (ssh://git@host) and git's own (git@host:repo) are none.
func addressAt(s string, at, from int) (start, end int) {
	start, end = at, at+1
	for start > from && (wordByte(s[start-1]) || strings.IndexByte(".+%-", s[start-1]) >= 0) {
		start--
	}
	if start > from && s[start-1] == '\\' { // the letter of an escape: \n, \u003c
		if start++; s[start-1] == 'u' {
			start += 4
		}
	}
	for end < len(s) && (wordByte(s[end]) || s[end] == '.' || s[end] == '-') && s[end] < 0x80 {
		end++
	}
	end = at + 1 + len(strings.TrimRight(s[at+1:end], ".-_"))
	dot := strings.LastIndexByte(s[at:end], '.')
	if start >= at || dot < 2 || len(s[at+dot+1:end]) < 2 || s[start:at] == "git" || strings.HasSuffix(s[:start], "//") {
		return at, at
	}
	for _, c := range []byte(s[at+dot+1 : end]) {
		if c >= 0x80 || !letter(c) {
			return at, at // a version: rack@2.2.8
		}
	}
	return start, end
}

// personBefore returns where the person's name in front of a bracket begins: up to four words of letters.
func personBefore(s string, bracket, from int) int {
	i := bracket
	for words := 0; words < 4; words++ {
		end := i
		for i > from && s[i-1] == ' ' {
			i--
		}
		word := i
		for word > from && (letter(s[word-1]) || strings.IndexByte(".'-", s[word-1]) >= 0) {
			word--
		}
		if word > from && word < i && s[word-1] == '\\' {
			word++ // the letter of \n
		}
		if word == i {
			return end
		}
		i = word
	}
	return i
}

// personalKeys are keys of JSON whose value is a person, whatever tool writes them.
var personalKeys = map[string]bool{
	"email": true, "login": true, "username": true, "user_name": true, "userName": true, "user": true, "user_login": true,
	"preferred_username": true, "full_name": true, "fullname": true, "fullName": true, "display_name": true, "displayName": true,
	"real_name": true, "given_name": true, "givenName": true, "family_name": true, "familyName": true, "first_name": true,
	"firstName": true, "last_name": true, "lastName": true, "author": true, "author_name": true, "author_email": true,
	"committer": true, "committer_name": true, "committer_email": true, "user_email": true, "assignee": true, "creator": true,
}

// values puts hashes in the place of JSON's strings whose key says that they are a person. "name" is one beside such a key.
func (z *anonymizer) values(s string) string {
	z.buf = z.buf[:0]
	done := 0
	beside := -1 // behind the value of the last personal key
	for from := 0; ; {
		i := strings.Index(s[from:], `":`)
		if i < 0 {
			break
		}
		colon := from + i + 1
		from = colon + 1
		key := s[strings.LastIndexByte(s[:colon-1], '"')+1 : colon-1]
		start, end := stringAt(s, colon+1)
		if start == end {
			continue
		}
		from = end
		quote := colon - len(key) - 2
		isName := key == "name" && (quote >= 0 && beside >= 0 && beside <= quote && blank(s[beside:quote]) || besidePerson(s[end+1:]))
		if !isName && !personalKeys[key] {
			continue
		}
		beside = end + 1
		z.buf = append(append(z.buf, s[done:start]...), z.hash(s[start:end])...)
		done = end
	}
	return z.result(s, done)
}

// stringAt returns the JSON string that is the next thing behind i, without its quotes; start and end are equal where it
// is none, or empty.
func stringAt(s string, i int) (start, end int) {
	for i < len(s) && strings.IndexByte(" \t\r\n", s[i]) >= 0 {
		i++
	}
	if i >= len(s) || s[i] != '"' {
		return 0, 0
	}
	for j := i + 1; j < len(s); j++ {
		switch s[j] {
		case '\\':
			j++
		case '"':
			return i + 1, j
		}
	}
	return 0, 0
}

// blank reports whether nothing but a comma and blanks stands between two pairs.
func blank(s string) bool { return strings.Trim(s, " \t\r\n") == "," }

// besidePerson reports whether the pair behind a value is one of a personal key.
func besidePerson(s string) bool {
	s = strings.TrimLeft(s, ", \t\r\n")
	if s == "" || s[0] != '"' {
		return false
	}
	key, _, _ := strings.Cut(s[1:], `"`)
	return personalKeys[key]
}
