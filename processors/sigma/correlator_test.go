package sigma

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const correlated = `title: login failed
name: failed
id: id-f
logsource: {product: test}
detection: {sel: {A: fail}, condition: sel}
---
title: login worked
name: worked
logsource: {product: test}
detection: {sel: {A: ok}, condition: sel}
---
title: c
id: c
correlation:
`

// TestCorrelations plays events "second action user value" and says at which of them the correlation fires.
func TestCorrelations(t *testing.T) {
	for _, c := range []struct {
		name, correlation, events string
		want                      string
	}{
		{"count in a sliding window", "{type: event_count, rules: [failed], group-by: [U], timespan: 10s, condition: {gte: 3}}",
			"1 fail a, 8 fail a, 11 fail a, 12 fail a, 13 fail b, 14 fail b", "4"},
		{"again after a timespan at the earliest", "{type: event_count, rules: [failed], timespan: 10s, condition: {gt: 1}}",
			"1 fail, 2 fail, 3 fail, 11 fail, 12 fail, 13 fail", "2 5"},
		{"an event counts once", "{type: event_count, rules: [failed, failed], timespan: 10s, condition: {eq: 2}}",
			"1 fail, 2 fail", "2"},
		{"late events have their place", "{type: event_count, rules: [failed], timespan: 10s, condition: {gte: 3}}",
			"20 fail, 12 fail, 9 fail, 15 fail", "4"},
		{"without a field of the group", "{type: event_count, rules: [failed], group-by: [U, V], timespan: 10s, condition: {gte: 1}}",
			"1 fail a, 2 fail a 5", "2"},
		{"range", "{type: event_count, rules: [failed], timespan: 10s, condition: {gte: 2, lt: 4}}",
			"1 fail, 2 fail", "2"},
		{"distinct values", "{type: value_count, rules: [failed], group-by: [U], timespan: 10s, condition: {field: V, gte: 2}}",
			"1 fail a 1, 2 fail a 1, 3 fail a, 4 fail a 2", "4"},
		{"distinct pairs", "{type: value_count, rules: [failed], timespan: 10s, condition: {field: [U, V], gte: 3}}",
			"1 fail a 1, 2 fail a 2, 3 fail a 1, 4 fail b 1", "4"},
		{"values leave the window", "{type: value_count, rules: [failed], timespan: 10s, condition: {field: V, gte: 2}}",
			"1 fail a 1, 12 fail a 2, 13 fail a 1", "3"},
		{"temporal, any order", "{type: temporal, rules: [failed, worked], group-by: [U], timespan: 10s}",
			"1 ok a, 2 fail b, 11 fail a, 12 ok a", "4"},
		{"temporal, so many rules", "{type: temporal, rules: [failed, worked], timespan: 10s, condition: {gte: 1}}",
			"1 ok", "1"},
		{"temporal, a condition over rules", "{type: temporal, rules: [failed, worked], timespan: 10s, condition: failed and worked}",
			"1 ok, 2 fail", "2"},
		{"ordered", "{type: temporal_ordered, rules: [failed, worked], timespan: 10s}",
			"1 ok, 2 fail, 3 ok", "3"},
		{"ordered, one event serves one step", "{type: temporal_ordered, rules: [failed, failed], timespan: 10s}",
			"1 fail, 1 fail", "2"},
		{"sum", "{type: value_sum, rules: [failed], group-by: [U], timespan: 10s, condition: {field: V, gt: 10}}",
			"1 fail a 6, 2 fail a x, 3 fail b 9, 4 fail a 5, 15 fail a 6", "4"},
		{"average", "{type: value_avg, rules: [failed], timespan: 10s, condition: {field: V, lt: 3}}",
			"1 fail a 6, 2 fail a 2, 3 fail a 0", "3"},
		{"median", "{type: value_median, rules: [failed], timespan: 10s, condition: {field: V, gte: 4}}",
			"1 fail a 1, 2 fail a 5, 3 fail a 100", "3"},
		{"percentile", "{type: value_percentile, rules: [failed], timespan: 10s, condition: {field: V, percentile: 75, gte: 7}}",
			"1 fail a 1, 2 fail a 2, 3 fail a 3, 4 fail a 7, 5 fail a 7, 6 fail a 0, 7 fail a 9", "5"},
		{"alias", "{type: temporal, rules: [failed, worked], group-by: [who], aliases: {who: {failed: U, worked: V}}, timespan: 10s}",
			"1 fail 7, 2 ok x 8, 3 ok x 7", "3"},
		{"alias by id", "{type: temporal, rules: [failed, worked], group-by: [who], aliases: {who: {id-f: U, worked: V}}, timespan: 10s}",
			"1 fail 7, 2 ok x 8, 3 ok x 7", "3"},
		{"a condition over rules by id", "{type: temporal, rules: [failed, worked], timespan: 10s, condition: id-f and worked}",
			"1 ok, 2 fail", "2"},
		// absence: judged when the window behind an event has ended, at the first event that is as late
		{"fewer, never early", "{type: event_count, rules: [failed], group-by: [U], timespan: 10s, condition: {lt: 2}}",
			"1 fail a, 5 fail a, 9 fail a, 10 x, 14 x, 15 x, 16 x, 40 x", "6"},
		{"none", "{type: event_count, rules: [failed], group-by: [U], timespan: 10s, condition: {eq: 0}}",
			"1 fail a, 11 fail a, 21 fail a, 30 x, 31 x, 50 x", "5"},
		{"none, again after it came back", "{type: event_count, rules: [failed], timespan: 10s, condition: {lte: 0}}",
			"1 fail, 12 x, 30 fail, 39 x, 50 x", "2 5"},
		{"at most once a timespan", "{type: event_count, rules: [failed], timespan: 10s, condition: {lt: 2}}",
			"1 fail, 7 fail, 11 x, 13 fail, 19 fail, 22 x, 28 x, 40 x", "3 7"},
		{"late events count", "{type: event_count, rules: [failed], timespan: 10s, condition: {eq: 0}}",
			"1 fail, 9 x, 8 fail, 12 x, 18 x", "5"},
		{"fewer values", "{type: value_count, rules: [failed], timespan: 10s, condition: {field: V, lt: 2}}",
			"1 fail a 1, 2 fail a 2, 3 fail a 3, 4 fail a 3, 10 x, 12 x", "6"},
		{"a lower sum", "{type: value_sum, rules: [failed], timespan: 10s, condition: {field: V, lt: 5}}",
			"1 fail a 1, 2 fail a 4, 3 fail a 2, 10 x, 11 x, 12 x, 40 x", "6"},
		{"fewer rules", "{type: temporal, rules: [failed, worked], timespan: 10s, condition: {lt: 2}}",
			"1 ok, 2 fail, 3 ok, 11 x, 12 x", "5"},
		{"one without the other", "{type: temporal, rules: [failed, worked], group-by: [U], timespan: 10s, condition: failed and not worked}",
			"1 fail a, 2 fail b, 3 ok b, 10 x, 11 x, 40 x", "5"},
		{"the other was before", "{type: temporal, rules: [failed, worked], timespan: 10s, condition: failed and not worked}",
			"1 ok, 5 fail, 16 fail, 20 x, 30 x", "5"},
		{"the other is as old as the timespan", "{type: temporal, rules: [failed, worked], timespan: 10s, condition: failed and not worked}",
			"1 ok, 11 fail, 21 x", "3"},
		{"the other is as young as the timespan", "{type: temporal, rules: [failed, worked], timespan: 10s, condition: failed and not worked}",
			"1 fail, 11 ok, 12 x", "2"},
		{"rules that the condition names", "{type: temporal, timespan: 10s, condition: (failed and worked) or id-f}",
			"1 ok, 2 fail", "2"},
		{"not both", "{type: temporal, rules: [failed, worked], timespan: 10s, condition: not (failed and worked)}",
			"1 ok, 2 fail, 10 x, 11 x", "4"},
	} {
		s := Load([]File{{Path: "c.yml", Data: []byte(correlated + "  " + flow(c.correlation))}}, Options{})
		for _, r := range s.Results {
			if r.Err != nil {
				t.Fatalf("%s: %v", c.name, r.Err)
			}
		}
		if got := strings.Join(play(t, s.Compile(nil), c.events), " "); got != c.want {
			t.Errorf("%s: fires at %q, want %q", c.name, got, c.want)
		}
	}
}

// flow writes the pairs of a flow map as lines of a block.
func flow(m string) string {
	m = strings.TrimSuffix(strings.TrimPrefix(m, "{"), "}")
	var b strings.Builder
	depth := 0
	for _, r := range m {
		switch r {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			if depth == 0 {
				b.WriteString("\n ")
				continue
			}
		}
		b.WriteRune(r)
	}
	return b.String() + "\n"
}

// play returns the numbers of the events at which a correlation fires.
func play(t *testing.T, p *Program, events string) (fired []string) {
	t.Helper()
	m, c := p.NewMatcher(), p.NewCorrelator()
	for i, e := range strings.Split(events, ", ") {
		f := strings.Fields(e)
		var at int
		if _, err := fmt.Sscan(f[0], &at); err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprintf(`{"timestamp":"2026-11-23T12:00:%02dZ","A":%q`, at, f[1])
		for j, name := range []string{"U", "V"} {
			if len(f) > 2+j {
				line += fmt.Sprintf(",%q:%q", name, f[2+j])
			}
		}
		matched, err := m.JSON([]byte(line + "}"))
		if err != nil {
			t.Fatal(err)
		}
		time, ok := m.Time()
		if !ok {
			t.Fatal("no time")
		}
		for range c.Event(time, matched, m) {
			fired = append(fired, fmt.Sprint(i+1))
		}
	}
	return fired
}

// TestChain: a correlation of a correlation, written before it.
func TestChain(t *testing.T) {
	s := Load([]File{{Path: "c.yml", Data: []byte(`title: breach
id: breach
correlation: {type: temporal_ordered, rules: [brute, worked], group-by: [U], timespan: 1m}
---
title: brute
name: brute
correlation: {type: event_count, rules: [failed], group-by: [U], timespan: 10s, condition: {gte: 2}, generate: true}
---
title: whose
id: whose
correlation: {type: value_count, rules: [named], group-by: [who], timespan: 1m, condition: {field: V, gte: 2}}
---
title: named
name: named
correlation: {type: temporal, rules: [failed, worked], group-by: [who], aliases: {who: {failed: U, worked: V}}, timespan: 2s}
---
title: quiet
name: quiet
correlation: {type: event_count, rules: [failed], timespan: 1s, condition: {lt: 1}}
---
title: of absence
correlation: {type: event_count, rules: [quiet], timespan: 1s, condition: {gte: 1}}
---
` + correlated + "  {type: event_count, rules: [c], timespan: 1s, condition: {gte: 1}}\n")}}, Options{})
	p := s.Compile(nil)
	if got := strings.Join(play(t, p, "1 fail a, 2 fail a, 3 ok b, 9 ok a"), " "); got != "2 3 4" { // brute, quiet, breach
		t.Errorf("fires at %q, want 2 3 4: %v", got, s.Results)
	}
	// the group of the inner one has a name that no event has
	if got := strings.Join(play(t, p, "1 ok x a, 2 fail a v, 20 fail b w, 21 ok x b, 30 ok y a, 31 fail a w"), " "); !strings.HasSuffix(got, "6 6") {
		t.Errorf("fires at %q, want named and whose at 6", got)
	}
	for i, want := range []string{"", "", "", "", "", "asks for absence", "", "", "is not there"} {
		if err := s.Results[i].Err; (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("document %d: %v, want %q", i+1, err, want)
		}
	}
	for _, r := range s.Rules {
		if !p.Quiet(r) {
			t.Errorf("%s is not quiet", r.Name)
		}
	}
}

func TestCorrelationsRefused(t *testing.T) {
	for correlation, want := range map[string]string{
		"{type: event_count, rules: [nobody], timespan: 1m, condition: {gte: 1}}":                                      `"nobody" is not there`,
		"{type: event_count, rules: [failed], timespan: 11y, condition: {gte: 1}}":                                     "timespan",
		"{type: temporal, timespan: 1m, condition: failed and nobody}":                                                 `"nobody" is not there`,
		"{type: event_count, rules: [failed], timespan: 1m}":                                                           "wants a condition",
		"{type: event_sum, rules: [failed], timespan: 1m}":                                                             "is none of",
		"{type: value_sum, rules: [failed], timespan: 1m, condition: {gte: 1}}":                                        "wants a field",
		"{type: event_count, rules: [failed], timespan: 1m, condition: {gte: 1}, window: 1}":                           `unknown key "window"`,
		"{type: event_count, rules: [failed], group-by: [x], aliases: {x: {b: U}}, timespan: 1m, condition: {gte: 1}}": "none of the correlation's rules",
		"{type: value_percentile, rules: [failed], timespan: 1m, condition: {field: V, percentile: 0, gte: 1}}":        "percentile",
		"{type: temporal_ordered, rules: [failed, worked], timespan: 1m, condition: {gte: 3}}":                         "cannot be met",
		"{type: temporal_ordered, rules: [failed, worked], timespan: 1m, condition: {lte: 2}}":                         "asks for fewer",
	} {
		s := Load([]File{{Path: "c.yml", Data: []byte(correlated + "  " + flow(correlation))}}, Options{})
		if err := s.Results[2].Err; err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "c.yml:") {
			t.Errorf("%s: %v, want %s", correlation, err, want)
		}
	}
}

func TestFilters(t *testing.T) {
	const rule = "title: r\nid: r\nlogsource: {product: test}\ndetection: {sel: {A: x}, condition: 1 of them}\n---\ntitle: f\n"
	for _, c := range []struct{ filter, yes, no string }{
		{"filter: {rules: [r], sel: {U: admin}, condition: not sel}", `{"A":"x"}`, `{"A":"x","U":"admin"}`},
		{"logsource: {product: test}\nfilter: {rules: any, sel: {U: admin}, condition: sel}", `{"A":"x","U":"admin"}`, `{"A":"x"}`},
		{"logsource: {product: test}\nfilter: {rules: [any], sel: {U: admin}, condition: not sel}", `{"A":"x"}`, `{"A":"x","U":"admin"}`},
		{"logsource: {product: other}\nfilter: {rules: any, sel: {U: admin}, condition: not sel}", `{"A":"x","U":"admin"}`, `{"U":"x"}`},
	} {
		s := Load([]File{{Path: "f.yml", Data: []byte(rule + c.filter + "\n")}}, Options{})
		m := s.Compile(nil).NewMatcher()
		if err := s.Results[1].Err; err != nil {
			t.Fatal(err)
		}
		for event, want := range map[string]int{c.yes: 1, c.no: 0} {
			if got, err := m.JSON([]byte(event)); err != nil || len(got) != want {
				t.Errorf("%s: %s matches %d rules, want %d (%v)", c.filter, event, len(got), want, err)
			}
		}
	}
	for filter, want := range map[string]string{
		"filter: {rules: [gone], sel: {U: a}, condition: not sel}":                           "is not there",
		"filter: {sel: {U: a}, condition: not sel}":                                          "wants rules",
		"logsource: {product: other}\nfilter: {rules: [r], sel: {U: a}, condition: not sel}": "another log source",
		"filter: {rules: [r], sel: {U|foo: a}, condition: not sel}":                          "unknown modifier",
	} {
		s := Load([]File{{Path: "f.yml", Data: []byte(rule + filter + "\n")}}, Options{})
		if err := s.Results[1].Err; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", filter, err, want)
		}
	}
}

// BenchmarkCorrelations: one matched event, three correlations, 10,000 groups.
func BenchmarkCorrelations(b *testing.B) {
	s := Load([]File{{Path: "c.yml", Data: []byte(correlated + `  type: event_count
  rules: [failed]
  group-by: [U]
  timespan: 10s
  condition: {gte: 20}
---
title: d
correlation: {type: value_count, rules: [failed], group-by: [U], timespan: 10s, condition: {field: V, gte: 20}}
---
title: e
correlation: {type: temporal_ordered, rules: [failed, worked], group-by: [U], timespan: 10s}
`)}}, Options{})
	p := s.Compile(nil)
	c := p.NewCorrelator()
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	matched := []*Rule{s.Rules[0]}
	seen := make([]*Matcher, 10_000) // each has read its event
	for i := range seen {
		seen[i] = p.NewMatcher()
		if _, err := seen[i].JSON(fmt.Appendf(nil, `{"A":"fail","U":"u%d","V":"%d"}`, i, i%7)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		c.Event(at.Add(time.Duration(n)*100*time.Microsecond), matched, seen[n%len(seen)])
		n++
	}
}
