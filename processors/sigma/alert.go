package sigma

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// alertColumns are what a signal carries of its event, sorted: what the alert is about.
var alertColumns = []string{"actor", "campaign_id", "environment", "host", "labels", "project", "repo", "src_ip", "title"}

var alertEntities = []rule.Entity{{Name: "actor", Column: "actor"}, {Name: "host", Column: "host"}, {Name: "repo", Column: "repo"}, {Name: "src_ip", Column: "src_ip"}}

// alertOf makes a rule of the engine of a detection rule: one match is enough, and matches of the same key within the hour
// are one alert.
func alertOf(r *Rule) *rule.Rule {
	out := r.frame()
	out.Kind, out.Dedup = rule.Match, time.Hour
	out.Steps = []rule.Step{{ID: "match", Count: 1, When: r.when.text()}}
	return out
}

// text describes the condition: conditions that judge alike have equal descriptions.
func (c *condition) text() string {
	if c.op == opAtom {
		return c.atom.String()
	}
	kids := make([]string, len(c.kids))
	for i, k := range c.kids {
		kids[i] = k.text()
	}
	return [...]string{"all", "any", "not"}[c.op] + "(" + strings.Join(kids, ",") + ")"
}

var technique = regexp.MustCompile(`^attack\.t[0-9]{4}(\.[0-9]{3})?$`)

// frame is what every alert of the rule says. The Detection Rule License asks that author, licence and reference stay in
// it, so they stand first, where nothing is cut off.
func (r *Rule) frame() *rule.Rule {
	author := r.Author
	if author == "" {
		author = "an unnamed author"
	}
	license := r.License
	if license == "" {
		license = "DRL 1.1"
	}
	credit := fmt.Sprintf("Sigma rule %s by %s (%s", r.Key(), author, license)
	if len(r.References) > 0 {
		credit += ", " + r.References[0]
	}
	credit += ")"
	title := r.Title
	if title == "" {
		title = r.Key()
	}
	description := strings.Join(strings.Fields(r.Description), " ")
	out := &rule.Rule{
		ID: r.Key(), Version: 1, Title: title, Path: r.Path, Why: description,
		Subscriptions: []rule.Subscription{{Team: pipeline.TeamSec, Class: pipeline.ClassNormal}},
		Columns:       alertColumns, Entities: alertEntities, Phases: []int8{}, Attacks: []string{},
		AlertTitle:   rule.Words(title, ""),
		AlertSummary: rule.Words(strings.TrimSpace(credit+": "+description)+" Event: ", "title"),
	}
	severity := uint8(pipeline.SeverityMedium)
	if i := slices.Index(levels, r.Level); i >= 0 {
		severity = uint8(pipeline.SeverityInfo + i)
	}
	for i := range out.Subscriptions[0].Severity {
		out.Subscriptions[0].Severity[i] = severity
	}
	out.Confidence = map[string]uint8{"stable": 90, "test": 80}[r.Status]
	if out.Confidence == 0 {
		out.Confidence = 60
	}
	for _, t := range r.Tags {
		if t = strings.ToLower(t); technique.MatchString(t) {
			id, _ := rule.Technique(strings.ToUpper(strings.TrimPrefix(t, "attack.")))
			out.Attacks = append(out.Attacks, id)
		}
	}
	for _, ref := range r.References {
		if strings.HasPrefix(ref, "https://") && !strings.ContainsAny(ref, " \n") {
			out.Runbook = ref
			break
		}
	}
	return out
}

// maxPresence is how many aggregates a window of the engine has.
const maxPresence = 16

// correlationOf makes a rule of the engine of a correlation. reason says why that cannot be done to the letter.
func correlationOf(r *Rule) (out *rule.Rule, reason string) {
	c := r.correlation
	out = r.frame()
	out.Kind, out.Window, out.Dedup, out.Behind = rule.Threshold, c.span, c.span, c.absence == fewer
	out.Steps = []rule.Step{{ID: "count", Count: 1, When: fmt.Sprintf("%s %q %q %v", c.kind, c.names, c.fields, c.groupBy)}}
	number := rule.Aggregate{Name: "n", Op: rule.Count, Value: -1}
	of := "n"
	switch c.kind {
	case "event_count":
	case "value_count":
		number = rule.Aggregate{Name: "n", Op: rule.Distinct}
	case "value_sum":
		number = rule.Aggregate{Name: "n", Op: rule.Sum}
	case "value_avg":
		number, of = rule.Aggregate{Name: "n", Op: rule.Sum}, "n / events"
		out.Aggregates = []rule.Aggregate{{Name: "events", Op: rule.Count, Value: -1}}
	case "value_median":
		number = rule.Aggregate{Name: "n", Op: rule.Median}
	case "value_percentile":
		number = rule.Aggregate{Name: "n", Op: rule.Percentile, Quantile: c.rank / 100, Exact: true}
	case "temporal":
		if c.absence == without {
			return c.withoutOf(out)
		}
		if c.presence != nil {
			return c.presenceOf(out)
		}
		number = rule.Aggregate{Name: "n", Op: rule.Distinct}
	case "temporal_ordered":
		out.Kind, out.Window, out.Span = rule.Sequence, 0, c.span
		when := out.Steps[0].When
		out.Steps = nil
		for i := range c.rules {
			out.Steps = append(out.Steps, rule.Step{ID: strconv.Itoa(i + 1), Count: 1, Within: c.span, When: when})
		}
		out.Steps[len(c.rules)-1].Within = 0
		return out, ""
	}
	out.Aggregates = append(out.Aggregates, number)
	var limits []string
	for _, l := range c.limits {
		op := map[string]string{"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "eq": "==", "neq": "!="}[l.op]
		limits = append(limits, of+" "+op+" "+strconv.FormatFloat(l.value, 'f', -1, 64))
	}
	return having(out, strings.Join(limits, " && "))
}

// presenceOf is a condition over rules: each has an aggregate of its own.
func (c *correlation) presenceOf(out *rule.Rule) (*rule.Rule, string) {
	if len(c.rules) > maxPresence {
		return nil, fmt.Sprintf("a condition over more than %d rules", maxPresence)
	}
	for i := range c.rules {
		out.Aggregates = append(out.Aggregates, rule.Aggregate{Name: "r" + strconv.Itoa(i), Op: rule.Count, Value: i})
	}
	var text func(*condition) string
	text = func(k *condition) string {
		switch k.op {
		case opAtom:
			return fmt.Sprintf("r%d > 0", slices.Index(c.names, k.atom.field))
		case opNot:
			return "!(" + text(k.kids[0]) + ")"
		}
		kids := make([]string, len(k.kids))
		for i := range k.kids {
			kids[i] = text(k.kids[i])
		}
		return "(" + strings.Join(kids, map[conditionOp]string{opAnd: " && ", opOr: " || "}[k.op]) + ")"
	}
	return having(out, text(c.presence))
}

// withoutOf is the absence of some rules about a match of another one: whatever of its conjunction stands under no not is
// the trigger, the rest is what answers it.
func (c *correlation) withoutOf(out *rule.Rule) (*rule.Rule, string) {
	kids := []*condition{c.presence}
	if c.presence.op == opAnd {
		kids = c.presence.kids
	}
	triggers := slices.DeleteFunc(slices.Clone(kids), func(k *condition) bool { return k.op == opNot })
	answers := slices.DeleteFunc(slices.Clone(kids), func(k *condition) bool { return k.op != opNot })
	for i, k := range answers {
		answers[i] = k.kids[0]
	}
	either := func(k *condition) bool {
		return k.op == opAtom || k.op == opOr && !slices.ContainsFunc(k.kids, func(k *condition) bool { return k.op != opAtom })
	}
	any := anyOf(answers)
	if len(triggers) != 1 || !either(triggers[0]) || !either(any) {
		return nil, "a condition over rules with not is known to the pipeline in the form: some rule, and none of others (tocsin sigma match knows the rest)"
	}
	out.Kind, out.Before, out.Window = rule.Absence, c.span-1, c.span-1 // both ends belong to it
	when := out.Steps[0].When
	out.Steps = []rule.Step{{ID: "match", Count: 1, When: when}, {ID: "expect", Role: rule.RoleExpect, Count: 1, When: when}}
	return out, ""
}

// step returns the step of the engine's rule that the matches of the i-th rule are of; -1 where they do not matter.
func (c *correlation) step(i int) int {
	switch {
	case c.kind == "temporal_ordered":
		return i
	case c.absence != without:
		return 0
	case c.presence.names(c.names[i], true):
		return 1
	case c.presence.names(c.names[i], false):
		return 0
	}
	return -1
}

// names reports whether a condition over rules names the rule, under a not or under none.
func (c *condition) names(name string, negated bool) bool {
	switch c.op {
	case opAtom:
		return !negated && c.atom.field == name
	case opNot:
		return c.kids[0].names(name, !negated)
	}
	return slices.ContainsFunc(c.kids, func(k *condition) bool { return k.names(name, negated) })
}

func having(out *rule.Rule, src string) (*rule.Rule, string) {
	names := make([]string, len(out.Aggregates))
	for i, a := range out.Aggregates {
		names[i] = a.Name
	}
	h, err := rule.NewHaving(src, names...)
	if err != nil {
		return nil, err.Error()
	}
	out.Having = h
	return out, ""
}
