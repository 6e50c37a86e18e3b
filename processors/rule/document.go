package rule

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFileBytes bounds a rule file: the YAML parser's time grows with the square of some inputs.
const maxFileBytes = 256 << 10

// document is one YAML file being read. Its methods read one kind of node each; what is not as expected is noted in errs
// with its position and reading goes on, so that the author sees everything at once.
type document struct {
	path  string
	lines []string
	errs  Errors
}

// openDocument parses the file. root is nil where it is no YAML or empty; then errs says why.
func openDocument(path string, data []byte) (d *document, root ast.Node) {
	d = &document{path: path}
	if len(data) > maxFileBytes {
		d.fail(0, 0, fmt.Sprintf("the file has %d bytes, at most %d are allowed", len(data), maxFileBytes), "")
		return d, nil
	}
	d.lines = strings.Split(string(data), "\n")
	f, err := parser.ParseBytes(data, 0)
	if err != nil {
		line, column, message := 1, 1, err.Error()
		if se := yaml.Error(nil); errors.As(err, &se) {
			message = se.GetMessage()
			if t := se.GetToken(); t != nil && t.Position != nil {
				line, column = t.Position.Line, t.Position.Column
			}
		}
		d.fail(line, column, message, "")
		return d, nil
	}
	for _, doc := range f.Docs {
		if doc.Body == nil {
			continue
		}
		if root != nil {
			d.failAt(doc.Body, "the file has a second document", "one rule a file")
			continue
		}
		root = doc.Body
	}
	if root == nil && len(d.errs) == 0 {
		d.fail(1, 1, "the file is empty", "")
	}
	return d, root
}

func (d *document) fail(line, column int, message, hint string) {
	e := &Error{Path: d.path, Line: line, Column: max(column, 1), Message: message, Hint: hint}
	if line >= 1 && line <= len(d.lines) {
		e.Source = strings.TrimRight(d.lines[line-1], "\r")
	}
	d.errs = append(d.errs, e)
}

func (d *document) failAt(n ast.Node, message, hint string) {
	line, column := position(n)
	d.fail(line, column, message, hint)
}

func position(n ast.Node) (line, column int) {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && m.Start.Value != "{" {
		n = m.Values[0].Key
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		n = m.Key
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line, t.Position.Column
	}
	return 1, 1
}

// keys are what a mapping may hold: the function reads the value.
type keys map[string]func(ast.Node)

// mapping reads a mapping. what names it in messages. It returns the nodes of the keys that are there.
func (d *document) mapping(n ast.Node, what string, known keys) map[string]ast.Node {
	seen := map[string]ast.Node{}
	d.pairs(n, what, func(key string, k, v ast.Node) {
		read, ok := known[key]
		if !ok {
			d.failAt(k, fmt.Sprintf("unknown key %q in %s", key, what), didYouMean(key, slices.Sorted(maps.Keys(known))))
			return
		}
		seen[key] = k
		if v.Type() == ast.NullType {
			d.failAt(k, fmt.Sprintf("%s has no value", key), "leave the key out or give it a value")
			return
		}
		read(v)
	})
	return seen
}

// pairs calls f for each key of a mapping, in the order of the file.
func (d *document) pairs(n ast.Node, what string, f func(key string, k, v ast.Node)) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		d.expected(n, what, "a mapping (key: value)")
		return
	}
	for _, v := range values {
		if v.Key.IsMergeKey() {
			d.failAt(v.Key, "merge keys are not supported", "write the keys out")
			continue
		}
		f(v.Key.GetToken().Value, v.Key, v.Value)
	}
}

func (d *document) expected(n ast.Node, what, want string) {
	d.failAt(n, fmt.Sprintf("%s: expected %s, got %s", what, want, strings.ToLower(n.Type().String())), "")
}

// list calls f for each item.
func (d *document) list(n ast.Node, what string, f func(ast.Node)) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.expected(n, what, "a list")
		return
	}
	for _, item := range s.Values {
		if item == nil || item.Type() == ast.NullType {
			d.failAt(n, what+": an item is empty", "")
			continue
		}
		f(item)
	}
}

// text reads a scalar. Numbers and booleans count as text as they are written.
func (d *document) text(n ast.Node, what string) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value
	}
	d.expected(n, what, "text")
	return ""
}

// line reads a text of one line that is not empty.
func (d *document) line(n ast.Node, what string) string {
	s := strings.TrimSpace(d.text(n, what))
	if s == "" {
		d.failAt(n, what+" is empty", "")
	}
	return strings.Join(strings.Fields(s), " ")
}

func (d *document) texts(n ast.Node, what string) (out []string) {
	d.list(n, what, func(item ast.Node) { out = append(out, d.line(item, what)) })
	return out
}

func (d *document) bool(n ast.Node, what string) bool {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		d.expected(n, what, "true or false")
		return false
	}
	return b.Value
}

func (d *document) int(n ast.Node, what string, low, high int) int {
	v, err := strconv.Atoi(strings.TrimSpace(n.GetToken().Value))
	if _, ok := n.(*ast.IntegerNode); !ok || err != nil || v < low || v > high {
		d.failAt(n, fmt.Sprintf("%s: expected a whole number from %d to %d, got %q", what, low, high, n.GetToken().Value), "")
		return low
	}
	return v
}

// number reads a number with or without a fraction.
func (d *document) number(n ast.Node, what string, low, high float64) float64 {
	v, err := strconv.ParseFloat(strings.TrimSpace(n.GetToken().Value), 64)
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		if err == nil && v >= low && v <= high {
			return v
		}
	}
	d.failAt(n, fmt.Sprintf("%s: expected a number from %g to %g, got %q", what, low, high, n.GetToken().Value), "")
	return low
}

// word reads one word of a list.
func (d *document) word(n ast.Node, what string, words []string) string {
	failed := len(d.errs)
	s := d.text(n, what)
	if !slices.Contains(words, s) && len(d.errs) == failed {
		d.failAt(n, fmt.Sprintf("%s: unknown %q", what, s), didYouMean(s, words))
	}
	if len(d.errs) > failed {
		return ""
	}
	return s
}

func (d *document) duration(n ast.Node, what string, low, high time.Duration) time.Duration {
	return d.durationText(n, what, d.text(n, what), low, high)
}

// durationText reads a duration that is only a part of its node.
func (d *document) durationText(n ast.Node, what, s string, low, high time.Duration) time.Duration {
	v, err := ParseDuration(s)
	if err != nil || v < low || v > high {
		d.failAt(n, fmt.Sprintf("%s: expected a duration from %s to %s, got %q", what, FormatDuration(low), FormatDuration(high), s), "as in 30s, 10m, 1h30m, 7d")
		return low
	}
	return v
}

// ParseDuration reads a duration as time.ParseDuration does, with days (d) and weeks (w) as well.
func ParseDuration(s string) (time.Duration, error) {
	var days time.Duration
	rest := s
	for _, unit := range []struct {
		suffix string
		length time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		if number, after, ok := strings.Cut(rest, unit.suffix); ok {
			n, err := strconv.Atoi(number)
			if err != nil || n < 0 || n > 10_000 {
				return 0, fmt.Errorf("parse duration %q: bad number before %q", s, unit.suffix)
			}
			days += time.Duration(n) * unit.length
			rest = after
		}
	}
	if rest == "" && s != "" {
		return days, nil
	}
	v, err := time.ParseDuration(rest)
	return days + v, err
}

// FormatDuration writes what ParseDuration reads, without units of zero.
func FormatDuration(v time.Duration) string {
	var b strings.Builder
	if n := v / (24 * time.Hour); n > 0 {
		fmt.Fprintf(&b, "%dd", n)
		v %= 24 * time.Hour
	}
	if v > 0 || b.Len() == 0 {
		s := v.String()
		if strings.HasSuffix(s, "m0s") {
			s = s[:len(s)-2]
		}
		if strings.HasSuffix(s, "h0m") {
			s = s[:len(s)-2]
		}
		b.WriteString(s)
	}
	return b.String()
}

// positionIn returns where the rune at the offset of a scalar's value stands in the file. Folding and quoting change
// only white space and escapes, so the value is followed rune by rune through the source.
func (d *document) positionIn(n ast.Node, offset int) (line, column int) {
	line, column = position(n)
	value := ""
	switch n := n.(type) {
	case *ast.StringNode:
		value = n.Value
	case *ast.LiteralNode:
		value = n.Value.Value
		line, column = line+1, 1
	default:
		return line, column
	}
	row := func() []rune {
		if line < 1 || line > len(d.lines) {
			return nil
		}
		return []rune(d.lines[line-1])
	}
	src := row()
	at := column - 1
	if at < len(src) && (src[at] == '"' || src[at] == '\'') {
		if t := n.GetToken(); strings.HasPrefix(strings.TrimSpace(t.Origin), string(src[at])) {
			at++
		}
	}
	seek := func(r rune) bool { // to the next r at or after at
		for line <= len(d.lines) {
			for ; at < len(src); at++ {
				if src[at] == r {
					return true
				}
			}
			line++
			src, at = row(), 0
		}
		return false
	}
	runes := []rune(value)
	for i, r := range runes {
		if i >= offset {
			break
		}
		if r == ' ' || r == '\n' || r == '\t' {
			continue
		}
		if !seek(r) {
			return position(n)
		}
		at++
	}
	if offset < len(runes) && !strings.ContainsRune(" \n\t", runes[offset]) {
		if !seek(runes[offset]) {
			return position(n)
		}
	}
	return line, at + 1
}
