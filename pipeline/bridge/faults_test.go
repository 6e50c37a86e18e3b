package bridge

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tocsin-project/tocsin/pipeline"
)

// TestAskedUntilMended: a token that has expired, or an address that has moved, says nothing of the alert. It is delivered once
// somebody has mended that.
func TestAskedUntilMended(t *testing.T) {
	p := listen(t, 401, 404, 410, 302, 500, 200)
	deliver(t, open(t, Config{Kind: "ocsf", URL: p.URL}), alert(1, "firing"))
	if len(p.bodies) != 6 {
		t.Errorf("%d requests, want 6", len(p.bodies))
	}
	p = listen(t, 403)
	if reason, err := open(t, Config{Kind: "ocsf", URL: p.URL}).Deliver(t.Context(), record(t, alert(1, "firing"))); err != nil || !strings.Contains(reason, "403") {
		t.Errorf("one alert stops all others behind a firewall that refuses its text: %q, %v", reason, err)
	}
}

// TestHostileTextsAreTaken: what events say cannot make a message that a chat refuses: then nobody would be told.
func TestHostileTextsAreTaken(t *testing.T) {
	for _, c := range []string{"<", "&", "|", "*", "\\", "\n", "\x01", "ü", "🔥"} {
		a := alert(1, "firing")
		a.Title, a.Summary = strings.Repeat(c, 300/len(c)), strings.Repeat(c, 2000/len(c))
		for _, kind := range []string{"host", "user", "service", "url", "file", "process", "database"} {
			a.Entities[kind] = strings.Repeat(c, 300/len(c))
		}
		p := listen(t)
		deliver(t, open(t, Config{Kind: "slack", URL: p.URL}), a)
		deliver(t, open(t, Config{Kind: "teams", URL: p.URL}), a)
		var slack struct {
			Blocks []struct{ Text struct{ Text string } }
		}
		p.decode(t, 0, &slack)
		if n := utf8.RuneCountInString(slack.Blocks[0].Text.Text); n > maxSlack || n < 500 {
			t.Errorf("%q: %d characters for Slack", c, n)
		}
		if n := len(p.bodies[1]); n > 28<<10 {
			t.Errorf("%q: %d bytes for Teams", c, n)
		}
	}
}

// TestTemplates: a template may name what an alert does not have, and one that fails for an alert does not cost the alert.
func TestTemplates(t *testing.T) {
	p := listen(t)
	b := open(t, Config{Kind: "slack", URL: p.URL, Title: "{{.Entities.host}}{{.Entities.nonesuch}} {{.Metrics.rate}}", Text: `{{if .Title}}{{slice .Title 0 400}}{{end}}`})
	deliver(t, b, alert(1, "firing"))
	if body := p.bodies[0]; !strings.Contains(body, "db-1 0.5") || !strings.Contains(body, "Rule C02, severity 5 of 6") {
		t.Errorf("%s", body)
	}
	for text, want := range map[string]string{"a\n{{.Nonesuch}}": "title:2:", "{{if}}": "title:1:", "{{.Until.Hour}}": "title:1:"} {
		if err := Check([]Config{{Name: "b", Kind: "slack", URL: "https://x", Title: text}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	for status := range ocsfStatus {
		for _, a := range []*pipeline.Alert{alert(1, status), {Status: status}} {
			_, err := render(usualTitle, a)
			if _, other := render(usualText, a); err != nil || other != nil {
				t.Error(err, other)
			}
		}
	}
}

// TestCheckOpensThePeers: what a kind wants of its url is said by `tocsin check`, not when the bridge starts.
func TestCheckOpensThePeers(t *testing.T) {
	err := Check([]Config{
		{Name: "s", Kind: "syslog", URL: "tcp://host"}, {Name: "w", Kind: "webhook", URL: "https://x", Key: "whsec_?"}, {Name: "p", Kind: "pandora-agent", URL: "file://here"},
	})
	for _, want := range []string{"bridges[0] (s): url: want tcp://host:514", "bridges[1] (w): key: ", "bridges[2] (p): url: want file:///"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %q in\n%v", want, err)
		}
	}
}

// TestAlertmanagerClockAhead: an alert whose events are from tomorrow ends as well. Alertmanager refuses what ends before it began.
func TestAlertmanagerClockAhead(t *testing.T) {
	p := listen(t)
	ahead := alert(2, "resolved")
	ahead.FirstEventTime = time.Now().Add(time.Hour)
	deliver(t, open(t, Config{Kind: "alertmanager", URL: p.URL}), ahead)
	var list []amAlert
	p.decode(t, 0, &list)
	if list[0].StartsAt.After(list[0].EndsAt) {
		t.Errorf("from %v to %v", list[0].StartsAt, list[0].EndsAt)
	}
}

// TestOCSFIncident: an alert that stands for an incident is an Incident Finding, its members are none; an entity of several
// values is observed by the first, and what is not there is left out.
func TestOCSFIncident(t *testing.T) {
	p := listen(t)
	b := open(t, Config{Kind: "ocsf", URL: p.URL})
	incident, member := alert(1, "firing"), alert(2, "resolved")
	incident.Incident, member.Incident = "inc|C02|db-1", "inc|C07|db-1"
	deliver(t, b, incident, member)
	for i, want := range []string{"2005 200501", "2004 200403"} {
		var e struct {
			Class       json.Number     `json:"class_uid"`
			Type        json.Number     `json:"type_uid"`
			Finding     json.RawMessage `json:"finding_info"`
			Findings    []any           `json:"finding_info_list"`
			Metadata    map[string]any
			Observables []struct{ Name, Value string }
		}
		p.decode(t, i, &e)
		if got := e.Class.String() + " " + e.Type.String(); got != want || (len(e.Findings) == 1) != (i == 0) || (e.Finding != nil) != (i == 1) {
			t.Errorf("%s, want %s: %s", got, want, p.bodies[i])
		}
		if _, there := e.Metadata["labels"]; there || e.Observables[1].Value != "203.0.113.7" {
			t.Errorf("%s", p.bodies[i])
		}
	}
}

// TestLaterAsThePeerSays: 503 may say when to come again, as 429 does.
func TestLaterAsThePeerSays(t *testing.T) {
	h := http.Header{"Retry-After": {"7"}}
	p := listen(t)
	p.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Retry-After"] = h["Retry-After"]
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	for said, want := range map[string]time.Duration{"7": 7 * time.Second, "-1": 0, "Wed, 21 Oct 2026 07:28:00 GMT": 0, "99999999999999": time.Hour} {
		h.Set("Retry-After", said)
		var later tooMany
		if _, err := post(t.Context(), p.URL, "text/plain", nil, nil); !errors.As(err, &later) || later.after != want {
			t.Errorf("%s: %v, want %v", said, later.after, want)
		}
	}
}
