package rule

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/tocsin-project/tocsin/schemas"
)

// Bounds and defaults of a risk.
const (
	defaultHalfLife = 6 * time.Hour
	maxWeight       = 1000
)

// risk adds the keys of a risk rule.
func (r *reader) risk(known keys) {
	r.rule.HalfLife, r.rule.Distinct = defaultHalfLife, 1
	known["steps"] = func(n ast.Node) { r.signs(n) }
	known["score"] = func(n ast.Node) { r.rule.Score = float64(r.int(n, "score", 1, 1_000_000)) }
	known["distinct"] = func(n ast.Node) { r.rule.Distinct = r.int(n, "distinct", 1, 100) }
	known["half_life"] = func(n ast.Node) { r.rule.HalfLife = r.duration(n, "half_life", time.Minute, 30*24*time.Hour) }
}

// signs reads the steps of a risk: what each adds to the score.
func (r *reader) signs(n ast.Node) {
	r.list(n, "steps", func(n ast.Node) {
		var attacks, phases []string
		known := keys{}
		s := r.conditions(known, Step{})
		known["id"] = func(n ast.Node) { s.ID = r.name(n, "id") }
		known["key"] = func(n ast.Node) { s.key = r.keyOf(n) }
		known["weight"] = func(n ast.Node) { s.Weight = r.int(n, "weight", 1, maxWeight) }
		known["attack"] = func(n ast.Node) { attacks = r.techniques(n) }
		known["phases"] = func(n ast.Node) {
			for _, p := range r.phaseList(n) {
				phases = append(phases, schemas.Phases[p])
			}
		}
		seen := r.mapping(n, "a step", known)
		r.complete(n, s, seen, "the step")
		r.need(n, seen, "the step", "id")
		for _, other := range r.rule.Steps {
			if other.ID == s.ID {
				r.failAt(n, fmt.Sprintf("there are two steps %q", s.ID), "")
			}
		}
		s.values = make([]*value, RiskTechniques+1)
		s.values[RiskSeverity] = &value{text: "severity", get: func(e *event) string { return strconv.Itoa(int(e.Severity)) }}
		if s.hears != nil {
			s.values[RiskSource] = &value{text: "rule", get: func(e *event) string { return e.Rule }}
			s.values[RiskPhases] = &value{text: "phases", get: func(e *event) string { return e.Attr(AlertPhases) }}
			s.values[RiskTechniques] = &value{text: "attacks", get: func(e *event) string { return strings.Join(e.Attacks, ",") }}
			for _, key := range []string{"attack", "phases"} {
				if seen[key] != nil {
					r.failAt(seen[key], "a step that takes alerts has no "+key+" of its own", "the rules whose alerts it takes have them")
				}
			}
		} else {
			s.values[RiskSource] = constant(s.ID)
			s.values[RiskPhases] = constant(strings.Join(phases, ","))
			s.values[RiskTechniques] = constant(strings.Join(attacks, ","))
		}
		r.add(s)
	})
	if len(r.rule.Steps) == 0 || len(r.rule.Steps) > maxSteps {
		r.failAt(n, fmt.Sprintf("steps: expected 1 to %d, got %d", maxSteps, len(r.rule.Steps)), "")
	}
}

// constant is a value that does not depend on the event.
func constant(text string) *value {
	return &value{text: strconv.Quote(text), get: func(*event) string { return text }}
}

// AlertPhases is the attribute with the phases of the rule whose alert an event is, joined by commas.
const AlertPhases = "alert.phases"
