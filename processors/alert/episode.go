package alert

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// Bounds of an alert's record; they keep it below pipeline.MaxAlertBytes, also where JSON takes six bytes for each.
const (
	maxTitleBytes   = 300
	maxSummaryBytes = 2000
	maxEntityBytes  = 300
	maxLabels       = 32
	maxLabelBytes   = 64
)

// updateEvery is how often an open alert is sent again, in event time, where it does not get worse.
const updateEvery = time.Minute

// Metric is a number that an alert carries and its templates may name.
type Metric struct {
	Name  string  `json:"n"`
	Value float64 `json:"v"`
}

// Episode is what is known of one dedup key from its first firing until its dedup window has passed. Times are event
// times in Unix nanoseconds.
type Episode struct {
	Key  string `json:"key"` // correlation key; with the rule's id it is the dedup key
	Open bool   `json:"open"`
	// Start names the alert: the first event's time, rounded down to the dedup window, so that the order in which
	// events of several partitions came makes no difference to the id but at the window's border.
	Start int64  `json:"start"`
	First int64  `json:"first"` // of the first event
	Last  int64  `json:"last"`  // of the last event
	Held  int64  `json:"held"`  // the rule's condition held last
	Sent  int64  `json:"sent"`  // of the last record
	Level int    `json:"level"` // highest so far
	Count uint32 `json:"count"` // events
	// Ingest is when the event that brought the last sighting reached Kafka.
	Ingest int64 `json:"ingest"`
	// Told is when rules that take the alert once a dedup window were told of it last.
	Told    int64       `json:"told,omitempty"`
	Events  []uuid.UUID `json:"events"` // the oldest
	Metrics []Metric    `json:"metrics,omitempty"`
	// Explanation says in words what made the condition hold last.
	Explanation string `json:"explanation,omitempty"`
	// Teams is what was sent to whom: by name, for subscriptions may change while the alert is open.
	Teams []Team `json:"teams"`
}

// Team is what one team was sent.
type Team struct {
	Name     string `json:"t"`
	Version  uint64 `json:"v"` // 0: nothing
	Severity uint8  `json:"s"`
}

// Output is where records go to, and the time at which they are made.
type Output struct {
	Now    time.Time
	Alerts []*pipeline.Alert
	// Controls are the windows that the rule's events opened or closed.
	Controls []pipeline.Control
	// Heard are the alerts that began or got worse, as events, of rules whose alerts others take.
	Heard []pipeline.Event
}

// Add notes n events of which the first has the id. Count, ids and times are those of all events of the episode.
func (e *Episode) Add(t int64, id uuid.UUID, n uint32) {
	if e.Count == 0 || t < e.First {
		e.First = t
	}
	e.Last = max(e.Last, t)
	e.Count += n
	if len(e.Events) < pipeline.MaxAlertEvents {
		e.Events = append(e.Events, id)
	}
}

// Belongs reports whether a firing whose first event is of that time belongs to this episode: while it is open, and
// within the dedup window of its start.
func (e *Episode) Belongs(r *rule.Rule, first int64) bool { return e.Open || first < e.Ends(r) }

// Ends returns when a closed episode can be forgotten: a firing whose first event is later is an alert of its own, with
// an id of its own.
func (e *Episode) Ends(r *rule.Rule) int64 { return max(e.Start, e.First) + int64(r.Dedup) }

// Fire says that the rule's condition holds at event time t. It sends what is due: each team's first record, one when
// the level rises, and otherwise one a minute. x is what the key's signals said.
func (e *Episode) Fire(r *rule.Rule, x *Context, t int64, ingest time.Time, level int, out *Output) {
	if e.Sent == 0 {
		e.Start = e.First - mod(e.First, int64(r.Dedup))
	}
	reopened := !e.Open
	worse := level > e.Level
	again := r.Again && t >= e.Told+int64(r.Dedup)
	e.Open = true
	e.Held = max(e.Held, t)
	e.Ingest = ingest.UnixNano()
	e.Level = max(e.Level, level)
	if !reopened && !worse && !again && t-e.Sent < int64(updateEvery) {
		return
	}
	e.Sent = max(e.Sent, t)
	for i := range r.Subscriptions {
		sub := &r.Subscriptions[i]
		severity := sub.Severity[e.Level]
		if severity == 0 || !sub.IsActive(time.Unix(0, t)) {
			continue
		}
		team := e.team(sub.Team)
		status := pipeline.StatusUpdated
		if team.Version == 0 || reopened {
			status = pipeline.StatusFiring
		}
		team.Severity = max(team.Severity, severity)
		e.send(r, x, sub, team, status, out)
	}
	if r.Heard && (again || !r.Again && (reopened || worse)) {
		if r.Again {
			e.Told = t
		}
		if ev := e.event(r, x, t); suppressed(r, ev.Labels) == "" {
			out.Heard = append(out.Heard, ev)
		}
	}
}

// team returns what the team was sent. The pointer is valid until the next call.
func (e *Episode) team(name string) *Team {
	for i := range e.Teams {
		if e.Teams[i].Name == name {
			return &e.Teams[i]
		}
	}
	e.Teams = append(e.Teams, Team{Name: name})
	return &e.Teams[len(e.Teams)-1]
}

// Resolve ends the episode and tells every team that was told of it.
func (e *Episode) Resolve(r *rule.Rule, x *Context, out *Output) {
	if !e.Open {
		return
	}
	e.Open = false
	for i := range e.Teams {
		team := &e.Teams[i]
		sub := slices.IndexFunc(r.Subscriptions, func(s rule.Subscription) bool { return s.Team == team.Name })
		if sub >= 0 && team.Version > 0 {
			e.send(r, x, &r.Subscriptions[sub], team, pipeline.StatusResolved, out)
		}
		team.Severity = 0
	}
	e.Level = 0
}

// lookup finds what the templates of the rule name.
func (e *Episode) lookup(r *rule.Rule, x *Context) func(step int, name string) string {
	return func(step int, name string) string {
		if step < 0 {
			if name == rule.ExplanationName {
				return e.Explanation
			}
			for _, m := range e.Metrics {
				if m.Name == name {
					return formatMetric(m.Value)
				}
			}
		}
		return x.Column(r, step, name)
	}
}

func (e *Episode) send(r *rule.Rule, x *Context, sub *rule.Subscription, team *Team, status string, out *Output) {
	team.Version++
	dedup := r.DedupKey(e.Key)
	lookup := e.lookup(r, x)
	a := &pipeline.Alert{
		ID:      ID(r, sub.Team, dedup, e.Start),
		Version: team.Version, Status: status, Team: sub.Team, Class: sub.Class,
		Visibility: pipeline.VisibilityTeam, RequestedBy: sub.By,
		Rule: r.ID, RuleVersion: r.Version, Severity: team.Severity, Confidence: r.Confidence, Phases: r.Phases,
		Title:       clip(r.AlertTitle.Render(lookup), maxTitleBytes),
		Summary:     clip(r.AlertSummary.Render(lookup), maxSummaryBytes),
		Project:     clip(x.Column(r, -1, "project"), maxEntityBytes),
		Environment: clip(x.Column(r, -1, "environment"), maxEntityBytes),
		Entities:    x.entities(r),

		FirstEventTime: time.Unix(0, e.First).UTC(),
		LastEventTime:  time.Unix(0, e.Last).UTC(),
		EventCount:     e.Count,
		EventIDs:       slices.Clone(e.Events),

		DedupKey: dedup, Attacks: r.Attacks, Digest: r.Digest,
	}
	if labels := x.Column(r, -1, "labels"); labels != "" {
		a.Labels = strings.Split(labels, ",")
	}
	if a.SuppressedBy = suppressed(r, a.Labels); a.SuppressedBy != "" && status != pipeline.StatusResolved {
		a.Status = pipeline.StatusSuppressed
	}
	a.Labels, a.SuppressedBy = bounded(a.Labels), clip(a.SuppressedBy, maxEntityBytes)
	if sub.Team == pipeline.TeamSec { // campaigns are for security's eyes until they are disclosed
		a.Campaign = clip(x.Column(r, -1, "campaign_id"), maxEntityBytes)
	}
	if len(e.Metrics) > 0 {
		a.Metrics = make(map[string]float64, len(e.Metrics))
		for _, m := range e.Metrics {
			if !math.IsNaN(m.Value) && !math.IsInf(m.Value, 0) {
				a.Metrics[m.Name] = m.Value
			}
		}
	}
	if status != pipeline.StatusResolved { // what ends an alert is the watermark, not an event
		if ms := out.Now.Sub(time.Unix(0, e.Ingest)).Milliseconds(); ms > 0 {
			a.DetectLatencyMS = uint32(min(ms, math.MaxUint32))
		}
	}
	a.Links = links(r, a)
	out.Alerts = append(out.Alerts, a)
}

// suppressed returns the label under which the rule is not meant, or "".
func suppressed(r *rule.Rule, labels []string) string {
	for _, l := range labels {
		for _, s := range r.Suppress {
			if l == s || strings.HasSuffix(s, ":") && strings.HasPrefix(l, s) {
				return l
			}
		}
	}
	return ""
}

// ID returns the id of the alert that a team gets. start is the beginning of the dedup window, Unix nanoseconds.
func ID(r *rule.Rule, team, dedup string, start int64) uuid.UUID {
	return pipeline.NewID("alert", r.ID, strconv.Itoa(r.Version), team, dedup, time.Unix(0, start).UTC().Format(time.RFC3339Nano))
}

// links are made of what the alert says: nobody has to look anything up to follow them.
func links(r *rule.Rule, a *pipeline.Alert) pipeline.AlertLinks {
	const margin = 10 * time.Minute // before and after, for the reader to see what was usual
	from, to := a.FirstEventTime.Add(-margin), a.LastEventTime.Add(margin)
	var q strings.Builder
	q.WriteString("SELECT * FROM tocsin.events WHERE event_id IN (")
	for i, id := range a.EventIDs {
		if i > 0 {
			q.WriteByte(',')
		}
		fmt.Fprintf(&q, "'%s'", id)
	}
	const layout = "2006-01-02 15:04:05.000"
	fmt.Fprintf(&q, ") AND event_time BETWEEN toDateTime64('%s', 3, 'UTC') AND toDateTime64('%s', 3, 'UTC') ORDER BY event_time",
		a.FirstEventTime.Truncate(time.Millisecond).Format(layout), a.LastEventTime.Add(time.Millisecond).Format(layout))
	runbook := "docs/runbooks/" + r.ID + ".md"
	if strings.HasPrefix(r.Runbook, "https://") && !strings.ContainsAny(r.Runbook, " \n") {
		runbook = r.Runbook
	}
	return pipeline.AlertLinks{
		Dashboard: fmt.Sprintf("/d/tocsin-alerts?var-rule=%s&var-project=%s&from=%d&to=%d",
			url.QueryEscape(r.ID), url.QueryEscape(a.Project), from.UnixMilli(), to.UnixMilli()),
		Runbook: runbook,
		Query:   q.String(),
	}
}

// formatMetric writes a number for people: whole ones in full, others with three digits at least.
func formatMetric(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return ""
	case v == math.Trunc(v) && math.Abs(v) < 1e15:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case math.Abs(v) >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case math.Abs(v) >= 1:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// bounded returns the first labels, each clipped, and how many more there are.
func bounded(labels []string) []string {
	for i := range labels {
		labels[i] = clip(labels[i], maxLabelBytes)
	}
	if more := len(labels) - maxLabels; more > 0 {
		labels = append(labels[:maxLabels], fmt.Sprintf("…+%d", more))
	}
	return labels
}

// clip shortens a text to n bytes, at the border of a rune.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	n -= len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// mod is the remainder that is never negative.
func mod(a, b int64) int64 { return (a%b + b) % b }
