package correlate

import (
	"math"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// Past is what was known of the keys of one rule before the engine came: a key begins with it in place of nothing, so that
// not everything is new to a fresh start. Rules of kind new_value and spike have one, and anomalies that are compared with
// the last values alone. It is only read, and shared by all engines.
type Past struct {
	Rule *rule.Rule
	Keys map[string][]Known // of new values in any order, of the others by time
}

// Known is one value of a new_value, one bucket of a spike, or one reading of an anomaly.
type Known struct {
	Value       string    // of a new_value
	First, Last time.Time // when the value was seen; the bucket's beginning and end; the reading's time, twice
	Amount      float64   // what the bucket holds, what was read
}

// Remember gives the engine a way to what was known before, by the rule's id. It is asked when a key comes for the first
// time, or after it was forgotten; what was known from less than the lateness bound before that is left out: it may be
// among the signals that are still to come.
func (e *Engine) Remember(past func() map[string]*Past) { e.past = past }

// pupil is a judge that a key's past can be told to.
type pupil interface {
	// learnPast takes what was known of the key before a time, in Unix nanoseconds.
	learnPast(r *rule.Rule, known []Known, before int64)
}

// recall tells a new key's judge its past.
func (e *Engine) recall(k *keyed, s *pipeline.Signal) {
	p, ok := k.judge.(pupil)
	if !ok || e.past == nil {
		return
	}
	r := k.rule.rule
	if past := e.past()[r.ID]; past != nil && past.IsOf(r) {
		p.learnPast(r, past.Keys[k.key], s.Time.UnixNano()-int64(e.cfg.Lateness))
	}
}

func (v *newValue) learnPast(_ *rule.Rule, known []Known, before int64) {
	for _, one := range known {
		first, last := one.First.UnixNano(), one.Last.UnixNano()
		if last > before {
			last = first
		}
		if last > before || len(v.values) == maxValues {
			continue
		}
		if v.values == nil {
			v.values, v.born, v.last = map[string]int64{}, first, last
		}
		v.values[one.Value] = last
		v.born, v.last = min(v.born, first), max(v.last, last)
	}
}

func (k *spike) learnPast(r *rule.Rule, known []Known, before int64) {
	for _, one := range known {
		index := floorDiv(one.First.UnixNano(), int64(r.Window))
		if (index+1)*int64(r.Window) > before {
			return
		}
		if len(k.buckets) == 0 {
			k.born = index
		}
		whole, fraction := math.Modf(one.Amount)
		k.buckets = append(k.buckets, bucket{index, int64(whole), int64(math.Round(fraction * 1e6))})
	}
}

func (k *anomaly) learnPast(_ *rule.Rule, known []Known, before int64) {
	for _, one := range known {
		t := one.First.UnixNano()
		if t > before {
			return
		}
		if k.last == 0 {
			k.born = t
		}
		k.last = t
		k.detector.Observe(one.First, one.Amount)
	}
}

// IsOf reports whether it is the past of the rule as it is defined now.
func (p *Past) IsOf(r *rule.Rule) bool {
	return p.Rule.ID == r.ID && p.Rule.Version == r.Version && p.Rule.Digest == r.Digest
}

// Add notes what is known of a key; buckets and readings in the order of time.
func (p *Past) Add(key string, one Known) {
	if p.Keys == nil {
		p.Keys = map[string][]Known{}
	}
	p.Keys[key] = append(p.Keys[key], one)
}
