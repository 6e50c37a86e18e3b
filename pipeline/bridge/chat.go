package bridge

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"
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

// maxSlack is how many characters a section may have, escaped ones as they are written.
const maxSlack = 3000

func (p *slack) deliver(ctx context.Context, m *message) error {
	title := escape(slackText, m.title, 500)
	bold := "*" + title + "*"
	if link := slackText.Replace(m.link); link != "" && len(link) < maxSlack/2 {
		bold = fmt.Sprintf("*<%s|%s>*", link, title)
	}
	blocks := []slackBlock{
		{Type: "section", Text: &slackTyped{"mrkdwn", bold + "\n" + escape(slackText, m.text, maxSlack-1-utf8.RuneCountInString(bold))}},
		{Type: "context", Elements: []slackTyped{{"mrkdwn", escape(slackText, fmt.Sprintf("%s · %s · version %d · %s", m.Team, m.Rule, m.Version, m.Links.Runbook), maxSlack)}}},
	}
	return postJSON(ctx, p.url, map[string]any{"text": title, "blocks": blocks}, nil)
}

// escape replaces what is markup, and shortens what is longer than n characters then. Events write into these texts: they must
// not be able to make a message that the peer refuses.
func escape(markup *strings.Replacer, s string, n int) string {
	if all := markup.Replace(s); utf8.RuneCountInString(all) <= n {
		return all
	}
	var b strings.Builder
	for _, c := range s {
		text := markup.Replace(string(c))
		if n -= utf8.RuneCountInString(text); n < 1 {
			break
		}
		b.WriteString(text)
	}
	return b.String() + "…"
}

// teams posts an adaptive card to a workflow's webhook of Microsoft Teams, of 28 KB at most. It has no key either.
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
			{"type": "TextBlock", "size": "Medium", "weight": "Bolder", "wrap": true, "color": colour, "text": escape(teamsText, m.title, 500)},
			{"type": "TextBlock", "wrap": true, "text": escape(teamsText, m.text, 3000)}, // six bytes each at most
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
