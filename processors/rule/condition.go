package rule

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"

	"github.com/tocsin-project/tocsin/schemas"
)

// condition is an expression that is true or false of an event, as a tree of and, or and not over atoms. Atoms are
// shared by all rules of a set, so that each is evaluated once an event at most.
type condition struct {
	op   conditionOp
	kids []*condition
	atom int // index into atoms.list
}

type conditionOp uint8

const (
	opAtom conditionOp = iota
	opAnd
	opOr
	opNot
)

// atom is a condition that is not taken apart any more: a comparison that we know, as a function, or any other
// expression, as a program of expr.
type atom struct {
	text    string
	test    func(*event) bool
	program *vm.Program
	// keys are index keys of which an event has at least one where the atom is true; nil where there are none.
	keys []indexKey
	// absent is the key that an event has where the atom is false; nil where there is none.
	absent *indexKey
	// column is the field that the atom looks at, for those who explain; "" where it is a program.
	column string
}

// atoms are the atoms of a set.
type atoms struct {
	list  []atom
	index map[string]int // by text
	lists map[string]*list
}

// condition builds the tree of a checked expression.
func (a *atoms) condition(n ast.Node) (*condition, error) {
	switch n := n.(type) {
	case *ast.BinaryNode:
		op := opAtom
		switch n.Operator {
		case "&&", "and":
			op = opAnd
		case "||", "or":
			op = opOr
		}
		if op != opAtom {
			c := &condition{op: op}
			for _, side := range []ast.Node{n.Left, n.Right} {
				kid, err := a.condition(side)
				if err != nil {
					return nil, err
				}
				if kid.op == op {
					c.kids = append(c.kids, kid.kids...)
				} else {
					c.kids = append(c.kids, kid)
				}
			}
			return c, nil
		}
	case *ast.UnaryNode:
		if n.Operator == "!" || n.Operator == "not" {
			kid, err := a.condition(n.Node)
			if err != nil {
				return nil, err
			}
			if kid.op == opNot {
				return kid.kids[0], nil
			}
			return &condition{op: opNot, kids: []*condition{kid}}, nil
		}
	}
	i, err := a.add(n)
	if err != nil {
		return nil, err
	}
	return &condition{atom: i}, nil
}

func (a *atoms) add(n ast.Node) (int, error) {
	key := n.String()
	if i, ok := a.index[key]; ok {
		return i, nil
	}
	at := newAtom(n)
	if call, ok := isListCall(n); ok {
		var err error
		if at, err = a.listAtom(call); err != nil {
			return 0, err
		}
	}
	at.text = key
	if at.test == nil {
		program, err := compile(n)
		if err != nil {
			return 0, err
		}
		at.program = program
	}
	if a.index == nil {
		a.index = map[string]int{}
	}
	a.index[key] = len(a.list)
	a.list = append(a.list, at)
	return len(a.list) - 1, nil
}

// newAtom recognises the comparisons that need no program. Its answers are those of expr: a property test holds that.
func newAtom(n ast.Node) atom {
	switch n := n.(type) {
	case *ast.BoolNode:
		return atom{test: func(*event) bool { return n.Value }}
	case *ast.BinaryNode:
		if t, ok := textOperand(n.Left); ok {
			return t.compare(n.Operator, n.Right)
		}
		if t, ok := textOperand(n.Right); ok && (n.Operator == "==" || n.Operator == "!=") {
			return t.compare(n.Operator, n.Left)
		}
		if f, ok := numberOperand(n.Left); ok {
			return compareNumber(f, n.Left, n.Operator, n.Right)
		}
		if f, ok := numberOperand(n.Right); ok {
			return compareNumber(f, n.Right, mirrored[n.Operator], n.Left)
		}
		if f, ok := listOperand(n.Right); ok && n.Operator == "in" {
			if s, ok := n.Left.(*ast.StringNode); ok {
				return atom{test: func(e *event) bool { return slices.Contains(f(e), s.Value) }, column: columnOf(n.Right)}
			}
		}
	case *ast.CallNode:
		return callAtom(n)
	}
	return atom{}
}

// operand is a text of the event: a field or an attribute.
type operand struct {
	name   string // Go name of the field, or the attribute's name
	attr   bool
	column string
	get    func(*event) string
}

func (o operand) key(op indexOp, value string) indexKey {
	return indexKey{op: op, attr: o.attr, name: o.name, value: value}
}

func textOperand(n ast.Node) (operand, bool) {
	switch n := n.(type) {
	case *ast.MemberNode:
		if name, ok := eventField(n); ok {
			if get := textFields[name]; get != nil {
				return operand{name: name, column: columnOf(n), get: get}, true
			}
		}
	case *ast.CallNode:
		if name, ok := method(n); ok && name == "Attr" && len(n.Arguments) == 1 {
			if key, ok := n.Arguments[0].(*ast.StringNode); ok {
				return operand{name: key.Value, attr: true, column: attrPrefix + key.Value,
					get: func(e *event) string { return e.Attr(key.Value) }}, true
			}
		}
	}
	return operand{}, false
}

// eventField returns the X of ev.X.
func eventField(n ast.Node) (string, bool) {
	m, ok := n.(*ast.MemberNode)
	if !ok {
		return "", false
	}
	of, ok := m.Node.(*ast.IdentifierNode)
	name, isName := m.Property.(*ast.StringNode)
	if !ok || !isName || of.Value != "ev" {
		return "", false
	}
	return name.Value, true
}

// method returns the X of ev.X(...).
func method(n *ast.CallNode) (string, bool) { return eventField(n.Callee) }

func numberOperand(n ast.Node) (func(*event) float64, bool) {
	name, ok := eventField(n)
	f := numberFields[name]
	return f, ok && f != nil
}

func listOperand(n ast.Node) (func(*event) []string, bool) {
	name, ok := eventField(n)
	f := listFields[name]
	return f, ok && f != nil
}

func addrOperand(n ast.Node) (func(*event) netip.Addr, bool) {
	name, ok := eventField(n)
	f := addrFields[name]
	return f, ok && f != nil
}

// compare is the atom of a text compared with constants, or an empty one.
func (o operand) compare(op string, right ast.Node) atom {
	get := o.get
	if list, ok := right.(*ast.ArrayNode); ok && op == "in" {
		return o.in(list)
	}
	s, ok := right.(*ast.StringNode)
	if !ok {
		return atom{}
	}
	want := s.Value
	at := atom{column: o.column}
	switch op {
	case "==":
		at.test = func(e *event) bool { return get(e) == want }
		if want != "" {
			at.keys = []indexKey{o.key(keyEqual, want)}
		} else {
			k := o.key(keyPresent, "")
			at.absent = &k
		}
	case "!=":
		at.test = func(e *event) bool { return get(e) != want }
		if want == "" {
			at.keys = []indexKey{o.key(keyPresent, "")}
		}
	case "startsWith":
		at.test = func(e *event) bool { return strings.HasPrefix(get(e), want) }
		if want != "" {
			at.keys = []indexKey{o.key(keyPrefix, want)}
		}
	case "endsWith":
		at.test = func(e *event) bool { return strings.HasSuffix(get(e), want) }
		if want != "" {
			at.keys = []indexKey{o.key(keySuffix, want)}
		}
	case "contains":
		at.test = func(e *event) bool { return strings.Contains(get(e), want) }
		if want != "" {
			at.keys = []indexKey{o.key(keyContains, want)}
		}
	case "matches":
		re, err := regexp.Compile(want)
		if err != nil {
			return atom{}
		}
		at.test = func(e *event) bool { return re.MatchString(get(e)) }
		if prefix, _ := re.LiteralPrefix(); prefix != "" {
			at.keys = []indexKey{o.key(keyContains, prefix)}
		}
	}
	return at
}

func (o operand) in(list *ast.ArrayNode) atom {
	set := make(map[string]bool, len(list.Nodes))
	at := atom{column: o.column}
	indexed := true
	for _, n := range list.Nodes {
		s, ok := n.(*ast.StringNode)
		if !ok {
			return atom{}
		}
		set[s.Value] = true
		indexed = indexed && s.Value != ""
		at.keys = append(at.keys, o.key(keyEqual, s.Value))
	}
	if !indexed || len(list.Nodes) == 0 {
		at.keys = nil
	}
	get := o.get
	at.test = func(e *event) bool { return set[get(e)] }
	return at
}

var mirrored = map[string]string{"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

// compareNumber is the atom of a number compared with a constant, or one without a test.
func compareNumber(get func(*event) float64, field ast.Node, op string, n ast.Node) atom {
	var want float64
	switch n := n.(type) {
	case *ast.IntegerNode:
		want = float64(n.Value)
	case *ast.FloatNode:
		want = n.Value
	default:
		return atom{}
	}
	name, _ := eventField(field)
	at := atom{column: columnOf(field)}
	key := indexKey{name: name, number: want}
	switch op {
	case "==":
		at.test = func(e *event) bool { return get(e) == want }
		key.op = keyNumber
	case "!=":
		at.test = func(e *event) bool { return get(e) != want }
		return at
	case "<":
		at.test = func(e *event) bool { return get(e) < want }
		key.op = keyMost
	case "<=":
		at.test = func(e *event) bool { return get(e) <= want }
		key.op = keyMost
	case ">":
		at.test = func(e *event) bool { return get(e) > want }
		key.op = keyLeast
	case ">=":
		at.test = func(e *event) bool { return get(e) >= want }
		key.op = keyLeast
	default:
		return atom{}
	}
	at.keys = []indexKey{key}
	return at
}

// callAtom recognises ev.HasLabel("x") and inCIDR(ev.SrcIP, "x", ...).
func callAtom(n *ast.CallNode) atom {
	if name, ok := method(n); ok && name == "HasLabel" && len(n.Arguments) == 1 {
		if s, ok := n.Arguments[0].(*ast.StringNode); ok {
			return atom{column: "labels", test: func(e *event) bool { return e.HasLabel(s.Value) }}
		}
		return atom{}
	}
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok || callee.Value != "inCIDR" || len(n.Arguments) < 2 {
		return atom{}
	}
	get, ok := addrOperand(n.Arguments[0])
	if !ok {
		return atom{}
	}
	var networks []netip.Prefix
	var keys []indexKey
	name, _ := eventField(n.Arguments[0])
	for _, a := range n.Arguments[1:] {
		s, ok := a.(*ast.StringNode)
		if !ok {
			return atom{}
		}
		p, err := netip.ParsePrefix(s.Value)
		if err != nil {
			return atom{}
		}
		networks = append(networks, p)
		keys = append(keys, indexKey{op: keyNetwork, name: name, network: p})
	}
	return atom{column: columnOf(n.Arguments[0]), keys: keys, test: func(e *event) bool {
		addr := get(e).Unmap()
		for _, p := range networks {
			if p.Contains(addr) {
				return true
			}
		}
		return false
	}}
}

// needs returns the fields that the condition looks for a value in.
func (a *atoms) needs(c *condition) (columns []string) {
	if c.op == opAtom {
		if at := &a.list[c.atom]; len(at.keys) > 0 && at.keys[0].wantsValue() {
			return []string{at.column}
		}
	}
	if c.op != opNot {
		for _, kid := range c.kids {
			columns = append(columns, a.needs(kid)...)
		}
	}
	return columns
}

// value is an expression whose result a signal carries, as text: that of a function, of a condition ("1" where it is
// true, else "") or of a program.
type value struct {
	text    string
	column  string // the field that it is; "" where it is made of more
	get     func(*event) string
	when    *condition
	program *vm.Program
}

// newValue builds a value of a checked expression.
func newValue(n ast.Node) (*value, error) {
	v := &value{text: n.String()}
	if o, ok := textOperand(n); ok {
		v.get, v.column = o.get, o.column
		return v, nil
	}
	if f, ok := addrOperand(n); ok {
		v.column = columnOf(n)
		v.get = func(e *event) string { return addrText(f(e)) }
		return v, nil
	}
	switch n := n.(type) {
	case *ast.StringNode:
		v.get = func(*event) string { return n.Value }
		return v, nil
	case *ast.MemberNode:
		if name, ok := eventField(n); ok && name == "Value" {
			v.get = func(e *event) string { return text(e.Value) }
			return v, nil
		}
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok && callee.Value == "net" {
			if f, ok := addrOperand(n.Arguments[0]); ok {
				bits4, bits6 := n.Arguments[1].(*ast.IntegerNode).Value, defaultNet6
				if len(n.Arguments) > 2 {
					bits6 = n.Arguments[2].(*ast.IntegerNode).Value
				}
				v.get = func(e *event) string { return network(f(e), bits4, bits6) }
				return v, nil
			}
		}
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok && callee.Value == "ip" {
			if f, ok := addrOperand(n.Arguments[0]); ok {
				v.get = func(e *event) string { return addrText(f(e)) }
				return v, nil
			}
		}
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok && callee.Value == "firstOf" {
			if get, ok := firstOf(n.Arguments); ok {
				v.get = get
				return v, nil
			}
		}
	}
	var err error
	v.program, err = compile(n)
	return v, err
}

func firstOf(args []ast.Node) (func(*event) string, bool) {
	gets := make([]func(*event) string, len(args))
	for i, a := range args {
		v, err := newValue(a)
		if err != nil || v.get == nil {
			return nil, false
		}
		gets[i] = v.get
	}
	return func(e *event) string {
		for _, get := range gets {
			if s := get(e); s != "" {
				return s
			}
		}
		return ""
	}, true
}

// evaluator runs conditions and values over one event at a time. It serves one worker.
type evaluator struct {
	set *Set
	env env
	vm  vm.VM
	// memo holds the atoms' answers for the present event: generation<<2 | answer.
	memo       []uint64
	generation uint64
	failed     bool // a program of the rule at hand ended with an error
	// programs counts the runs of expr.
	programs uint64
}

const (
	answerFalse  = 1
	answerTrue   = 2
	answerFailed = 3
)

func newEvaluator(set *Set) evaluator {
	return evaluator{set: set, memo: make([]uint64, len(set.atoms.list)), vm: vm.VM{MemoryBudget: memoryBudget}}
}

// begin makes e the event at hand.
func (v *evaluator) begin(e *event) {
	v.env.Ev = e
	v.generation++
}

// holds evaluates a condition. After an error in one of its programs failed is set and the answer means nothing.
func (v *evaluator) holds(c *condition) bool {
	switch c.op {
	case opAnd:
		for _, kid := range c.kids {
			if !v.holds(kid) {
				return false
			}
		}
		return true
	case opOr:
		for _, kid := range c.kids {
			if v.holds(kid) {
				return true
			}
		}
		return false
	case opNot:
		return !v.holds(c.kids[0])
	}
	m := v.memo[c.atom]
	if m>>2 == v.generation {
		if m&3 == answerFailed {
			v.failed = true
		}
		return m&3 == answerTrue
	}
	a := &v.set.atoms.list[c.atom]
	answer := uint64(answerFalse)
	if a.test != nil {
		if a.test(v.env.Ev) {
			answer = answerTrue
		}
	} else if result, ok := v.run(a.program); !ok {
		answer = answerFailed
		v.failed = true
	} else if b, _ := result.(bool); b {
		answer = answerTrue
	}
	v.memo[c.atom] = v.generation<<2 | answer
	return answer == answerTrue
}

func (v *evaluator) run(p *vm.Program) (any, bool) {
	v.programs++
	result, err := v.vm.Run(p, &v.env)
	return result, err == nil
}

// valueOf returns the value's text. After an error failed is set.
func (v *evaluator) valueOf(x *value) string {
	if x.get != nil {
		return x.get(v.env.Ev)
	}
	if x.when != nil {
		return text(v.holds(x.when))
	}
	result, ok := v.run(x.program)
	if !ok {
		v.failed = true
		return ""
	}
	return text(result)
}

// columnOf returns the column of ev.X.
func columnOf(n ast.Node) string {
	name, _ := eventField(n)
	i := slices.IndexFunc(schemas.EventFields, func(f schemas.Field) bool { return f.Go == name })
	return schemas.EventFields[i].Column
}
