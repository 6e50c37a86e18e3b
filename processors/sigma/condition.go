package sigma

import (
	"strings"
)

type conditionOp uint8

const (
	opAnd conditionOp = iota
	opOr
	opNot
	opAtom
)

// condition is a rule's predicate over one event. Logic is two-valued: an atom over an absent field is false (SEMANTICS
// 4 names the exceptions), its negation true.
type condition struct {
	op   conditionOp
	kids []*condition
	atom *atom
}

// all returns the conjunction; one member stands for itself.
func all(kids []*condition) *condition { return join(opAnd, kids) }

// anyOf returns the disjunction; one member stands for itself.
func anyOf(kids []*condition) *condition { return join(opOr, kids) }

func join(op conditionOp, kids []*condition) *condition {
	if len(kids) == 1 {
		return kids[0]
	}
	c := &condition{op: op}
	for _, k := range kids {
		if k.op == op {
			c.kids = append(c.kids, k.kids...)
		} else {
			c.kids = append(c.kids, k)
		}
	}
	return c
}

func not(c *condition) *condition {
	if c.op == opNot {
		return c.kids[0]
	}
	return &condition{op: opNot, kids: []*condition{c}}
}

// conditionParser reads the condition language (SEMANTICS 10):
//
//	or < and < not < N of < ( )
type conditionParser struct {
	at     *node
	tokens []string
	// search returns the condition of an identifier; names are all identifiers in the rule's order.
	search func(name string) *condition
	names  []string
	depth  int
}

// maxConditionDepth bounds nesting: the parser and the evaluation recurse.
const maxConditionDepth = 200

func (p *conditionParser) parse() (*condition, error) {
	p.tokens = conditionTokens(p.at.text)
	if len(p.tokens) == 0 {
		return nil, p.at.errorf("the condition is empty")
	}
	c, err := p.or()
	if err != nil {
		return nil, err
	}
	if len(p.tokens) > 0 {
		if p.tokens[0] == "|" {
			return nil, p.at.errorf("the old aggregation after | is not supported: write a correlation")
		}
		return nil, p.at.errorf("condition: unexpected %q", p.tokens[0])
	}
	return c, nil
}

func conditionTokens(text string) []string {
	for _, c := range []string{"(", ")", "|"} {
		text = strings.ReplaceAll(text, c, " "+c+" ")
	}
	return strings.Fields(text)
}

// take consumes the next token if it is the keyword, whatever its case.
func (p *conditionParser) take(keyword string) bool {
	if len(p.tokens) > 0 && strings.EqualFold(p.tokens[0], keyword) {
		p.tokens = p.tokens[1:]
		return true
	}
	return false
}

func (p *conditionParser) or() (*condition, error) { return p.chain("or", p.and, anyOf) }

func (p *conditionParser) and() (*condition, error) { return p.chain("and", p.not, all) }

func (p *conditionParser) chain(word string, next func() (*condition, error), join func([]*condition) *condition) (*condition, error) {
	var kids []*condition
	for {
		c, err := next()
		if err != nil {
			return nil, err
		}
		kids = append(kids, c)
		if !p.take(word) {
			return join(kids), nil
		}
	}
}

func (p *conditionParser) not() (*condition, error) {
	if p.depth++; p.depth > maxConditionDepth {
		return nil, p.at.errorf("condition: more than %d levels", maxConditionDepth)
	}
	defer func() { p.depth-- }()
	if p.take("not") {
		c, err := p.not()
		if err != nil {
			return nil, err
		}
		return not(c), nil
	}
	return p.primary()
}

func (p *conditionParser) primary() (*condition, error) {
	if len(p.tokens) == 0 {
		return nil, p.at.errorf("condition: it ends where an identifier is expected")
	}
	if p.take("(") {
		c, err := p.or()
		if err != nil {
			return nil, err
		}
		if !p.take(")") {
			return nil, p.at.errorf("condition: a parenthesis is not closed")
		}
		return c, nil
	}
	word := p.tokens[0]
	p.tokens = p.tokens[1:]
	if len(p.tokens) > 0 && strings.EqualFold(p.tokens[0], "of") {
		p.tokens = p.tokens[1:]
		return p.quantified(word)
	}
	c := p.search(word)
	if c == nil {
		return nil, p.at.errorf("condition: %q is no search identifier of the rule (%s)", word, strings.Join(p.names, ", "))
	}
	return c, nil
}

// quantified reads what follows "of".
func (p *conditionParser) quantified(quantifier string) (*condition, error) {
	join := anyOf
	switch strings.ToLower(quantifier) {
	case "1", "any":
	case "all":
		join = all
	default:
		return nil, p.at.errorf("condition: %q of: only 1, any and all are defined", quantifier)
	}
	if len(p.tokens) == 0 {
		return nil, p.at.errorf("condition: it ends after %q of", quantifier)
	}
	target := p.tokens[0]
	p.tokens = p.tokens[1:]
	pattern := target
	if strings.EqualFold(target, "them") {
		pattern = "*"
	}
	var kids []*condition
	for _, name := range p.names {
		if strings.HasPrefix(name, "_") && !strings.HasPrefix(pattern, "_") {
			continue
		}
		if globName(pattern, name) {
			kids = append(kids, p.search(name))
		}
	}
	if len(kids) == 0 {
		return nil, p.at.errorf("condition: %q matches no search identifier of the rule (%s)", target, strings.Join(p.names, ", "))
	}
	return join(kids), nil
}

// globName matches an identifier against a pattern in which * is any run.
func globName(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	last := len(parts) - 1
	if last == 0 {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1:last] {
		_, rest, ok := strings.Cut(name, part)
		if !ok {
			return false
		}
		name = rest
	}
	return strings.HasSuffix(name, parts[last])
}
