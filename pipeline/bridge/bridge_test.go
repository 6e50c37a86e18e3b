package bridge

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/zap/zaptest"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/parse"
)

var at = time.Date(2026, 11, 23, 10, 14, 30, 0, time.UTC)

// alert is one that has something in every field, and what must be escaped in texts.
func alert(version uint64, status string) *pipeline.Alert {
	return &pipeline.Alert{
		ID: uuid.MustParse("0192bbbb-0000-5000-8000-000000000001"), Version: version, Status: status, Team: "sec", Class: "normal", Visibility: "team",
		Rule: "C02", RuleVersion: 3, Severity: 5, Confidence: 90, Phases: []int8{2, 7}, Title: "pay.audit_log <grows> | & fast", Summary: "34 MB/min\nfull = soon",
		Project: "payments", Environment: "production", Entities: map[string]string{"host": "db-1", "ip": "203.0.113.7,+11"}, Metrics: map[string]float64{"rate": 0.5},
		FirstEventTime: at, LastEventTime: at.Add(time.Minute), EventCount: 1252, DedupKey: "C02|db-1", Attacks: []string{"T1110"},
		Links: pipeline.AlertLinks{Dashboard: "/d/x?from=1", Runbook: "docs/runbooks/C02.md", Query: "SELECT 1"},
	}
}

func record(t *testing.T, a *pipeline.Alert) []byte {
	t.Helper()
	b, err := pipeline.EncodeAlert(a, "tocsin/test", at)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func open(t *testing.T, cfg Config) *Bridge {
	t.Helper()
	cfg.Name, cfg.Links, cfg.PerMinute = "b", "https://g/", 6000
	b, err := New(cfg, zaptest.NewLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	b.wait = time.Millisecond
	return b
}

func deliver(t *testing.T, b *Bridge, alerts ...*pipeline.Alert) {
	t.Helper()
	for _, a := range alerts {
		if reason, err := b.Deliver(t.Context(), record(t, a)); err != nil || reason != "" {
			t.Fatalf("version %d: %s %v", a.Version, reason, err)
		}
	}
}

// peerHTTP takes requests and answers as it is told, 200 when it is told nothing.
type peerHTTP struct {
	*httptest.Server
	mu      sync.Mutex
	bodies  []string
	headers []http.Header
	answer  []int
	texts   []string
}

func listen(t *testing.T, answers ...int) *peerHTTP {
	p := &peerHTTP{answer: answers}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.bodies, p.headers = append(p.bodies, string(b)), append(p.headers, r.Header)
		if r.Method != http.MethodPost {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		n := len(p.bodies)
		if n <= len(p.texts) {
			fmt.Fprintln(w, p.texts[n-1])
		}
		if n <= len(p.answer) {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(p.answer[n-1])
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *peerHTTP) decode(t *testing.T, i int, v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(p.bodies[i]))
	if err := d.Decode(v); err != nil {
		t.Fatalf("%v: %s", err, p.bodies[i])
	}
}

func TestDeliverUntilThePeerHasIt(t *testing.T) {
	p := listen(t, 503, 429, 408, 200)
	b := open(t, Config{Kind: "slack", URL: p.URL})
	deliver(t, b, alert(1, "firing"), alert(1, "firing"), alert(2, "updated"), alert(1, "firing"))
	if len(p.bodies) != 5 { // three tries in vain, version 1, version 2
		t.Errorf("%d requests, want 5", len(p.bodies))
	}
}

func TestRefusedForGood(t *testing.T) {
	p := listen(t, 400)
	b := open(t, Config{Kind: "slack", URL: p.URL + "/secret-part"})
	reason, err := b.Deliver(t.Context(), record(t, alert(1, "firing")))
	if err != nil || !strings.Contains(reason, "400 Bad Request") || strings.Contains(reason, "secret-part") {
		t.Errorf("reason %q, error %v", reason, err)
	}
	if len(p.bodies) != 1 {
		t.Errorf("%d requests, want 1", len(p.bodies))
	}
	if reason, err := b.Deliver(t.Context(), []byte("{")); err != nil || reason == "" {
		t.Errorf("a record that is none: %q, %v", reason, err)
	}
	p.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.Deliver(ctx, record(t, alert(2, "updated"))); err == nil || strings.Contains(err.Error(), "secret-part") {
		t.Errorf("nobody answers: %v", err)
	}
}

func TestCarriesWhatItIsFor(t *testing.T) {
	p := listen(t)
	b := open(t, Config{Kind: "slack", URL: p.URL, Teams: []string{"sec"}, MinSeverity: 5})
	low, other := alert(1, "firing"), alert(1, "firing")
	low.Severity, other.Team = 4, "ops"
	deliver(t, b, low, other)
	if len(p.bodies) != 0 {
		t.Errorf("%d requests, want none", len(p.bodies))
	}
	deliver(t, b, alert(2, "updated"))
	if len(p.bodies) != 1 {
		t.Error("what got worse is not carried")
	}
}

func TestCheckSaysAllThatIsWrong(t *testing.T) {
	err := Check([]Config{
		{Name: "a", Kind: "pager"}, {Name: "a", Kind: "webhook", URL: "ftp://secret", Teams: []string{"qa"}, MinSeverity: 9},
		{Name: "c d", Kind: "slack", URL: "https://x", Title: "{{.Nonesuch}}", Text: "{{"}, {Name: "m", Kind: "mail", URL: "smtp://h"},
	})
	for _, want := range []string{
		`bridges[0] (a): kind: "pager" is none of webhook,`, `bridges[1].name: "a" is there already`, "url: want one that begins with https:// or http://",
		`teams: "qa"`, "min_severity: 9", "key: want the key", `bridges[2].name: "c d"`, "title: ", "text: ", "want from and to",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %q in\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "ftp") {
		t.Error("the url is repeated")
	}
}

func TestWebhookIsSigned(t *testing.T) {
	const key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	p := listen(t)
	deliver(t, open(t, Config{Kind: "webhook", URL: p.URL, Key: key}), alert(3, "firing"))
	hook, err := webhooks.NewWebhook(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := hook.Verify([]byte(p.bodies[0]), p.headers[0]); err != nil {
		t.Error(err)
	}
	if err := hook.Verify([]byte(p.bodies[0]+" "), p.headers[0]); err == nil {
		t.Error("another body passes")
	}
	if id := p.headers[0].Get("Webhook-Id"); id != "0192bbbb-0000-5000-8000-000000000001.3" {
		t.Errorf("id %s", id)
	}
	if a, err := pipeline.DecodeAlert([]byte(p.bodies[0])); err != nil || a.Version != 3 {
		t.Errorf("%v: %s", err, p.bodies[0])
	}
}

func TestAlertmanager(t *testing.T) {
	p := listen(t)
	b := open(t, Config{Kind: "alertmanager", URL: p.URL + "/", Secret: "token"})
	deliver(t, b, alert(1, "firing"), alert(2, "updated"))
	b.Refresh(t.Context())
	deliver(t, b, alert(3, "resolved"))
	b.Refresh(t.Context()) // nothing is open
	if len(p.bodies) != 4 {
		t.Fatalf("%d requests, want 4", len(p.bodies))
	}
	var labels map[string]string
	for i := range p.bodies {
		var list []amAlert
		p.decode(t, i, &list)
		a := list[0]
		if i == 0 {
			labels = a.Labels
			want := map[string]string{"alertname": "C02", "team": "sec", "class": "normal", "dedup_key": "C02|db-1", "alert_id": "0192bbbb-0000-5000-8000-000000000001", "project": "payments", "environment": "production"}
			if diff := cmp.Diff(want, labels); diff != "" {
				t.Error(diff)
			}
		}
		if !maps.Equal(a.Labels, labels) {
			t.Errorf("the labels change: it is another alert then: %v", a.Labels)
		}
		if over := !a.EndsAt.After(time.Now()); over != (i == 3) || !a.StartsAt.Equal(at) {
			t.Errorf("request %d is from %v to %v", i, a.StartsAt, a.EndsAt)
		}
		if p.headers[i].Get("Authorization") != "Bearer token" {
			t.Error("no token")
		}
	}
}

// The contract of PagerDuty's Events API v2: routing_key, event_action and dedup_key of at most 255 characters; with a
// trigger a payload that has summary (at most 1024), source, severity.
func TestPagerDuty(t *testing.T) {
	p := listen(t, 202, 202, 202, 202)
	b := open(t, Config{Kind: "pagerduty", URL: p.URL, Secret: "R0UT1NG"})
	long := alert(1, "firing")
	long.Title = strings.Repeat("ü", 3000)
	deliver(t, b, long, alert(2, "acked"), alert(3, "suppressed"), alert(4, "resolved"))
	for i, action := range []string{"trigger", "acknowledge", "resolve", "resolve"} {
		var e pdEvent
		p.decode(t, i, &e)
		if e.Action != action || e.RoutingKey != "R0UT1NG" || e.DedupKey != "0192bbbb-0000-5000-8000-000000000001" {
			t.Errorf("event %+v, want %s", e, action)
		}
		if trigger := i == 0; (e.Payload != nil) != trigger {
			t.Errorf("%s has payload %v", action, e.Payload)
		} else if trigger && (len([]rune(e.Payload.Summary)) != 1024 || e.Payload.Severity != "critical" || e.Payload.Source != "payments" || e.Links[0].Href != "https://g/d/x?from=1") {
			t.Errorf("payload %+v, links %v", e.Payload, e.Links)
		}
	}
}

func TestSlackAndTeams(t *testing.T) {
	p := listen(t)
	deliver(t, open(t, Config{Kind: "slack", URL: p.URL, Title: "{{.Rule}}: {{.Title}}"}), alert(1, "firing"))
	deliver(t, open(t, Config{Kind: "teams", URL: p.URL}), alert(1, "firing"))
	var slack struct {
		Text   string
		Blocks []struct{ Text struct{ Text string } }
	}
	p.decode(t, 0, &slack)
	if slack.Text != "C02: pay.audit_log &lt;grows&gt; | &amp; fast" || !strings.HasPrefix(slack.Blocks[0].Text.Text, "*<https://g/d/x?from=1|C02: pay.audit_log &lt;grows&gt;") {
		t.Errorf("%+v", slack)
	}
	var teams struct {
		Type        string
		Attachments []struct {
			ContentType string
			Content     struct {
				Type, Version string
				Body          []struct{ Type, Text string }
				Actions       []struct{ URL string }
			}
		}
	}
	p.decode(t, 1, &teams)
	card := teams.Attachments[0]
	if teams.Type != "message" || card.ContentType != "application/vnd.microsoft.card.adaptive" || card.Content.Type != "AdaptiveCard" || card.Content.Actions[0].URL != "https://g/d/x?from=1" {
		t.Errorf("%+v", teams)
	}
	if got := card.Content.Body[0].Text; got != `\[firing\] pay.audit\_log <grows> | & fast` {
		t.Errorf("text %q", got)
	}
}

// mailbox is a real SMTP server's backend.
type mailbox struct {
	from   string
	to     []string
	mails  []string
	refuse string // a recipient
}

func (m *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return m, nil }
func (m *mailbox) Mail(from string, _ *smtp.MailOptions) error { m.from = from; return nil }
func (m *mailbox) Rcpt(to string, _ *smtp.RcptOptions) error {
	if m.refuse == to {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	m.to = append(m.to, to)
	return nil
}
func (m *mailbox) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	m.mails = append(m.mails, string(b))
	return err
}
func (m *mailbox) Reset()        {}
func (m *mailbox) Logout() error { return nil }

func TestMail(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	box := &mailbox{}
	server := smtp.NewServer(box)
	server.Domain = "localhost"
	go func() { _ = server.Serve(l) }() // it ends with Close
	t.Cleanup(func() { _ = server.Close() })
	b := open(t, Config{Kind: "mail", URL: "smtp://" + l.Addr().String(), From: "tocsin@example.com", To: []string{"a@example.com", "b@example.com"}})
	first := alert(1, "firing")
	first.Title = "grows\r\nBcc: everybody@example.com"
	deliver(t, b, first, alert(2, "resolved"))
	if box.from != "tocsin@example.com" || !slices.Equal(box.to, []string{"a@example.com", "b@example.com", "a@example.com", "b@example.com"}) || len(box.mails) != 4 {
		t.Fatalf("from %s to %v, %d mails", box.from, box.to, len(box.mails))
	}
	var thread []string
	for i, text := range box.mails {
		m, err := mail.ReadMessage(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		thread = append(thread, m.Header.Get("References"))
		if id := m.Header.Get("Message-Id"); id != fmt.Sprintf("<0192bbbb-0000-5000-8000-000000000001.%d@tocsin.invalid>", i/2+1) {
			t.Errorf("id %s", id)
		}
		if i == 0 && (m.Header.Get("Subject") != "[firing] grows Bcc: everybody@example.com" || m.Header.Get("Bcc") != "") {
			t.Errorf("header %v", m.Header)
		}
		body, err := io.ReadAll(m.Body)
		if err != nil || !strings.Contains(string(body), "docs/runbooks/C02.md") {
			t.Errorf("%v: %s", err, body)
		}
	}
	if thread[0] != thread[3] || thread[0] == "" {
		t.Errorf("threads %v", thread)
	}
	box.refuse = "a@example.com" // who has left keeps nothing from those who stay
	if reason, err := b.Deliver(t.Context(), record(t, alert(3, "firing"))); err != nil || !strings.Contains(reason, "a@example.com: ") || !strings.Contains(reason, "no such user") {
		t.Errorf("reason %q, error %v", reason, err)
	}
	if len(box.mails) != 5 || box.to[4] != "b@example.com" {
		t.Errorf("%d mails, to %v", len(box.mails), box.to)
	}
	secret := open(t, Config{Kind: "mail", URL: "smtp://" + l.Addr().String(), From: "tocsin@example.com", To: []string{"b@example.com"}, User: "tocsin", Secret: "password"})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := secret.Deliver(ctx, record(t, alert(4, "firing"))); err == nil || len(box.mails) != 5 {
		t.Errorf("a password went to a server without TLS: %v", err)
	}
}

func TestPandoraEvents(t *testing.T) {
	p := listen(t)
	p.texts = []string{"auth error", "0", "17", "18", "19"} // all with status 200
	b := open(t, Config{Kind: "pandora", URL: p.URL, User: "tocsin", Secret: "pass", Key: "apipass"})
	deliver(t, b, alert(1, "firing"), alert(2, "acked"), alert(3, "resolved"))
	for i, want := range []string{"0 4", "0 4", "0 4", "2 4", "1 2"} {
		form, err := url.ParseQuery(p.bodies[i])
		if err != nil {
			t.Fatal(err)
		}
		other := strings.Split(form.Get("other"), "|")
		for i := range other { // Pandora decodes them by PHP's urldecode or rawurldecode
			raw := other[i]
			if other[i], err = url.PathUnescape(raw); err != nil || strings.Contains(raw, "+") {
				t.Errorf("%v: %q", err, raw)
			}
		}
		if want := "pay.audit_log <grows> | & fast"; !strings.Contains(other[0], want) {
			t.Errorf("text %q, want %q", other[0], want)
		}
		if form.Get("op") != "set" || form.Get("op2") != "create_event" || form.Get("other_mode") != "url_encode_separator_|" || form.Get("apipass") != "apipass" || form.Get("user") != "tocsin" || form.Get("pass") != "pass" {
			t.Errorf("%v", form)
		}
		if len(other) != 21 || other[3]+" "+other[6] != want || other[18] != "0192bbbb-0000-5000-8000-000000000001" || other[19] != "db-1" {
			t.Errorf("other has %d members: %q, want status and criticity %s", len(other), other, want)
		}
	}
}

// The agent's file is read by the parser that reads those of Pandora's own agents.
func TestPandoraAgent(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Config{Kind: "pandora-agent", URL: "file://" + dir})
	deliver(t, b, alert(1, "firing"))
	files, err := filepath.Glob(dir + "/*")
	if err != nil || len(files) != 1 || filepath.Ext(files[0]) != ".data" {
		t.Fatalf("%v: %v", err, files)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	parser, err := parse.New(parse.Config{})
	if err != nil {
		t.Fatal(err)
	}
	batch := &pipeline.Batch{Records: []pipeline.Record{{Value: data, Time: at}}}
	if err := parser.Process(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if len(batch.Failures) > 0 || len(batch.Events) == 0 {
		t.Fatalf("failures %+v, %d events: %s", batch.Failures, len(batch.Events), data)
	}
	if e := batch.Events[0]; e.Source != "pandora-agent-xml" || e.Host != "db-1" {
		t.Errorf("source %s, host %s", e.Source, e.Host)
	}
	if !strings.Contains(string(data), "<type>async_string</type>") || !strings.Contains(string(data), "critical: [firing] pay.audit_log &lt;grows&gt;") {
		t.Errorf("%s", data)
	}
}

// The members that OCSF 1.8 requires of a Detection Finding, and type_uid as class_uid * 100 + activity_id.
func TestOCSF(t *testing.T) {
	p := listen(t)
	b := open(t, Config{Kind: "ocsf", URL: p.URL})
	deliver(t, b, alert(1, "firing"), alert(2, "acked"), alert(3, "resolved"))
	for i, want := range []string{"1 1", "2 2", "3 4"} {
		var e struct {
			Category int `json:"category_uid"`
			Class    int `json:"class_uid"`
			Activity int `json:"activity_id"`
			Type     int `json:"type_uid"`
			Severity int `json:"severity_id"`
			Status   int `json:"status_id"`
			Time     int64
			Metadata struct {
				Version string
				Product struct {
					Vendor string `json:"vendor_name"`
				}
			}
			Finding struct {
				UID, Title string
				Attacks    []struct{ Technique struct{ UID string } }
			} `json:"finding_info"`
			Observables []struct {
				Name   string
				TypeID int `json:"type_id"`
			}
		}
		p.decode(t, i, &e)
		if e.Category != 2 || e.Class != 2004 || e.Type != 200400+e.Activity || e.Severity != 5 || e.Time != at.Add(time.Minute).UnixMilli() || e.Metadata.Version != "1.8.0" || e.Metadata.Product.Vendor == "" {
			t.Errorf("%+v", e)
		}
		if got := fmt.Sprint(e.Activity, e.Status); got != want || e.Finding.UID != "0192bbbb-0000-5000-8000-000000000001" || e.Finding.Attacks[0].Technique.UID != "T1110" || e.Observables[1].TypeID != 2 {
			t.Errorf("activity and status %s, want %s; %+v", got, want, e)
		}
	}
}

func TestSyslog(t *testing.T) {
	const want = `tocsin - alert - CEF:0|tocsin|tocsin|1|C02|[firing] pay.audit_log <grows> \| & fast|9|externalId=0192bbbb-0000-5000-8000-000000000001.1 start=1795428870000 end=1795428930000 cnt=1252 src=203.0.113.7 dhost=db-1 cs1Label=status cs1=firing cs2Label=team cs2=sec cs3Label=project cs3=payments request=https://g/d/x?from\=1 msg=34 MB/min\nfull \= soon\nRule C02`
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			got <- err.Error()
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		var n int
		if _, err := fmt.Fscanf(r, "%d ", &n); err != nil {
			got <- err.Error()
			return
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			got <- err.Error()
		}
		if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
			got <- fmt.Sprintf("the count is wrong: %q is left, %v", rest, err)
		}
		got <- string(b)
	}()
	deliver(t, open(t, Config{Kind: "syslog", URL: "tcp://" + l.Addr().String()}), alert(1, "firing"))
	text := <-got
	if !strings.HasPrefix(text, "<106>1 2026-11-23T10:15:30.000Z ") || !strings.Contains(text, want) {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	deliver(t, open(t, Config{Kind: "syslog", URL: "udp://" + udp.LocalAddr().String()}), alert(1, "firing"))
	b := make([]byte, 8<<10)
	n, _, err := udp.ReadFrom(b)
	if err != nil || string(b[:n]) != text {
		t.Errorf("%v: %s", err, b[:n])
	}
}
