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
	out.Kind, out.Window, out.Dedup = rule.Threshold, c.span, c.span
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
		if k.op == opAtom {
			return fmt.Sprintf("r%d > 0", slices.Index(c.names, k.atom.field))
		}
		kids := make([]string, len(k.kids))
		for i := range k.kids {
			kids[i] = text(k.kids[i])
		}
		return "(" + strings.Join(kids, map[conditionOp]string{opAnd: " && ", opOr: " || "}[k.op]) + ")"
	}
	return having(out, text(c.presence))
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
