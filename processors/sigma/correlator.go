package sigma

import (
	"math"
	"slices"
	"time"
)

// Correlator holds the windows of a program's correlations over the matches of one matcher, in event time. A window
// slides: it is (t - timespan, t] for the newest event of its group. Events may come out of order within it.
type Correlator struct {
	program *Program
	groups  []map[string]*window // by correlation
	hits    map[*Rule]bool       // rules that match the current event
	key     []byte
	fired   []*Rule
	events  int
	latest  time.Time
}

// window is the state of one group.
type window struct {
	entries []entry // in order of time, then of arrival
	fired   time.Time
	counts  []int          // temporal: entries by rule
	values  map[string]int // value_count
	sum     float64
	sorted  []float64 // value_percentile, value_median
	removed int       // entries since sum was added up afresh
}

type entry struct {
	at    time.Time
	rules uint64 // those of the correlation that matched, as bits
	value float64
	text  string
}

// NewCorrelator returns empty windows.
func (p *Program) NewCorrelator() *Correlator {
	c := &Correlator{program: p, hits: map[*Rule]bool{}}
	for range p.correlations {
		c.groups = append(c.groups, map[string]*window{})
	}
	return c
}

// Event takes in the rules that matched the matcher's current event and returns the correlations that it completed. A
// correlation fires when its condition becomes true, then at most once a timespan and group. The slice is valid until
// the next event.
func (c *Correlator) Event(at time.Time, matched []*Rule, m *Matcher) []*Rule {
	c.fired = c.fired[:0]
	if len(matched) == 0 || len(c.program.correlations) == 0 {
		return nil
	}
	clear(c.hits)
	for _, r := range matched {
		c.hits[r] = true
	}
	if at.After(c.latest) {
		c.latest = at
	}
	for i := range c.program.correlations { // those that others refer to come first
		p := &c.program.correlations[i]
		e := entry{at: at}
		for j, r := range p.rules {
			if c.hits[r] {
				e.rules |= 1 << j
			}
		}
		if e.rules != 0 && c.enter(p, c.groups[i], e, m) {
			c.hits[p.rule] = true
			c.fired = append(c.fired, p.rule)
		}
	}
	if c.events++; c.events >= 1024 {
		c.sweep()
	}
	return c.fired
}

// sweep forgets groups that nothing can complete any more, as often as there are groups.
func (c *Correlator) sweep() {
	c.events = 0
	for i, groups := range c.groups {
		for key, w := range groups {
			end := c.latest.Add(-2 * c.program.correlations[i].span) // late events may still be of the last window
			if w.entries[len(w.entries)-1].at.Before(end) {
				delete(groups, key)
			}
		}
		c.events -= len(groups)
	}
}

// enter adds an entry to its group and reports whether the correlation fires.
func (c *Correlator) enter(p *compiledCorrelation, groups map[string]*window, e entry, m *Matcher) bool {
	c.key = c.key[:0]
	for _, g := range p.groups {
		v := m.first(g[firstBit(e.rules)])
		if v == nil {
			return false
		}
		c.key = append(append(c.key, v.raw...), 0)
	}
	if !c.read(p, &e, m) {
		return false
	}
	w := groups[string(c.key)]
	if w == nil {
		w = &window{}
		groups[string(c.key)] = w
	}
	if n := len(w.entries); n > 0 && !e.at.After(w.entries[n-1].at.Add(-p.span)) {
		return false // older than the window
	}
	w.add(p, e)
	if !w.holds(p) || !w.fired.IsZero() && e.at.Before(w.fired.Add(p.span)) {
		return false
	}
	w.fired = e.at
	return true
}

func firstBit(bits uint64) int {
	for i := range 64 {
		if bits>>i&1 != 0 {
			return i
		}
	}
	return 0
}

// read takes the values that the correlation is about; an event without them takes no part.
func (c *Correlator) read(p *compiledCorrelation, e *entry, m *Matcher) bool {
	var text []byte
	for _, f := range p.values {
		v := m.first(f)
		if v == nil {
			return false
		}
		if p.kind == "value_count" {
			text = append(append(text, v.raw...), 0)
			continue
		}
		var ok bool
		if e.value, ok = number(v.raw); !ok {
			return false
		}
	}
	e.text = string(text)
	return true
}

func (w *window) add(p *compiledCorrelation, e entry) {
	at := len(w.entries)
	for at > 0 && w.entries[at-1].at.After(e.at) {
		at--
	}
	w.entries = slices.Insert(w.entries, at, e)
	w.account(p, &e, 1)
	start := w.entries[len(w.entries)-1].at.Add(-p.span)
	old := 0
	for !w.entries[old].at.After(start) {
		w.account(p, &w.entries[old], -1)
		old++
	}
	w.entries = w.entries[old:]
	if w.removed += old; w.removed > len(w.entries) { // add up afresh, or rounding would gather
		w.removed, w.sum = 0, 0
		for i := range w.entries {
			w.sum += w.entries[i].value
		}
	}
}

// account adds the entry to the sums, or takes it out.
func (w *window) account(p *compiledCorrelation, e *entry, sign int) {
	switch p.kind {
	case "value_count":
		if w.values == nil {
			w.values = map[string]int{}
		}
		if w.values[e.text] += sign; w.values[e.text] == 0 {
			delete(w.values, e.text)
		}
	case "value_sum", "value_avg":
		w.sum += float64(sign) * e.value
	case "value_percentile", "value_median":
		i, _ := slices.BinarySearch(w.sorted, e.value)
		if sign > 0 {
			w.sorted = slices.Insert(w.sorted, i, e.value)
		} else {
			w.sorted = slices.Delete(w.sorted, i, i+1)
		}
	case "temporal":
		if w.counts == nil {
			w.counts = make([]int, len(p.rules))
		}
		for i := range p.rules {
			if e.rules>>i&1 != 0 {
				w.counts[i] += sign
			}
		}
	}
}

func (w *window) holds(p *compiledCorrelation) bool {
	n := len(w.entries)
	switch p.kind {
	case "value_count":
		return p.within(float64(len(w.values)))
	case "value_sum":
		return p.within(w.sum)
	case "value_avg":
		return p.within(w.sum / float64(n))
	case "value_median":
		return p.within((w.sorted[(n-1)/2] + w.sorted[n/2]) / 2)
	case "value_percentile": // nearest rank
		return p.within(w.sorted[int(math.Ceil(p.rank/100*float64(n)))-1])
	case "temporal":
		if p.presence != nil {
			return w.present(p, p.presence)
		}
		rules := 0
		for _, c := range w.counts {
			if c > 0 {
				rules++
			}
		}
		return p.within(float64(rules))
	case "temporal_ordered":
		step := 0
		for i := range w.entries {
			if w.entries[i].rules>>step&1 != 0 {
				if step++; step == len(p.rules) {
					return true
				}
			}
		}
		return false
	}
	return p.within(float64(n))
}

// present evaluates a condition over rules.
func (w *window) present(p *compiledCorrelation, c *condition) bool {
	switch c.op {
	case opAtom:
		return w.counts[slices.Index(p.names, c.atom.field)] > 0
	case opOr:
		return slices.ContainsFunc(c.kids, func(k *condition) bool { return w.present(p, k) })
	}
	return !slices.ContainsFunc(c.kids, func(k *condition) bool { return !w.present(p, k) })
}

// compiledCorrelation is a correlation with its fields interned.
type compiledCorrelation struct {
	*correlation
	rule   *Rule
	groups [][]int32 // by field of group-by: the slot for each rule
	values []int32
}

// correlate takes the correlations of the set whose rules are all part of the program, in the order of their references.
func (c *compiler) correlate(all []*Rule) {
	in := map[*Rule]bool{}
	for _, r := range c.rules {
		in[r] = true
	}
	for _, r := range all { // a correlation is loaded after those that it refers to
		if slices.ContainsFunc(r.correlation.rules, func(ref *Rule) bool { return !in[ref] }) {
			continue
		}
		in[r] = true
		k := compiledCorrelation{correlation: r.correlation, rule: r}
		for _, g := range r.correlation.groupBy {
			slots := make([]int32, len(g.of))
			for i, field := range g.of {
				slots[i] = c.slot(field)
			}
			k.groups = append(k.groups, slots)
		}
		for _, field := range r.correlation.fields {
			k.values = append(k.values, c.slot(field))
		}
		c.correlations = append(c.correlations, k)
		for _, ref := range r.correlation.rules {
			if !r.correlation.generate {
				c.quiet[ref] = true
			}
		}
	}
	if len(c.correlations) > 0 {
		for _, field := range timeFields {
			c.times = append(c.times, c.slot(field))
		}
	}
}

// timeFields are where an event's time is looked for, in this order.
var timeFields = []string{"@timestamp", "timestamp", "time", "eventTime", "TimeCreated_SystemTime", "UtcTime", "event_time"}

// Quiet reports whether the rule only serves correlations and does not alert on its own.
func (p *Program) Quiet(r *Rule) bool { return p.quiet[r] }

// Correlates reports whether the program has correlations, which want the time of each event.
func (p *Program) Correlates() bool { return len(p.correlations) > 0 }

// Time returns the time of the matcher's current event; ok is false where it has none that can be read.
func (m *Matcher) Time() (at time.Time, ok bool) {
	for _, s := range m.program.times {
		if v := m.first(s); v != nil {
			if at, ok = date(v.raw); ok {
				return at, true
			}
		}
	}
	return time.Time{}, false
}

// first returns the field's first value that is a text or number, or nil.
func (m *Matcher) first(slot int32) *value {
	if !m.present(slot) {
		return nil
	}
	for i := m.slots[slot].head; i >= 0; i = m.values[i].next {
		if m.values[i].kind == valueText {
			return &m.values[i]
		}
	}
	return nil
}
