package rule

import (
	"fmt"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Bounds and defaults of the rules that judge a key by its own past.
const (
	defaultBucket   = time.Hour
	defaultHistory  = 7 * 24 * time.Hour
	maxBuckets      = 1000
	defaultSpike    = 10
	defaultSilence  = 3
	defaultQuiet    = time.Minute
	defaultGaps     = 20
	defaultAnomaly  = 0.75
	defaultPeriod   = 24 * time.Hour
	defaultQuantile = 0.95
	// Of an anomaly that is compared with the last values of its series only.
	minLast           = 3
	maxLast           = 100 // detect.MaxLast
	defaultDeviations = 3
	defaultRise       = 0.1
	lastScore         = 0.5 // what the detector gives a value that is as much worse as is allowed
)

// spike adds the keys of a spike rule.
func (r *reader) spike(known keys) {
	rule := r.rule
	rule.Window, rule.Memory, rule.Learn, rule.Factor, rule.Quantile = defaultBucket, defaultHistory, defaultLearn, defaultSpike, defaultQuantile
	r.own = r.conditions(known, Step{ID: "count"})
	known["value"] = func(n ast.Node) { r.newValue = n }
	known["bucket"] = func(n ast.Node) { rule.Window = r.duration(n, "bucket", minWindow, maxWindow) }
	known["history"] = func(n ast.Node) {
		r.history = n
		rule.Memory = r.duration(n, "history", minWindow, maxWithin)
	}
	known["learn"] = func(n ast.Node) { rule.Learn = r.duration(n, "learn", 0, maxWithin) }
	known["over"] = func(n ast.Node) { rule.Quantile = r.quantile(n, "over") }
	known["factor"] = func(n ast.Node) { rule.Factor = r.number(n, "factor", 1, 1e6) }
	known["min"] = func(n ast.Node) { rule.Min = r.number(n, "min", 0, 1e15) }
}

// checkHistory holds that a spike's history is of a bounded number of buckets.
func (r *reader) checkHistory(root ast.Node) {
	at := r.history
	if at == nil {
		at = root
	}
	if n := r.rule.Memory / r.rule.Window; n < 4 || n > maxBuckets {
		r.failAt(at, fmt.Sprintf("history: expected 4 to %d buckets of %s, got %d", maxBuckets, FormatDuration(r.rule.Window), n), "")
	}
}

// silence adds the keys of a silence rule.
func (r *reader) silence(known keys) {
	rule := r.rule
	rule.Factor, rule.Quiet, rule.Gaps = defaultSilence, defaultQuiet, defaultGaps
	known["expect"] = func(n ast.Node) { r.step(n, Step{ID: "expect", Role: RoleExpect}) }
	known["while"] = func(n ast.Node) { r.step(n, Step{ID: "while", Role: RoleWhile}) }
	known["factor"] = func(n ast.Node) { rule.Factor = r.number(n, "factor", 1.1, 1000) }
	known["min"] = func(n ast.Node) { rule.Quiet = r.duration(n, "min", minWindow, maxWindow) }
	known["gaps"] = func(n ast.Node) { rule.Gaps = r.int(n, "gaps", 20, 1000) }
	known["lateness"] = func(n ast.Node) { rule.Lateness = r.duration(n, "lateness", minWindow, time.Hour) }
}

// anomaly adds the keys of an anomaly rule.
func (r *reader) anomaly(known keys) {
	rule := r.rule
	rule.Score, rule.Period, rule.Learn = defaultAnomaly, defaultPeriod, defaultLearn
	rule.Factor, rule.Min = defaultDeviations, defaultRise
	r.own = r.conditions(known, Step{ID: "sample"})
	known["value"] = func(n ast.Node) { r.newValue = n }
	known["score"] = func(n ast.Node) { rule.Score = r.number(n, "score", 0.1, 0.99) }
	known["period"] = func(n ast.Node) { rule.Period = r.duration(n, "period", time.Minute, maxWithin) }
	known["learn"] = func(n ast.Node) { rule.Learn = r.duration(n, "learn", 0, maxWithin) }
	known["lateness"] = func(n ast.Node) { rule.Lateness = r.duration(n, "lateness", minWindow, time.Hour) }
	known["last"] = func(n ast.Node) { rule.Last = r.int(n, "last", minLast, maxLast) }
	known["deviations"] = func(n ast.Node) { rule.Factor = r.number(n, "deviations", 0.1, 100) }
	known["rise"] = func(n ast.Node) { rule.Min = r.number(n, "rise", 0, 100) }
}

// checkAnomaly holds that an anomaly is judged by the whole series, or by its last values, and not by a bit of each.
func (r *reader) checkAnomaly(seen map[string]ast.Node) {
	strange, message, hint := []string{"deviations", "rise"}, " needs last", "as in last: 10, the values before it that a value is compared with"
	if r.rule.Last > 0 {
		strange, message, hint = []string{"score", "period", "learn"}, " says nothing beside last", "a value is compared with the last few alone, by deviations and rise"
		r.rule.Score, r.rule.Period, r.rule.Learn = lastScore, 0, 0
	} else {
		r.rule.Factor, r.rule.Min = 0, 0
	}
	for _, key := range strange {
		if n := seen[key]; n != nil {
			r.failAt(n, key+message, hint)
		}
	}
}
