package rule

import (
	"fmt"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// Explanation says what one step of a rule makes of an event.
type Explanation struct {
	Rule    *Rule
	Step    *Step
	Matched bool
	// Key is the correlation key of a match; Reason is why a match has none, or why the rule does not look at the event.
	Key, Reason string
	Conditions  []ExplainedCondition
}

// ExplainedCondition is one line of a condition, taken apart.
type ExplainedCondition struct {
	Depth int
	Text  string // the comparison, or "all of", "any of", "not"
	Holds bool
	Got   string // the event's value, where the comparison is of one field
}

// Explain says what each step of a rule makes of the event, condition by condition; none is left out as evaluation would.
func (s *Set) Explain(r *Rule, e *pipeline.Event) []Explanation {
	if r.IsJudgedElsewhere() {
		return r.judged.Explain(r, e)
	}
	v := newEvaluator(s)
	v.begin(e)
	var out []Explanation
	for i := range r.Steps {
		step := &r.Steps[i]
		x := Explanation{Rule: r, Step: step}
		if step.Alerts != nil {
			x.Reason = "it takes no events, but alerts of " + strings.Join(step.Alerts, ", ")
			out = append(out, x)
			continue
		}
		x.Matched = v.explain(step.when, 0, &x.Conditions)
		switch {
		case v.failed:
			x.Matched, x.Reason = false, "an expression ended with an error"
			v.failed = false
		case e.Dropped() != "":
			x.Matched, x.Reason = false, "the event is dropped: "+e.Dropped()
		case e.HasLabel(playgroundLabel) && !r.Playground:
			x.Matched, x.Reason = false, "the event is labelled "+playgroundLabel
		case x.Matched:
			if exception := v.excepts(r, step); exception != nil {
				x.Matched, x.Reason = false, fmt.Sprintf("exception %s holds until %s: %s", exception.ID, exception.Expires.Format(time.DateOnly), exception.Ticket)
				break
			}
			x.Key, x.Reason = v.explainKey(step.key)
		}
		out = append(out, x)
	}
	return out
}

func (v *evaluator) explain(c *condition, depth int, out *[]ExplainedCondition) bool {
	at := len(*out)
	*out = append(*out, ExplainedCondition{Depth: depth})
	var line ExplainedCondition
	switch c.op {
	case opAtom:
		a := &v.set.atoms.list[c.atom]
		line.Text, line.Holds = a.text, v.holds(c)
		if a.column != "" {
			line.Got = fieldOf(v.env.Ev, a.column)
		}
	case opAnd:
		line.Text, line.Holds = "all of", true
		for _, kid := range c.kids {
			line.Holds = v.explain(kid, depth+1, out) && line.Holds
		}
	case opOr:
		line.Text = "any of"
		for _, kid := range c.kids {
			line.Holds = v.explain(kid, depth+1, out) || line.Holds
		}
	case opNot:
		line.Text, line.Holds = "not", !v.explain(c.kids[0], depth+1, out)
	}
	line.Depth = depth
	(*out)[at] = line
	return line.Holds
}

func (v *evaluator) explainKey(parts []*value) (key, reason string) {
	var b []byte
	for i, part := range parts {
		text := v.valueOf(part)
		if text == "" {
			v.failed = false
			return "", fmt.Sprintf("there is nothing to correlate by: %s is empty", part.text)
		}
		if i > 0 {
			b = append(b, '|')
		}
		b = appendKeyPart(b, text, len(parts) > 1)
	}
	return string(b), ""
}

// String writes the explanation for people.
func (x Explanation) String() string {
	var b strings.Builder
	word := "does not match"
	if x.Matched {
		word = "matches"
	}
	fmt.Fprintf(&b, "%s, step %s: %s", x.Rule.ID, x.Step.ID, word)
	if x.Key != "" {
		fmt.Fprintf(&b, ", key %s", x.Key)
	}
	if x.Reason != "" {
		fmt.Fprintf(&b, " (%s)", x.Reason)
	}
	for _, c := range x.Conditions {
		mark := "no "
		if c.Holds {
			mark = "yes"
		}
		fmt.Fprintf(&b, "\n  %s %s%s", mark, strings.Repeat("  ", c.Depth), c.Text)
		if c.Got != "" {
			fmt.Fprintf(&b, "   (is %q)", c.Got)
		}
	}
	return b.String()
}
