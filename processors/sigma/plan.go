package sigma

import (
	"math"
	"net/netip"
)

type keyOp uint8

const (
	keyPresent keyOp = iota
	keyEqual
	keyPrefix
	keySuffix
	keyContains
	keyBeyond // ASCII
	keyNetwork
)

// indexKey is something that an event must have: a field, or a text (folded) or address in it.
type indexKey struct {
	field   string
	op      keyOp
	text    string
	network netip.Prefix
}

// isShort tells that the index is not faster than a search for the contained text.
func (k indexKey) isShort() bool { return k.op == keyContains && len(k.text) < minPlain }

// need is a necessary condition: one of the keys must be found.
type need []indexKey

// planner chooses the need under which a rule is filed: the one that the fewest events meet. What many rules ask for,
// many events have: the directory of the system, the shell.
type planner struct {
	rules map[indexKey]int
}

func (p *planner) survey(c *condition) {
	for _, k := range c.kids {
		p.survey(k)
	}
	if c.op == opAtom && c.atom.kind == atomTests {
		for _, t := range c.atom.tests {
			for _, n := range t.needs(nil) {
				for _, k := range n {
					p.rules[k.of(c.atom.field)]++
				}
			}
		}
	}
}

func (k indexKey) of(field string) indexKey {
	k.field = field
	return k
}

// access returns the rule's cheapest need; its cost is infinite where it has none.
func (p *planner) access(c *condition) (best need, cost float64) {
	cost = math.Inf(1)
	switch c.op {
	case opAnd:
		for _, k := range c.kids {
			if n, x := p.access(k); x < cost {
				best, cost = n, x
			}
		}
	case opOr:
		sum := 0.0
		for _, k := range c.kids {
			n, x := p.access(k)
			best, sum = append(best, n...), sum+x
		}
		cost = sum
	case opAtom:
		return p.atom(c.atom)
	}
	return best, cost
}

func (p *planner) atom(a *atom) (best need, cost float64) {
	present := need{{field: a.field, op: keyPresent}}
	switch a.kind {
	case atomNull, atomAbsent:
		return nil, math.Inf(1)
	case atomExists, atomFieldRef:
		return present, presentCost
	}
	for _, t := range a.tests {
		n, x := p.test(t, a.field)
		if n == nil {
			if a.field == "" {
				return nil, math.Inf(1)
			}
			return present, presentCost
		}
		best, cost = append(best, n...), cost+x
	}
	if cost > presentCost && a.field != "" {
		return present, presentCost
	}
	return best, cost
}

// guards returns keys of which one is found where one of the atom's tests holds that the index does not answer; ok is false
// where there are none.
func (p *planner) guards(a *compiledAtom) (keys need, ok bool) {
	if a.kind != atomTests {
		return nil, false
	}
	for _, t := range a.rest {
		n, _ := p.test(t, a.field)
		if n == nil {
			return nil, false
		}
		for _, k := range n {
			if k.isShort() {
				return nil, false
			}
		}
		keys = append(keys, n...)
	}
	return keys, true
}

func (p *planner) test(t test, field string) (best need, cost float64) {
	cost = math.Inf(1)
	for _, n := range t.needs(nil) {
		sum := 0.0
		keys := make(need, len(n))
		for i, k := range n {
			keys[i] = k.of(field)
			sum += p.cost(keys[i])
		}
		if sum < cost {
			best, cost = keys, sum
		}
	}
	return best, cost
}

// presentCost is what it costs to file a rule under a field that is there: more than many texts of which each is rare, for these
// are looked for anyway.
const presentCost = 4

// cost guesses which share of events has the key.
func (p *planner) cost(k indexKey) float64 {
	share := 0.0
	n := float64(len(k.text))
	switch k.op {
	case keyEqual:
		share = 0.004
		if n < 6 { // a number or a flag
			share = 0.05
		}
	case keyPrefix, keySuffix:
		share = 0.3 * math.Pow(0.75, n)
	case keyContains:
		share = math.Pow(0.7, n)
	case keyNetwork, keyBeyond:
		share = 0.02
	}
	if k.field == "" { // any value of the event
		share *= 10
	}
	return min(share, 1) * (1 + float64(p.rules[k])/4)
}
