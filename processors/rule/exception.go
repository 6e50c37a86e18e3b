package rule

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Exception says that events which meet a condition do not count for some rules, for a time: a decision with an owner and a
// ticket, in a file of its own (<name>.exceptions.yaml) beside the rules. It ends by itself.
//
// An event that is excepted takes no part in what leads to an alert: matches, samples, evidence and what goes on meanwhile.
// What an absence expects, and what forgets or resolves, still counts.
type Exception struct {
	ID    string
	Rules []string // ids; nil for all
	// When is the condition as it was understood.
	When   string
	Why    string
	Owner  string
	Ticket string
	// Expires is when it ends: events whose record reached Kafka then or later are not excepted.
	Expires time.Time
	Path    string
	Line    int

	number int // in Set.Exceptions
	when   *condition
}

// IsExceptionFile reports whether a name is that of a file of exceptions.
func IsExceptionFile(name string) bool {
	return strings.HasSuffix(strings.TrimSuffix(name, filepath.Ext(name)), ".exceptions")
}

// readExceptions reads a file of exceptions. The rules are known by then.
func (s *Set) readExceptions(f File) Errors {
	d, root := openDocument(f.Name, f.Data)
	if root == nil {
		return d.errs
	}
	r := &reader{document: d, set: s, captured: map[string]bool{}}
	seen := r.mapping(root, "a file of exceptions", keys{
		"exceptions": func(n ast.Node) { r.list(n, "exceptions", r.exception) },
	})
	r.need(root, seen, "the file", "exceptions")
	return d.errs
}

func (r *reader) exception(n ast.Node) {
	x := &Exception{Path: r.path}
	x.Line, _ = position(n)
	var rules []*Rule
	seen := r.mapping(n, "an exception", keys{
		"id": func(n ast.Node) {
			if x.ID = r.line(n, "id"); !idPattern.MatchString(x.ID) {
				r.failAt(n, fmt.Sprintf("id %q is no id", x.ID), "a letter, then letters, digits, _ and -")
			}
			if i := slices.IndexFunc(r.set.Exceptions, func(o *Exception) bool { return o.ID == x.ID }); i >= 0 {
				other := r.set.Exceptions[i]
				r.failAt(n, fmt.Sprintf("exception %q is in %s:%d as well", x.ID, other.Path, other.Line), "an id names one exception")
			}
		},
		"rules":  func(n ast.Node) { rules = r.exceptedRules(n, x) },
		"when":   func(n ast.Node) { x.when, x.When = r.condition(n, "when") },
		"why":    func(n ast.Node) { x.Why = strings.TrimSpace(r.text(n, "why")) },
		"owner":  func(n ast.Node) { x.Owner = r.line(n, "owner") },
		"ticket": func(n ast.Node) { x.Ticket = r.line(n, "ticket") },
		"expires": func(n ast.Node) {
			t, err := time.Parse(time.DateOnly, r.text(n, "expires"))
			if err != nil {
				r.failAt(n, fmt.Sprintf("expires: %q is no date", n.GetToken().Value), "as in 2027-01-31; the exception ends when that day begins in UTC")
			}
			x.Expires = t
		},
	})
	r.need(n, seen, "the exception", "id", "rules", "when", "why", "owner", "ticket", "expires")
	x.number = len(r.set.Exceptions)
	r.set.Exceptions = append(r.set.Exceptions, x)
	for _, rule := range rules {
		rule.exceptions = append(rule.exceptions, x)
	}
}

// exceptedRules reads a list of ids, or "*" for all rules that are judged here.
func (r *reader) exceptedRules(n ast.Node, x *Exception) (rules []*Rule) {
	if s, ok := n.(*ast.StringNode); ok && s.Value == "*" {
		return slices.DeleteFunc(slices.Clone(r.set.Rules), (*Rule).IsJudgedElsewhere)
	}
	r.list(n, "rules", func(n ast.Node) {
		id := r.line(n, "rules")
		rule := r.set.byID[id]
		switch {
		case rule == nil:
			var ids []string
			for _, known := range r.set.Rules {
				ids = append(ids, known.ID)
			}
			r.failAt(n, fmt.Sprintf("there is no rule %q", id), didYouMean(id, ids))
		case rule.IsJudgedElsewhere():
			r.failAt(n, fmt.Sprintf("rule %s is a Sigma rule", id), "Sigma's filters are its exceptions")
		default:
			rules = append(rules, rule)
			x.Rules = append(x.Rules, id)
		}
	})
	return rules
}

// canExcept tells whether exceptions hold for steps of the role: those that lead to an alert.
func (r Role) canExcept() bool {
	return r == RoleMatch || r == RoleSample || r == RoleEvidence || r == RoleWhile
}

// excepts returns the exception that holds for a match of the event at hand, or nil.
func (v *evaluator) excepts(r *Rule, s *Step) *Exception {
	if len(r.exceptions) == 0 || !s.Role.canExcept() {
		return nil
	}
	for _, x := range r.exceptions {
		v.failed = false
		if v.env.Ev.IngestTime.Before(x.Expires) && v.holds(x.when) && !v.failed {
			return x
		}
	}
	v.failed = false
	return nil
}
