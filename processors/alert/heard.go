package alert

import (
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
	"github.com/tocsin-project/tocsin/schemas"
)

// EventType is the type of the event that an alert becomes for the rules that take alerts.
const EventType = "alert.firing"

// event returns the alert, firing at event time t, as an event that other rules may judge: the columns that the rule's
// alerts speak of, their newest values, and on top of them what rule.AlertColumns lists. Its id is that of the first
// event that led to the alert, so that whoever follows the evidence of a chain finds events.
func (e *Episode) event(r *rule.Rule, x *Context, t int64) pipeline.Event {
	var ev pipeline.Event
	for _, column := range r.Columns {
		if v := x.Column(r, -1, column); v != "" {
			// A signal may say what no column can hold (a text that was cut); the event goes without.
			_ = ev.SetField(column, v)
		}
	}
	if len(e.Events) > 0 {
		ev.ID = e.Events[0]
	}
	ev.Time, ev.IngestTime = time.Unix(0, t).UTC(), time.Unix(0, e.Ingest).UTC()
	ev.Type, ev.Source, ev.Rule, ev.Severity = EventType, "tocsin", r.ID, r.Severity(e.Level)
	ev.Title = clip(r.AlertTitle.Render(e.lookup(r, x)), maxTitleBytes)
	ev.Attacks = r.Attacks
	ev.SetAttr("alert.key", e.Key)
	phases := make([]string, len(r.Phases))
	for i, p := range r.Phases {
		phases[i] = schemas.Phases[p]
	}
	ev.SetAttr(rule.AlertPhases, strings.Join(phases, ","))
	return ev
}
