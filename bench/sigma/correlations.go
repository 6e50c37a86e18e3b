package main

import (
	"fmt"
	"time"

	"github.com/tocsin-project/tocsin/processors/sigma"
)

// kinds are correlations over the rules failed and worked, of which every event matches one.
var kinds = []struct{ name, text string }{
	{"event_count", "{type: event_count, rules: [failed], group-by: [user], timespan: 10s, condition: {gte: 20}}"},
	{"value_count", "{type: value_count, rules: [failed], group-by: [user], timespan: 10s, condition: {field: n, gte: 20}}"},
	{"value_avg", "{type: value_avg, rules: [failed], group-by: [user], timespan: 10s, condition: {field: n, gt: 7}}"},
	{"value_median", "{type: value_median, rules: [failed], group-by: [user], timespan: 10s, condition: {field: n, gt: 7}}"},
	{"temporal", "{type: temporal, rules: [failed, worked], group-by: [user], timespan: 10s}"},
	{"temporal_ordered", "{type: temporal_ordered, rules: [failed, worked], group-by: [user], timespan: 10s}"},
	{"fewer than 5", "{type: event_count, rules: [failed], group-by: [user], timespan: 10s, condition: {lt: 5}}"},
	{"a and not b", "{type: temporal, rules: [failed, worked], group-by: [user], timespan: 10s, condition: failed and not worked}"},
}

// groups is how many users there are; each has an event a second.
const groups = 10_000

// correlations measures how many matched events a second one correlation takes in: what comes behind the matcher.
func correlations(lasts time.Duration, rounds int) error {
	fmt.Printf("\ncorrelations, one at a time, matched events a second; %d groups of an event a second, windows of ten seconds\n\n", groups)
	for _, k := range kinds {
		const rules = "title: failed\nname: failed\nlogsource: {product: x}\ndetection: {sel: {verb: failed}, condition: sel}\n---\n" +
			"title: worked\nname: worked\nlogsource: {product: x}\ndetection: {sel: {verb: worked}, condition: sel}\n---\n"
		set := sigma.Load([]sigma.File{{Path: "correlations.yml", Data: []byte(rules + "title: c\ncorrelation: " + k.text)}}, sigma.Options{})
		for _, r := range set.Results {
			if r.Err != nil {
				return r.Err
			}
		}
		program := set.Compile(nil)
		c := program.NewCorrelator()
		seen := make([]*sigma.Matcher, groups) // each has read the event of its user
		for i := range seen {
			seen[i] = program.NewMatcher()
			if _, err := seen[i].JSON(fmt.Appendf(nil, `{"verb":"failed","user":"user-%d","n":"%d"}`, i, i%7)); err != nil {
				return err
			}
		}
		at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		var rates []float64
		for range rounds {
			n, began := 0, used()
			for used()-began < lasts {
				for i := range seen {
					at = at.Add(time.Second / groups)
					c.Event(at, set.Rules[:1], seen[i])
				}
				n += groups
			}
			rates = append(rates, float64(n)/(used()-began).Seconds())
		}
		fmt.Printf("%-17s %s\n", k.name, spread(rates))
	}
	return nil
}
