package rule

import (
	"fmt"
	"math"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
)

// Having is a condition over the aggregates of a window: numbers, + - * /, comparisons, && || and !. Dividing by zero
// gives no number, and no comparison with it holds.
type Having struct {
	Text string
	eval number
}

// number is a compiled expression over the aggregates; 1 and 0 stand for true and false.
type number func(aggregates []float64) float64

// Holds evaluates the condition. The aggregates are in the order of Rule.Aggregates.
func (h *Having) Holds(aggregates []float64) bool { return h.eval(aggregates) != 0 }

// NewHaving compiles a condition over aggregates of these names.
func NewHaving(src string, names ...string) (*Having, error) {
	h, errs := newHaving(src, names)
	if len(errs) > 0 {
		return nil, fmt.Errorf("having %q: %s", src, errs[0].message)
	}
	return h, nil
}

func newHaving(src string, names []string) (*Having, []exprError) {
	if len(src) > maxExprBytes {
		return nil, []exprError{{0, fmt.Sprintf("the expression has %d bytes, at most %d are allowed", len(src), maxExprBytes), ""}}
	}
	if at := tooDeep(src); at >= 0 {
		return nil, []exprError{{at, fmt.Sprintf("brackets are nested deeper than %d", maxExprNesting), ""}}
	}
	tree, err := parser.Parse(src)
	if err != nil {
		return nil, []exprError{explain(err)}
	}
	c := &havingCompiler{names: names}
	eval, isBool := c.compile(tree.Node)
	if len(c.errs) == 0 && !isBool {
		c.refuse(tree.Node, "having must be a condition", "as in failed >= 20")
	}
	if len(c.errs) > 0 {
		return nil, c.errs
	}
	return &Having{src, eval}, nil
}

type havingCompiler struct {
	names []string
	errs  []exprError
}

func (c *havingCompiler) refuse(n ast.Node, message, hint string) (number, bool) {
	c.errs = append(c.errs, exprError{n.Location().From, message, hint})
	return nil, false
}

func (c *havingCompiler) compile(n ast.Node) (eval number, isBool bool) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		v := float64(n.Value)
		return func([]float64) float64 { return v }, false
	case *ast.FloatNode:
		v := n.Value
		return func([]float64) float64 { return v }, false
	case *ast.IdentifierNode:
		for i, name := range c.names {
			if name == n.Value {
				return func(a []float64) float64 { return a[i] }, false
			}
		}
		return c.refuse(n, fmt.Sprintf("unknown aggregate %q", n.Value), didYouMean(n.Value, c.names))
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	}
	return c.refuse(n, "this is not available in having", "numbers, aggregates, + - * /, comparisons, && || and !")
}

func (c *havingCompiler) unary(n *ast.UnaryNode) (number, bool) {
	x, isBool := c.compile(n.Node)
	if x == nil {
		return nil, false
	}
	switch n.Operator {
	case "!", "not":
		if !isBool {
			return c.refuse(n, n.Operator+" wants a condition", "")
		}
		return func(a []float64) float64 { return truth(x(a) == 0) }, true
	case "-":
		if isBool {
			return c.refuse(n, "- wants a number", "")
		}
		return func(a []float64) float64 { return -x(a) }, false
	}
	return c.refuse(n, "operator "+n.Operator+" is not available in having", "")
}

func (c *havingCompiler) binary(n *ast.BinaryNode) (number, bool) {
	x, xBool := c.compile(n.Left)
	y, yBool := c.compile(n.Right)
	if x == nil || y == nil {
		return nil, false
	}
	logical := strings.Contains("&& and || or", n.Operator)
	if xBool != logical || yBool != logical {
		want := "numbers"
		if logical {
			want = "conditions"
		}
		return c.refuse(n, n.Operator+" wants "+want+" on both sides", "")
	}
	switch n.Operator {
	case "&&", "and":
		return func(a []float64) float64 { return truth(x(a) != 0 && y(a) != 0) }, true
	case "||", "or":
		return func(a []float64) float64 { return truth(x(a) != 0 || y(a) != 0) }, true
	case "==":
		return func(a []float64) float64 { return truth(x(a) == y(a)) }, true
	case "!=":
		return func(a []float64) float64 { return truth(x(a) != y(a)) }, true
	case "<":
		return func(a []float64) float64 { return truth(x(a) < y(a)) }, true
	case "<=":
		return func(a []float64) float64 { return truth(x(a) <= y(a)) }, true
	case ">":
		return func(a []float64) float64 { return truth(x(a) > y(a)) }, true
	case ">=":
		return func(a []float64) float64 { return truth(x(a) >= y(a)) }, true
	case "+":
		return func(a []float64) float64 { return x(a) + y(a) }, false
	case "-":
		return func(a []float64) float64 { return x(a) - y(a) }, false
	case "*":
		return func(a []float64) float64 { return x(a) * y(a) }, false
	case "/":
		return func(a []float64) float64 {
			if d := y(a); d != 0 {
				return x(a) / d
			}
			return math.NaN()
		}, false
	}
	return c.refuse(n, "operator "+n.Operator+" is not available in having", "")
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
