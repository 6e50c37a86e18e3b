package sigma

import (
	"slices"

	"github.com/tocsin-project/tocsin/processors/rule"
)

// Detector is a set of Sigma rules made ready for the pipeline's events: a program for each view of the taxonomy that some
// rule can fire in. It is shared by all workers.
type Detector struct {
	rules    []*rule.Rule
	made     map[*Rule]*rule.Rule // of correlations, and of detection rules that alert on their own
	of       map[*rule.Rule]*Rule
	taxonomy *Taxonomy
	silent   []Silent
	bySource map[string][]*scope
	parts    map[*Rule][]part
	hears    map[string][]part // by the id of a correlation, the parts that it has in others
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
	to      *correlation
	rule    *rule.Rule
	nth     int // among the correlation's rules
	step    int
	carries []string // fields that those who take the correlation's alerts read
}

// slots are what a correlation reads of an event.
type slots struct{ groups, values, carries []int32 }

// NewDetector compiles the set for the views.
func NewDetector(set *Set, taxonomy *Taxonomy) *Detector {
	d := &Detector{taxonomy: taxonomy, bySource: map[string][]*scope{}, parts: map[*Rule][]part{}, made: map[*Rule]*rule.Rule{}, of: map[*rule.Rule]*Rule{}, hears: map[string][]part{}}
	fires, quiet := map[*Rule]bool{}, map[*Rule]bool{}
	for _, r := range set.Rules {
		if reason := taxonomy.never(r); reason != "" {
			d.silent = append(d.silent, Silent{r, reason})
		} else {
			fires[r] = true
		}
	}
	for _, r := range set.Correlations { // each after those that it refers to
		d.correlation(r, fires, quiet)
	}
	for _, r := range slices.Backward(set.Correlations) { // each before those that it refers to
		if d.made[r] != nil {
			d.connect(r)
		}
	}
	for _, r := range set.Correlations {
		if quiet[r] && d.made[r] != nil { // nobody is told of its alerts but other correlations
			d.made[r].Subscriptions = nil
		}
	}
	for _, r := range set.Rules {
		if fires[r] && !quiet[r] {
			d.enter(alertOf(r), r)
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
	for i, of := range c.rules {
		switch {
		case fires[of]:
		case c.absence != noAbsence:
			reason = "its rule " + c.names[i] + " can never fire, so that its absence says nothing"
		case c.kind == "temporal_ordered" || c.kind == "temporal" && c.presence == nil && !c.within(float64(len(c.rules)-1)):
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
	fires[r] = true
	for _, of := range c.rules {
		if !c.generate {
			quiet[of] = true
		}
	}
}

// connect enters the correlation's parts. What those read that take its alerts, it carries.
func (d *Detector) connect(r *Rule) {
	c, out := r.correlation, d.made[r]
	var carries []string
	for _, p := range d.hears[out.ID] {
		for _, g := range p.to.groupBy {
			carries = append(carries, g.of[p.nth])
		}
		carries = append(append(carries, p.to.fields...), p.carries...)
		out.Heard, out.Again = true, true
	}
	slices.Sort(carries)
	carries = slices.Compact(carries)
	out.Columns = slices.Clone(out.Columns)
	for _, f := range carries {
		out.Columns = append(out.Columns, carried(f))
	}
	slices.Sort(out.Columns)
	for i, of := range c.rules {
		p := part{c, out, i, c.step(i), carries}
		if p.step < 0 {
			continue
		}
		if of.correlation == nil {
			d.parts[of] = append(d.parts[of], p)
			continue
		}
		id := d.made[of].ID
		d.hears[id] = append(d.hears[id], p)
		out.Steps[p.step].Alerts = append(out.Steps[p.step].Alerts, id)
		slices.Sort(out.Steps[p.step].Alerts)
	}
	for _, of := range c.rules {
		out.Depth = max(out.Depth, depth(of))
	}
}

// depth is how many alerts lead to a match that counts in a correlation, one above the other.
func depth(r *Rule) int {
	if r.correlation == nil {
		return 0
	}
	most := 0
	for _, of := range r.correlation.rules {
		most = max(most, depth(of))
	}
	return 1 + most
}

// carried is the column in which an alert has a field for the correlations that take it.
func carried(field string) string { return "attributes.sigma." + field }

func (d *Detector) enter(out *rule.Rule, of *Rule) {
	d.rules = append(d.rules, out)
	d.of[out], d.made[of] = of, out
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
			for _, field := range p.carries {
				if group := slices.IndexFunc(p.to.groupBy, func(g groupField) bool { return g.name == field }); group >= 0 {
					at.carries = append(at.carries, at.groups[group])
				} else {
					at.carries = append(at.carries, c.slot(field))
				}
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
