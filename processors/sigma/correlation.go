package sigma

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// correlation is what a correlation document asks of the matches of other rules (SEMANTICS 11).
type correlation struct {
	kind     string
	rules    []*Rule // in the document's order
	names    []string
	groupBy  []groupField
	span     time.Duration
	limits   []limit    // all must hold
	presence *condition // temporal with a condition over rules: an atom's field is the rule's name
	absence  absence
	fields   []string // of value_*
	rank     float64  // percentile
	generate bool     // its rules alert on their own too
}

// absence says whether the condition is about what does not come. That is known when a window has ended, not at an event.
type absence uint8

const (
	// noAbsence: the window that ends with an event is judged at that event.
	noAbsence absence = iota
	// fewer: nothing at all fulfils the condition too. The window behind each event is judged, when it has ended.
	fewer
	// without: it wants matches of some rules, and none of others. The window that begins with one of the former is judged when it has
	// ended; what must not be there must not be in the timespan before the event either.
	without
)

// groupField names a field of the group, and the field that is read for each of the rules.
type groupField struct {
	name string
	of   []string
}

type limit struct {
	op    string
	value float64
}

var correlationKinds = []string{"event_count", "value_count", "temporal", "temporal_ordered", "value_sum", "value_avg", "value_percentile", "value_median"}

// maxCorrelated bounds the rules of one correlation: their matches are kept as bits.
const maxCorrelated = 64

// readCorrelation reads a correlation; find returns the rule of an id or name, or nil.
func readCorrelation(doc *node, find func(name string) *Rule) (*correlation, error) {
	n := doc.get("correlation")
	if n.kind != mapNode {
		return nil, n.errorf("correlation is %s, a map is expected", n.kind)
	}
	for _, p := range n.pairs {
		if !slices.Contains([]string{"type", "rules", "group-by", "timespan", "condition", "aliases", "generate"}, p.key.text) {
			return nil, p.key.errorf("unknown key %q of a correlation", p.key.text)
		}
	}
	c := &correlation{kind: n.textOf("type"), rank: 50}
	if !slices.Contains(correlationKinds, c.kind) {
		return nil, n.errorf("correlation type %q is none of %s", c.kind, strings.Join(correlationKinds, ", "))
	}
	rules, names := n.get("rules"), n.get("rules").texts()
	if cond := n.get("condition"); rules == nil && cond != nil && cond.kind == textNode { // it names them
		rules, names = cond, ruleNames(cond.text)
	}
	if len(names) == 0 || len(names) > maxCorrelated {
		return nil, n.errorf("a correlation wants rules, at most %d", maxCorrelated)
	}
	for _, name := range names {
		r := find(name)
		if r == nil {
			return nil, rules.errorf("rule %q is not there, or was refused", name)
		}
		if r.correlation != nil && r.correlation.absence != noAbsence {
			return nil, rules.errorf("correlation %q asks for absence: no event completes it that another correlation could count", name)
		}
		c.rules, c.names = append(c.rules, r), append(c.names, name)
	}
	if err := c.readGroups(n, find); err != nil {
		return nil, err
	}
	var err error
	if c.span, err = readTimespan(n); err != nil {
		return nil, err
	}
	if err := c.readCondition(n, find); err != nil {
		return nil, err
	}
	if g := n.get("generate"); g != nil && g.kind != boolNode {
		return nil, g.errorf("generate is %s, true or false is expected", g.kind)
	}
	c.generate = n.textOf("generate") == "true"
	return c, nil
}

// ruleNames are the rules that a condition over rules names, each once.
func ruleNames(condition string) (names []string) {
	for _, token := range conditionTokens(condition) {
		if !slices.Contains([]string{"(", ")", "|", "and", "or", "not"}, strings.ToLower(token)) && !slices.Contains(names, token) {
			names = append(names, token)
		}
	}
	return names
}

// part returns the number of the rule that is called so, by id or by name; -1 where it is none of the correlation's.
func (c *correlation) part(name string, find func(name string) *Rule) int {
	if i := slices.Index(c.names, name); i >= 0 {
		return i
	}
	if r := find(name); r != nil {
		return slices.Index(c.rules, r)
	}
	return -1
}

func (c *correlation) readGroups(n *node, find func(name string) *Rule) error {
	aliases := n.get("aliases")
	if aliases != nil && aliases.kind != mapNode {
		return aliases.errorf("aliases is %s, a map is expected", aliases.kind)
	}
	for _, field := range n.get("group-by").texts() {
		g := groupField{field, slices.Repeat([]string{field}, len(c.rules))}
		if alias := aliases.get(field); alias != nil {
			if alias.kind != mapNode {
				return alias.errorf("alias %s is %s, a map from rules to fields is expected", field, alias.kind)
			}
			for _, p := range alias.pairs {
				i := c.part(p.key.text, find)
				if i < 0 {
					return p.key.errorf("alias %s names %q, which is none of the correlation's rules", field, p.key.text)
				}
				if g.of[i] = p.value.text; g.of[i] == "" {
					return p.value.errorf("alias %s wants the name of a field", field)
				}
			}
		}
		c.groupBy = append(c.groupBy, g)
	}
	return nil
}

// timeUnits are those of timespans; months and years have their mean length, as pySigma has it.
var timeUnits = map[byte]time.Duration{
	's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour,
	'M': 2_629_746 * time.Second, 'y': 31_556_952 * time.Second,
}

// maxTimespan bounds what is kept of a group.
const maxTimespan = 10 * 31_556_952 * time.Second

// readTimespan reads a number and its unit.
func readTimespan(n *node) (time.Duration, error) {
	text, at := n.textOf("timespan"), n
	if v := n.get("timespan"); v != nil {
		at = v
	}
	if text != "" {
		count, err := strconv.Atoi(text[:len(text)-1])
		unit := timeUnits[text[len(text)-1]]
		if err == nil && unit > 0 && count > 0 && count <= int(maxTimespan/unit) {
			return time.Duration(count) * unit, nil
		}
	}
	return 0, at.errorf("timespan %q is no number with s, m, h, d, w, M or y behind it, up to ten years", text)
}

func (c *correlation) readCondition(n *node, find func(name string) *Rule) error {
	temporal := strings.HasPrefix(c.kind, "temporal")
	cond := n.get("condition")
	if cond == nil || cond.kind == nullNode {
		if temporal {
			c.limits = []limit{{"gte", float64(len(c.rules))}}
			return nil
		}
		return n.errorf("%s wants a condition", c.kind)
	}
	if temporal && cond.kind == textNode {
		return c.readPresence(cond, find)
	}
	if cond.kind != mapNode {
		return cond.errorf("condition is %s, a map is expected", cond.kind)
	}
	for _, p := range cond.pairs {
		switch key := p.key.text; key {
		case "gt", "gte", "lt", "lte", "eq", "neq":
			value, ok := number(p.value.text)
			if !ok {
				return p.value.errorf("%s wants a number", key)
			}
			c.limits = append(c.limits, limit{key, value})
		case "field":
			c.fields = p.value.texts()
		case "percentile":
			rank, ok := number(p.value.text)
			if !ok || rank <= 0 || rank > 100 {
				return p.value.errorf("percentile wants a number above 0 and up to 100")
			}
			c.rank = rank
		default:
			return p.key.errorf("unknown key %q of a correlation's condition", key)
		}
	}
	values := strings.HasPrefix(c.kind, "value_")
	switch {
	case len(c.limits) == 0:
		return cond.errorf("the condition has no limit")
	case values && len(c.fields) == 0:
		return cond.errorf("%s wants a field", c.kind)
	case values && c.kind != "value_count" && len(c.fields) != 1:
		return cond.errorf("%s wants one field", c.kind)
	case !values && len(c.fields) > 0:
		return cond.errorf("%s takes no field", c.kind)
	case c.kind == "temporal_ordered" && !c.within(float64(len(c.rules))):
		return cond.errorf("temporal_ordered is about all of its rules, its condition cannot be met")
	case c.kind == "temporal_ordered" && c.within(0):
		return cond.errorf("temporal_ordered is about all of its rules, its condition asks for fewer")
	}
	counted := c.kind == "event_count" || c.kind == "value_count" || c.kind == "value_sum" || temporal
	if counted && c.within(0) {
		c.absence = fewer
	}
	return nil
}

// readPresence reads a condition over rules, of the draft of specification 2.2.
func (c *correlation) readPresence(cond *node, find func(name string) *Rule) error {
	p := conditionParser{at: cond, names: c.names, search: func(name string) *condition {
		i := c.part(name, find)
		if i < 0 {
			return nil
		}
		return &condition{op: opAtom, atom: &atom{field: c.names[i]}}
	}}
	var err error
	if c.presence, err = p.parse(); err != nil {
		return err
	}
	if c.kind == "temporal_ordered" {
		return cond.errorf("temporal_ordered takes no condition over rules")
	}
	switch {
	case c.presence.holds(func(string, bool) bool { return false }):
		c.absence = fewer
	case c.presence.negates():
		c.absence = without
	}
	return nil
}

func (c *condition) negates() bool {
	return c.op == opNot || slices.ContainsFunc(c.kids, (*condition).negates)
}

// holds evaluates a condition over rules; there says whether one matched, and is told whether that is asked under a not.
func (c *condition) holds(there func(name string, negated bool) bool) bool {
	return c.under(false, there)
}

func (c *condition) under(negated bool, there func(name string, negated bool) bool) bool {
	switch c.op {
	case opAtom:
		return there(c.atom.field, negated)
	case opNot:
		return !c.kids[0].under(!negated, there)
	}
	for _, k := range c.kids {
		if k.under(negated, there) == (c.op == opOr) {
			return c.op == opOr
		}
	}
	return c.op == opAnd
}

// within reports whether the number satisfies all limits.
func (c *correlation) within(value float64) bool {
	for _, l := range c.limits {
		if !compare(value, l.op, l.value) {
			return false
		}
	}
	return true
}

// applyFilter narrows rules by a filter document (SEMANTICS 12): (rule's condition) and (filter's condition), so a filter
// that is to exclude is written with not. Its identifiers are its own: no pattern of the rule's condition catches them.
func applyFilter(doc *node, opts *Options, rules []*Rule, find func(name string) *Rule) (warnings []string, err error) {
	n := doc.get("filter")
	if n.kind != mapNode {
		return nil, n.errorf("filter is %s, a map is expected", n.kind)
	}
	source, err := readLogSource(doc, false)
	if err != nil {
		return nil, err
	}
	names := n.get("rules")
	if names == nil || len(names.texts()) == 0 {
		return nil, n.errorf("a filter wants rules, or any")
	}
	targets := rules
	if !slices.Equal(names.texts(), []string{"any"}) {
		targets = nil
		for _, name := range names.texts() {
			r := find(name)
			if r == nil || r.correlation != nil {
				return nil, names.errorf("detection rule %q is not there, or was refused", name)
			}
			if !source.compatible(r.Source) {
				return nil, names.errorf("rule %q is about another log source than the filter", name)
			}
			targets = append(targets, r)
		}
	}
	searches := *n
	searches.pairs = slices.DeleteFunc(slices.Clone(n.pairs), func(p pair) bool { return p.key.text == "rules" })
	when, warnings, err := readDetection(&searches, opts)
	if err != nil {
		return nil, err
	}
	if !when.negates() {
		warnings = append(warnings, fmt.Sprintf("%d:%d: the filter's condition has no not: what it does not match is filtered out", n.line, n.column))
	}
	for _, r := range targets {
		if r.correlation == nil && source.compatible(r.Source) {
			r.when = all([]*condition{r.when, when})
		}
	}
	return warnings, nil
}
