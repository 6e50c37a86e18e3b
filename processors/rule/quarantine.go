package rule

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
)

// A rule may take timeEach of each event and each alert that the process looks at, on average. What it takes beyond that adds up, what it
// takes less is subtracted; at timeBeyond it is quarantined: nobody judges it any more until it is changed or the process
// starts again, so that it does not hold up the others. Its teams are told by an alert.
const (
	timeEach   = 5 * time.Microsecond
	timeBeyond = 250 * time.Millisecond
	// maxSample bounds what one evaluation counts. What takes longer was mostly interrupted.
	maxSample = 250 * time.Microsecond
)

// account is what a rule's definition has taken beyond its budget.
type account struct {
	definition
	beyond time.Duration
	looked uint64 // events and alerts that the process had looked at when this was true
}

// definition tells a rule from what it was before it was changed.
type definition struct {
	version int
	digest  uint64
}

func definitionOf(r *Rule) definition { return definition{r.Version, r.Digest} }

// inUse is what matchers work by. It is replaced, never changed.
type inUse struct {
	set *Set
	// quarantined rules by their number in the set; nil where there are none.
	quarantined []bool
}

// quarantinedOf returns which rules of the set are quarantined. Its caller holds the lock.
func (l *Live) quarantinedOf(set *Set) (numbers []bool) {
	for i, r := range set.Rules {
		if d, ok := l.quarantined[r.ID]; ok && d == definitionOf(r) {
			if numbers == nil {
				numbers = make([]bool, len(set.Rules))
			}
			numbers[i] = true
		}
	}
	return numbers
}

// charge adds what a matcher has measured of a rule to its account, and quarantines the rule where that is too much: then it
// returns true. Its caller holds the lock.
func (l *Live) charge(r *Rule, took time.Duration) bool {
	a, looked := l.accounts[r.ID], l.traffic.events+l.traffic.alerts
	if a == nil || a.definition != definitionOf(r) {
		a = &account{definition: definitionOf(r), looked: looked}
		l.accounts[r.ID] = a
	}
	a.beyond = max(a.beyond-time.Duration(looked-a.looked)*timeEach, 0) + took
	a.looked = looked
	if a.beyond <= timeBeyond || l.quarantined[r.ID] == a.definition {
		return false
	}
	l.quarantined[r.ID] = a.definition
	use := l.current.Load()
	l.current.Store(&inUse{use.set, l.quarantinedOf(use.set)})
	l.log.Error("rule quarantined, it takes too much time", zap.String("rule_id", r.ID), zap.Duration("beyond_budget", a.beyond))
	return true
}

// quarantine tells detect that the rule is not judged any more, for those who own it; e is the last event that it was judged on.
func quarantine(b *pipeline.Batch, e *event, r *Rule) {
	b.Signals = append(b.Signals, pipeline.Signal{
		Kind: pipeline.SignalQuarantine, Rule: r.ID, Version: r.Version, Digest: r.Digest, Key: r.ID, Time: e.Time, Ingest: e.IngestTime,
		Values: []string{fmt.Sprintf("On average it takes more than %s of each event. It is not judged any more until it is changed, or tocsin is started again.", timeEach)},
	})
}
