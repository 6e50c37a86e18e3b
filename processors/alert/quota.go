package alert

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// critical is the OCSF severity from which an alert may take the last fifth of a team's quota.
const critical = 5

// capRule is the rule_id of the summaries of what was held back.
const capRule = "tocsin.cap"

// quota is what a team was told within the minute, and the summary of what it was not. Minutes are Unix minutes.
type quota struct {
	Team   string `json:"team"`
	Minute int64  `json:"minute"`
	Used   int    `json:"used"` // records, without the one for the summary

	// While a summary is open:
	Since   int64             `json:"since"` // minute in which it began; 0 for none
	Said    int64             `json:"said"`  // minute of its last record
	Active  int64             `json:"active"`
	Version uint64            `json:"v"`
	Alerts  uint32            `json:"alerts"` // held back
	ByRule  map[string]uint32 `json:"by_rule,omitempty"`
	Worst   uint8             `json:"worst"` // severity
}

func (d *Desk) minute() int64 { return d.clock.Now / int64(time.Minute) }

// room reports whether the team may be sent a record of the alert within this minute.
func (d *Desk) room(h *held) bool {
	limit := d.perMinute - 1
	if h.Severity < critical {
		limit -= d.perMinute / 5
	}
	q := d.teams[h.Team]
	return q == nil || q.Minute != d.minute() || q.Used < limit
}

// take takes a record out of the team's quota of the minute, or reports that there is none left for such an alert.
func (d *Desk) take(h *held) bool {
	if !d.room(h) {
		return false
	}
	q := d.touchQuota(h.Team)
	if q.Minute != d.minute() {
		q.Minute, q.Used = d.minute(), 0
	}
	q.Used++
	return true
}

// heldBack counts an alert that is stored only, fresh if it was not counted yet. The first one of a team is told at once.
func (d *Desk) heldBack(a *pipeline.Alert, fresh bool, out *pipeline.Output) {
	q := d.touchQuota(a.Team)
	q.Active = d.minute()
	q.Worst = max(q.Worst, a.Severity)
	if fresh {
		q.Alerts++
		if q.ByRule == nil {
			q.ByRule = map[string]uint32{}
		}
		q.ByRule[a.Rule]++
	}
	if q.Since == 0 {
		q.Since = d.minute()
		d.summary(q, pipeline.StatusFiring, out)
	}
}

// summarise says once a minute what was held back, and that it is over when a whole minute passed without.
func (d *Desk) summarise(out *pipeline.Output) {
	for _, name := range slices.Sorted(maps.Keys(d.teams)) {
		q := d.teams[name]
		if q.Since == 0 || q.Said >= d.minute() {
			continue
		}
		q = d.touchQuota(name)
		if q.Active < d.minute()-1 {
			d.summary(q, pipeline.StatusResolved, out)
			q.Since, q.Version, q.Alerts, q.ByRule, q.Worst = 0, 0, 0, nil, 0
			continue
		}
		d.summary(q, pipeline.StatusUpdated, out)
	}
}

// summary writes the record that stands for all that were held back.
func (d *Desk) summary(q *quota, status string, out *pipeline.Output) {
	q.Version++
	q.Said = d.minute()
	start := time.Unix(q.Since*60, 0).UTC()
	now := time.Unix(0, d.clock.Now).UTC()
	rules := slices.SortedFunc(maps.Keys(q.ByRule), func(a, b string) int {
		return cmp.Or(cmp.Compare(q.ByRule[b], q.ByRule[a]), cmp.Compare(a, b))
	})
	var list []string
	for i, r := range rules {
		if i == 5 {
			list = append(list, fmt.Sprintf("%d more rules", len(rules)-i))
			break
		}
		list = append(list, fmt.Sprintf("%s %d", r, q.ByRule[r]))
	}
	dedup := capRule + "|" + q.Team
	const layout = "2006-01-02 15:04:05"
	out.Alerts = append(out.Alerts, &pipeline.Alert{
		ID: pipeline.NewID("alert", dedup, start.Format(time.RFC3339)), Version: q.Version, Status: status,
		Team: q.Team, Class: pipeline.ClassNormal, Visibility: pipeline.VisibilityTeam,
		Rule: capRule, RuleVersion: 1, Severity: max(q.Worst, 3), Confidence: 100, Phases: []int8{8},
		Title:          fmt.Sprintf("more alerts for %s than %d a minute: %d are stored, not sent", q.Team, d.perMinute, q.Alerts),
		Summary:        "by rule: " + strings.Join(list, ", "),
		FirstEventTime: start, LastEventTime: now, EventCount: q.Alerts,
		Metrics:  map[string]float64{"alerts_held_back": float64(q.Alerts)},
		DedupKey: dedup,
		Links: pipeline.AlertLinks{
			Dashboard: fmt.Sprintf("/d/tocsin-alerts?var-team=%s&from=%d&to=%d", q.Team, start.UnixMilli(), now.Add(10*time.Minute).UnixMilli()),
			Runbook:   "docs/alerts.md#held-back",
			Query: fmt.Sprintf("SELECT rule_id, severity_id, title, entities FROM tocsin.v_alerts WHERE team = '%s' AND suppressed_by = '%s' AND ts >= toDateTime('%s', 'UTC') ORDER BY severity_id DESC, ts",
				q.Team, byCap, start.Format(layout)),
		},
	})
}
