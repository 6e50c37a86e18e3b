package rule

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	exprast "github.com/expr-lang/expr/ast"
	"github.com/goccy/go-yaml/ast"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/schemas"
)

// Bounds and defaults of a rule's times.
const (
	minWindow     = time.Second
	maxWindow     = 7 * 24 * time.Hour
	maxWithin     = 366 * 24 * time.Hour
	defaultDedup  = time.Hour
	defaultLearn  = 24 * time.Hour
	defaultMemory = 30 * 24 * time.Hour
	// defaultEvidence is how many attack events within minutes make growth an attack.
	defaultEvidence = 10
	maxStepCount    = 10_000
	maxSteps        = 8
	maxAggregates   = 16
	maxColumns      = 64
)

var (
	idPattern        = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)
	namePattern      = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)
	techniquePattern = regexp.MustCompile(`^T[0-9]{4}(\.[0-9]{3})?$`)
)

// reader reads one rule file. What refers to other keys (templates to aggregates, steps to the rule's key) is kept as a
// node and read last, so that the order of keys in the file does not matter.
type reader struct {
	*document
	set  *Set
	rule *Rule

	key, having, newValue, history, crit, title, summary ast.Node
	names                                                []string // of aggregates, by index
	arguments                                            []*value // of aggregates that have one
	captured                                             map[string]bool
	ends                                                 []ending
	own                                                  *Step // of a rule that has one, with its keys beside those of the rule
	suppress, inhibits, opens                            ast.Node
}

// ending is a step that ends something; such steps come after all others.
type ending struct {
	node ast.Node
	step Step
}

// readRule reads the rule of a file. It returns nil where there is no telling what it is.
func readRule(set *Set, path string, data []byte) (*Rule, Errors) {
	d, root := openDocument(path, data)
	if root == nil {
		return nil, d.errs
	}
	r := &reader{document: d, set: set, captured: map[string]bool{},
		rule: &Rule{Path: path, Version: 1, Confidence: 80, Dedup: defaultDedup}}
	r.read(root)
	slices.SortStableFunc(d.errs, func(a, b *Error) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return r.rule, d.errs
}

func (r *reader) read(root ast.Node) {
	kind := r.kind(root)
	if kind == "" {
		return // without a kind nothing else can be judged
	}
	r.rule.Kind = kind
	known, required := r.keysOf(kind)
	seen := r.mapping(root, "a "+string(kind)+" rule", known)
	r.need(root, seen, "the rule", required...)
	if r.own != nil {
		r.complete(root, r.own, seen, "the rule")
		r.rule.Steps = append([]Step{*r.own}, r.rule.Steps...)
	}
	if kind == Spike {
		r.checkHistory(root)
	}
	if kind == Anomaly {
		r.checkAnomaly(seen)
	}
	r.finish()
}

// keysOf returns what a rule of the kind may hold, and what it must. schemas/rule.schema.json says the same to editors.
func (r *reader) keysOf(kind Kind) (known keys, required []string) {
	rule := r.rule
	known = keys{
		"id": func(n ast.Node) {
			if rule.ID = r.line(n, "id"); !idPattern.MatchString(rule.ID) {
				r.failAt(n, fmt.Sprintf("id %q is no id", rule.ID), "a letter, then letters, digits, _ and -")
			}
		},
		"version":         func(n ast.Node) { rule.Version = r.int(n, "version", 1, 1<<30) },
		"title":           func(n ast.Node) { rule.Title = r.line(n, "title") },
		"kind":            func(ast.Node) {},
		"why":             func(n ast.Node) { rule.Why = strings.TrimSpace(r.text(n, "why")) },
		"false_positives": func(n ast.Node) { rule.FalsePositives = r.texts(n, "false_positives") },
		"runbook":         func(n ast.Node) { rule.Runbook = strings.TrimSpace(r.text(n, "runbook")) },
		"attack":          func(n ast.Node) { rule.Attacks = r.techniques(n) },
		"phases":          func(n ast.Node) { rule.Phases = r.phaseList(n) },
		"confidence":      func(n ast.Node) { rule.Confidence = uint8(r.int(n, "confidence", 1, 100)) },
		"playground":      func(n ast.Node) { rule.Playground = r.bool(n, "playground") },
		"suppress":        func(n ast.Node) { rule.Suppress, r.suppress = r.texts(n, "suppress"), n },
		"inhibits":        func(n ast.Node) { rule.Inhibits, r.inhibits = r.texts(n, "inhibits"), n },
		"subscriptions":   func(n ast.Node) { r.list(n, "subscriptions", r.subscription) },
		"dedup":           func(n ast.Node) { rule.Dedup = r.duration(n, "dedup", time.Minute, 30*24*time.Hour) },
		"alert": func(n ast.Node) {
			seen := r.mapping(n, "alert", keys{
				"title":   func(n ast.Node) { r.title = n },
				"summary": func(n ast.Node) { r.summary = n },
			})
			r.need(n, seen, "alert", "title", "summary")
		},
		"entities": func(n ast.Node) { r.entities(n) },
		"key":      func(n ast.Node) { r.key = n },
	}
	required = []string{"id", "title", "kind", "why", "subscriptions", "key", "alert"}
	resolve := func(n ast.Node) { r.ends = append(r.ends, ending{n, Step{ID: "resolve", Role: RoleResolve}}) }
	switch kind {
	case Match:
		r.own = r.conditions(known, Step{ID: "match"})
		known["crit"] = func(n ast.Node) { r.crit = n }
		known["resolve"] = resolve
	case NewValue:
		rule.Learn, rule.Memory = defaultLearn, defaultMemory
		r.own = r.conditions(known, Step{ID: "value"})
		known["value"] = func(n ast.Node) { r.newValue = n }
		known["learn"] = func(n ast.Node) { rule.Learn = r.duration(n, "learn", 0, maxWithin) }
		known["memory"] = func(n ast.Node) { rule.Memory = r.duration(n, "memory", minWindow, maxWithin) }
		known["crit"] = func(n ast.Node) { r.crit = n }
		required = append(required, "value")
	case Threshold:
		r.own = r.conditions(known, Step{ID: "count"})
		known["window"] = func(n ast.Node) { r.window(n) }
		known["final"] = func(n ast.Node) { rule.Final = r.bool(n, "final") }
		known["aggregates"] = func(n ast.Node) { r.aggregates(n) }
		known["having"] = func(n ast.Node) { r.having = n }
		known["resolve"] = resolve
		required = append(required, "window", "aggregates", "having")
	case Sequence:
		known["steps"] = func(n ast.Node) { r.steps(n) }
		known["until"] = func(n ast.Node) { r.ends = append(r.ends, ending{n, Step{ID: "until", Role: RoleUntil}}) }
		known["resolve"] = resolve
		required = append(required, "steps")
	case Growth:
		r.growth(known)
		required = append(required, "sample", "evidence")
	case Absence:
		known["trigger"] = func(n ast.Node) { r.step(n, Step{ID: "trigger"}) }
		known["expect"] = func(n ast.Node) { r.step(n, Step{ID: "expect", Role: RoleExpect}) }
		known["while"] = func(n ast.Node) { r.step(n, Step{ID: "while", Role: RoleWhile}) }
		known["within"] = func(n ast.Node) { rule.Window = r.duration(n, "within", minWindow, maxWithin) }
		known["opens"] = func(n ast.Node) { rule.Opens, r.opens = r.word(n, "opens", pipeline.Windows[1:]), n }
		known["before"] = func(n ast.Node) { rule.Before = r.duration(n, "before", minWindow, maxWithin) }
		known["lateness"] = func(n ast.Node) { rule.Lateness = r.duration(n, "lateness", minWindow, time.Hour) }
		required = append(required, "expect", "within")
	case Risk:
		r.risk(known)
		required = append(required, "steps", "score")
	case Spike:
		r.spike(known)
		required = append(required, "min")
	case Silence:
		r.silence(known)
		required = append(required, "expect")
	case Anomaly:
		r.anomaly(known)
		required = append(required, "value")
	}
	return known, required
}

// need holds that the keys are there.
func (r *reader) need(n ast.Node, seen map[string]ast.Node, what string, required ...string) {
	for _, key := range required {
		if seen[key] == nil {
			r.failAt(n, fmt.Sprintf("%s has no %s", what, key), "")
		}
	}
}

// kind finds the rule's kind: it decides which keys there are.
func (r *reader) kind(root ast.Node) (kind Kind) {
	words := make([]string, len(Kinds))
	for i, k := range Kinds {
		words[i] = string(k)
	}
	found := false
	r.pairs(root, "a rule", func(key string, _, v ast.Node) {
		if key == "kind" {
			found = true
			kind = Kind(r.word(v, "kind", words))
		}
	})
	if !found && len(r.errs) == 0 {
		r.failAt(root, "the rule has no kind", didYouMean("", words))
	}
	return kind
}

// phaseList reads phases by name, as indexes into schemas.Phases.
func (r *reader) phaseList(n ast.Node) (phases []int8) {
	r.list(n, "phases", func(n ast.Node) {
		if w := r.word(n, "phases", schemas.Phases[1:]); w != "" {
			phases = append(phases, int8(slices.Index(schemas.Phases, w)))
		}
	})
	return phases
}

func (r *reader) subscription(n ast.Node) {
	s := Subscription{Class: pipeline.ClassNormal}
	seen := r.mapping(n, "a subscription", keys{
		"team":     func(n ast.Node) { s.Team = r.word(n, "team", subscribers) },
		"class":    func(n ast.Node) { s.Class = r.word(n, "class", classes) },
		"severity": func(n ast.Node) { r.severity(n, &s) },
		"by":       func(n ast.Node) { s.By = r.line(n, "by") },
		"ticket":   func(n ast.Node) { s.Ticket = r.line(n, "ticket") },
		"expires": func(n ast.Node) {
			t, err := time.Parse(time.DateOnly, r.text(n, "expires"))
			if err != nil {
				r.failAt(n, fmt.Sprintf("expires: %q is no date", n.GetToken().Value), "as in 2027-01-31; the subscription ends when that day begins in UTC")
			}
			s.Expires = t
		},
	})
	r.need(n, seen, "the subscription", "team", "severity")
	if s.Class == pipeline.ClassSecRequested {
		r.need(n, seen, "a sec_requested subscription", "by", "ticket", "expires")
	}
	for _, other := range r.rule.Subscriptions {
		if other.Team == s.Team && s.Team != "" {
			r.failAt(n, "team "+s.Team+" subscribes twice", "")
		}
	}
	r.rule.Subscriptions = append(r.rule.Subscriptions, s)
}

// severity reads a number, or for a growth rule a number for each level. A level that is left out has that of the level
// below it.
func (r *reader) severity(n ast.Node, s *Subscription) {
	if _, ok := n.(*ast.IntegerNode); ok {
		v := uint8(r.int(n, "severity", pipeline.SeverityInfo, pipeline.SeverityFatal))
		for i := range s.Severity {
			s.Severity[i] = v
		}
		return
	}
	levels := keys{}
	for i, name := range Levels {
		levels[name] = func(n ast.Node) {
			s.Severity[i] = uint8(r.int(n, "severity", pipeline.SeverityInfo, pipeline.SeverityFatal))
		}
	}
	if len(r.mapping(n, "severity", levels)) == 0 {
		r.failAt(n, "severity: expected a number from 1 to 6, or one for each level", "as in {warn: 4, crit: 5, imminent: 6}")
	}
	for i := 1; i < len(s.Severity); i++ {
		if s.Severity[i] == 0 {
			s.Severity[i] = s.Severity[i-1]
		}
	}
}

func (r *reader) entities(n ast.Node) {
	r.pairs(n, "entities", func(name string, k, v ast.Node) {
		if !namePattern.MatchString(name) {
			r.failAt(k, fmt.Sprintf("entity %q is no name", name), "lower-case letters, digits and _")
		}
		column := r.line(v, "entities")
		if column != "" && !isColumn(column) {
			r.failAt(v, fmt.Sprintf("unknown column %q", column), didYouMean(column, columns()))
		}
		r.captured[column] = true
		r.rule.Entities = append(r.rule.Entities, Entity{name, column})
	})
	if len(r.rule.Entities) > MaxEntities {
		r.failAt(n, fmt.Sprintf("%d entities", len(r.rule.Entities)), fmt.Sprintf("name %d at most: an alert's record has a bound", MaxEntities))
	}
}

// MaxEntities is how many entities a rule may name.
const MaxEntities = 14

// expression reads an expression and tells where in the file its errors are.
func (r *reader) expression(n ast.Node, what, want string) exprast.Node {
	src := r.text(n, what)
	tree, errs := parseExpression(src, want)
	r.report(n, what, errs)
	return tree
}

func (r *reader) report(n ast.Node, what string, errs []exprError) {
	for _, e := range errs {
		line, column := r.positionIn(n, e.at)
		if s, ok := n.(*ast.StringNode); ok && strings.Contains(e.message, "EOF") && line <= len(r.lines) && strings.Contains(r.lines[line-1], " #") &&
			!strings.Contains(s.Value, "#") {
			e.hint = "a # after a space begins a comment in YAML: put the expression below a | or in quotes"
		}
		r.fail(line, column, what+": "+e.message, e.hint)
	}
}

// condition reads a condition. It returns its text as it was understood, too.
func (r *reader) condition(n ast.Node, what string) (*condition, string) {
	tree := r.expression(n, what, "bool")
	if tree == nil {
		return nil, ""
	}
	c, err := r.set.atoms.condition(tree)
	r.refused(n, what, err)
	return c, tree.String()
}

// refused notes why an expression that is well-formed cannot be used. What is wrong in a list is told with its own place.
func (r *reader) refused(n ast.Node, what string, err error) {
	if list := (Errors)(nil); errors.As(err, &list) {
		r.errs = append(r.errs, list...)
	} else if err != nil {
		r.failAt(n, what+": "+err.Error(), "")
	}
}

func (r *reader) value(n ast.Node, what string) *value {
	tree := r.expression(n, what, "")
	if tree == nil {
		return nil
	}
	v, err := newValue(tree)
	if err != nil {
		r.failAt(n, what+": "+err.Error(), "")
	}
	return v
}

// keyOf reads a key: an expression, or a list of them.
func (r *reader) keyOf(n ast.Node) (parts []*value) {
	if _, ok := n.(*ast.SequenceNode); !ok {
		return []*value{r.value(n, "key")}
	}
	r.list(n, "key", func(n ast.Node) { parts = append(parts, r.value(n, "key")) })
	if len(parts) == 0 {
		r.failAt(n, "key: the list is empty", "")
	}
	return parts
}

// conditions adds the keys that say what a step takes to those known, and returns the step. It has a condition once
// complete was called.
func (r *reader) conditions(known keys, s Step) *Step {
	known["when"] = func(n ast.Node) { s.when, s.When = r.condition(n, "when") }
	known["alerts"] = func(n ast.Node) { r.alerts(n, &s) }
	s.Count = max(s.Count, 1)
	return &s
}

// complete holds that a step says what it takes: events, or alerts of which all will do.
func (r *reader) complete(n ast.Node, s *Step, seen map[string]ast.Node, what string) {
	if seen["alerts"] == nil {
		r.need(n, seen, what, "when")
	} else if seen["when"] == nil {
		s.when, s.When = r.always()
	}
}

func (r *reader) add(s *Step) { r.rule.Steps = append(r.rule.Steps, *s) }

// step reads a step of its own mapping.
func (r *reader) step(n ast.Node, step Step) {
	known := keys{}
	s := r.conditions(known, step)
	known["key"] = func(n ast.Node) { s.key = r.keyOf(n) }
	if s.Role == RoleWhile {
		known["count"] = func(n ast.Node) { s.Count = r.int(n, "count", 1, maxStepCount) }
		known["within"] = func(n ast.Node) { s.Within = r.duration(n, "within", minWindow, maxWithin) }
	}
	if s.Role == RoleEvidence {
		s.Count, s.values = defaultEvidence, []*value{nothing}
		known["count"] = func(n ast.Node) { s.Count = r.int(n, "count", 1, maxStepCount) }
		known["login"] = func(n ast.Node) { s.values[EvidenceLogin] = r.value(n, "login") }
	}
	if s.Role == RoleMatch && s.ID == "" {
		known["id"] = func(n ast.Node) { s.ID = r.name(n, "id") }
		known["count"] = func(n ast.Node) { s.Count = r.int(n, "count", 1, maxStepCount) }
		known["within"] = func(n ast.Node) { s.Within = r.duration(n, "within", minWindow, maxWithin) }
		known["version"] = func(n ast.Node) { s.values = []*value{r.value(n, "version")} }
		known["below"] = func(n ast.Node) { s.Below, s.belowOf = true, r.name(n, "below") }
	}
	named := s.ID != ""
	seen := r.mapping(n, "a step", known)
	r.complete(n, s, seen, "the step")
	if !named {
		r.need(n, seen, "the step", "id")
	}
	if s.Role == RoleWhile {
		r.need(n, seen, "while", "within")
	}
	r.add(s)
}

func (r *reader) name(n ast.Node, what string) string {
	s := r.line(n, what)
	if !namePattern.MatchString(s) {
		r.failAt(n, fmt.Sprintf("%s: %q is no name", what, s), "lower-case letters, digits and _, a letter first")
	}
	return s
}

func (r *reader) steps(n ast.Node) {
	var nodes []ast.Node
	r.list(n, "steps", func(n ast.Node) { nodes = append(nodes, n) })
	if len(nodes) < 2 || len(nodes) > maxSteps {
		r.failAt(n, fmt.Sprintf("steps: expected 2 to %d, got %d", maxSteps, len(nodes)), "")
	}
	for i, item := range nodes {
		r.step(item, Step{})
		s := &r.rule.Steps[len(r.rule.Steps)-1]
		last := i == len(nodes)-1
		if !last && s.Within == 0 {
			r.failAt(item, "the step has no within", "how long its matches count for the step that follows, as in within: 10m")
		}
		if last && s.Count > 1 && s.Within == 0 {
			r.failAt(item, "the step has a count but no within", "the span in which they must lie, as in within: 10m")
		}
		if s.Below {
			r.below(item, last)
		}
		for _, other := range r.rule.Steps[:len(r.rule.Steps)-1] {
			if other.ID == s.ID {
				r.failAt(item, fmt.Sprintf("there are two steps %q", s.ID), "")
			}
		}
	}
}

// below holds that the last step that was read may be compared with the one before it.
func (r *reader) below(n ast.Node, last bool) {
	steps := r.rule.Steps
	i := len(steps) - 1
	switch {
	case !last || i == 0 || steps[i-1].ID != steps[i].belowOf:
		r.failAt(n, "below: only the last step is compared, and with the one before it", "name that step")
	case steps[i].values == nil || steps[i-1].values == nil:
		r.failAt(n, "below: both steps need a version", "as in version: ev.Purl, and version: ev.Attr(\"fixed_version\")")
	}
}

// finish reads what refers to other keys, and gives each step the rule's key and the columns that the alert speaks of.
func (r *reader) finish() {
	rule := r.rule
	if r.suppress != nil && slices.ContainsFunc(rule.Suppress, isWindow) {
		if IsSecurity(rule.Attacks) {
			r.failAt(r.suppress, "suppress: a rule with a technique of security is not quieted by chaos or maintenance (C19)", "an attacker would hide behind it; exclude the events in `when` if they are no sign of an attack")
		}
		if slices.ContainsFunc(rule.Subscriptions, func(s Subscription) bool { return s.Class == pipeline.ClassSecRequested }) {
			r.failAt(r.suppress, "suppress: what security asked for is not quieted by chaos or maintenance", "give security's subscription a rule of its own")
		}
	}
	if r.opens != nil && !slices.ContainsFunc(rule.Steps, func(s Step) bool { return s.Role == RoleMatch }) {
		r.failAt(r.opens, "opens: a rule without a trigger opens no window", "")
	}
	for _, e := range r.ends {
		r.step(e.node, e.step)
	}
	if slices.Contains(rule.Inhibits, InhibitsMembers) && !slices.ContainsFunc(rule.Steps, func(s Step) bool { return s.hears != nil }) {
		r.failAt(r.inhibits, "inhibits: members are rules whose alerts this one takes, and it takes none", "name the rules by id")
	}
	var key []*value
	if r.key != nil {
		key = r.keyOf(r.key)
	}
	if len(rule.Steps) > 0 {
		first := &rule.Steps[0]
		if r.newValue != nil {
			first.values = append(first.values, r.value(r.newValue, "value"))
		}
		if r.crit != nil {
			rule.HasCrit = true
			v := &value{}
			v.when, v.text = r.condition(r.crit, "crit")
			first.values = append(first.values, v)
		}
	}
	if r.having != nil {
		h, errs := newHaving(r.text(r.having, "having"), r.names)
		r.report(r.having, "having", errs)
		rule.Having = h
	}
	names := append(r.names, kindMetrics[rule.Kind]...)
	var steps []string
	if rule.Kind == Growth { // where evidence and sample both have a field, the alert speaks of the sample's: that of the last step
		order := []Role{RoleEvidence, RoleSample, RoleReading, RoleBegin, RoleEnd}
		slices.SortStableFunc(rule.Steps, func(a, b Step) int { return slices.Index(order, a.Role) - slices.Index(order, b.Role) })
	}
	if len(rule.Steps) > 1 && rule.Kind != Match && rule.Kind != Threshold {
		for _, s := range rule.Steps[:rule.LastStep()+1] {
			steps = append(steps, s.ID)
		}
	}
	rule.AlertTitle = r.template(r.title, "title", names, steps)
	rule.AlertSummary = r.template(r.summary, "summary", names, steps)
	for _, c := range []string{"project", "environment", "labels", "campaign_id"} {
		r.captured[c] = true // every alert carries them
	}
	for _, s := range rule.Subscriptions {
		if s.Class == pipeline.ClassSecRequested && !slices.ContainsFunc(rule.Subscriptions, func(o Subscription) bool { return o.Team == pipeline.TeamSec }) {
			s.Team = pipeline.TeamSec // who asks for an alert elsewhere sees it
			rule.Subscriptions = append(rule.Subscriptions, s)
			break
		}
	}
	for i := range rule.Steps {
		s := &rule.Steps[i]
		if s.key == nil {
			s.key = key
		}
		if s.hears != nil {
			r.set.hearings = append(r.set.hearings, hearing{r.document, s.hearsAt, rule, i})
		}
		if s.Role == RoleMatch && rule.Kind == Threshold {
			s.values = r.arguments
		}
		if s.Role < RoleUntil {
			s.columns = slices.Compact(slices.Sorted(slices.Values(slices.AppendSeq(s.columns, maps.Keys(r.captured)))))
			rule.Columns = append(rule.Columns, s.columns...)
		}
	}
	slices.Sort(rule.Columns)
	rule.Columns = slices.Compact(rule.Columns)
	if len(rule.Columns) > maxColumns {
		r.failAt(r.title, fmt.Sprintf("the alert speaks of %d columns, at most %d are allowed", len(rule.Columns), maxColumns), "")
	}
}

func (r *reader) template(n ast.Node, what string, aggregates, steps []string) *Template {
	if n == nil {
		return nil
	}
	src := strings.TrimSpace(r.text(n, what))
	if src == "" {
		r.failAt(n, what+" is empty", "")
	}
	t, errs := newTemplate(src, aggregates, steps)
	r.report(n, what, errs)
	if t == nil {
		return nil
	}
	for _, p := range t.parts {
		if p.name != "" && !slices.Contains(aggregates, p.name) {
			r.captured[p.name] = true
		}
	}
	return t
}
