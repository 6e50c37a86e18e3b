package rule

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// Bounds of one expression. They hold for whatever a rule's author writes; the memory is counted in items of lists.
const (
	maxExprBytes   = 4096
	maxExprNesting = 32
	maxNodes       = 300
	memoryBudget   = 10_000
)

// env is what an expression sees.
type env struct {
	Ev *event `expr:"ev"`
}

// exprError is what is wrong in an expression, at the rune offset at.
type exprError struct {
	at            int
	message, hint string
}

// parseExpression checks an expression of a rule: its size, its names, its calls and its types. want is "bool" where it
// must be true or false, "" for any value. The tree is typed and not optimized.
func parseExpression(src, want string) (ast.Node, []exprError) {
	if len(src) > maxExprBytes {
		return nil, []exprError{{0, fmt.Sprintf("the expression has %d bytes, at most %d are allowed", len(src), maxExprBytes), ""}}
	}
	if strings.TrimSpace(src) == "" {
		return nil, []exprError{{0, "the expression is empty", ""}}
	}
	if at := tooDeep(src); at >= 0 {
		return nil, []exprError{{at, fmt.Sprintf("brackets are nested deeper than %d", maxExprNesting), ""}}
	}
	// Names are looked at before types: a misspelt field is answered with the field that was meant.
	tree, err := parser.Parse(src)
	if err != nil {
		return nil, []exprError{explain(err)}
	}
	g := &guard{}
	g.node(tree.Node, false)
	if len(g.errs) > 0 {
		return nil, g.errs
	}
	options := append(exprOptions(), expr.Optimize(false))
	if want == "bool" {
		options = append(options, expr.AsBool())
	}
	program, err := expr.Compile(src, options...)
	if err != nil {
		return nil, []exprError{explain(err)}
	}
	if errs := listCalls(program.Node(), want); len(errs) > 0 {
		return nil, errs
	}
	return program.Node(), nil
}

// compile returns the program of a subtree.
func compile(n ast.Node) (*vm.Program, error) {
	program, err := expr.Compile(n.String(), exprOptions()...)
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w", n, err)
	}
	return program, nil
}

// tooDeep returns the offset of the first bracket nested too deep, or -1. It looks at no more than brackets and strings.
func tooDeep(src string) int {
	depth, quote := 0, rune(0)
	escaped := false
	for i, r := range []rune(src) {
		switch {
		case escaped:
			escaped = false
		case quote != 0:
			if r == '\\' && quote != '`' {
				escaped = true
			} else if r == quote {
				quote = 0
			}
		case r == '"' || r == '\'' || r == '`':
			quote = r
		case r == '(' || r == '[' || r == '{':
			if depth++; depth > maxExprNesting {
				return i
			}
		case r == ')' || r == ']' || r == '}':
			depth--
		}
	}
	return -1
}

// explain turns expr's error into ours, with a hint for what people trip over.
func explain(err error) exprError {
	var fe *file.Error
	if !errors.As(err, &fe) {
		return exprError{0, err.Error(), ""}
	}
	e := exprError{at: fe.From, message: strings.ReplaceAll(fe.Message, "pipeline.Event", "event")}
	switch {
	case strings.Contains(e.message, "mismatched types netip.Addr and string"), strings.Contains(e.message, "mismatched types string and netip.Addr"):
		e.hint = `compare addresses by ip(ev.SrcIP) == "203.0.113.9" or inCIDR(ev.SrcIP, "203.0.113.0/28")`
	case strings.Contains(e.message, "mismatched types") && strings.Contains(e.message, "string"):
		e.hint = "numbers are written without quotes, texts with them; int(...) and float(...) read a number from text"
	case strings.Contains(e.message, "unexpected token Operator(\"=\")"):
		e.hint = "equality is written =="
	}
	return e
}

// guard walks a tree and refuses what a rule may not use.
type guard struct{ errs []exprError }

func (g *guard) refuse(n ast.Node, message, hint string) {
	g.errs = append(g.errs, exprError{n.Location().From, message, hint})
}

var operators = []string{
	"==", "!=", "<", "<=", ">", ">=", "&&", "||", "and", "or", "in", "contains", "startsWith", "endsWith", "matches",
	"+", "-", "*", "/", "%", "??",
}

// node checks one node and what is below it. inside tells that it is in the condition of any, all, none or one.
func (g *guard) node(n ast.Node, inside bool) {
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode, *ast.PointerNode:
	case *ast.IdentifierNode:
		if n.Value != "ev" {
			g.refuse(n, fmt.Sprintf("unknown name %q", n.Value), "the event is ev: ev.Type, ev.Severity, ev.Attr(\"name\")")
		}
	case *ast.UnaryNode:
		g.node(n.Node, inside)
	case *ast.BinaryNode:
		if !slices.Contains(operators, n.Operator) {
			g.refuse(n, fmt.Sprintf("operator %s is not available in rules", n.Operator), "")
		}
		if n.Operator == "matches" {
			g.pattern(n.Right)
		}
		g.node(n.Left, inside)
		g.node(n.Right, inside)
	case *ast.ConditionalNode:
		g.node(n.Cond, inside)
		g.node(n.Exp1, inside)
		g.node(n.Exp2, inside)
	case *ast.ArrayNode:
		for _, item := range n.Nodes {
			g.node(item, inside)
		}
	case *ast.SliceNode:
		g.node(n.Node, inside)
		for _, bound := range []ast.Node{n.From, n.To} {
			if bound != nil {
				g.node(bound, inside)
			}
		}
	case *ast.MemberNode:
		g.member(n, inside)
	case *ast.CallNode:
		g.call(n, inside)
	case *ast.BuiltinNode:
		g.builtin(n, inside)
	case *ast.PredicateNode:
		g.node(n.Node, true)
	default:
		g.refuse(n, "this is not available in rules", "no let, no maps, no ?. and no ranges: an expression is a condition over one event")
	}
}

// pattern holds that a regular expression is written out, so that it is compiled once; its time is then linear.
func (g *guard) pattern(n ast.Node) {
	s, ok := n.(*ast.StringNode)
	if !ok {
		g.refuse(n, "the pattern of matches must be written out", "as in ev.Title matches \"^failed .* root\"")
		return
	}
	if _, err := regexp.Compile(s.Value); err != nil {
		g.refuse(n, err.Error(), "")
	}
}

func (g *guard) member(n *ast.MemberNode, inside bool) {
	name, ok := n.Property.(*ast.StringNode)
	if of, isName := n.Node.(*ast.IdentifierNode); ok && isName && of.Value == "ev" {
		if !isGoField(name.Value) {
			g.refuse(n.Property, fmt.Sprintf("the event has no field %q", name.Value), unknownField(name.Value))
		}
		return
	}
	g.node(n.Node, inside)
	if !ok {
		g.node(n.Property, inside)
	}
}

func (g *guard) call(n *ast.CallNode, inside bool) {
	for _, a := range n.Arguments {
		g.node(a, inside)
	}
	switch callee := n.Callee.(type) {
	case *ast.MemberNode:
		name, _ := callee.Property.(*ast.StringNode)
		if name == nil {
			g.refuse(callee, "only a named function can be called", "")
			return
		}
		if of, ok := callee.Node.(*ast.IdentifierNode); ok && of.Value == "ev" {
			if !slices.Contains(methods, name.Value) {
				g.refuse(callee.Property, fmt.Sprintf("the event has no method %q", name.Value), didYouMean(name.Value, methods))
			}
			return
		}
		if !slices.Contains(addrMethods, name.Value) {
			g.refuse(callee.Property, fmt.Sprintf("%s cannot be called", name.Value), didYouMean(name.Value, addrMethods))
		}
		g.node(callee.Node, inside)
	case *ast.IdentifierNode:
		var names []string
		for _, f := range functions {
			names = append(names, f.name)
		}
		if !slices.Contains(names, callee.Value) {
			names = append(names, builtins...)
			g.refuse(callee, fmt.Sprintf("unknown function %q", callee.Value), didYouMean(callee.Value, names))
			return
		}
		g.constants(callee.Value, n.Arguments)
	default:
		g.refuse(n, "only a named function can be called", "")
	}
}

// constants holds that networks and their sizes are written out and right.
func (g *guard) constants(name string, args []ast.Node) {
	if len(args) < 2 {
		return // the checker of types says what is missing
	}
	for _, a := range args[1:] {
		switch name {
		case "inCIDR":
			s, ok := a.(*ast.StringNode)
			if !ok {
				g.refuse(a, "networks must be written out", `as in inCIDR(ev.SrcIP, "10.0.0.0/8")`)
				continue
			}
			if p, err := netip.ParsePrefix(s.Value); err != nil {
				g.refuse(a, fmt.Sprintf("%q is no network", s.Value), "as in 10.0.0.0/8 or 2001:db8::/32")
			} else if p != p.Masked() {
				g.refuse(a, fmt.Sprintf("%q has bits behind its prefix", s.Value), "did you mean "+p.Masked().String()+"?")
			}
		case "net":
			if v, ok := a.(*ast.IntegerNode); !ok || v.Value < 0 || v.Value > 128 {
				g.refuse(a, "the bits of a network must be written out, from 0 to 32 (128 for IPv6)", "")
			}
		}
	}
}

func (g *guard) builtin(n *ast.BuiltinNode, inside bool) {
	if !slices.Contains(builtins, n.Name) {
		g.refuse(n, fmt.Sprintf("function %q is not available in rules", n.Name), didYouMean(n.Name, builtins))
		return
	}
	switch n.Name {
	case "any", "all", "none", "one":
		// Nested walks multiply: count within count over 300 items is 27 million steps.
		if inside {
			g.refuse(n, n.Name+" cannot be nested", "")
		}
	}
	for _, a := range n.Arguments {
		g.node(a, inside)
	}
}
