package bridge

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// alertmanager posts to Alertmanager's API v2 (POST /api/v2/alerts). Alertmanager knows an alert by its labels, and forgets
// all of them when it restarts: what is open is sent again every half minute. An alert that is open ends in a day if nothing
// more comes, so that a bridge that is gone leaves nothing behind for good.
type alertmanager struct {
	url    string
	header http.Header
	open   map[uuid.UUID]amAlert
}

type amAlert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

const amLasts = 24 * time.Hour

func newAlertmanager(b *Bridge) (peer, error) {
	return &alertmanager{strings.TrimRight(b.cfg.URL, "/") + "/api/v2/alerts", bearer(b.cfg.Secret), map[uuid.UUID]amAlert{}}, nil
}

// bearer is the header of a token; none without one.
func bearer(token string) http.Header {
	if token == "" {
		return nil
	}
	return http.Header{"Authorization": {"Bearer " + token}}
}

func (p *alertmanager) deliver(ctx context.Context, m *message) error {
	a := amAlert{
		// Nothing that changes within an alert's life is a label.
		Labels: map[string]string{
			"alertname": m.Rule, "team": m.Team, "class": m.Class, "dedup_key": m.DedupKey, "alert_id": m.ID.String(),
		},
		Annotations: map[string]string{
			"title": m.Title, "summary": m.title, "description": m.text, "severity": strconv.Itoa(int(m.Severity)), "status": m.Status,
			"runbook": m.Links.Runbook, "query": m.Links.Query,
		},
		StartsAt: m.FirstEventTime, EndsAt: time.Now().Add(amLasts), GeneratorURL: m.link,
	}
	if m.Project != "" {
		a.Labels["project"] = m.Project
	}
	if m.Environment != "" {
		a.Labels["environment"] = m.Environment
	}
	if now := time.Now(); !m.open() {
		a.EndsAt = now
		if a.StartsAt.After(now) { // the source's clock is ahead: Alertmanager refuses what ends before it began
			a.StartsAt = now
		}
	}
	if err := postJSON(ctx, p.url, []amAlert{a}, p.header); err != nil {
		return err
	}
	if delete(p.open, m.ID); m.open() && len(p.open) < maxKnown {
		p.open[m.ID] = a
	}
	return nil
}

func (p *alertmanager) refresh(ctx context.Context) error {
	list := slices.Collect(maps.Values(p.open))
	for i := range list {
		list[i].EndsAt = time.Now().Add(amLasts)
	}
	for part := range slices.Chunk(list, 500) {
		if err := postJSON(ctx, p.url, part, p.header); err != nil {
			return err
		}
	}
	return nil
}
