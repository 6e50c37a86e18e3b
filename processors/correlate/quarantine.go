package correlate

import (
	"slices"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/alert"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// quarantined tells the teams of a rule that ingest does not judge it any more. The alert stays open until people resolve it.
func (e *Engine) quarantined(r *rule.Rule, s *pipeline.Signal, out *pipeline.Output) {
	told := *r
	told.AlertTitle = rule.Words("Rule "+r.ID+" takes too much time and is quarantined", "")
	told.AlertSummary = rule.Words(strings.Join(s.Values, " "), "")
	told.Attacks, told.Phases, told.Entities, told.Columns, told.Suppress, told.Heard = nil, nil, nil, nil, nil, false
	told.Subscriptions = slices.Clone(r.Subscriptions)
	for i := range told.Subscriptions {
		severity := &told.Subscriptions[i].Severity
		severity[rule.LevelWarn] = slices.Max(severity[:]) // whoever hears of the rule at all
	}
	t := s.Time.UnixNano()
	episode := alert.Episode{Key: "quarantined", First: t, Last: t}
	said := alert.Output{Now: out.Now, Alerts: out.Alerts}
	episode.Fire(&told, &alert.Context{}, t, s.Ingest, rule.LevelWarn, &said)
	e.said(said.Alerts[len(out.Alerts):])
	out.Alerts = said.Alerts
}
