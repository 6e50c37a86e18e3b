package rule

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// window reads a threshold's window: a length, with the kind of window before it where it does not slide.
func (r *reader) window(n ast.Node) {
	src := r.text(n, "window")
	if kind, length, ok := strings.Cut(strings.TrimSpace(src), " "); ok && slices.Contains(windowKinds, kind) {
		r.rule.Windows, src = WindowKind(slices.Index(windowKinds, kind)), length
	}
	r.rule.Window = r.durationText(n, "window", strings.TrimSpace(src), minWindow, maxWindow)
}

// percentilePattern is how a percentile is asked for: p50 to p99.9.
var percentilePattern = regexp.MustCompile(`^p([0-9]{1,2}(\.[0-9]{1,2})?)$`)

// parseQuantile reads "median" or a percentile.
func parseQuantile(s string) (q float64, ok bool) {
	if s == "median" {
		return 0.5, true
	}
	m := percentilePattern.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	percent, err := strconv.ParseFloat(m[1], 64)
	return percent / 100, err == nil && percent > 0
}

// quantile reads a percentile that is a value of its own.
func (r *reader) quantile(n ast.Node, what string) float64 {
	s := r.text(n, what)
	q, ok := parseQuantile(s)
	if !ok {
		r.failAt(n, fmt.Sprintf("%s: expected median or a percentile, got %q", what, s), "as in p95")
	}
	return q
}

// aggregateOps are the words for what an aggregate does; percentiles come on top.
var aggregateOps = map[string]AggregateOp{"count": Count, "distinct": Distinct, "sum": Sum, "avg": Avg, "median": Percentile}

// aggregates reads the mapping of names to "count", "count <condition>", "distinct <value>", or "sum", "avg", "median" or
// "p95" and a number.
func (r *reader) aggregates(n ast.Node) {
	r.pairs(n, "aggregates", func(name string, k, v ast.Node) {
		if !namePattern.MatchString(name) || isColumn(name) {
			r.failAt(k, fmt.Sprintf("aggregate %q is no name", name), "lower-case letters, digits and _, and no column's name")
		}
		src := r.text(v, name)
		op, argument, _ := strings.Cut(strings.TrimLeft(src, " "), " ")
		a := Aggregate{Name: name, Value: -1}
		var ok bool
		if a.Op, ok = aggregateOps[op]; !ok || a.Op == Percentile {
			a.Op = Percentile
			a.Quantile, ok = parseQuantile(op)
		}
		if !ok {
			r.failAt(v, fmt.Sprintf("%s: unknown aggregate %q", name, op), didYouMean(op, append(slices.Sorted(maps.Keys(aggregateOps)), "p95")))
			return
		}
		if strings.TrimSpace(argument) == "" {
			if a.Op != Count {
				r.failAt(v, fmt.Sprintf("%s: %s wants an argument", name, op), "as in distinct ev.SrcIP or sum ev.Bytes")
			}
		} else {
			a.Value = len(r.arguments)
			r.arguments = append(r.arguments, r.argument(v, name, argument, len([]rune(src))-len([]rune(argument)), a.Op))
		}
		r.names = append(r.names, name)
		r.rule.Aggregates = append(r.rule.Aggregates, a)
	})
	if len(r.rule.Aggregates) > maxAggregates {
		r.failAt(n, fmt.Sprintf("aggregates: at most %d are allowed, got %d", maxAggregates, len(r.rule.Aggregates)), "")
	}
}

// argument reads an aggregate's argument, which stands offset runes behind the start of its node.
func (r *reader) argument(n ast.Node, what, src string, offset int, op AggregateOp) *value {
	want := ""
	if op == Count {
		want = "bool"
	}
	tree, errs := parseExpression(src, want)
	for i := range errs {
		errs[i].at += offset
	}
	r.report(n, what, errs)
	if tree == nil {
		return nil
	}
	var v *value
	var err error
	if op == Count {
		v = &value{text: tree.String()}
		v.when, err = r.set.atoms.condition(tree)
	} else {
		v, err = newValue(tree)
	}
	if err != nil {
		r.failAt(n, what+": "+err.Error(), "")
	}
	return v
}
