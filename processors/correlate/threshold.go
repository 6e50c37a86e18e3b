package correlate

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/alert"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// slices of a window: a sliding one moves in steps of a 120th of its length. A window that ends with slice e covers the
// slices e-119 to e, so two events of one window are never further apart than its length. Tumbling windows are judged in
// the same way, but begin at a multiple of 120; those of a session begin after a gap of that many slices.
const windowSlices = 120

// Bounds of a window's state.
const (
	maxEntries = 50_000 // of one key; beyond it the oldest are forgotten
	mergeReach = 16     // entries looked at for one of the same slice and values
	fewEntries = 24     // up to here distinct values are counted by comparing, without a map
)

// window is the state of a key of a threshold rule: the events of the newest window, and of as much before as a late
// event may still belong to, merged where slice and values are the same.
type window struct {
	entries []entry // by slice
	lo, hi  int32   // entries[lo:hi] are in the window that ends with slice end
	end     int64   // the windows of a rule that waits for late events are judged up to here
	// large has the aggregates of that window; nil while there are few entries, then they are computed when needed.
	large   *large
	notes   notes
	episode *alert.Episode
}

// entry is n events of one slice that have the same values.
type entry struct {
	time   int64     // of the first, Unix nanoseconds
	values string    // packed: length and text of each
	id     uuid.UUID // of the first
	n      uint32
	hash   uint32 // of the values: others are told apart by it mostly
}

// slice returns the entry's slice, of which each has the length l. To compare times with a slice's bounds is faster.
func (e *entry) slice(l int64) int64 { return sliceOf(e.time, l) }

// running is an aggregate of a window that is kept up to date as entries come and go. Sums are kept in whole units and
// millionths, so that adding and taking away leaves no error behind.
type running struct {
	whole, millionths int64
	numbers           int64  // for a mean
	tally             tally  // for a distinct count
	sketch            sketch // for a percentile
}

func sliceLength(r *rule.Rule) int64 { return int64(r.Window) / windowSlices }

// sliceOf rounds towards the past, before 1970 as well.
func sliceOf(t, length int64) int64 {
	s := t / length
	if t%length < 0 {
		s--
	}
	return s
}

func (w *window) observe(c *call, s *pipeline.Signal) {
	t := s.Time.UnixNano()
	if c.rule.Steps[s.Step].Role == rule.RoleResolve {
		if e := w.episode; e != nil && e.Open && e.Last <= t {
			e.Resolve(c.rule, w.notes.read(), &c.out)
			w.entries, w.large, w.lo, w.hi = nil, nil, 0, 0
		}
		return
	}
	w.notes.take(c.rule, s)
	l := sliceLength(c.rule)
	slice := sliceOf(t, l)
	w.insert(c, s, slice)
	if len(w.entries) > maxEntries {
		w.drop(c.rule, maxEntries/8)
		c.stats.Truncated += maxEntries / 8
	}
	if c.rule.Final || c.rule.Behind {
		if w.episode != nil && w.episode.Open {
			w.episode.Add(t, s.EventID, 1)
		}
		return // expire judges
	}
	head := w.entries[len(w.entries)-1].slice(l)
	if w.episode != nil && w.episode.Open {
		w.episode.Add(t, s.EventID, 1)
	} else if slice < head {
		// The event came late: windows that ended after it, but before the newest, have one event more.
		for i := w.first(slice, l); i < len(w.entries) && w.entries[i].slice(l) < head; i++ {
			if i > 0 && w.entries[i-1].slice(l) == w.entries[i].slice(l) {
				continue
			}
			if w.start(c.rule, w.entries[i].slice(l)) > slice {
				break
			}
			w.move(c.rule, w.entries[i].slice(l))
			if w.judge(c, t, s.Ingest) {
				break
			}
		}
	}
	w.move(c.rule, head)
	w.judge(c, t, s.Ingest)
}

// judgeClosed judges the windows that nothing can change any more, each at its last event.
func (w *window) judgeClosed(c *call) {
	l := sliceLength(c.rule)
	for i := w.first(w.end+1, l); i < len(w.entries); i++ {
		slice := w.entries[i].slice(l)
		if (slice+1)*l > c.watermark {
			return
		}
		if i+1 < len(w.entries) && w.entries[i+1].slice(l) == slice {
			continue
		}
		w.move(c.rule, slice)
		w.judge(c, w.entries[i].time, time.Unix(0, w.entries[i].time))
	}
}

// judgeBehind judges the windows behind entries that nothing can change any more, each when it has ended.
func (w *window) judgeBehind(c *call) {
	l := sliceLength(c.rule)
	for i := w.unjudged(l); i < len(w.entries); i++ {
		end := w.entries[i].slice(l) + windowSlices
		if (end+1)*l > c.watermark {
			return
		}
		if i+1 < len(w.entries) && w.entries[i+1].slice(l)+windowSlices == end {
			continue
		}
		w.move(c.rule, end)
		t := w.entries[i].time + int64(c.rule.Window)
		w.judge(c, t, time.Unix(0, t)) // what makes it fire is time, not an event
	}
}

// unjudged returns the index of the first entry behind which a window has not been judged.
func (w *window) unjudged(l int64) int { return w.first(w.end-windowSlices+1, l) }

// judge evaluates the window as it stands and fires where the condition holds. t is the time of the event that it is judged
// for, ingest when that reached Kafka.
func (w *window) judge(c *call, t int64, ingest time.Time) bool {
	c.values = w.aggregates(c.rule, c.values[:0])
	values := c.values
	if !c.rule.Having.Holds(values) {
		return false
	}
	inside := w.entries[w.lo:w.hi]
	if c.rule.Behind { // it is about the last event before, too
		inside = w.entries[w.lo-1 : w.hi]
	}
	e := w.episode
	if e == nil || !e.Belongs(c.rule, inside[0].time) {
		e = &alert.Episode{Key: c.key}
		w.episode = e
	}
	if !e.Open {
		known, fresh := e.Last, e.Count == 0
		for i := range inside {
			if in := &inside[i]; fresh || in.time > known {
				e.Add(in.time, in.id, in.n)
			}
		}
	}
	e.Metrics = e.Metrics[:0]
	for i, a := range c.rule.Aggregates {
		e.Metrics = append(e.Metrics, alert.Metric{Name: a.Name, Value: values[i]})
	}
	e.Fire(c.rule, w.notes.read(), max(t, inside[len(inside)-1].time), ingest, rule.LevelWarn, &c.out)
	return true
}

// insert puts the event where its slice belongs. It keeps lo and hi, and the aggregates, those of the window.
func (w *window) insert(c *call, s *pipeline.Signal, slice int64) {
	b := c.scratch[:0]
	for _, v := range s.Values {
		b = appendText(b, v)
	}
	c.scratch = b
	in := entry{n: 1, id: s.EventID, time: s.Time.UnixNano(), hash: uint32(maphash.Bytes(hashSeed, b))}
	l := sliceLength(c.rule)
	at := len(w.entries)
	for at > 0 && w.entries[at-1].time >= (slice+1)*l {
		at--
	}
	near := w.entries[max(0, at-mergeReach):at]
	for i := len(near) - 1; i >= 0; i-- {
		if e := &near[i]; e.hash == in.hash && e.time >= slice*l && e.values == string(b) {
			e.n++
			i += at - len(near)
			if w.large != nil {
				w.large.change(i, 0)
			}
			if i >= int(w.lo) && i < int(w.hi) {
				w.count(c.rule, e.values, 1, 0)
			}
			return
		}
	}
	if w.large == nil {
		in.values = string(b)
	} else {
		in.values = w.large.text(b)
		w.entries = w.large.room(w.entries)
		w.large.change(at, 1)
	}
	w.entries = append(w.entries, in)
	if last := len(w.entries) - 1; at < last {
		copy(w.entries[at+1:], w.entries[at:last])
		w.entries[at] = in
	}
	switch {
	case at < int(w.lo) || slice < w.begin(c.rule):
		w.lo, w.hi = w.lo+1, w.hi+1
	case slice <= w.end:
		w.hi++
		w.count(c.rule, in.values, 1, 1)
	}
	if w.large == nil && len(w.entries) > fewEntries {
		w.large = &large{running: make([]running, len(c.rule.Aggregates)), memory: w.entries[:0]}
		for i := w.lo; i < w.hi; i++ {
			w.count(c.rule, w.entries[i].values, int64(w.entries[i].n), 1)
		}
	}
}

// first returns the index of the first entry whose slice is not before the given one.
func (w *window) first(slice, l int64) int {
	return sort.Search(len(w.entries), func(i int) bool { return w.entries[i].time >= slice*l })
}

// begin returns the first slice of the window at hand.
func (w *window) begin(r *rule.Rule) int64 {
	if r.Windows != rule.Session {
		return w.start(r, w.end)
	}
	if w.lo == w.hi {
		return w.end + 1 // what comes into an empty session is counted when the window moves
	}
	return w.entries[w.lo].slice(sliceLength(r))
}

// start returns the first slice of the window that ends with a slice.
func (w *window) start(r *rule.Rule, end int64) int64 {
	switch r.Windows {
	case rule.Tumbling:
		return end - mod(end, windowSlices)
	case rule.Session:
		return w.session(w.first(end+1, sliceLength(r))-1, sliceLength(r), end)
	}
	return end - windowSlices + 1
}

// session returns the slice at which the session of entry i begins; without an entry that is at the end.
func (w *window) session(i int, l, end int64) int64 {
	if i < 0 || end-w.entries[i].slice(l) >= windowSlices {
		return end
	}
	for ; i > 0; i-- {
		if i > int(w.lo) && i < int(w.hi) {
			i = int(w.lo) // the window at hand is of one session
			if i == 0 {
				break
			}
		}
		if w.entries[i].slice(l)-w.entries[i-1].slice(l) >= windowSlices {
			break
		}
	}
	return w.entries[i].slice(l)
}

// move makes it the window that ends with the slice. It costs as much as there are entries that come in or go out.
func (w *window) move(r *rule.Rule, end int64) {
	begin := w.start(r, end)
	w.end = end
	l, lo, hi := sliceLength(r), w.lo, w.hi
	from, to := begin*l, (end+1)*l
	for int(hi) < len(w.entries) && w.entries[hi].time < to {
		hi++
	}
	for hi > 0 && w.entries[hi-1].time >= to {
		hi--
	}
	for lo < hi && w.entries[lo].time < from {
		lo++
	}
	for lo > 0 && (lo > hi || w.entries[lo-1].time >= from) {
		lo--
	}
	if w.large != nil {
		for i := w.lo; i < w.hi; i++ { // those that go out
			if lo <= i && i < hi {
				i = min(hi, w.hi) - 1
				continue
			}
			w.count(r, w.entries[i].values, -int64(w.entries[i].n), -1)
		}
		for i := lo; i < hi; i++ { // those that come in
			if w.lo <= i && i < w.hi {
				i = min(hi, w.hi) - 1
				continue
			}
			w.count(r, w.entries[i].values, int64(w.entries[i].n), 1)
		}
	}
	w.lo, w.hi = lo, hi
}

// count adds events of the same values to the running aggregates, or takes them out; entries is by how many entries the
// window grows.
func (w *window) count(r *rule.Rule, values string, events int64, entries int) {
	if w.large == nil {
		return
	}
	for i := range w.large.running {
		a, n := &r.Aggregates[i], &w.large.running[i]
		switch a.Op {
		case rule.Count:
			if a.Value < 0 || value(values, a.Value) != "" {
				n.whole += events
			}
		case rule.Sum, rule.Avg:
			n.add(value(values, a.Value), events)
		case rule.Percentile:
			n.sketch.add(value(values, a.Value), events, a.Exact)
		case rule.Median:
			n.sketch.add(value(values, a.Value), events, true)
		case rule.Distinct:
			if v := value(values, a.Value); v != "" && entries != 0 {
				n.tally.add(v, entries)
			}
		}
	}
}

// add adds a number so many times; what is none, or too great to be added up, counts as zero and is no number of a mean.
func (n *running) add(text string, times int64) {
	v, ok := number(text)
	if !ok {
		return
	}
	whole, fraction := math.Modf(v)
	n.whole += times * int64(whole)
	n.millionths += times * int64(math.Round(fraction*1e6))
	n.numbers += times
}

// number reads a number that is small enough to be added up.
func number(text string) (v float64, ok bool) {
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil && math.Abs(v) < 1<<53
}

// value returns the i-th of packed values.
func value(packed string, i int) string {
	for {
		n, width := uint64(0), 0
		for width < len(packed) {
			b := packed[width]
			n |= uint64(b&0x7f) << (7 * width)
			width++
			if b < 0x80 {
				break
			}
		}
		packed = packed[width:]
		if i == 0 {
			return packed[:n]
		}
		packed = packed[n:]
		i--
	}
}

// aggregates appends the value of each aggregate for the window.
func (w *window) aggregates(r *rule.Rule, out []float64) []float64 {
	for i, a := range r.Aggregates {
		switch {
		case w.large == nil:
			out = append(out, aggregate(w.entries[w.lo:w.hi], a))
		default:
			out = append(out, w.large.running[i].value(a))
		}
	}
	return out
}

func (n *running) value(a rule.Aggregate) float64 {
	switch a.Op {
	case rule.Distinct:
		return float64(n.tally.values)
	case rule.Percentile:
		return n.sketch.quantile(a.Quantile, a.Exact)
	case rule.Median:
		return n.sketch.median()
	}
	sum := float64(n.whole) + float64(n.millionths)/1e6
	if a.Op == rule.Avg {
		if n.numbers == 0 {
			return math.NaN()
		}
		return sum / float64(n.numbers)
	}
	return sum
}

// aggregate computes an aggregate of a few entries. Comparing all with all is faster, and smaller, than a map.
func aggregate(entries []entry, a rule.Aggregate) float64 {
	var n running
	distinct := 0
	for i := range entries {
		e := &entries[i]
		v := ""
		if a.Value >= 0 {
			v = value(e.values, a.Value)
		}
		switch a.Op {
		case rule.Count:
			if a.Value < 0 || v != "" {
				n.whole += int64(e.n)
			}
		case rule.Sum, rule.Avg:
			n.add(v, int64(e.n))
		case rule.Percentile:
			n.sketch.add(v, int64(e.n), a.Exact)
		case rule.Median:
			n.sketch.add(v, int64(e.n), true)
		case rule.Distinct:
			if v != "" && !slices.ContainsFunc(entries[:i], func(e entry) bool { return value(e.values, a.Value) == v }) {
				distinct++
			}
		}
	}
	if a.Op == rule.Distinct {
		return float64(distinct)
	}
	return n.value(a)
}

// drop forgets the n oldest entries.
func (w *window) drop(r *rule.Rule, n int) {
	if w.large != nil {
		for i := w.lo; i < min(int32(n), w.hi); i++ {
			w.count(r, w.entries[i].values, -int64(w.entries[i].n), -1)
		}
		w.large.drop(n)
		if w.entries = w.entries[n:]; cap(w.large.memory) > 4*len(w.entries) {
			w.entries = slices.Clone(w.entries)
			w.large.memory = w.entries[:0]
		}
	} else if w.entries = slices.Delete(w.entries, 0, n); cap(w.entries) > 4*len(w.entries) {
		w.entries = slices.Clone(w.entries)
	}
	w.lo, w.hi = max(w.lo-int32(n), 0), max(w.hi-int32(n), 0)
}

func (w *window) expire(c *call) {
	switch {
	case c.rule.Final:
		w.judgeClosed(c)
	case c.rule.Behind:
		w.judgeBehind(c)
	}
	e := w.episode
	if e != nil && e.Open && c.watermark >= e.Held+int64(c.rule.Window) {
		e.Resolve(c.rule, w.notes.read(), &c.out)
	}
	if e != nil && !e.Open && c.watermark >= e.Ends(c.rule) {
		w.episode, e = nil, nil
	}
	// No event that may still come is in a window with entries up to here.
	l := sliceLength(c.rule)
	oldest := sliceOf(c.watermark, l) - windowSlices
	if c.rule.Behind { // one of the oldest slice ends with the watermark's
		oldest--
	}
	if len(w.entries) > 0 && w.entries[0].time < (oldest+1)*l {
		switch n := w.needless(c.rule, oldest); {
		case n == len(w.entries):
			w.entries, w.large, w.lo, w.hi = nil, nil, 0, 0
			if e == nil || !e.Open {
				w.notes = notes{}
			}
		case 8*n >= len(w.entries): // moving the rest costs as much as there is of it
			w.drop(c.rule, n)
		}
	}
}

// needless returns how many entries are in no window with events after the oldest slice.
func (w *window) needless(r *rule.Rule, oldest int64) int {
	l := sliceLength(r)
	n := w.first(oldest+1, l)
	if r.Windows == rule.Session && n < len(w.entries) {
		return w.first(w.session(n, l, w.entries[n].slice(l)), l)
	}
	return n
}

func (w *window) due(c *call) (due int64, keep bool) {
	r := c.rule
	e := w.episode
	if r.Final {
		if i := w.first(w.end+1, sliceLength(r)); i < len(w.entries) {
			return (w.entries[i].slice(sliceLength(r)) + 1) * sliceLength(r), true
		}
	}
	if r.Behind {
		if i, l := w.unjudged(sliceLength(r)), sliceLength(r); i < len(w.entries) {
			due, keep = (w.entries[i].slice(l)+windowSlices+1)*l, true
		}
	}
	if e != nil && e.Open {
		if end := e.Held + int64(r.Window); !keep || end < due {
			due = end
		}
		return due, true
	}
	if keep {
		return due, true
	}
	if n, l := len(w.entries), sliceLength(r); n > 0 {
		due, keep = (w.entries[n-1].slice(l)+windowSlices+1)*l, true
	}
	if e != nil {
		due, keep = max(due, e.Ends(r)), true
	}
	return due, keep
}

func (w *window) close(c *call) {
	if w.episode != nil {
		w.episode.Resolve(c.rule, w.notes.read(), &c.out)
	}
}

// windowWords name windows by kind, for people.
var windowWords = [...]string{rule.Sliding: "window", rule.Tumbling: "tumbling window", rule.Session: "session, pauses"}

func (w *window) explain(r *rule.Rule) []string {
	lines := []string{fmt.Sprintf("%d entries in the last %s of %s; it fires when %s", w.hi-w.lo, windowWords[r.Windows], rule.FormatDuration(r.Window), r.Having.Text)}
	values := w.aggregates(r, nil)
	for i, a := range r.Aggregates {
		lines = append(lines, fmt.Sprintf("%s = %g", a.Name, values[i]))
	}
	return append(lines, explainEpisode(w.episode)...)
}

func (w *window) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(w.entries)))
	n, before := 0, int64(0)
	if w.large != nil {
		n, before = w.large.settle(w.entries)
		b = appendChunks(b, w.large.chunks)
	}
	return w.appendRest(b, n, before)
}

// save is encode without what is in chunks, which it returns: they are what withChunks puts back.
func (w *window) save(b []byte) ([]byte, []chunk) {
	if w.large == nil {
		return w.encode(b), nil
	}
	n, before := w.large.settle(w.entries)
	return w.appendRest(binary.AppendUvarint(b, uint64(len(w.entries))), n, before), slices.Clone(w.large.chunks)
}

// appendRest appends the entries behind the first n, and all else.
func (w *window) appendRest(b []byte, n int, before int64) []byte {
	b = appendEntries(b, w.entries[n:], before)
	b = binary.AppendVarint(binary.AppendUvarint(binary.AppendUvarint(b, uint64(w.lo)), uint64(w.hi)), w.end)
	b = appendNotes(b, &w.notes)
	return appendEpisode(b, w.episode)
}

func (w *window) decode(d *decoder) {
	if n := d.count(); n > 0 {
		w.entries = make([]entry, n)
		t := int64(0)
		for i := range w.entries {
			t += d.varint()
			e := entry{time: t, n: uint32(d.uvarint()), id: d.uuid(), values: d.text()}
			e.hash = uint32(maphash.String(hashSeed, e.values))
			w.entries[i] = e
		}
	}
	w.lo, w.hi, w.end = int32(d.uvarint()), int32(d.uvarint()), d.varint()
	if w.lo < 0 || w.lo > w.hi || int(w.hi) > len(w.entries) {
		d.fail()
		w.lo, w.hi = 0, 0
	}
	w.notes = d.notes()
	w.episode = d.episode()
}
