package sigma_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/correlate"
	"github.com/tocsin-project/tocsin/processors/sigma"
)

var streams = flag.Int("streams", 400, "random streams of TestPipelineAgreesWithMatch")

// TestPipelineAgreesWithMatch: on random streams of one group a correlation fires in the pipeline where it does in sigma match. Events are
// at whole seconds, as the pipeline's windows of two minutes slide by the second.
func TestPipelineAgreesWithMatch(t *testing.T) {
	ops := []string{"gt", "gte", "lt", "lte", "eq", "neq"}
	fired, quiet, kinds := map[string]int{}, map[string]int{}, map[string]bool{}
	for seed := range uint64(*streams) {
		rng := rand.New(rand.NewPCG(seed, 7))
		pick := func(words ...string) string { return words[rng.IntN(len(words))] }
		limit := func(n int) string { return fmt.Sprintf("%s: %d", pick(ops...), rng.IntN(n)) }
		kind := pick("event_count", "value_count", "value_sum", "value_avg", "value_median", "value_percentile", "temporal", "temporal_ordered", "presence", "without", "chain")
		kinds[kind] = true
		inner, body := "", ""
		switch kind {
		case "event_count":
			body = "type: event_count, rules: [a, b], condition: {" + limit(6) + "}"
		case "temporal":
			body = "type: temporal, rules: [a, b, c], condition: {" + limit(4) + "}"
		case "temporal_ordered":
			body = "type: temporal_ordered, rules: " + pick("[a, b]", "[a, b, a]", "[c, b, a]", "[b, b]")
		case "presence":
			body = "type: temporal, rules: [a, b, c], condition: " + pick("a and b", "a or b and c", "not a", "not (a and b)", "not a or not c")
		case "without":
			body = "type: temporal, rules: [a, b, c], condition: " + pick("a and not b", "(a or c) and not b", "c and not (a or b)", "c and not a and not b")
		case "chain":
			inner = "---\ntitle: many\nname: many\ncorrelation: {type: event_count, rules: [" + pick("a", "a, b") + "], timespan: 120s, condition: {" + pick("gte: 2", "eq: 2", "gt: 3") + "}}\n"
			body = pick("type: event_count, rules: [many], condition: {gte: 2}", "type: temporal, rules: [many, c]", "type: temporal_ordered, rules: [many, c]", "type: temporal, rules: [many, c], condition: many and not c",
				"type: event_count, rules: [many], condition: {lt: 2}", "type: value_sum, rules: [many, c], condition: {field: n, gt: 9}")
		default:
			body = "type: " + kind + ", rules: [a, b], condition: {field: n, " + limit(9) + "}"
		}
		d, set := load(t, alphabet+inner+"---\ntitle: r\nid: r\ncorrelation: {timespan: 120s, "+body+"}\n")
		gap := 10 + rng.IntN(120)
		var events []string
		var times []time.Time
		at := time.Unix(1e9, 0).UTC()
		for range 3 + rng.IntN(12) {
			at = at.Add(time.Duration(1+rng.IntN(gap)) * time.Second)
			events, times = append(events, fmt.Sprintf(`{"verb":%q,"n":"%d","time":%q}`, pick("a", "b", "c"), rng.IntN(9)-1, at.Format(time.RFC3339))), append(times, at)
		}
		b := &pipeline.Batch{}
		for i := range events {
			event(t, b, "event_type", "api.call", "raw", events[i]).Time = times[i]
		}
		if rng.IntN(2) == 0 { // the last windows end, too
			at = at.Add(time.Hour)
		}
		want := matches(t, set, append(events, fmt.Sprintf(`{"time":%q}`, at.Format(time.RFC3339))))
		end := at.Add(correlate.DefaultLateness)
		if kind == "chain" { // alerts come later than events
			end = end.Add(correlate.DefaultLateness)
		}
		if !strings.Contains(body, "and not") { // windows end with their step
			end = end.Add(time.Second)
		}
		got := slices.ContainsFunc(correlated(t, d, b, end), func(a *pipeline.Alert) bool { return a.Rule == "r" })
		if want != got {
			t.Fatalf("seed %d: %s%s\n%s\nfires in sigma match: %t, in the pipeline: %t", seed, inner, body, events, want, got)
		}
		if want {
			fired[kind]++
		} else {
			quiet[kind]++
		}
	}
	for kind := range kinds {
		if fired[kind] == 0 || quiet[kind] == 0 {
			t.Errorf("%s fired %d times and stayed quiet %d times: that proves too little", kind, fired[kind], quiet[kind])
		}
	}
	t.Log("fired", fired, "quiet", quiet)
}

// matches reports whether sigma match names the rule r at one of the events.
func matches(t *testing.T, set *sigma.Set, events []string) (fired bool) {
	t.Helper()
	program := set.Compile(nil)
	m, c := program.NewMatcher(), program.NewCorrelator()
	for _, line := range events {
		matched, err := m.JSON([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		at, _ := m.Time()
		fired = slices.ContainsFunc(c.Event(at, matched, m), func(r *sigma.Rule) bool { return r.ID == "r" }) || fired
	}
	return fired
}

const alphabet = `title: a
name: a
logsource: {product: app, service: json}
detection: {sel: {verb: a}, condition: sel}
---
title: b
name: b
logsource: {product: app, service: json}
detection: {sel: {verb: b}, condition: sel}
---
title: c
name: c
logsource: {product: app, service: json}
detection: {sel: {verb: c}, condition: sel}
`
