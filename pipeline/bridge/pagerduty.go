package bridge

import (
	"context"

	"github.com/tocsin-project/tocsin/pipeline"
)

// pagerduty posts to PagerDuty's Events API v2; the secret is the integration's routing key. The dedup_key is the alert's
// id, so that what comes twice changes nothing.
type pagerduty struct{ url, key string }

func newPagerDuty(b *Bridge) (peer, error) { return &pagerduty{b.cfg.URL, b.cfg.Secret}, nil }

type pdEvent struct {
	RoutingKey string     `json:"routing_key"`
	Action     string     `json:"event_action"`
	DedupKey   string     `json:"dedup_key"`
	Payload    *pdPayload `json:"payload,omitempty"`
	Links      []pdLink   `json:"links,omitempty"`
	Client     string     `json:"client,omitempty"`
	ClientURL  string     `json:"client_url,omitempty"`
}

type pdPayload struct {
	Summary   string `json:"summary"` // at most 1024 characters
	Source    string `json:"source"`
	Severity  string `json:"severity"`
	Timestamp string `json:"timestamp"`
	Component string `json:"component,omitempty"`
	Group     string `json:"group,omitempty"`
	Class     string `json:"class,omitempty"`
	Details   any    `json:"custom_details,omitempty"`
}

type pdLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

// pdActions converts statuses. What is suppressed needs nobody.
var pdActions = map[string]string{
	pipeline.StatusFiring: "trigger", pipeline.StatusUpdated: "trigger", pipeline.StatusAcked: "acknowledge",
	pipeline.StatusSuppressed: "resolve", pipeline.StatusResolved: "resolve",
}

// pdSeverities converts OCSF severities.
var pdSeverities = []string{"info", "info", "info", "warning", "error", "critical", "critical"}

func (p *pagerduty) deliver(ctx context.Context, m *message) error {
	e := pdEvent{RoutingKey: p.key, Action: pdActions[m.Status], DedupKey: m.ID.String()}
	if e.Action == "trigger" {
		e.Client, e.ClientURL = "tocsin", m.link
		e.Payload = &pdPayload{
			Summary: clip(m.title, 1024), Source: either(m.Project, "tocsin"), Severity: pdSeverities[min(int(m.Severity), 6)],
			Timestamp: m.FirstEventTime.Format("2006-01-02T15:04:05.000Z07:00"), Component: m.entity("service"), Group: m.Team, Class: m.Rule,
			Details: map[string]any{"text": m.text, "entities": m.Entities, "metrics": m.Metrics, "attack_ids": m.Attacks, "query": m.Links.Query, "runbook": m.Links.Runbook},
		}
		if m.link != "" {
			e.Links = []pdLink{{m.link, "dashboard"}}
		}
	}
	return postJSON(ctx, p.url, e, nil)
}

// clip shortens a text to n runes.
func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
