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
	"github.com/tocsin-project/tocsin/processors/rule"
)

// risk is the state of an entity that is scored. Each source (a rule whose alerts count, or a step of events) counts once,
// by its heaviest sign: a sign weighs what its severity says, half of that a half-life later, and nothing after four. The
// score is the sum of these weights times the number of sources; the rule fires where it reaches Score and where the
// sources together name Distinct phases or techniques.
type risk struct {
	sources []riskSource // by name
	notes   notes
	episode *alert.Episode
}

type riskSource struct {
	name               string
	phases, techniques string // joined by commas
	signs              []sign // by time
}

type sign struct {
	time   int64
	weight uint32
	id     uuid.UUID
}

const (
	// riskHalves is after how many half-lives a sign is forgotten.
	riskHalves = 4
	// maxSigns are kept of one source beyond those that the watermark has made needless: of these there is one for each
	// weight at most.
	maxSigns = 256
)

// severityWeights is what a sign of each severity weighs; unknown weighs nothing.
var severityWeights = [...]uint32{0, 1, 2, 5, 10, 20, 40}

// riskHorizon is how long a sign counts.
func riskHorizon(r *rule.Rule) int64 { return riskHalves * int64(r.HalfLife) }

func (k *risk) observe(c *call, s *pipeline.Signal) {
	weight := uint32(c.rule.Steps[s.Step].Weight)
	if weight == 0 {
		severity, err := strconv.Atoi(s.Values[rule.RiskSeverity])
		if err != nil || severity < 0 || severity >= len(severityWeights) {
			return
		}
		weight = severityWeights[severity]
	}
	if weight == 0 {
		return
	}
	k.notes.take(c.rule, s)
	t := s.Time.UnixNano()
	source := k.source(s.Values[rule.RiskSource])
	source.phases, source.techniques = strings.Clone(s.Values[rule.RiskPhases]), strings.Clone(s.Values[rule.RiskTechniques])
	at := len(source.signs)
	for at > 0 && source.signs[at-1].time > t {
		at--
	}
	source.signs = slices.Insert(source.signs, at, sign{t, weight, s.EventID})
	if len(source.signs) > maxSigns {
		source.thin()
		c.stats.Truncated++
	}
	if k.episode != nil && k.episode.Open {
		k.episode.Add(t, s.EventID, 1)
	}
	// Where others came later already, the score was higher then than it was judged.
	for _, then := range k.times(t, t+riskHorizon(c.rule)) {
		k.judge(c, s, then)
	}
}

// thin forgets the oldest sign that the next one outweighs, or else the oldest.
func (s *riskSource) thin() {
	for i := range s.signs[1:] {
		if s.signs[i].weight <= s.signs[i+1].weight {
			s.signs = slices.Delete(s.signs, i, i+1)
			return
		}
	}
	s.signs = slices.Delete(s.signs, 0, 1)
}

// source returns the source of that name, made where there is none.
func (k *risk) source(name string) *riskSource {
	i, ok := slices.BinarySearchFunc(k.sources, name, func(s riskSource, name string) int { return strings.Compare(s.name, name) })
	if !ok {
		k.sources = slices.Insert(k.sources, i, riskSource{name: strings.Clone(name)})
	}
	return &k.sources[i]
}

// times returns when there were signs, from and to included, rising.
func (k *risk) times(from, to int64) (times []int64) {
	for i := range k.sources {
		for _, one := range k.sources[i].signs {
			if one.time >= from && one.time <= to {
				times = append(times, one.time)
			}
		}
	}
	slices.Sort(times)
	return slices.Compact(times)
}

// standing is what the signs up to a time say at that time.
type standing struct {
	score    float64
	rules    int // sources that count
	distinct int // phases or techniques, whichever are more
	words    string
}

// at computes the standing.
func (k *risk) at(r *rule.Rule, t int64) standing {
	var phases, techniques []string
	var words strings.Builder
	var now standing
	for i := range k.sources {
		source := &k.sources[i]
		weight := source.weight(r, t)
		if weight == 0 {
			continue
		}
		now.score += weight
		now.rules++
		phases, techniques = join(phases, source.phases), join(techniques, source.techniques)
		if now.rules > 1 {
			words.WriteString(" + ")
		}
		fmt.Fprintf(&words, "%s %.3g", source.name, weight)
	}
	now.score *= float64(now.rules)
	now.distinct = max(len(phases), len(techniques))
	now.words = fmt.Sprintf("(%s) x %d rules = %.3g", &words, now.rules, now.score)
	return now
}

// weight is that of the source's heaviest sign at a time.
func (s *riskSource) weight(r *rule.Rule, t int64) (heaviest float64) {
	for _, one := range s.signs {
		if age := t - one.time; age >= 0 && age <= riskHorizon(r) {
			heaviest = max(heaviest, float64(one.weight)*math.Exp2(-float64(age)/float64(r.HalfLife)))
		}
	}
	return heaviest
}

// join adds the words of a list to those that differ.
func join(words []string, list string) []string {
	for word := range strings.SplitSeq(list, ",") {
		if word != "" && !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return words
}

// judge fires where the standing at a time calls for it.
func (k *risk) judge(c *call, s *pipeline.Signal, t int64) {
	now := k.at(c.rule, t)
	if now.score < c.rule.Score || now.distinct < c.rule.Distinct {
		return
	}
	inside := k.inside(t-riskHorizon(c.rule), t)
	e := k.episode
	if e == nil || !e.Belongs(c.rule, inside[0].time) {
		e = &alert.Episode{Key: c.key}
		k.episode = e
	}
	if !e.Open {
		known, fresh := e.Last, e.Count == 0
		for _, one := range inside {
			if fresh || one.time > known {
				e.Add(one.time, one.id, 1)
			}
		}
	}
	e.Metrics = append(e.Metrics[:0], alert.Metric{Name: "score", Value: now.score}, alert.Metric{Name: "rules", Value: float64(now.rules)},
		alert.Metric{Name: "distinct", Value: float64(now.distinct)})
	e.Explanation = now.words
	e.Fire(c.rule, k.notes.read(), t, s.Ingest, rule.LevelWarn, &c.out)
}

// inside returns the signs from one time to another, oldest first.
func (k *risk) inside(from, to int64) (inside []sign) {
	for i := range k.sources {
		for _, one := range k.sources[i].signs {
			if one.time >= from && one.time <= to {
				inside = append(inside, one)
			}
		}
	}
	slices.SortStableFunc(inside, func(a, b sign) int {
		switch {
		case a.time < b.time:
			return -1
		case a.time > b.time:
			return 1
		}
		return 0
	})
	return inside
}

func (k *risk) expire(c *call) {
	e := k.episode
	if e != nil && e.Open && c.watermark >= e.Held+int64(c.rule.Dedup) {
		e.Resolve(c.rule, k.notes.read(), &c.out)
	}
	if e != nil && !e.Open && c.watermark >= e.Ends(c.rule) {
		k.episode = nil
	}
	for i := range k.sources {
		k.sources[i].shrink(c)
	}
	k.sources = slices.DeleteFunc(k.sources, func(s riskSource) bool { return len(s.signs) == 0 })
	if len(k.sources) == 0 && k.episode == nil {
		k.notes = notes{}
	}
}

// shrink forgets the signs that are too old, and those that a later one outweighs for good: at the watermark and after it
// no time is judged at which the older would be the heavier.
func (s *riskSource) shrink(c *call) {
	heaviest := uint32(0)
	for i := len(s.signs) - 1; i >= 0; i-- {
		one := &s.signs[i]
		if one.time > c.watermark {
			continue
		}
		if one.weight <= heaviest || one.time+riskHorizon(c.rule) < c.watermark {
			s.signs = slices.Delete(s.signs, i, i+1)
			continue
		}
		heaviest = one.weight
	}
}

func (k *risk) due(c *call) (due int64, keep bool) {
	if e := k.episode; e != nil && e.Open {
		return e.Held + int64(c.rule.Dedup), true
	}
	for i := range k.sources {
		for _, one := range k.sources[i].signs {
			due, keep = max(due, one.time+riskHorizon(c.rule)+1), true
		}
	}
	if k.episode != nil {
		due, keep = max(due, k.episode.Ends(c.rule)), true
	}
	return due, keep
}

func (k *risk) close(c *call) {
	if k.episode != nil {
		k.episode.Resolve(c.rule, k.notes.read(), &c.out)
	}
}

func (k *risk) explain(r *rule.Rule) []string {
	last := int64(minTime)
	for i := range k.sources {
		for _, one := range k.sources[i].signs {
			last = max(last, one.time)
		}
	}
	var lines []string
	if len(k.sources) > 0 {
		now := k.at(r, last)
		lines = append(lines, fmt.Sprintf("at %s: %s of %g, and %d of %d different phases or techniques; weights halve in %s",
			formatTime(last), now.words, r.Score, now.distinct, r.Distinct, rule.FormatDuration(r.HalfLife)))
	}
	for i := range k.sources {
		s := &k.sources[i]
		lines = append(lines, fmt.Sprintf("%s: %d signs, last at %s; %s", s.name, len(s.signs), time.Unix(0, s.signs[len(s.signs)-1].time).UTC().Format(time.RFC3339),
			strings.Trim(s.phases+","+s.techniques, ",")))
	}
	return append(lines, explainEpisode(k.episode)...)
}

func (k *risk) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(k.sources)))
	for i := range k.sources {
		s := &k.sources[i]
		b = appendText(appendText(appendText(b, s.name), s.phases), s.techniques)
		b = binary.AppendUvarint(b, uint64(len(s.signs)))
		for _, one := range s.signs {
			b = binary.AppendVarint(b, one.time)
			b = binary.AppendUvarint(b, uint64(one.weight))
			b = append(b, one.id[:]...)
		}
	}
	b = appendNotes(b, &k.notes)
	return appendEpisode(b, k.episode)
}

func (k *risk) decode(d *decoder) {
	for range d.count() {
		s := riskSource{name: d.text(), phases: d.text(), techniques: d.text()}
		for range d.count() {
			s.signs = append(s.signs, sign{d.varint(), uint32(d.uvarint()), d.uuid()})
		}
		k.sources = append(k.sources, s)
	}
	k.notes = d.notes()
	k.episode = d.episode()
}
