package sigma

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Bounds on what is read: the YAML parser's time grows with the square of some inputs, and aliases multiply.
const (
	maxFileBytes = 1 << 20
	maxNodes     = 200_000
	maxNesting   = 64
)

type nodeKind uint8

const (
	nullNode nodeKind = iota
	boolNode
	numberNode
	textNode
	listNode
	mapNode
)

var nodeNames = [...]string{"null", "a boolean", "a number", "a text", "a list", "a map"}

func (k nodeKind) String() string { return nodeNames[k] }

// node is a YAML value with its place; aliases are replaced by what they stand for.
type node struct {
	kind         nodeKind
	line, column int
	text         string // of a scalar: numbers and booleans in canonical form
	items        []*node
	pairs        []pair
}

type pair struct{ key, value *node }

func (n *node) errorf(format string, args ...any) error {
	return &Error{Line: n.line, Column: n.column, Reason: fmt.Sprintf(format, args...)}
}

// scalar reports whether the node is neither list nor map.
func (n *node) scalar() bool { return n.kind < listNode }

// get returns the value of a key, or nil.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for _, p := range n.pairs {
		if p.key.text == key {
			return p.value
		}
	}
	return nil
}

// list returns the members of a list, or the node itself: Sigma lets one value stand for a list of one.
func (n *node) list() []*node {
	if n.kind == listNode {
		return n.items
	}
	return []*node{n}
}

// texts returns the scalars of a list (or one scalar) as text.
func (n *node) texts() []string {
	if n == nil || n.kind == nullNode {
		return nil
	}
	var all []string
	for _, i := range n.list() {
		if i.scalar() {
			all = append(all, i.text)
		}
	}
	return all
}

// textOf returns the scalar below a key as text, or "".
func (n *node) textOf(key string) string {
	if v := n.get(key); v != nil && v.scalar() {
		return v.text
	}
	return ""
}

// readYAML returns the file's documents. What follows a document that is no YAML cannot be read either.
func readYAML(data []byte) ([]*node, error) {
	if len(data) > maxFileBytes {
		return nil, &Error{Line: 1, Column: 1, Reason: fmt.Sprintf("the file has %d bytes, at most %d are allowed", len(data), maxFileBytes)}
	}
	f, err := parser.ParseBytes(withoutEmptyDocuments(data), 0)
	if err != nil {
		e := &Error{Line: 1, Column: 1, Reason: err.Error()}
		if se := yaml.Error(nil); errors.As(err, &se) {
			e.Reason = se.GetMessage()
			if t := se.GetToken(); t != nil && t.Position != nil {
				e.Line, e.Column = t.Position.Line, t.Position.Column
			}
		}
		return nil, e
	}
	var docs []*node
	for _, d := range f.Docs {
		if _, directive := d.Body.(*ast.DirectiveNode); d.Body == nil || directive { // %YAML 1.2
			continue
		}
		c := converter{anchors: map[string]ast.Node{}}
		n, err := c.convert(d.Body, 0)
		if err != nil {
			return docs, err
		}
		if n.kind != nullNode {
			docs = append(docs, n)
		}
	}
	return docs, nil
}

// withoutEmptyDocuments blanks the first of two separators with nothing but comments between them: the parser would drop
// every document behind an empty one. Lines keep their numbers.
func withoutEmptyDocuments(data []byte) []byte {
	lines := bytes.Split(data, []byte("\n"))
	last := -1 // separator that nothing follows so far
	for i, line := range lines {
		switch line = bytes.TrimSpace(line); {
		case bytes.Equal(line, []byte("---")) && lines[i][0] == '-':
			if last >= 0 {
				lines[last] = nil
			}
			last = i
		case len(line) > 0 && line[0] != '#':
			last = -1
		}
	}
	return bytes.Join(lines, []byte("\n"))
}

type converter struct {
	anchors map[string]ast.Node
	nodes   int
}

func (c *converter) convert(n ast.Node, depth int) (*node, error) {
	out := &node{line: 1, column: 1}
	if n == nil {
		return out, nil
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		out.line, out.column = t.Position.Line, t.Position.Column
	}
	if c.nodes++; c.nodes > maxNodes || depth > maxNesting {
		return nil, out.errorf("the document is too large: at most %d values and %d levels, aliases resolved", maxNodes, maxNesting)
	}
	switch n := n.(type) {
	case *ast.NullNode:
	case *ast.BoolNode:
		out.kind, out.text = boolNode, strconv.FormatBool(n.Value)
	case *ast.IntegerNode:
		out.kind, out.text = numberNode, fmt.Sprint(n.Value)
	case *ast.FloatNode:
		out.kind, out.text = numberNode, canonicalFloat(n.Value)
	case *ast.InfinityNode, *ast.NanNode:
		out.kind, out.text = textNode, n.GetToken().Value
	case *ast.StringNode:
		out.kind, out.text = textNode, n.Value
	case *ast.LiteralNode:
		out.kind, out.text = textNode, n.Value.Value
	case *ast.TagNode:
		if n.Start.Value != "!!str" {
			return nil, out.errorf("tag %s is not supported", n.Start.Value)
		}
		v, err := c.convert(n.Value, depth+1)
		if err != nil {
			return nil, err
		}
		if !v.scalar() {
			return nil, out.errorf("tag !!str on %s", v.kind)
		}
		out.kind, out.text = textNode, v.text
	case *ast.AnchorNode:
		c.anchors[n.Name.GetToken().Value] = n.Value
		return c.convert(n.Value, depth+1)
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		target, ok := c.anchors[name]
		if !ok {
			return nil, out.errorf("alias *%s has no anchor", name)
		}
		return c.convert(target, depth+1)
	case *ast.SequenceNode:
		out.kind = listNode
		for _, v := range n.Values {
			item, err := c.convert(v, depth+1)
			if err != nil {
				return nil, err
			}
			out.items = append(out.items, item)
		}
	case *ast.MappingNode:
		return c.mapping(out, n.Values, depth)
	case *ast.MappingValueNode:
		return c.mapping(out, []*ast.MappingValueNode{n}, depth)
	default:
		return nil, out.errorf("YAML of the kind %s is not supported", n.Type())
	}
	return out, nil
}

func (c *converter) mapping(out *node, values []*ast.MappingValueNode, depth int) (*node, error) {
	out.kind = mapNode
	for i, v := range values {
		if _, merge := v.Key.(*ast.MergeKeyNode); merge {
			return nil, out.errorf("merge keys (<<) are not supported")
		}
		k, err := c.convert(v.Key, depth+1)
		if err != nil {
			return nil, err
		}
		if i == 0 { // the token of a block mapping is its first colon
			out.line, out.column = k.line, k.column
		}
		if !k.scalar() {
			return nil, k.errorf("a key must be a plain text")
		}
		if out.get(k.text) != nil {
			return nil, k.errorf("key %q is there twice", k.text)
		}
		value, err := c.convert(v.Value, depth+1)
		if err != nil {
			return nil, err
		}
		if value.kind == nullNode {
			value.line, value.column = k.line, k.column
		}
		out.pairs = append(out.pairs, pair{k, value})
	}
	return out, nil
}

// canonicalFloat writes a number so that equal numbers have equal texts: 1.0 and 1e0 are 1.
func canonicalFloat(f float64) string {
	return string(appendFloat(nil, f))
}
