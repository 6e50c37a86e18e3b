package correlate

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/detect"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// signalCount is how many signals a series may have besides its size: those from rule.SampleRows on.
const signalCount = rule.SampleNetIn - rule.SampleRows + 1

// readings are what other events told of a series: for each signal the sum of the increments of all its parts, which is as
// good as the counter itself, and when it was last told of.
type readings struct {
	total [signalCount]float64 // NaN while nothing was told
	time  [signalCount]int64   // Unix nanoseconds; math.MaxInt64 where each event is one more, for then none is none
}

const (
	// stale is how old a reading may be for a sample to go by it: longer than any usual scrape, shorter than a gap that
	// the detector takes for none.
	stale = 15 * time.Minute
	// maxParts and maxWindows bound what a key remembers of either.
	maxParts, maxWindows = 256, 32
)

// newReadings returns what is known of a new series: of signals whose events are counted, that there was none.
func newReadings(r *rule.Rule) (t readings) {
	for i := range t.total {
		t.total[i] = math.NaN()
	}
	for _, s := range r.Steps {
		if s.Role == rule.RoleReading && s.Counts {
			t.total[s.Of-rule.SampleRows], t.time[s.Of-rule.SampleRows] = 0, math.MaxInt64
		}
	}
	return t
}

// add counts n more.
func (t *readings) add(of int, at int64, n float64) {
	i := of - rule.SampleRows
	if math.IsNaN(t.total[i]) {
		t.total[i], n = 0, 0 // what came before is not known, and so not what came since
	}
	t.total[i] += n
	if of == rule.SampleFailedLogins { // they are told by events: none is none
		at = math.MaxInt64
	}
	t.time[i] = max(t.time[i], at)
}

// sample joins what a sample says with what other events told.
func (t *readings) sample(s *pipeline.Signal, size float64) detect.GrowthSample {
	get := func(of int) float64 {
		if v, ok := number(s.Values[of]); ok {
			return v
		}
		i := of - rule.SampleRows
		if t.time[i] != math.MaxInt64 && s.Time.UnixNano()-t.time[i] > int64(stale) {
			return math.NaN()
		}
		return t.total[i]
	}
	return detect.GrowthSample{
		Time: s.Time, Size: size, Rows: get(rule.SampleRows), Commits: get(rule.SampleCommits),
		FailedLogins: get(rule.SampleFailedLogins), FailedTests: get(rule.SampleFailedTests), NetIn: get(rule.SampleNetIn),
	}
}

// part is one counter or gauge of which a reading came.
type part struct {
	step int
	name string // series and part
	last float64
	time int64
}

// observeReading adds what a counter has gone up by since it was last read, or a gauge has changed by.
func (g *growth) observeReading(c *call, s *pipeline.Signal) {
	step, t := &c.rule.Steps[s.Step], s.Time.UnixNano()
	more := 1.0
	if !step.Counts {
		v, ok := number(s.Values[rule.ReadingValue])
		if !ok {
			return
		}
		name := s.Values[rule.ReadingSeries] + "\x00" + s.Values[rule.ReadingPart]
		at, known := slices.BinarySearchFunc(g.parts, name, func(p part, name string) int {
			if p.step != s.Step {
				return p.step - s.Step
			}
			return strings.Compare(p.name, name)
		})
		switch {
		case !known && len(g.parts) >= maxParts:
			c.stats.Truncated++
			return
		case !known:
			g.parts = slices.Insert(g.parts, at, part{s.Step, strings.Clone(name), v, t})
			more = 0
		case t <= g.parts[at].time:
			return
		default:
			p := &g.parts[at]
			if more = v - p.last; more < 0 && step.Of != rule.SampleRows {
				more = v // the counter began anew
			}
			p.last, p.time = v, t
		}
	}
	switch name := s.Values[rule.ReadingSeries]; {
	case name == "" && len(g.series) == 1: // of several nobody knows whose it is
		g.series[0].told.add(step.Of, t, more)
	case name != "":
		for _, one := range g.series {
			if one.name == name {
				one.told.add(step.Of, t, more)
			}
		}
	}
}

// planned is a window in which growth is expected: maintenance, a backup, an experiment.
type planned struct {
	of    int // rule.Step.Of
	id    string
	until int64 // it has no end later than that, Unix nanoseconds
}

// observeWindow takes the begin or the end of a window.
func (g *growth) observeWindow(c *call, s *pipeline.Signal) {
	step, t := &c.rule.Steps[s.Step], s.Time.UnixNano()
	w := planned{step.Of, strings.Clone(s.Values[rule.WindowID]), t + int64(step.Within)}
	at := slices.IndexFunc(g.windows, func(o planned) bool { return o.of == w.of && o.id == w.id })
	switch {
	case step.Role == rule.RoleEnd && at >= 0:
		g.windows[at].until = min(g.windows[at].until, t)
	case step.Role == rule.RoleEnd: // it began before anybody listened
	case at >= 0:
		g.windows[at].until = max(g.windows[at].until, w.until)
	case len(g.windows) < maxWindows:
		g.windows = append(g.windows, w)
	default:
		c.stats.Truncated++
	}
}

// isPlanned reports whether growth at a time is expected.
func (g *growth) isPlanned(t int64) bool {
	return slices.ContainsFunc(g.windows, func(w planned) bool { return t <= w.until })
}

func (t *readings) encode(b []byte) []byte {
	for i := range t.total {
		b = binary.AppendUvarint(b, math.Float64bits(t.total[i]))
		b = binary.AppendVarint(b, t.time[i])
	}
	return b
}

func (d *decoder) readings() (t readings) {
	for i := range t.total {
		t.total[i], t.time[i] = math.Float64frombits(d.uvarint()), d.varint()
	}
	return t
}

func appendParts(b []byte, parts []part) []byte {
	b = binary.AppendUvarint(b, uint64(len(parts)))
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(p.step))
		b = appendText(b, p.name)
		b = binary.AppendUvarint(b, math.Float64bits(p.last))
		b = binary.AppendVarint(b, p.time)
	}
	return b
}

func (d *decoder) parts() (list []part) {
	for range d.count() {
		list = append(list, part{int(d.uvarint()), d.text(), math.Float64frombits(d.uvarint()), d.varint()})
	}
	return list
}

func appendWindows(b []byte, windows []planned) []byte {
	b = binary.AppendUvarint(b, uint64(len(windows)))
	for _, w := range windows {
		b = binary.AppendUvarint(b, uint64(w.of))
		b = appendText(b, w.id)
		b = binary.AppendVarint(b, w.until)
	}
	return b
}

func (d *decoder) windows() (list []planned) {
	for range d.count() {
		list = append(list, planned{int(d.uvarint()), d.text(), d.varint()})
	}
	return list
}
