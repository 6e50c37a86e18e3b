package parse

import (
	"cmp"
	"encoding/hex"
	"html"
	"slices"
	"strings"
	"unsafe"

	"github.com/segmentio/encoding/json"

	"github.com/tocsin-project/tocsin/pipeline"
)

// redact takes out of the piece's events every secret: those that the format named (Out.Secret), wherever they stand, and
// what looks like one by itself (credentials in URLs, tokens of well-known shapes, private keys, values of keys named
// password and the like).
//
// What is found in the raw text is masked in the fields too, where a format may have taken it apart.
//
// Most pieces hold none, and the scan of the raw text tells: the fields stem from it. Then only those are looked at that
// were unescaped or put together, where escapes in the raw text, of JSON or of XML, could hide a match.
func (p *Parser) redact(o *Out, events []pipeline.Event) {
	if len(events) == 0 {
		return
	}
	raw := o.piece.Text()
	c := scrubber{s: raw, collect: true, found: o.found[:0]}
	clean := !c.run() && len(o.secrets) == 0 && !o.encoded
	o.found = c.found
	isXML := raw[0] == '<' && (len(raw) < 2 || raw[1] < '0' || raw[1] > '9') // <13> is syslog's
	if clean && !isXML && strings.IndexByte(raw, '\\') < 0 {
		return
	}
	for _, secret := range c.found {
		if len(secret) < 8 { // may stand elsewhere by chance
			continue
		}
		o.secrets = append(o.secrets, secret)
		if strings.IndexByte(secret, '\\') >= 0 { // as the fields have it
			secret = unescaped.Replace(secret)
			o.secrets = append(o.secrets, secret)
		}
		// A format may have put blanks for dashes, or escapes for line ends: what is long enough within is secret by itself.
		for run := range strings.FieldsFuncSeq(secret, func(r rune) bool { return r >= 0x80 || r == '_' || !isWord(byte(r)) }) {
			if len(run) >= 16 && len(run) < len(secret) && commitOf(run) == "" { // lines of a key may bear a commit's hash
				o.secrets = append(o.secrets, run)
			}
		}
	}
	masker := o.masker()
	for i := range events {
		e := &events[i]
		original := e.Raw
		eachText(e, func(s *string) {
			if *s == "" || clean && liesIn(*s, raw) {
				return
			}
			if masker != nil {
				*s = masker.Replace(*s)
			}
			*s = o.scrub(*s)
		})
		for j := range e.Attrs { // the text said "password=x", the format took it apart
			if a := &e.Attrs[j]; !ourCredential(a.Key) && namesSecret(a.Key, a.Value) {
				a.Value = mask
			}
		}
		if e.Raw != original {
			e.SetAttr("raw.hmac_sha256", o.sum(original))
		}
	}
}

// sum is the HMAC-SHA256 of a raw text before it is masked, in hex: with the key it is proof of which record an event is from. A
// plain hash would be proof of a guessed secret as well, for all around it is known; so without a key there is none.
func (o *Out) sum(raw string) string {
	if len(o.parser.key) == 0 {
		return ""
	}
	if s := &o.summed; s.of == "" || unsafe.StringData(s.of) != unsafe.StringData(raw) || len(s.of) != len(raw) { // many events share one
		m := o.parser.mac
		m.Reset()
		m.Write(unsafe.Slice(unsafe.StringData(raw), len(raw)))
		o.spare = m.Sum(o.spare[:0])
		sum := len(o.spare)
		o.spare = hex.AppendEncode(o.spare, o.spare)
		s.of, s.sum = raw, o.join(alias(o.spare[sum:]))
	}
	return o.summed.sum
}

// scrub is the parser's, with the masked text in the memory that join uses.
func (o *Out) scrub(s string) string {
	c := scrubber{s: s, out: o.spare[:0]}
	if !c.run() {
		return s
	}
	o.spare = c.out
	return o.join(alias(c.out))
}

// liesIn reports whether s shares the memory of text.
func liesIn(s, text string) bool {
	at := uintptr(unsafe.Pointer(unsafe.StringData(s))) - uintptr(unsafe.Pointer(unsafe.StringData(text)))
	return at < uintptr(len(text))
}

// unescaped takes the escapes of JSON out of a text that is no whole string of it.
var unescaped = strings.NewReplacer(`\n`, "\n", `\r`, "\r", `\t`, "\t", `\/`, "/", `\"`, `"`, `\\`, `\`)

// eachText calls f with every text of the event that could hold what a tool printed. Enumerations, addresses and the
// event's source are ours.
func eachText(e *pipeline.Event, f func(*string)) {
	for _, s := range []*string{
		&e.Title, &e.Project, &e.Environment, &e.Service, &e.Repo, &e.Ref, &e.Commit, &e.Change, &e.Pipeline, &e.Run, &e.Task,
		&e.Artifact, &e.Digest, &e.Purl, &e.Rule, &e.Actor, &e.Host, &e.DstDomain, &e.DBName, &e.DBObject, &e.Metric, &e.Raw,
	} {
		f(s)
	}
	for i := range e.Vulns {
		f(&e.Vulns[i])
	}
	for i := range e.Labels {
		f(&e.Labels[i])
	}
	for i := range e.Attrs {
		if !ourCredential(e.Attrs[i].Key) {
			f(&e.Attrs[i].Value)
		}
	}
}

// ourCredential reports whether an attribute is a keyed fingerprint, made by Secret, or the public part of a key pair.
func ourCredential(key string) bool { return key == "credential" || key == "credential.id" }

// mask stands where a secret stood.
const mask = "[redacted]"

// masker masks texts. A few words are looked for one after the other, which costs less than to make a replacer, and
// a log's record with a key's id has no more.
type masker struct {
	out   *Out // has the memory
	words []string
	many  *strings.Replacer // instead of the words
}

func (m *masker) Replace(s string) string {
	if m.many != nil {
		return m.many.Replace(s)
	}
	for _, w := range m.words {
		s = m.out.replace(s, w)
	}
	return s
}

// replace masks a word of a text.
func (o *Out) replace(s, word string) string {
	before, after, ok := strings.Cut(s, word)
	if !ok {
		return s
	}
	b := o.spare[:0]
	for ; ok; before, after, ok = strings.Cut(after, word) {
		b = append(append(b, before...), mask...)
	}
	o.spare = append(b, before...)
	return o.join(alias(o.spare))
}

// masker returns what masks the secrets that the format named wherever they stand: as they are, as JSON and XML write
// them, and line by line where they have several. It is one pass over a text, however many secrets there are.
func (o *Out) masker() *masker {
	if len(o.secrets) == 0 {
		return nil
	}
	forms := o.forms[:0]
	for _, secret := range o.secrets {
		forms = append(forms, secret)
		if isPlainWord(secret) { // written alike everywhere
			continue
		}
		if quoted, err := json.Marshal(secret); err == nil {
			forms = append(forms, string(quoted[1:len(quoted)-1]))
		}
		if plain, err := json.Append(nil, secret, 0); err == nil { // without HTML escapes
			forms = append(forms, string(plain[1:len(plain)-1]))
		}
		forms = append(forms, html.EscapeString(secret))
		if strings.ContainsAny(secret, "\r\n") {
			for line := range strings.FieldsFuncSeq(secret, func(r rune) bool { return r == '\n' || r == '\r' }) {
				if line = strings.TrimSpace(line); len(line) >= 8 {
					forms = append(forms, line)
				}
			}
		}
	}
	for _, form := range forms { // repositories and hosts are put in lower case
		if l := strings.ToLower(form); l != form {
			forms = append(forms, l)
		}
	}
	// Long ones go in pieces: a replacer compares a text that resembles its pattern over and over, in full.
	const longest = 1024
	for i := 0; i < len(forms); i++ {
		if f := forms[i]; len(f) > longest {
			cut := longest
			if len(f) < 2*longest {
				cut = len(f) / 2 // no end so short that it stands elsewhere by chance
			}
			forms[i] = f[:cut]
			forms = append(forms, f[cut:])
		}
	}
	// The longest first: a replacer takes the first that fits, and a line holds the secret that stands in it.
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	forms = slices.Compact(forms)
	o.forms = forms
	if len(forms) <= 12 && !slices.ContainsFunc(forms, func(f string) bool { return strings.Contains(mask, f) }) {
		o.mask = masker{out: o, words: forms}
		return &o.mask
	}
	pairs := make([]string, 0, 2*len(forms))
	for _, f := range forms {
		pairs = append(pairs, f, mask)
	}
	o.mask = masker{many: strings.NewReplacer(pairs...)}
	return &o.mask
}

// isPlainWord reports whether s has nothing that any notation would escape.
func isPlainWord(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isWord(c) && strings.IndexByte("-.:/@+=~*", c) < 0 {
			return false
		}
	}
	return true
}
