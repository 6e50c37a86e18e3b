package correlate

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/alert"
	"github.com/tocsin-project/tocsin/processors/detect"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// growth is the state of a key of a growth rule: a host, with the databases and tables that grow on it. Evidence of an
// attack on the host counts for each of them.
type growth struct {
	series   []*series // by name
	evidence []hit     // newest, for the alert's events
	parts    []part    // counters and gauges that readings came of
	windows  []planned // in which growth is expected
	context  alert.Context
}

// series is one database or table.
type series struct {
	name    string
	grower  *detect.Growth
	time    int64   // of the last sample, Unix nanoseconds
	size    float64 // bytes
	full    float64 // bytes at which it is full; 0 unknown
	told    readings
	context alert.Context
	episode *alert.Episode
}

const (
	maxSeries      = 1000           // of one key
	maxEvidence    = 25             // events of evidence that an alert names
	forgetAfter    = 24 * time.Hour // a series without samples for that long is gone
	forgetEvidence = time.Hour
	// imminent is the forecast below which growth is fatal.
	imminent = 5 * time.Minute
)

func (g *growth) observe(c *call, s *pipeline.Signal) {
	switch c.rule.Steps[s.Step].Role {
	case rule.RoleEvidence:
		g.observeEvidence(c, s)
	case rule.RoleSample:
		g.observeSample(c, s)
	case rule.RoleReading:
		g.observeReading(c, s)
	default:
		g.observeWindow(c, s)
	}
}

func (g *growth) observeEvidence(c *call, s *pipeline.Signal) {
	g.context.Note(c.rule, s)
	if len(g.evidence) >= maxEvidence {
		g.evidence = slices.Delete(g.evidence, 0, 1)
	}
	g.evidence = append(g.evidence, hit{time: s.Time.UnixNano(), id: s.EventID, armed: true})
	login := s.Values[rule.EvidenceLogin]
	for _, one := range g.series {
		if login != "" && one.name == login { // it comes as one more of the series' failed logins
			one.told.add(rule.SampleFailedLogins, s.Time.UnixNano(), 1)
		} else {
			one.grower.Evidence(s.Time, 1)
		}
		if one.episode != nil && one.episode.Open {
			one.episode.Add(s.Time.UnixNano(), s.EventID, 1)
		}
	}
}

func (g *growth) observeSample(c *call, s *pipeline.Signal) {
	size, err := strconv.ParseFloat(s.Values[rule.SampleValue], 64)
	if err != nil || !(size > 0) || math.IsInf(size, 1) {
		return
	}
	one := g.find(c.rule, s.Values[rule.SampleSeries])
	if one == nil {
		c.stats.Truncated++
		return
	}
	full, _ := strconv.ParseFloat(s.Values[rule.SampleCapacity], 64)
	if full != one.full { // a disk was scaled: the forecast changes, what was learnt stays
		one.full = full
		one.grower = regrow(one.grower, full)
	}
	one.context.Note(c.rule, s)
	v := one.grower.Observe(one.told.sample(s, size))
	if s.Values[rule.SamplePlanned] != "" || g.isPlanned(s.Time.UnixNano()) {
		v.Tier = lowered(v.Tier)
	}
	t := s.Time.UnixNano()
	if t <= one.time {
		return
	}
	row := &pipeline.Growth{
		Time: s.Time, Project: s.Field("project"), Host: s.Field("host"), DBName: s.Field("db_name"), DBObject: s.Field("db_object"),
		SizeBytes: uint64(size), RatePerMin: perMinute(v.Doubling), DoublingMin: v.Doubling.Minutes(), MinutesToFull: v.TimeToFull.Minutes(),
		Score: v.Score, AttackEvents: uint64(max(v.AttackEvidence, 0)), State: v.Tier.String(),
	}
	if one.time != 0 {
		row.DeltaBytes = int64(size - one.size)
	}
	one.time, one.size = t, size
	c.growth = append(c.growth, row)
	g.alert(c, one, s, v)
}

// lowered is the tier of growth that maintenance explains: a step less. An attack under its cover is told later and
// quieter, but told, for sustained growth with evidence is a warning still.
func lowered(t detect.GrowthTier) detect.GrowthTier {
	if t > detect.GrowthOK {
		t--
	}
	return t
}

// evidenceStep is the index of the step that says what evidence is, and how much of it makes growth an attack.
func (g *growth) evidenceStep(r *rule.Rule) int {
	return slices.IndexFunc(r.Steps, func(s rule.Step) bool { return s.Role == rule.RoleEvidence })
}

// perMinute is the relative growth in a minute of what doubles in the given time.
func perMinute(doubling time.Duration) float64 {
	if doubling <= 0 {
		return 0
	}
	return math.Ln2 / doubling.Minutes()
}

func (g *growth) alert(c *call, one *series, s *pipeline.Signal, v detect.GrowthVerdict) {
	e, t := one.episode, s.Time.UnixNano()
	if v.Tier < detect.GrowthWarn {
		if e != nil && e.Open && v.Tier == detect.GrowthOK {
			x := alert.Join(&one.context, &g.context)
			e.Resolve(c.rule, &x, &c.out)
		}
		return
	}
	if (e == nil || !e.Open) && !v.Sure && v.AttackEvidence < float64(c.rule.Steps[g.evidenceStep(c.rule)].Count) {
		return // growth alone is for the dashboards
	}
	if e == nil || !e.Belongs(c.rule, t) {
		e = &alert.Episode{Key: one.key(c.key)}
		one.episode = e
	}
	if !e.Open {
		for _, h := range g.evidence {
			if h.time > e.Last {
				e.Add(h.time, h.id, 1)
			}
		}
	}
	e.Add(t, s.EventID, 1)
	level := rule.LevelWarn
	if v.Tier == detect.GrowthCrit {
		level = rule.LevelCrit
		if v.TimeToFull > 0 && v.TimeToFull < imminent {
			level = rule.LevelImminent
		}
	}
	e.Metrics = append(e.Metrics[:0],
		alert.Metric{Name: "size", Value: one.size},
		alert.Metric{Name: "rate_per_min", Value: perMinute(v.Doubling)},
		alert.Metric{Name: "doubling_min", Value: v.Doubling.Minutes()},
		alert.Metric{Name: "minutes_to_full", Value: v.TimeToFull.Minutes()},
		alert.Metric{Name: "attack_events", Value: math.Round(v.AttackEvidence)},
	)
	x := alert.Join(&one.context, &g.context)
	e.Fire(c.rule, &x, t, s.Ingest, level, &c.out)
}

// key is the dedup key of a series.
func (one *series) key(key string) string {
	if one.name == "" || one.name == key {
		return key
	}
	return key + "|" + one.name
}

// find returns the series of that name, made where there is none, or nil where there are too many.
func (g *growth) find(r *rule.Rule, name string) *series {
	i, ok := slices.BinarySearchFunc(g.series, name, func(s *series, name string) int { return strings.Compare(s.name, name) })
	if ok {
		return g.series[i]
	}
	if len(g.series) >= maxSeries {
		return nil
	}
	one := &series{name: strings.Clone(name), grower: detect.NewGrowth(detect.GrowthConfig{}), told: newReadings(r)}
	for _, h := range g.evidence {
		one.grower.Evidence(time.Unix(0, h.time), 1)
	}
	g.series = slices.Insert(g.series, i, one)
	return one
}

func (g *growth) found(r *rule.Rule, alertID uuid.UUID) bool {
	return slices.ContainsFunc(g.series, func(one *series) bool { return isOf(one.episode, r, alertID) })
}

func (g *growth) dismiss(r *rule.Rule, alertID uuid.UUID) {
	for _, one := range g.series {
		if isOf(one.episode, r, alertID) {
			one.grower.Dismiss()
		}
	}
}

// regrow returns a detector with another capacity that remembers what g does.
func regrow(g *detect.Growth, capacity float64) *detect.Growth {
	b, err := g.MarshalBinary()
	next := detect.NewGrowth(detect.GrowthConfig{Capacity: capacity})
	if err == nil {
		err = next.UnmarshalBinary(b)
	}
	if err != nil {
		panic("BUG: a growth detector cannot be copied: " + err.Error())
	}
	return next
}

func (g *growth) expire(c *call) {
	g.series = slices.DeleteFunc(g.series, func(one *series) bool {
		e := one.episode
		if e != nil && !e.Open && c.watermark >= e.Ends(c.rule) {
			one.episode, e = nil, nil
		}
		if one.time+int64(forgetAfter) > c.watermark {
			return false
		}
		if e != nil && e.Open {
			x := alert.Join(&one.context, &g.context)
			e.Resolve(c.rule, &x, &c.out)
		}
		return true
	})
	if n := len(g.evidence); n > 0 && g.evidence[n-1].time+int64(forgetEvidence) <= c.watermark {
		g.evidence = nil
	}
	g.parts = slices.DeleteFunc(g.parts, func(p part) bool { return p.time+int64(forgetAfter) <= c.watermark })
	g.windows = slices.DeleteFunc(g.windows, func(w planned) bool { return w.until <= c.watermark })
}

func (g *growth) due(*call) (due int64, keep bool) {
	for _, one := range g.series {
		due, keep = max(due, one.time+int64(forgetAfter)), true
	}
	if n := len(g.evidence); n > 0 {
		due, keep = max(due, g.evidence[n-1].time+int64(forgetEvidence)), true
	}
	for _, p := range g.parts {
		due, keep = max(due, p.time+int64(forgetAfter)), true
	}
	for _, w := range g.windows {
		due, keep = max(due, w.until), true
	}
	return due, keep
}

func (g *growth) close(c *call) {
	for _, one := range g.series {
		if one.episode != nil {
			x := alert.Join(&one.context, &g.context)
			one.episode.Resolve(c.rule, &x, &c.out)
		}
	}
}

func (g *growth) explain(r *rule.Rule) []string {
	lines := []string{fmt.Sprintf("%d events of evidence are remembered; an attack is %d within minutes above the usual",
		len(g.evidence), r.Steps[g.evidenceStep(r)].Count)}
	for _, w := range g.windows {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("growth is expected until %s %s", formatTime(w.until), w.id)))
	}
	for _, one := range g.series {
		lines = append(lines, fmt.Sprintf("%s: %.0f bytes at %s", one.name, one.size, formatTime(one.time)))
		for _, line := range one.grower.Profile() {
			lines = append(lines, "  "+line)
		}
		lines = append(lines, explainEpisode(one.episode)...)
	}
	return lines
}

func (g *growth) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(g.series)))
	for _, one := range g.series {
		b = appendText(b, one.name)
		b = binary.AppendVarint(b, one.time)
		b = binary.AppendUvarint(b, math.Float64bits(one.size))
		b = binary.AppendUvarint(b, math.Float64bits(one.full))
		b = appendState(b, one.grower)
		b = one.told.encode(b)
		b = appendContext(b, &one.context)
		b = appendEpisode(b, one.episode)
	}
	b = binary.AppendUvarint(b, uint64(len(g.evidence)))
	for _, h := range g.evidence {
		b = binary.AppendVarint(b, h.time)
		b = append(b, h.id[:]...)
	}
	b = appendParts(b, g.parts)
	b = appendWindows(b, g.windows)
	return appendContext(b, &g.context)
}

func (g *growth) decode(d *decoder) {
	for range d.count() {
		one := &series{name: d.text(), time: d.varint(), size: math.Float64frombits(d.uvarint()), full: math.Float64frombits(d.uvarint())}
		one.grower = detect.NewGrowth(detect.GrowthConfig{Capacity: one.full})
		if d.state(one.grower); d.bad {
			return
		}
		one.told = d.readings()
		one.context = d.context()
		one.episode = d.episode()
		g.series = append(g.series, one)
	}
	for range d.count() {
		g.evidence = append(g.evidence, hit{time: d.varint(), id: d.uuid(), armed: true})
	}
	g.parts, g.windows = d.parts(), d.windows()
	g.context = d.context()
}
