package correlate

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

const (
	// Each event of type c is an alert of its own; two of an actor within two minutes are a chain.
	memberRule = `
id: M2
kind: match
key: [ev.Actor, ev.Purl]
when: ev.Type == "c"
attack: [T1059]
dedup: 1m
entities: {user: actor}
`
	riskRule = `
id: R
kind: risk
key: ev.Actor
steps:
  - {id: probe, when: ev.Type == "a", weight: 4, attack: [T1595]}
  - {id: login, when: ev.Type == "b", weight: 7, attack: [T1110]}
  - {id: big, when: ev.Type == "flow" && ev.Bytes > 100, weight: 3, attack: [T1110]}
score: 20
distinct: 2
half_life: 1m
dedup: 1m
`
	chainOfAlerts = `
id: K2
kind: threshold
key: ev.Actor
alerts: [M2]
window: 2m
aggregates: {n: count}
having: n >= 3
`
	riskOfAlerts = `
id: R2
kind: risk
key: ev.Actor
steps:
  - {id: members, alerts: all}
  - {id: probe, when: ev.Type == "a", weight: 6, attack: [T1595]}
score: 30
distinct: 2
half_life: 1m
`
)

// riskOracle computes the score at the time of every event from all events before it.
func riskOracle(events []pipeline.Event, name string, score, distinct float64, weigh func(*pipeline.Event) (source, technique string, weight float64)) []string {
	const half = time.Minute
	fired := map[string]bool{}
	for _, now := range events {
		heaviest, techniques, sum := map[string]float64{}, map[string]bool{}, 0.0
		for _, e := range events {
			source, technique, weight := weigh(&e)
			age := now.Time.Sub(e.Time)
			if e.Actor != now.Actor || weight == 0 || age < 0 || age > 4*half {
				continue
			}
			heaviest[source] = max(heaviest[source], weight*math.Pow(0.5, age.Seconds()/half.Seconds()))
			techniques[technique] = true
		}
		for _, w := range heaviest {
			sum += w
		}
		if _, _, weight := weigh(&now); weight > 0 && sum*float64(len(heaviest)) >= score && float64(len(techniques)) >= distinct {
			fired[name+"|"+now.Actor] = true
		}
	}
	return slices.Sorted(maps.Keys(fired))
}

func TestRiskEqualsOracle(t *testing.T) {
	oracle{number: 21, keys: 3, stream: func(rng *rand.Rand, _ uint64) ([]pipeline.Event, []string) {
		events := stream(rng, 40, 5+25*rng.Float64(), "a", "b", "flow", "x")
		return events, riskOracle(events, "R", 20, 2, func(e *pipeline.Event) (string, string, float64) {
			switch {
			case e.Type == "a":
				return "probe", "T1595", 4
			case e.Type == "b":
				return "login", "T1110", 7
			case e.Type == "flow" && e.Bytes > 100:
				return "big", "T1110", 3
			}
			return "", "", 0
		})
	}}.agrees(t, load(t, riskRule))
}

// What rules make of alerts is what they would make of the events that led to them: here each event is an alert.
func TestAlertsOfAlertsEqualOracle(t *testing.T) {
	oracle{number: 22, keys: 6, ignore: "M2|", stream: func(rng *rand.Rand, _ uint64) ([]pipeline.Event, []string) {
		events := stream(rng, 40, 5+25*rng.Float64(), "a", "c", "x", "y")
		for i := range events {
			events[i].Purl = fmt.Sprint("p", i)
		}
		risky := riskOracle(events, "R2", 30, 2, func(e *pipeline.Event) (string, string, float64) {
			switch e.Type {
			case "a":
				return "probe", "T1595", 6
			case "c":
				return "M2", "T1059", 10 // severity 4
			}
			return "", "", 0
		})
		slice := int64(2*time.Minute) / windowSlices
		fired := map[string]bool{}
		for _, now := range events {
			n, end := 0, sliceOf(now.Time.UnixNano(), slice)
			for _, e := range events {
				if s := sliceOf(e.Time.UnixNano(), slice); e.Type == "c" && e.Actor == now.Actor && s <= end && s > end-windowSlices {
					n++
				}
			}
			if n >= 3 {
				fired["K2|"+now.Actor] = true
			}
		}
		return events, append(slices.Sorted(maps.Keys(fired)), risky...)
	}}.agrees(t, load(t, memberRule, chainOfAlerts, riskOfAlerts))
}

// A signal of an alert is written to the topic and read again: by then it says what it said.
func TestSignalOfAnAlertSurvivesTheTopic(t *testing.T) {
	set := load(t, memberRule, riskOfAlerts+"alert: {title: \"{actor} {rule_id}\", summary: \"{score} {explanation} {title}\"}")
	e, out := New(set, Config{}), &pipeline.Output{Now: t0}
	for _, s := range signals(t, set, 0, pipeline.Event{Time: at(0), Type: "c", Actor: "x", Purl: "p"}, pipeline.Event{Time: at(1), Type: "a", Actor: "x"}) {
		e.Process(&s, out)
	}
	if len(out.Signals) != 1 {
		t.Fatalf("%d signals, want 1", len(out.Signals))
	}
	s, err := pipeline.DecodeSignal(pipeline.AppendSignal(nil, &out.Signals[0]))
	if err != nil {
		t.Fatal(err)
	}
	if s.Kind != pipeline.SignalAlert || s.Rule != "R2" || s.Key != "x" || s.Values[rule.RiskSource] != "M2" || s.Values[rule.RiskTechniques] != "T1059" {
		t.Errorf("got %+v", s)
	}
	out.Reset(t0)
	e.Process(&s, out)
	if len(out.Alerts) != 1 {
		t.Fatalf("%d alerts, want 1", len(out.Alerts))
	}
	if a := out.Alerts[0]; a.Title != "x M2" || a.Summary != "31.8 (M2 9.89 + probe 6) x 2 rules = 31.8 t" {
		t.Errorf("got %q, %q", a.Title, a.Summary)
	}
	if lines := strings.Join(e.Explain("R2", "x"), "\n"); !strings.Contains(lines, "of 30") || !strings.Contains(lines, "M2: 1 signs") {
		t.Errorf("explained as %s", lines)
	}
}
