package sigma

import (
	"container/heap"
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
	keys    map[*Rule][]string   // of correlations that the event completed: the group's values
	ends    ends                 // of windows that are judged when they have ended
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
	sorted  []float64   // value_percentile, value_median
	removed int         // entries since sum was added up afresh
	newest  time.Time   // of all entries that came
	left    []time.Time // absence: when a match that is not in the window any more was last, by rule
}

type entry struct {
	at    time.Time
	rules uint64 // those of the correlation that matched, as bits
	value float64
	text  string
}

// NewCorrelator returns empty windows.
func (p *Program) NewCorrelator() *Correlator {
	c := &Correlator{program: p, hits: map[*Rule]bool{}, keys: map[*Rule][]string{}}
	for range p.correlations {
		c.groups = append(c.groups, map[string]*window{})
	}
	return c
}

// Event takes in the rules that matched the matcher's current event and returns the correlations that it completed. A
// correlation fires when its condition becomes true, then at most once a timespan and group; one that asks for absence
// fires at the first event whose time is that of its window's end, or later. The slice is valid until the next event.
func (c *Correlator) Event(at time.Time, matched []*Rule, m *Matcher) []*Rule {
	c.fired = c.fired[:0]
	if at.After(c.latest) {
		c.close(at.Add(-1))
		c.latest = at
	}
	if len(matched) > 0 {
		c.count(at, matched, m)
	}
	c.close(c.latest)
	return c.fired
}

// count enters the event into the windows of those correlations that it counts in.
func (c *Correlator) count(at time.Time, matched []*Rule, m *Matcher) {
	clear(c.hits)
	clear(c.keys)
	for _, r := range matched {
		c.hits[r] = true
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
}

// sweep forgets groups that nothing can complete any more, as often as there are groups.
func (c *Correlator) sweep() {
	c.events = 0
	for i, groups := range c.groups {
		for key, w := range groups {
			if w.newest.Before(c.latest.Add(-2 * c.program.correlations[i].span)) { // late events may still be of the last window
				delete(groups, key)
			}
		}
		c.events -= len(groups)
	}
}

// enter adds an entry to its group and reports whether the correlation fires.
func (c *Correlator) enter(p *compiledCorrelation, groups map[string]*window, e entry, m *Matcher) bool {
	c.key = c.key[:0]
	first := firstBit(e.rules)
	for _, g := range p.groups {
		text, ok := c.field(p, first, g[first], m)
		if !ok {
			return false
		}
		c.key = append(append(c.key, text...), 0)
	}
	if !c.read(p, &e, first, m) {
		return false
	}
	w := groups[string(c.key)]
	if w == nil {
		w = &window{}
		groups[string(c.key)] = w
	}
	if e.at.After(w.newest) {
		w.newest = e.at
	}
	if p.absence != noAbsence {
		end := e.at.Add(p.span)
		if p.absence == without { // it begins with the event, so what comes then is not in it
			end = end.Add(-1)
		}
		if end.After(c.latest) {
			w.insert(p, e)
			heap.Push(&c.ends, windowEnd{end, p, w})
		}
		return false
	}
	if n := len(w.entries); n > 0 && !e.at.After(w.entries[n-1].at.Add(-p.span)) {
		return false // older than the window
	}
	w.insert(p, e)
	w.trim(p)
	if !w.holds(p) || !w.mayFire(p, e.at) {
		return false
	}
	if p.feeds { // what it is about is what the next one may ask for
		for _, g := range p.groups {
			text, _ := c.field(p, first, g[first], m)
			c.keys[p.rule] = append(c.keys[p.rule], text)
		}
	}
	return true
}

// mayFire reports whether the group has not fired within a timespan before, and notes that it does now.
func (w *window) mayFire(p *compiledCorrelation, at time.Time) bool {
	if !w.fired.IsZero() && at.Before(w.fired.Add(p.span)) {
		return false
	}
	w.fired = at
	return true
}

// field returns what the correlation reads of the event for one of its rules: a field's first value, or a part of the group
// of the correlation that the event completed.
func (c *Correlator) field(p *compiledCorrelation, rule int, slot int32, m *Matcher) (text string, ok bool) {
	if slot < 0 {
		return c.keys[p.rules[rule]][^slot], true
	}
	v := m.first(slot)
	if v == nil {
		return "", false
	}
	return v.raw, true
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
func (c *Correlator) read(p *compiledCorrelation, e *entry, rule int, m *Matcher) bool {
	var tuple []byte
	for _, v := range p.values {
		text, ok := c.field(p, rule, v[rule], m)
		if !ok {
			return false
		}
		if p.kind == "value_count" {
			tuple = append(append(tuple, text...), 0)
			continue
		}
		if e.value, ok = number(text); !ok {
			return false
		}
	}
	e.text = string(tuple)
	return true
}

// insert puts the entry in its place.
func (w *window) insert(p *compiledCorrelation, e entry) {
	at := len(w.entries)
	for at > 0 && w.entries[at-1].at.After(e.at) {
		at--
	}
	w.entries = slices.Insert(w.entries, at, e)
	w.account(p, &e, 1)
}

// trim takes out what is older than the window that ends with the newest entry.
func (w *window) trim(p *compiledCorrelation) {
	start := w.entries[len(w.entries)-1].at.Add(-p.span)
	old := 0
	for !w.entries[old].at.After(start) {
		old++
	}
	w.remove(p, old)
}

// remove takes out the n oldest entries.
func (w *window) remove(p *compiledCorrelation, n int) {
	for i := range w.entries[:n] {
		w.account(p, &w.entries[i], -1)
	}
	w.entries = w.entries[n:]
	if w.removed += n; w.removed > len(w.entries) { // add up afresh, or rounding would gather
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
			return p.presence.holds(func(name string, negated bool) bool { return w.there(p, name, negated) })
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

// there reports whether the rule matched in the window; negated, also in the timespan before its first entry.
func (w *window) there(p *compiledCorrelation, name string, negated bool) bool {
	i := slices.Index(p.names, name)
	if i < len(w.counts) && w.counts[i] > 0 {
		return true
	}
	return negated && i < len(w.left) && len(w.entries) > 0 && w.left[i].After(w.entries[0].at.Add(-p.span))
}

// windowEnd is when the window that begins with an entry of the group ends.
type windowEnd struct {
	at time.Time
	p  *compiledCorrelation
	w  *window
}

// ends are a heap by time.
type ends []windowEnd

func (h ends) Len() int           { return len(h) }
func (h ends) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h ends) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *ends) Push(x any)        { *h = append(*h, x.(windowEnd)) }
func (h *ends) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = windowEnd{}
	*h = old[:len(old)-1]
	return x
}

// close judges the windows that end up to a time, and lets the entries go with which they began.
func (c *Correlator) close(until time.Time) {
	for len(c.ends) > 0 && !c.ends[0].at.After(until) {
		end := heap.Pop(&c.ends).(windowEnd)
		if end.w.ended(end.p, end.at) && end.w.mayFire(end.p, end.at) && !slices.Contains(c.fired, end.p.rule) {
			c.fired = append(c.fired, end.p.rule)
		}
	}
}

// ended takes out the oldest entry, whose window ends at that time, and reports whether the condition holds.
func (w *window) ended(p *compiledCorrelation, at time.Time) (holds bool) {
	first := w.entries[0]
	if p.absence == without {
		holds = first.rules&p.wanted != 0 && w.holds(p)
		if w.left == nil {
			w.left = make([]time.Time, len(p.rules))
		}
		for i := range p.rules {
			if first.rules>>i&1 != 0 {
				w.left[i] = first.at
			}
		}
	}
	w.remove(p, 1)
	if p.absence == fewer && (len(w.entries) == 0 || w.entries[0].at.After(first.at)) {
		holds = w.holds(p)
	}
	return holds
}

// compiledCorrelation is a correlation with its fields interned.
type compiledCorrelation struct {
	*correlation
	rule   *Rule
	groups [][]int32 // by field of group-by: for each rule the slot, or ^i for the i-th part of that correlation's group
	values [][]int32 // by field of the condition, likewise
	feeds  bool      // another correlation refers to it
	wanted uint64    // without: the rules that stand under no not, as bits
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
			k.groups = append(k.groups, c.reads(r.correlation, g.of))
		}
		for _, field := range r.correlation.fields {
			k.values = append(k.values, c.reads(r.correlation, slices.Repeat([]string{field}, len(k.rules))))
		}
		for i, name := range k.names {
			if k.absence == without && k.presence.names(name, false) {
				k.wanted |= 1 << i
			}
		}
		c.correlations = append(c.correlations, k)
		for _, ref := range r.correlation.rules {
			if !r.correlation.generate {
				c.quiet[ref] = true
			}
			for i := range c.correlations {
				c.correlations[i].feeds = c.correlations[i].feeds || c.correlations[i].rule == ref
			}
		}
	}
	if len(c.correlations) > 0 {
		for _, field := range timeFields {
			c.times = append(c.times, c.slot(field))
		}
	}
}

// reads returns where the fields are, one for each of the correlation's rules.
func (c *compiler) reads(of *correlation, fields []string) []int32 {
	slots := make([]int32, len(fields))
	for i, field := range fields {
		if part := of.rules[i].groupPart(field); part >= 0 {
			slots[i] = ^int32(part)
		} else {
			slots[i] = c.slot(field)
		}
	}
	return slots
}

// groupPart returns which part of the group of a correlation has that name; -1 for none, and for detection rules.
func (r *Rule) groupPart(name string) int {
	if r.correlation == nil {
		return -1
	}
	return slices.IndexFunc(r.correlation.groupBy, func(g groupField) bool { return g.name == name })
}

// timeFields are where an event's time is looked for, in this order.
var timeFields = []string{"@timestamp", "timestamp", "time", "eventTime", "TimeCreated_SystemTime", "UtcTime", "event_time",
	"Timestamp", "EventTime", "ts", "_time", "datetime", "TimeCreated", "TimeGenerated", "CreationTime"}

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
