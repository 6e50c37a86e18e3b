package sigma

import (
	"slices"
	"time"
)

// Program is a set of rules made ready for events of one log source, or of all. It does not change: matchers of several
// workers share it.
type Program struct {
	rules    []*Rule
	trees    []tree
	atoms    []compiledAtom
	fields   fieldTree
	slots    int
	keywords bool // some rule looks at all values
	index    *index

	correlations []compiledCorrelation
	times        []int32        // slots of timeFields
	quiet        map[*Rule]bool // rules that only serve correlations (generate: false)
}

// atomSet is a set of atoms, by their numbers.
type atomSet []uint64

func (b atomSet) has(i int32) bool { return b[i/64]&(1<<(i%64)) != 0 }
func (b atomSet) add(i int32)      { b[i/64] |= 1 << (i % 64) }
func (b atomSet) remove(i int32)   { b[i/64] &^= 1 << (i % 64) }

// tree is a condition with its atoms interned, cheap members first.
type tree struct {
	op   conditionOp
	atom int32
	kids []tree
}

// compiler interns the fields and atoms of a program.
type compiler struct {
	*Program
	slotOf map[string]int32
	atomOf map[string]int32
	paths  map[string]string // of fields that stand elsewhere in the record
}

// Compile makes the rules of the set ready for events of the log source; nil means that every rule is judged on every
// event.
func (s *Set) Compile(source *LogSource) *Program {
	c := newCompiler()
	for _, r := range s.Rules {
		if source == nil || r.Source.Covers(*source) {
			c.add(r)
		}
	}
	c.correlate(s.Correlations)
	return c.finish()
}

func newCompiler() *compiler {
	return &compiler{&Program{fields: fieldTree{slot: -1}, quiet: map[*Rule]bool{}}, map[string]int32{}, map[string]int32{}, map[string]string{}}
}

func (c *compiler) add(r *Rule) {
	c.rules = append(c.rules, r)
	t, _ := c.tree(r.when)
	c.trees = append(c.trees, t)
}

func (c *compiler) finish() *Program {
	c.index = newIndex(c.rules, c.atoms, c.slots, c.slot)
	return c.Program
}

func (c *compiler) slot(field string) int32 {
	if path, ok := c.paths[field]; ok {
		field = path
	}
	i, ok := c.slotOf[field]
	if !ok {
		i = int32(c.slots)
		c.slots++
		c.slotOf[field] = i
		c.fields.add(field, i)
	}
	return i
}

func (c *compiler) tree(cond *condition) (tree, int) {
	if cond.op == opAtom {
		key := cond.atom.String()
		i, ok := c.atomOf[key]
		if !ok {
			i = int32(len(c.atoms))
			c.atomOf[key] = i
			c.atoms = append(c.atoms, newCompiledAtom(cond.atom, c.slot))
			c.keywords = c.keywords || cond.atom.field == ""
		}
		return tree{op: opAtom, atom: i}, cond.atom.cost()
	}
	type priced struct {
		tree
		cost int
	}
	kids, sum := make([]priced, len(cond.kids)), 0
	for i, k := range cond.kids {
		kids[i].tree, kids[i].cost = c.tree(k)
		sum += kids[i].cost
	}
	slices.SortStableFunc(kids, func(a, b priced) int { return a.cost - b.cost })
	t := tree{op: cond.op, kids: make([]tree, len(kids))}
	for i := range kids {
		t.kids[i] = kids[i].tree
	}
	return t, sum
}

// Matcher judges events by a program's rules. It serves one worker.
type Matcher struct {
	program *Program
	scan    scanner
	epoch   uint32
	values  []value
	mapped  int // values before this are of columns: keywords do not look at them
	slots   []slot
	seen    []int32 // slots of the current event
	arena   []byte
	keyBuf  []byte

	holding    atomSet  // atoms that hold
	asking     atomSet  // atoms that may hold and were not asked yet
	asked      []uint32 // by rule: the epoch in which it became a candidate
	candidates []int32
	matched    []*Rule

	off   []bool // rules that are not judged, by their number; nil where all are
	timed bool   // the event's rules are timed, into took
	took  []took

	// Candidates counts the rules that the index gave out.
	Candidates uint64
}

// NewMatcher returns a matcher for one worker.
func (p *Program) NewMatcher() *Matcher {
	return &Matcher{program: p, slots: make([]slot, p.slots), holding: make(atomSet, len(p.index.ask)), asking: make(atomSet, len(p.index.ask)), asked: make([]uint32, len(p.rules))}
}

// Rules returns the program's rules.
func (p *Program) Rules() []*Rule { return p.rules }

// JSON returns the rules that match one JSON object. The slice is valid until the next event. An error means that the
// line is no JSON object.
func (m *Matcher) JSON(line []byte) ([]*Rule, error) {
	m.begin()
	if err := m.readJSON(line); err != nil {
		return nil, err
	}
	return m.judge(), nil
}

// begin forgets the event before.
func (m *Matcher) begin() {
	m.epoch++
	if m.epoch == 0 { // after 2^32 events, marks of the first ones would seem to be of this one
		clear(m.slots)
		clear(m.asked)
		m.epoch = 1
	}
	clear(m.holding)
	copy(m.asking, m.program.index.ask)
	m.mapped = 0
	m.values, m.seen, m.arena = m.values[:0], m.seen[:0], m.arena[:0]
	m.candidates, m.matched = m.candidates[:0], m.matched[:0]
}

func (m *Matcher) judge() []*Rule {
	x := m.program.index
	m.found(x.always)
	for _, s := range m.seen {
		f := x.fields[s]
		if f == nil {
			continue
		}
		m.found(f.present)
		for i := m.slots[s].head; i >= 0; i = m.values[i].next {
			f.lookup(&m.values[i], m)
		}
	}
	if x.any != nil {
		for i := m.mapped; i < len(m.values); i++ {
			if v := &m.values[i]; v.kind == valueText && !v.searched {
				x.any.lookup(v, m)
			}
		}
	}
	m.Candidates += uint64(len(m.candidates))
	for _, r := range m.candidates {
		if m.off != nil && m.off[r] {
			continue
		}
		var began time.Time
		if m.timed {
			began = time.Now()
		}
		if m.holds(&m.program.trees[r]) {
			m.matched = append(m.matched, m.program.rules[r])
		}
		if m.timed {
			m.took = append(m.took, took{m.program.rules[r], time.Since(began)})
		}
	}
	return m.matched
}

// took is how long a rule was judged for one event.
type took struct {
	rule *Rule
	time time.Duration
}

// found takes what is filed under a key that the event has: rules to be judged, each once, and atoms that hold.
func (m *Matcher) found(what filed) {
	for _, n := range what {
		if a := ^n; a >= 0 && a%2 == 0 {
			m.holding.add(a / 2)
		} else if a >= 0 {
			m.asking.add(a / 2)
		} else if m.asked[n] != m.epoch {
			m.asked[n] = m.epoch
			m.candidates = append(m.candidates, n)
		}
	}
}

// present reports whether the field is in the event, be it null or empty.
func (m *Matcher) present(slot int32) bool { return m.slots[slot].epoch == m.epoch }

func (m *Matcher) holds(t *tree) bool {
	switch t.op {
	case opAtom:
		if m.holding.has(t.atom) || !m.asking.has(t.atom) {
			return m.holding.has(t.atom)
		}
		m.asking.remove(t.atom)
		a := &m.program.atoms[t.atom]
		if a.judge(m, a.rest) {
			m.holding.add(t.atom)
			return true
		}
		return false
	case opNot:
		return !m.holds(&t.kids[0])
	}
	for i := range t.kids {
		if m.holds(&t.kids[i]) == (t.op == opOr) {
			return t.op == opOr
		}
	}
	return t.op == opAnd
}
