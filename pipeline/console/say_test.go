package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
)

const mariasToken = "maria-0123456789abcdef"

// TestSay: whoever bears a token says things in his own name, and nobody else says anything.
func TestSay(t *testing.T) {
	db := migrated(t)
	id := uuid.New()
	if err := db.Exec(t.Context(), fmt.Sprintf(`INSERT INTO alerts (alert_id, version, ts, first_event_time, last_event_time, status, team, rule_id, title, entities) VALUES ('%s', 1, now64(), now64(), now64(), 'firing', 'sec', 'C11', 't', {'host': 'web-1', 'ip': '203.0.113.7,+11'})`, id)); err != nil {
		t.Fatal(err)
	}
	var came []pipeline.Control
	var broken error
	base := serve(t, Config{DB: db, People: []Person{{"jim", "jim-0123456789abcdef"}, {"maria", mariasToken}}, Say: func(_ context.Context, list []pipeline.Control) error {
		came = append(came, list...)
		return broken
	}})
	post := func(address, body string, header ...string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+mariasToken)
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(answer)
	}
	address := base + "/api/alerts/" + id.String()
	if status, body := post(address, `{"action":"ack","reason":"mine","minutes":120}`); status != http.StatusAccepted || body != `{"by":"maria"}`+"\n" {
		t.Fatalf("%d %s", status, body)
	}
	if c := came[0]; c.By != "maria" || c.Team != "sec" || c.Alert != id || c.Reason != "mine" || c.Until.Sub(c.Time) != 2*time.Hour {
		t.Errorf("acknowledged by %+v", c)
	}
	if status, body := post(address, `{"action":"silence","entity":"host=web-1","reason":"known","minutes":30}`); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, body)
	}
	if c := came[1]; c.Match != (pipeline.Matcher{Rule: "C11", Entity: "host=web-1"}) || c.Window != "silence" {
		t.Errorf("silenced by %+v", c)
	}
	if status, body := post(address, `{"action":"resolve","disposition":"false_positive"}`); status != http.StatusAccepted || came[2].Disposition != pipeline.FalsePositive {
		t.Fatalf("%d %s", status, body)
	}
	refused := func(status int, want, address, body string, header ...string) {
		t.Helper()
		if got, answer := post(address, body, header...); got != status || !strings.Contains(answer, want) {
			t.Errorf("%s with %v: %d %s, want %d with %q", body, header, got, answer, status, want)
		}
	}
	const ack = `{"action":"ack"}`
	refused(401, "nobody's", address, ack, "Authorization", "")
	refused(401, "nobody's", address, ack, "Authorization", "Bearer "+mariasToken+"x")
	refused(401, "nobody's", address, ack, "Authorization", "Bearer ")
	refused(403, "another site", address, ack, "Sec-Fetch-Site", "cross-site")
	refused(403, "another site", address, ack, "Sec-Fetch-Site", "same-site")
	refused(415, "application/json", address, ack, "Content-Type", "text/plain")
	refused(400, "unknown field", address, `{"action":"ack","by":"jim"}`)
	refused(400, "none of ack", address, `{"action":"forget"}`)
	refused(400, "until must come", address, `{"action":"silence","reason":"r"}`)
	refused(400, "no id of an alert", base+"/api/alerts/1", ack)
	refused(404, "no alert", base+"/api/alerts/"+uuid.NewString(), ack)
	refused(405, "only GET", base+"/api/dashboards", ack)
	if len(came) != 3 {
		t.Errorf("%d were written, want 3", len(came))
	}
	broken = errors.New("no broker")
	refused(502, "no broker", address, ack)

	_, body := get(t, address, nil)
	if want := `{"team":"sec","rule_id":"C11","title":"t","entities":["host=web-1","ip=203.0.113.7"],"writable":true,"by":""}` + "\n"; body != want {
		t.Errorf("the page is told %s", body)
	}
	readOnly := serve(t, Config{DB: db}) + "/api/alerts/" + id.String()
	refused(403, "only reads", readOnly, ack)
	if _, body := get(t, readOnly, nil); !strings.Contains(body, `"writable":false`) {
		t.Errorf("the page is told %s", body)
	}
}

func TestCheckPeople(t *testing.T) {
	err := CheckPeople([]Person{{"maria", mariasToken}, {"", mariasToken}, {"jim", "short"}})
	for _, want := range []string{"people[1].name", "people[1].token", "people[2].token: want 16 bytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "short") || strings.Contains(err.Error(), mariasToken) {
		t.Error("a token is repeated")
	}
	if err := CheckPeople([]Person{{"maria", mariasToken}}); err != nil {
		t.Error(err)
	}
}
