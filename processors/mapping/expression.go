package mapping

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"github.com/tocsin-project/tocsin/processors/parse"
)

// Bounds of an expression: what people write is far below, what could stop the stream is above.
const (
	maxExprBytes = 1024
	maxExprNodes = 200
	memoryBudget = 10_000
)

// rootName is what the whole record is called where `each` makes several events of it.
const rootName = "root"

// expression is a compiled expression over a record's keys.
type expression struct {
	program *vm.Program
}

// functions are what expressions may call besides expr's own.
var functions = []expr.Option{
	expr.Function("severity", func(args ...any) (any, error) { return int(parse.Severity(text(args[0]))), nil }, new(func(any) int)),
	expr.Function("cvss", func(args ...any) (any, error) {
		score, err := strconv.ParseFloat(text(args[0]), 64)
		if err != nil {
			return 0, nil
		}
		return int(parse.SeverityCVSS(score)), nil
	}, new(func(any) int)),
	expr.Function("repo", func(args ...any) (any, error) { return parse.Repo(text(args[0])), nil }, new(func(any) string)),
	expr.Function("ref", func(args ...any) (any, error) { return parse.Ref(text(args[0])), nil }, new(func(any) string)),
}

// own are their names.
var own = []string{"severity", "cvss", "repo", "ref"}

// unbounded are expr's built-ins whose cost a record's length would decide; they are not to be had.
var unbounded = []string{"reduce", "sortBy", "groupBy", "repeat"}

// compile checks and compiles an expression and notes the paths that it reads: those below root in root, all others in
// item. The offset is where it is wrong, in runes.
func compile(src string, item, root *paths) (_ *expression, at int, err error) {
	if strings.TrimSpace(src) == "" {
		return nil, 0, errors.New("the expression is empty")
	}
	if len(src) > maxExprBytes {
		return nil, 0, fmt.Errorf("the expression has %d bytes, at most %d are allowed", len(src), maxExprBytes)
	}
	config := append([]expr.Option{
		expr.Env(map[string]any{}), expr.AllowUndefinedVariables(), expr.MaxNodes(maxExprNodes),
	}, functions...)
	program, err := expr.Compile(src, config...)
	if err != nil {
		var fe *file.Error
		if errors.As(err, &fe) {
			return nil, fe.From, errors.New(fe.Message)
		}
		return nil, 0, err
	}
	tree, err := parser.Parse(src)
	if err != nil {
		return nil, 0, err
	}
	c := &collector{locals: map[string]bool{}}
	ast.Walk(&tree.Node, c)
	if c.err != nil {
		return nil, c.at, c.err
	}
	for _, path := range c.paths() {
		if path[0] == rootName && root != nil {
			root.add(path[1:])
		} else {
			item.add(path)
		}
	}
	return &expression{program: program}, 0, nil
}

// collector finds the chains of keys that an expression reads. Children are visited before their parents, so a chain is
// seen from its start and grows.
type collector struct {
	chains map[ast.Node][]string
	used   map[ast.Node]bool // chains that a longer one goes on
	locals map[string]bool
	at     int // where a function is called that there is not
	err    error
}

// Visit implements ast.Visitor.
func (c *collector) Visit(node *ast.Node) {
	if c.chains == nil {
		c.chains, c.used = map[ast.Node][]string{}, map[ast.Node]bool{}
	}
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		c.chains[n] = []string{n.Value}
	case *ast.MemberNode:
		base, ok := c.chains[n.Node]
		key, isKey := n.Property.(*ast.StringNode)
		if ok && isKey {
			c.used[n.Node] = true
			c.chains[n] = append(append([]string(nil), base...), key.Value)
		}
	case *ast.CallNode:
		c.used[n.Callee] = true // a function's name is no key
		if f, ok := n.Callee.(*ast.IdentifierNode); !ok || !slices.Contains(own, f.Value) {
			c.refuse(n, n.Callee.String())
		}
	case *ast.BuiltinNode:
		if slices.Contains(unbounded, n.Name) {
			c.refuse(n, n.Name)
		}
	case *ast.VariableDeclaratorNode:
		c.locals[n.Name] = true
	}
}

func (c *collector) refuse(n ast.Node, name string) {
	if c.err == nil {
		c.at, c.err = n.Location().From, fmt.Errorf("there is no function %s", name)
	}
}

func (c *collector) paths() (list [][]string) {
	for node, path := range c.chains {
		if !c.used[node] && !c.locals[path[0]] {
			list = append(list, path)
		}
	}
	return list
}

// text is a value as a field takes it; nil is empty.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		parts := make([]string, 0, len(v))
		for _, item := range v {
			parts = append(parts, text(item))
		}
		return strings.Join(parts, ",")
	}
	return fmt.Sprint(v)
}
