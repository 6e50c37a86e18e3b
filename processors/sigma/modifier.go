package sigma

import (
	"encoding/base64"
	"slices"
	"strings"
	"unicode/utf8"
)

// itemOp is how the values of an item are compared.
type itemOp uint8

const (
	opText itemOp = iota
	opRegexp
	opCIDR
	opExists
	opRange
	opPart
	opFieldRef
)

// modifiers are what the chain behind a field's name says (SEMANTICS 6).
type modifiers struct {
	op     itemOp
	opName string // the modifier that chose op, for messages

	all, cased, neq, expand bool
	startOpen, endOpen      bool // anything may stand before, after
	transforms              []transform

	flags   string // of a regular expression
	compare string // eq, gt, gte, lt, lte
	part    string // of a date
}

// transform changes a text, or makes several alternatives of it.
type transform struct {
	name  string
	apply func(v *node, s sigmaString) ([]sigmaString, error)
}

var transforms = map[string]func(v *node, s sigmaString) ([]sigmaString, error){
	"windash": func(_ *node, s sigmaString) ([]sigmaString, error) { return []sigmaString{s.windash()}, nil },
	"base64": onText("base64", func(text string) []string {
		return []string{base64.StdEncoding.EncodeToString([]byte(text))}
	}),
	"base64offset": onText("base64offset", func(text string) []string {
		all := base64Offsets(text)
		return all[:]
	}),
	"wide":    onText("wide", func(text string) []string { return []string{utf16Bytes(text, false, false)} }),
	"utf16le": onText("utf16le", func(text string) []string { return []string{utf16Bytes(text, false, false)} }),
	"utf16be": onText("utf16be", func(text string) []string { return []string{utf16Bytes(text, true, false)} }),
	"utf16":   onText("utf16", func(text string) []string { return []string{utf16Bytes(text, false, true)} }),
}

// onText applies f to a text without wildcards: encodings of "anything" do not exist.
func onText(name string, f func(string) []string) func(v *node, s sigmaString) ([]sigmaString, error) {
	return func(v *node, s sigmaString) ([]sigmaString, error) {
		text, ok := s.plain()
		if !ok {
			return nil, v.errorf("%s of a value with wildcards", name)
		}
		var out []sigmaString
		for _, t := range f(text) {
			if t == "" {
				return nil, v.errorf("%s of %q leaves nothing that could be searched", name, text)
			}
			out = append(out, sigmaString{{elemText, t}})
		}
		return out, nil
	}
}

var regexpFlags = map[string]string{"i": "i", "ignorecase": "i", "m": "m", "multiline": "m", "s": "s", "dotall": "s"}

var dateParts = []string{"minute", "hour", "day", "week", "month", "year"}

// readModifiers reads the chain of modifiers. An unknown one, and a combination without a meaning, is an error.
func readModifiers(at *node, key, chain string) (*modifiers, error) {
	m := &modifiers{compare: "eq"}
	if _, after, ok := strings.Cut(key, "|"); ok && after == "" {
		return nil, at.errorf("%q ends where a modifier is expected", key)
	}
	if chain == "" {
		return m, nil
	}
	choose := func(name string, op itemOp) error {
		if m.op != opText || len(m.transforms) > 0 || m.startOpen || m.endOpen {
			return at.errorf("modifier %s cannot follow the others in %q", name, key)
		}
		m.op, m.opName = op, name
		return nil
	}
	for name := range strings.SplitSeq(chain, "|") {
		var err error
		switch {
		case name == "all":
			m.all = true
		case name == "cased":
			m.cased = true
		case name == "neq":
			m.neq = true
		case name == "expand":
			m.expand = true
		case name == "contains":
			m.startOpen, m.endOpen = true, true
		case name == "startswith":
			m.endOpen = true
		case name == "endswith":
			m.startOpen = true
		case name == "re":
			err = choose(name, opRegexp)
		case regexpFlags[name] != "":
			if m.op != opRegexp {
				return nil, at.errorf("modifier %s belongs behind re", name)
			}
			m.flags += regexpFlags[name]
		case name == "cidr":
			err = choose(name, opCIDR)
		case name == "exists":
			err = choose(name, opExists)
		case name == "fieldref":
			err = choose(name, opFieldRef)
		case slices.Contains(dateParts, name):
			m.part = name
			err = choose(name, opPart)
		case name == "gt" || name == "gte" || name == "lt" || name == "lte":
			m.compare = name
			if m.op != opPart {
				err = choose(name, opRange)
			}
		case transforms[name] != nil:
			if name != "windash" && (m.startOpen || m.endOpen) {
				return nil, at.errorf("modifier %s cannot follow one that adds wildcards in %q", name, key)
			}
			m.transforms = append(m.transforms, transform{name, transforms[name]})
		default:
			return nil, at.errorf("unknown modifier %q in %q", name, key)
		}
		if err != nil {
			return nil, err
		}
	}
	return m, m.check(at, key, chain)
}

func (m *modifiers) check(at *node, key, chain string) error {
	texts := m.op == opText || m.op == opFieldRef
	switch {
	case m.op == opExists && chain != "exists":
		return at.errorf("exists must be the only modifier, not one of %q", key)
	case len(m.transforms) > 0 && m.op != opText:
		return at.errorf("%s cannot be combined with %s", m.opName, m.transforms[0].name)
	case (m.startOpen || m.endOpen) && !texts:
		return at.errorf("%s cannot be combined with contains, startswith or endswith", m.opName)
	case m.cased && !texts:
		return at.errorf("%s cannot be combined with cased", m.opName)
	case m.expand && m.op != opText && m.op != opCIDR:
		return at.errorf("%s cannot be combined with expand", m.opName)
	}
	if n := len(m.transforms); n > 0 && m.transforms[n-1].name == "utf16" {
		return at.errorf("utf16 without base64: its byte order mark is no text that an event could hold")
	}
	return nil
}

// anchored reports whether values are tied to the start or end of a text.
func (m *modifiers) anchored() bool { return m.startOpen != m.endOpen }

// valid reports whether every text of the string is UTF-8, as all texts of events are.
func (s sigmaString) valid() bool {
	return !slices.ContainsFunc(s, func(e elem) bool { return !utf8.ValidString(e.text) })
}
