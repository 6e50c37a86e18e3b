package sigma

import (
	"slices"

	"github.com/tocsin-project/tocsin/processors/rule"
)

// Detector is a set of Sigma rules made ready for the pipeline's events: a program for each view of the taxonomy that some
// rule can fire in. It is shared by all workers.
type Detector struct {
	rules    []*rule.Rule
	alerts   map[*Rule]*rule.Rule // of those that alert on their own
	of       map[*rule.Rule]*Rule
	taxonomy *Taxonomy
	silent   []Silent
	bySource map[string][]*scope
	parts    map[*Rule][]part
}

// Silent is a rule that never fires here, and why.
type Silent struct {
	Rule   *Rule
	Reason string
}

// scope is a view with the rules that can fire in it.
type scope struct {
	*view
	program *Program
	fields  []scopeField
	parts   map[*Rule][]slots // slots of the rule's parts, in the order of Detector.parts
	slot    func(field string) int32
}

type scopeField struct {
	slot    int32
	columns []mappedColumn
}

// part says that a rule's matches count in a correlation.
type part struct {
	to   *correlation
	rule *rule.Rule
	nth  int // among the correlation's rules
}

// slots are what a correlation reads of an event.
type slots struct{ groups, values []int32 }

// NewDetector compiles the set for the views.
func NewDetector(set *Set, taxonomy *Taxonomy) *Detector {
	d := &Detector{taxonomy: taxonomy, bySource: map[string][]*scope{}, parts: map[*Rule][]part{}, alerts: map[*Rule]*rule.Rule{}, of: map[*rule.Rule]*Rule{}}
	fires, quiet := map[*Rule]bool{}, map[*Rule]bool{}
	for _, r := range set.Rules {
		if reason := taxonomy.never(r); reason != "" {
			d.silent = append(d.silent, Silent{r, reason})
		} else {
			fires[r] = true
		}
	}
	for _, r := range set.Correlations {
		d.correlation(r, fires, quiet)
	}
	for _, r := range set.Rules {
		if fires[r] && !quiet[r] {
			d.alerts[r] = alertOf(r)
			d.enter(d.alerts[r], r)
		}
	}
	for _, v := range taxonomy.views {
		d.view(v, set.Rules)
	}
	return d
}

// correlation makes a rule of the engine of a correlation, or says why it cannot fire.
func (d *Detector) correlation(r *Rule, fires, quiet map[*Rule]bool) {
	c := r.correlation
	reason := ""
	if c.absence != noAbsence {
		reason = "it asks for absence, which the pipeline does not (tocsin sigma match does)"
	}
	for i, of := range c.rules {
		switch {
		case of.correlation != nil:
			reason = "it correlates another correlation, which the pipeline does not (tocsin sigma match does)"
		case !fires[of] && (c.kind == "temporal_ordered" || c.kind == "temporal" && c.presence == nil && !c.within(float64(len(c.rules)-1))):
			reason = "its rule " + c.names[i] + " can never fire"
		}
	}
	if !slices.ContainsFunc(c.rules, func(of *Rule) bool { return fires[of] }) {
		reason = "none of its rules can ever fire"
	}
	out, why := correlationOf(r)
	if reason == "" {
		reason = why
	}
	if reason != "" {
		d.silent = append(d.silent, Silent{r, reason})
		return
	}
	d.enter(out, r)
	for i, of := range c.rules {
		d.parts[of] = append(d.parts[of], part{c, out, i})
		if !c.generate {
			quiet[of] = true
		}
	}
}

func (d *Detector) enter(out *rule.Rule, of *Rule) {
	d.rules = append(d.rules, out)
	d.of[out] = of
}

// view compiles the rules that can fire in a view.
func (d *Detector) view(v *view, rules []*Rule) {
	c := newCompiler()
	for _, f := range v.fields {
		if f.raw != "" {
			c.paths[f.name] = f.raw
		}
	}
	s := &scope{view: v, parts: map[*Rule][]slots{}, slot: c.slot}
	for _, r := range rules {
		if !r.Source.Covers(v.source) {
			continue
		}
		if yes, _ := v.may(r.when, map[string]bool{}); !yes {
			continue
		}
		c.add(r)
		for _, p := range d.parts[r] {
			var at slots
			for _, g := range p.to.groupBy {
				at.groups = append(at.groups, c.slot(g.of[p.nth]))
			}
			for _, field := range p.to.fields {
				at.values = append(at.values, c.slot(field))
			}
			s.parts[r] = append(s.parts[r], at)
		}
	}
	if len(c.rules) == 0 {
		return
	}
	for _, f := range v.fields {
		if i, ok := c.slotOf[f.name]; ok && len(f.columns) > 0 {
			s.fields = append(s.fields, scopeField{i, f.columns})
		}
	}
	s.program = c.finish()
	for _, path := range v.under {
		s.program.fields.alias(path)
	}
	for _, t := range v.events {
		if t.column == "source" {
			for _, source := range t.values {
				d.bySource[source] = append(d.bySource[source], s)
			}
		}
	}
}

// Rules returns what the engine holds state of and words alerts by.
func (d *Detector) Rules() []*rule.Rule { return d.rules }

// Silent returns the rules that can never fire, in the order of the set, correlations last.
func (d *Detector) Silent() []Silent { return d.silent }
