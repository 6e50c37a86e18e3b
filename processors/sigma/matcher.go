package sigma

import (
	"slices"

	"github.com/segmentio/encoding/json"
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
	c.index = newIndex(c.rules, c.slots, c.slot)
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
	tokens  json.Tokenizer
	epoch   uint32
	values  []value
	mapped  int // values before this are of columns: keywords do not look at them
	slots   []slot
	seen    []int32 // slots of the current event
	arena   []byte
	keyBuf  []byte

	answers []answer // by atom
	asked   []uint32 // by rule: the epoch in which it became a candidate
	found   []int32  // candidates
	matched []*Rule

	// Candidates counts the rules that the index gave out.
	Candidates uint64
}

// answer is that of an atom for the event of the epoch.
type answer struct {
	epoch uint32
	yes   bool
}

// NewMatcher returns a matcher for one worker.
func (p *Program) NewMatcher() *Matcher {
	m := &Matcher{program: p, slots: make([]slot, p.slots), answers: make([]answer, len(p.atoms)), asked: make([]uint32, len(p.rules))}
	return m
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
		clear(m.answers)
		clear(m.asked)
		m.epoch = 1
	}
	m.mapped = 0
	m.values, m.seen, m.arena = m.values[:0], m.seen[:0], m.arena[:0]
	m.found, m.matched = m.found[:0], m.matched[:0]
}

func (m *Matcher) judge() []*Rule {
	x := m.program.index
	m.candidates(x.always)
	for _, s := range m.seen {
		f := x.fields[s]
		if f == nil {
			continue
		}
		m.candidates(f.present)
		for i := m.slots[s].head; i >= 0; i = m.values[i].next {
			f.lookup(&m.values[i], m)
		}
	}
	if x.any != nil {
		for i := m.mapped; i < len(m.values); i++ {
			x.any.lookup(&m.values[i], m)
		}
	}
	m.Candidates += uint64(len(m.found))
	for _, r := range m.found {
		if m.holds(&m.program.trees[r]) {
			m.matched = append(m.matched, m.program.rules[r])
		}
	}
	return m.matched
}

// candidates notes rules to be judged, each once.
func (m *Matcher) candidates(rules []int32) {
	for _, r := range rules {
		if m.asked[r] != m.epoch {
			m.asked[r] = m.epoch
			m.found = append(m.found, r)
		}
	}
}

// present reports whether the field is in the event, be it null or empty.
func (m *Matcher) present(slot int32) bool { return m.slots[slot].epoch == m.epoch }

func (m *Matcher) holds(t *tree) bool {
	switch t.op {
	case opAtom:
		a := &m.answers[t.atom]
		if a.epoch != m.epoch {
			*a = answer{m.epoch, m.program.atoms[t.atom].judge(m)}
		}
		return a.yes
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
