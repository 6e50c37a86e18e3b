package rule

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	exprast "github.com/expr-lang/expr/ast"
	"github.com/goccy/go-yaml/ast"
)

// A step may take alerts in place of events: those of the rules that it names, or with `all` those of every rule that
// takes events only. An alert that begins or gets worse is an event of its own then (see package alert): its type is
// alert.firing, ev.Rule is the rule, and it has the columns that the alert speaks of, no others.

// allAlerts stands for every rule that takes no alerts itself.
const allAlerts = "all"

// maxHears bounds how many rules a step names.
const maxHears = 256

// hearing is a step that takes alerts, and where the file says so.
type hearing struct {
	doc   *document
	nodes []ast.Node
	rule  *Rule
	step  int
}

// alerts reads the rules whose alerts a step takes. Which of them there are is known when all files are read.
func (r *reader) alerts(n ast.Node, s *Step) {
	nodes := []ast.Node{n}
	if _, ok := n.(*ast.SequenceNode); ok {
		nodes = nil
		r.list(n, "alerts", func(n ast.Node) { nodes = append(nodes, n) })
	}
	if len(nodes) == 0 || len(nodes) > maxHears {
		r.failAt(n, fmt.Sprintf("alerts: expected all, or 1 to %d rules, got %d", maxHears, len(nodes)), "")
	}
	s.hears = []string{}
	for _, n := range nodes {
		s.hears = append(s.hears, r.line(n, "alerts"))
	}
	s.hearsAt = nodes
}

// always is the condition of a step that takes whatever comes.
func (r *reader) always() (*condition, string) {
	tree := &exprast.BoolNode{Value: true}
	c, err := r.set.atoms.condition(tree)
	if err != nil {
		panic("BUG: true cannot be compiled: " + err.Error())
	}
	return c, tree.String()
}

// connect finds the rules that steps hear, and what is wrong with that: a rule that is not there, a key of which the
// alerts carry nothing, or rules that hear each other in a circle.
func (s *Set) connect() (errs Errors) {
	for _, h := range s.hearings {
		h.rule.Depth = 1
	}
	s.listeners = map[string][]int{}
	for _, h := range s.hearings {
		h.doc.errs = nil // those of reading were told
		if s.byID[h.rule.ID] != h.rule || len(h.nodes) == 0 {
			continue
		}
		step := &h.rule.Steps[h.step]
		step.Alerts = []string{}
		for i, id := range step.hears {
			for _, r := range s.Rules {
				if r.ID == id || id == allAlerts && r.Depth == 0 {
					step.Alerts = append(step.Alerts, r.ID)
				}
			}
			if id != allAlerts && s.byID[id] == nil {
				h.doc.failAt(h.nodes[i], fmt.Sprintf("alerts: there is no rule %q", id), didYouMean(id, slices.Sorted(maps.Keys(s.byID))))
			} else if lacks := step.lacks(s.byID[id]); lacks != nil {
				h.doc.failAt(h.nodes[i], fmt.Sprintf("alerts of %s carry nothing of the key: %s", id, strings.Join(lacks, ", ")),
					"name the column among the entities of "+id)
			}
			if circle := s.circle(h.rule.ID, id, []string{h.rule.ID}, map[string]bool{}); circle != nil {
				h.doc.failAt(h.nodes[i], "alerts go in a circle: "+strings.Join(circle, " -> "), "an alert cannot bring itself about")
			}
		}
		slices.Sort(step.Alerts)
		step.Alerts = slices.Compact(step.Alerts)
		for _, id := range step.Alerts {
			s.byID[id].Heard = true
		}
		errs = append(errs, h.doc.errs...)
	}
	if len(errs) == 0 {
		known := map[*Rule]int{}
		for _, h := range s.hearings {
			h.rule.Depth = s.depth(h.rule, known)
		}
	}
	s.hearings = nil
	return errs
}

// depth is how many alerts lead to one of the rule, one above the other.
func (s *Set) depth(r *Rule, known map[*Rule]int) int {
	depth, ok := known[r]
	if ok {
		return depth
	}
	for i := range r.Steps {
		for _, id := range r.Steps[i].Alerts {
			depth = max(depth, 1+s.depth(s.byID[id], known))
		}
	}
	known[r] = depth
	return depth
}

// circle returns the way of alerts from the rule at the start of the path to itself, over the rule from that it hears; nil
// where there is none. seen are the rules that lead nowhere.
func (s *Set) circle(start, from string, path []string, seen map[string]bool) []string {
	path = append(path, from)
	if from == start {
		slices.Reverse(path)
		return path
	}
	if s.byID[from] == nil || seen[from] {
		return nil
	}
	seen[from] = true
	for _, step := range s.byID[from].Steps {
		for _, heard := range step.hears {
			if found := s.circle(start, heard, slices.Clone(path), seen); found != nil {
				return found
			}
		}
	}
	return nil
}

// lacks returns the columns of the first part of the step's key of which the rule's alerts carry none; nil where each
// part has one, or needs none.
func (step *Step) lacks(r *Rule) []string {
	if r == nil {
		return nil
	}
	for _, part := range step.key {
		if part == nil {
			return nil // that is said already
		}
		needs := part.columns()
		if len(needs) > 0 && !slices.ContainsFunc(needs, r.carries) {
			return needs
		}
	}
	return nil
}

// carries reports whether the event that the rule's alert becomes has the column.
func (r *Rule) carries(column string) bool {
	return slices.Contains(r.Columns, column) || slices.Contains(AlertColumns, column) || strings.HasPrefix(column, attrPrefix+"alert.")
}

// AlertColumns are what the event that an alert becomes has by itself.
var AlertColumns = []string{"event_id", "event_time", "ingest_time", "event_type", "source", "severity_id", "title", "rule_id", "attack_ids"}

// columns returns the columns that a value is made of.
func (v *value) columns() (columns []string) {
	tree, errs := parseExpression(v.text, "")
	if len(errs) > 0 {
		return nil // a constant of ours
	}
	exprast.Walk(&tree, columnVisitor{&columns})
	return columns
}

type columnVisitor struct{ columns *[]string }

// Visit implements ast.Visitor.
func (c columnVisitor) Visit(n *exprast.Node) {
	if o, ok := textOperand(*n); ok {
		*c.columns = append(*c.columns, o.column)
	} else if name, ok := eventField(*n); ok && name != "Attr" && name != "HasLabel" {
		*c.columns = append(*c.columns, columnOf(*n))
	}
}
