package bridge

import (
	"context"
	"fmt"
	"strings"
)

// slack posts to an incoming webhook of Slack. Its texts may hold &, < and > as entities only. Slack has no key: after a
// crash the last message may come a second time.
type slack struct{ url string }

func newSlack(b *Bridge) (peer, error) { return &slack{b.cfg.URL}, nil }

var slackText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

type slackBlock struct {
	Type     string      `json:"type"`
	Text     *slackTyped `json:"text,omitempty"`
	Elements any         `json:"elements,omitempty"`
}

type slackTyped struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

func (p *slack) deliver(ctx context.Context, m *message) error {
	title := slackText.Replace(clip(m.title, 500))
	bold := "*" + title + "*"
	if m.link != "" {
		bold = fmt.Sprintf("*<%s|%s>*", slackText.Replace(m.link), title)
	}
	blocks := []slackBlock{
		{Type: "section", Text: &slackTyped{"mrkdwn", bold + "\n" + slackText.Replace(clip(m.text, 2000))}}, // Slack takes 3000 characters
		{Type: "context", Elements: []slackTyped{{"mrkdwn", slackText.Replace(fmt.Sprintf("%s · %s · version %d · %s", m.Team, m.Rule, m.Version, m.Links.Runbook))}}},
	}
	return postJSON(ctx, p.url, map[string]any{"text": title, "blocks": blocks}, nil)
}

// teams posts an adaptive card to a workflow's webhook of Microsoft Teams. It has no key either.
type teams struct{ url string }

func newTeams(b *Bridge) (peer, error) { return &teams{b.cfg.URL}, nil }

// teamsText keeps what events say from becoming markup.
var teamsText = strings.NewReplacer("\\", "\\\\", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]", "\n", "\n\n")

func (p *teams) deliver(ctx context.Context, m *message) error {
	colour := "good"
	if m.open() {
		colour = []string{"default", "default", "accent", "warning", "warning", "attention", "attention"}[min(int(m.Severity), 6)]
	}
	card := map[string]any{
		"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
		"body": []map[string]any{
			{"type": "TextBlock", "size": "Medium", "weight": "Bolder", "wrap": true, "color": colour, "text": teamsText.Replace(clip(m.title, 500))},
			{"type": "TextBlock", "wrap": true, "text": teamsText.Replace(clip(m.text, 5000))},
			{"type": "FactSet", "facts": []map[string]string{{"title": "Team", "value": m.Team}, {"title": "Rule", "value": m.Rule}, {"title": "Runbook", "value": m.Links.Runbook}}},
		},
	}
	if m.link != "" {
		card["actions"] = []map[string]string{{"type": "Action.OpenUrl", "title": "Dashboard", "url": m.link}}
	}
	return postJSON(ctx, p.url, map[string]any{
		"type":        "message",
		"attachments": []map[string]any{{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}},
	}, nil)
}
