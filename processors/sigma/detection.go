package sigma

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// detection reads the searches of one rule.
type detection struct {
	opts     *Options
	warnings []string
}

func (d *detection) warn(n *node, format string, args ...any) {
	d.warnings = append(d.warnings, fmt.Sprintf("%d:%d: %s", n.line, n.column, fmt.Sprintf(format, args...)))
}

// readDetection compiles a rule's detection.
func readDetection(n *node, opts *Options) (*condition, []string, error) {
	d := &detection{opts: opts}
	searches, names, err := d.searches(n)
	if err != nil {
		return nil, nil, err
	}
	if timeframe := n.get("timeframe"); timeframe != nil {
		return nil, nil, timeframe.errorf("timeframe belongs to the old aggregation, which is not supported: write a correlation")
	}
	c, err := d.condition(n, searches, names)
	return c, d.warnings, err
}

// searches compiles the search identifiers.
func (d *detection) searches(n *node) (map[string]*condition, []string, error) {
	if n.kind != mapNode {
		return nil, nil, n.errorf("detection is %s, a map is expected", n.kind)
	}
	searches := map[string]*condition{}
	var names []string
	for _, p := range n.pairs {
		name := p.key.text
		if name == "condition" || name == "timeframe" {
			continue
		}
		if !isIdentifier(name) {
			return nil, nil, p.key.errorf("search identifier %q: only letters, digits, _ and - are allowed", name)
		}
		c, err := d.search(p.value)
		if err != nil {
			return nil, nil, err
		}
		searches[name] = c
		names = append(names, name)
	}
	return searches, names, nil
}

// isIdentifier also keeps identifiers apart from the condition's own signs.
func isIdentifier(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return !isWord(r) && r != '-' })
}

// condition reads the condition, or several: any of them is enough.
func (d *detection) condition(n *node, searches map[string]*condition, names []string) (*condition, error) {
	text := n.get("condition")
	if text == nil {
		return nil, n.errorf("the detection has no condition")
	}
	var any []*condition
	for _, item := range text.list() {
		if !item.scalar() || item.kind == nullNode {
			return nil, item.errorf("condition is %s, a text is expected", item.kind)
		}
		p := conditionParser{at: item, search: func(name string) *condition { return searches[name] }, names: names}
		c, err := p.parse()
		if err != nil {
			return nil, err
		}
		any = append(any, c)
	}
	if len(any) == 0 {
		return nil, text.errorf("the condition is empty")
	}
	return anyOf(any), nil
}

// search compiles one search: a map (all of its items), or a list (any of its maps or keywords).
func (d *detection) search(n *node) (*condition, error) {
	switch n.kind {
	case mapNode:
		return d.items(n)
	case nullNode:
		return nil, n.errorf("a search without a value")
	}
	var any []*condition
	var keywords []*node
	for _, item := range n.list() {
		switch item.kind {
		case mapNode:
			c, err := d.items(item)
			if err != nil {
				return nil, err
			}
			any = append(any, c)
		case listNode, nullNode:
			return nil, item.errorf("%s in a list of searches, a map or a keyword is expected", item.kind)
		default:
			keywords = append(keywords, item)
		}
	}
	if len(keywords) > 0 {
		c, err := d.item(keywords[0], "", keywords)
		if err != nil {
			return nil, err
		}
		any = append(any, c)
	}
	if len(any) == 0 {
		return nil, n.errorf("the search is an empty list")
	}
	return anyOf(any), nil
}

// items compiles a map: every item must match.
func (d *detection) items(n *node) (*condition, error) {
	var kids []*condition
	for _, p := range n.pairs {
		if p.value.kind == mapNode {
			return nil, p.value.errorf("the value of %q is a map, a value or a list of values is expected", p.key.text)
		}
		if p.value.kind == listNode && len(p.value.items) == 0 {
			return nil, p.value.errorf("the list of values of %q is empty", p.key.text)
		}
		c, err := d.item(p.key, p.key.text, p.value.list())
		if err != nil {
			return nil, err
		}
		kids = append(kids, c)
	}
	if len(kids) == 0 {
		return nil, n.errorf("the search is an empty map")
	}
	return all(kids), nil
}

// item compiles a field with its modifiers and values; an empty field means keywords.
func (d *detection) item(at *node, key string, values []*node) (*condition, error) {
	field, chain, _ := strings.Cut(key, "|")
	m, err := readModifiers(at, key, chain)
	if err != nil {
		return nil, err
	}
	for _, v := range values {
		if !v.scalar() {
			return nil, v.errorf("a value of %q is %s", key, v.kind)
		}
	}
	if m.all && len(values) == 1 {
		d.warn(at, "all with a single value has no effect")
	}
	if field == "" {
		if m.op != opText && m.op != opRegexp || m.anchored() {
			return nil, at.errorf("%s is not defined for keywords", m.opName)
		}
		m.startOpen, m.endOpen = true, true
	}
	var kids []*condition // those that cannot share an atom
	any := &atom{field: field}
	for _, v := range values {
		tests, special, err := d.value(m, field, v, len(values))
		if err != nil {
			return nil, err
		}
		switch {
		case special != nil:
			kids = append(kids, &condition{op: opAtom, atom: special})
		case m.all:
			kids = append(kids, &condition{op: opAtom, atom: &atom{field: field, tests: tests}})
		default:
			any.tests = append(any.tests, tests...)
		}
	}
	if len(any.tests) > 0 {
		kids = append(kids, &condition{op: opAtom, atom: any})
	}
	c := anyOf(kids)
	if m.all {
		c = all(kids)
	}
	if m.neq {
		c = not(c)
	}
	return c, nil
}

// value compiles one value: tests of which any may hold, or an atom that is not about the field's text.
func (d *detection) value(m *modifiers, field string, v *node, of int) (tests []test, special *atom, err error) {
	if v.kind == nullNode {
		if m.op != opText || len(m.transforms) > 0 || m.startOpen || m.endOpen || field == "" {
			return nil, nil, v.errorf("null takes no modifiers but all and neq, and is no keyword")
		}
		if of > 1 {
			d.warn(v, "null in a list of values")
		}
		return nil, &atom{field: field, kind: atomNull}, nil
	}
	switch m.op {
	case opExists:
		if v.text != "true" && v.text != "false" {
			return nil, nil, v.errorf("exists wants true or false")
		}
		if of > 1 {
			return nil, nil, v.errorf("exists wants one value")
		}
		kind := atomExists
		if v.text == "false" {
			kind = atomAbsent
		}
		return nil, &atom{field: field, kind: kind}, nil
	case opRange:
		return one(newRangeTest(v, m))
	case opPart:
		return one(newPartTest(v, m))
	case opFieldRef:
		if v.text == "" {
			return nil, nil, v.errorf("fieldref wants the name of a field")
		}
		return nil, &atom{field: field, kind: atomFieldRef, other: v.text, cased: m.cased, startOpen: m.startOpen, endOpen: m.endOpen}, nil
	}
	texts, err := d.expand(m, v)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range texts {
		var t []test
		switch m.op {
		case opRegexp:
			t, _, err = one(newRegexpTest(v, m))
		case opCIDR:
			t, _, err = one(newCIDRTest(v, s))
		default:
			t, err = textTests(v, m, s)
		}
		if err != nil {
			return nil, nil, err
		}
		tests = append(tests, t...)
	}
	return tests, nil, nil
}

func one(t test, err error) ([]test, *atom, error) { return []test{t}, nil, err }

// expand reads the value's wildcards and puts each combination of its placeholders' values in their place.
func (d *detection) expand(m *modifiers, v *node) ([]sigmaString, error) {
	if v.kind != textNode {
		return []sigmaString{{{elemText, v.text}}}, nil
	}
	s := readString(v.text, m.expand)
	done := []sigmaString{nil}
	for _, e := range s {
		if e.kind != elemPlaceholder {
			for i := range done {
				done[i] = append(done[i][:len(done[i]):len(done[i])], e)
			}
			continue
		}
		values := d.opts.Placeholders[e.text]
		if len(values) == 0 {
			return nil, v.errorf("placeholder %%%s%% has no definition%s", e.text, known(d.opts.Placeholders))
		}
		if len(done)*len(values) > maxExpansions {
			return nil, v.errorf("its placeholders stand for more than %d values", maxExpansions)
		}
		var next []sigmaString
		for _, head := range done {
			for _, value := range values {
				next = append(next, append(head[:len(head):len(head)], readString(value, false)...))
			}
		}
		done = next
	}
	return done, nil
}

// maxExpansions bounds the combinations of several placeholders in one value.
const maxExpansions = 100_000

func known(placeholders map[string][]string) string {
	if len(placeholders) == 0 {
		return ""
	}
	return " (defined are: " + strings.Join(slices.Sorted(maps.Keys(placeholders)), ", ") + ")"
}

// textTests applies the modifiers of texts.
func textTests(v *node, m *modifiers, s sigmaString) ([]test, error) {
	alternatives := []sigmaString{s}
	for _, t := range m.transforms {
		var next []sigmaString
		for _, a := range alternatives {
			out, err := t.apply(v, a)
			if err != nil {
				return nil, err
			}
			next = append(next, out...)
		}
		alternatives = next
	}
	var tests []test
	for _, a := range alternatives {
		if !a.valid() {
			return nil, v.errorf("the value's bytes are no text that an event could hold: encode them by base64")
		}
		if m.startOpen {
			a = a.openStart()
		}
		if m.endOpen {
			a = a.openEnd()
		}
		tests = append(tests, newPattern(a, m.cased))
	}
	return tests, nil
}
