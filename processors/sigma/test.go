package sigma

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// test is what one value of a rule asks of one value of an event that is neither null nor an object.
type test interface {
	// holds judges a value; m lends its scratch memory.
	holds(v *value, m *Matcher) bool
	// needs appends necessary conditions to choose from. A need is met when any of its keys is found.
	needs(into []need) []need
	// String describes the test: equal tests have equal descriptions.
	String() string
	// cost is that of holds, in arbitrary units.
	cost() int
	// sql is the test of a text x in ClickHouse's words; words are for people.
	sql() string
	words() string
}

func (p *pattern) String() string { return p.description }

func (p *pattern) cost() int {
	if _, ok := p.literal(); ok {
		return 1
	}
	if len(p.segments) == 1 && (p.start || p.end) {
		return 2
	}
	return 10 * max(1, len(p.segments))
}

func (p *pattern) holds(v *value, m *Matcher) bool {
	if p.cased {
		return p.match(v.raw)
	}
	return p.match(m.folded(v))
}

// key returns the key that says the same as the pattern, where there is one.
func (p *pattern) key() (indexKey, bool) {
	needs := p.needs(nil)
	if p.cased || len(needs) != 1 {
		return indexKey{}, false // a text beyond ASCII that is short has two
	}
	k := needs[0][0]
	_, whole := p.literal()
	single := len(p.segments) == 1 && len(p.segments[0].elems) == 1 && !(p.start && p.end)
	return k, whole || single
}

func (p *pattern) needs(into []need) []need {
	if text, ok := p.literal(); ok {
		return append(into, need{{op: keyEqual, text: fold(text)}})
	}
	for i, g := range p.segments {
		for j, e := range g.elems {
			if e.kind != elemText {
				continue
			}
			text := fold(e.text)
			switch {
			case i == 0 && j == 0 && p.start:
				into = append(into, need{{op: keyPrefix, text: text}})
			case i == len(p.segments)-1 && j == len(g.elems)-1 && p.end:
				into = append(into, need{{op: keySuffix, text: text}})
			default:
				k := indexKey{op: keyContains, text: text}
				if into = append(into, need{k}); k.isShort() && !isASCII(text) {
					into = append(into, need{{op: keyBeyond}})
				}
			}
		}
	}
	return into
}

// regexpTest searches a regular expression, case-sensitive unless it says otherwise. Most texts lack a literal that each
// match holds, and are not searched at all.
type regexpTest struct {
	re       *regexp.Regexp
	literals []need
	length   int // of a match in bytes, at least
}

func newRegexpTest(v *node, m *modifiers) (test, error) {
	expression := v.text
	if m.flags != "" {
		expression = "(?" + m.flags + ")" + expression
	}
	re, err := regexp.Compile(expression)
	if err != nil {
		return nil, v.errorf("regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	t := &regexpTest{re: re}
	t.literals, t.length = regexpNeeds(re.String())
	return t, nil
}

func (t *regexpTest) String() string           { return "/" + t.re.String() }
func (t *regexpTest) cost() int                { return 500 }
func (t *regexpTest) needs(into []need) []need { return append(into, t.literals...) }

func (t *regexpTest) holds(v *value, m *Matcher) bool {
	if len(v.raw) < t.length {
		return false
	}
	for _, any := range t.literals {
		if low := m.folded(v); !slices.ContainsFunc(any, func(k indexKey) bool { return strings.Contains(low, k.text) }) {
			return false
		}
	}
	return t.re.MatchString(v.raw)
}

// cidrTest holds for an address of the network. The two families never match each other, mapped addresses neither.
type cidrTest struct{ network netip.Prefix }

func newCIDRTest(v *node, s sigmaString) (test, error) {
	text, _ := s.plain()
	network, err := netip.ParsePrefix(text)
	if err != nil {
		addr, addrErr := netip.ParseAddr(text)
		if addrErr != nil || addr.Zone() != "" {
			return nil, v.errorf("%q is no network in CIDR notation", v.text)
		}
		network = netip.PrefixFrom(addr, addr.BitLen())
	}
	return &cidrTest{network.Masked()}, nil
}

func (t *cidrTest) String() string { return "@" + t.network.String() }
func (t *cidrTest) cost() int      { return 5 }

func (t *cidrTest) holds(v *value, _ *Matcher) bool {
	addr, ok := v.addr()
	return ok && t.network.Contains(addr)
}

func (t *cidrTest) needs(into []need) []need {
	return append(into, need{{op: keyNetwork, network: t.network}})
}

// rangeTest compares numbers; a text that reads as one is one.
type rangeTest struct {
	compare string
	limit   float64
}

func newRangeTest(v *node, m *modifiers) (test, error) {
	limit, ok := number(v.text)
	if !ok {
		return nil, v.errorf("%s wants a number, %q is none", m.compare, v.text)
	}
	return &rangeTest{m.compare, limit}, nil
}

func (t *rangeTest) String() string           { return fmt.Sprintf("<%s %g", t.compare, t.limit) }
func (t *rangeTest) cost() int                { return 4 }
func (t *rangeTest) needs(into []need) []need { return into }

func (t *rangeTest) holds(v *value, _ *Matcher) bool {
	f, ok := number(v.raw)
	return ok && compare(f, t.compare, t.limit)
}

func compare(a float64, op string, b float64) bool {
	switch op {
	case "gt":
		return a > b
	case "gte":
		return a >= b
	case "lt":
		return a < b
	case "lte":
		return a <= b
	case "neq":
		return a != b
	}
	return a == b
}

// number reads a decimal number; the words that Go also takes for numbers are none.
func number(text string) (float64, bool) {
	if text == "" || !strings.ContainsRune("+-.0123456789", rune(text[0])) || len(text) > 1 && (text[1]|' ') > '9' && (text[1]|' ') != 'e' {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}

// partTest compares a part of a date; the date is read as it is written, without a change of time zone.
type partTest struct {
	part, compare string
	limit         float64
}

func newPartTest(v *node, m *modifiers) (test, error) {
	limit, ok := number(v.text)
	if !ok || limit != float64(int(limit)) {
		return nil, v.errorf("%s wants an integer, %q is none", m.part, v.text)
	}
	return &partTest{m.part, m.compare, limit}, nil
}

func (t *partTest) String() string           { return fmt.Sprintf("#%s %s %g", t.part, t.compare, t.limit) }
func (t *partTest) cost() int                { return 50 }
func (t *partTest) needs(into []need) []need { return into }

func (t *partTest) holds(v *value, _ *Matcher) bool {
	at, ok := date(v.raw)
	if !ok {
		return false
	}
	var part int
	switch t.part {
	case "minute":
		part = at.Minute()
	case "hour":
		part = at.Hour()
	case "day":
		part = at.Day()
	case "week":
		_, part = at.ISOWeek()
	case "month":
		part = int(at.Month())
	case "year":
		part = at.Year()
	}
	return compare(float64(part), t.compare, t.limit)
}

// date reads ISO 8601 in the forms that logs use, or seconds or milliseconds since 1970 in UTC. The clock of the text is
// kept, whatever its zone.
func date(text string) (time.Time, bool) {
	if f, ok := number(text); ok {
		if f < 1e8 || f >= 1e14 { // a year, or a number that is no time
			return time.Time{}, false
		}
		if f >= 1e11 {
			return time.UnixMilli(int64(f)).UTC(), true
		}
		return time.UnixMicro(int64(f * 1e6)).UTC(), true
	}
	if len(text) < len(time.DateOnly) || text[4] != '-' {
		return time.Time{}, false
	}
	text = strings.TrimSuffix(text, " UTC")
	for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05", time.DateTime, "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}
