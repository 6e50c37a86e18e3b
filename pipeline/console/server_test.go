package console

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-project/tocsin/deploy/grafana"
)

func mustBoards(t testing.TB) map[string]*dashboard {
	t.Helper()
	boards, err := loadDashboards(grafana.Dashboards, "dashboards")
	if err != nil {
		t.Fatal(err)
	}
	return boards
}

func TestHealth(t *testing.T) {
	var reasons, warnings []error
	base := serve(t, Config{Ready: func() []error { return reasons }, Warnings: func() []error { return warnings }})
	f := func(path, accept string, status int, want string) {
		t.Helper()
		resp, body := get(t, base+path, func(r *http.Request) { r.Header.Set("Accept", accept) })
		if resp.StatusCode != status || body != want {
			t.Errorf("GET %s: %d %q, want %d %q", path, resp.StatusCode, body, status, want)
		}
	}
	f("/livez", "", 200, "ok\n")
	f("/readyz", "", 200, "ready\n")
	f("/readyz", "application/json", 200, `{"ready":true,"reasons":[],"warnings":[]}`+"\n")
	warnings = []error{errors.New("rules not loaded")}
	f("/readyz", "", 200, "ready\nwarning: rules not loaded\n")
	f("/readyz", "application/json", 200, `{"ready":true,"reasons":[],"warnings":["rules not loaded"]}`+"\n")
	warnings = nil
	reasons = []error{errors.New("kafka: no broker answers"), errors.New("clickhouse: connection refused")}
	f("/livez", "", 200, "ok\n")
	f("/readyz", "", 503, "not ready\nkafka: no broker answers\nclickhouse: connection refused\n")
	f("/readyz", "application/json", 503, `{"ready":false,"reasons":["kafka: no broker answers","clickhouse: connection refused"],"warnings":[]}`+"\n")
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "tocsin_test_total", Help: "A test."})
	reg.MustRegister(counter)
	counter.Inc()
	base := serve(t, Config{Registry: reg, DB: migrated(t)})
	if resp, body := get(t, base+"/api/extent", nil); resp.StatusCode != 200 || body != `{"from":0,"minutes":0,"to":0}`+"\n" {
		t.Errorf("extent of an empty warehouse: %d %s", resp.StatusCode, body)
	}
	_, body := get(t, base+"/metrics", nil)
	for _, want := range []string{"tocsin_test_total 1", `tocsin_console_query_seconds_count{result="ok"} 1`} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %s:\n%s", want, body)
		}
	}
}

func TestPprofIsOffByDefault(t *testing.T) {
	f := func(on bool, want int) {
		t.Helper()
		if resp, _ := get(t, serve(t, Config{Pprof: on})+"/debug/pprof/cmdline", nil); resp.StatusCode != want {
			t.Errorf("Pprof %v: %d, want %d", on, resp.StatusCode, want)
		}
	}
	f(false, 404)
	f(true, 200)
}

// No answer of any kind lets a page load what is not ours.
func TestPolicy(t *testing.T) {
	base := serve(t, Config{DB: migrated(t)})
	for _, path := range []string{"/", "/d/tocsin-overview", "/static/app.js", "/static/vendor/uplot/uPlot.esm.js", "/api/dashboards", "/api/query", "/no/such", "/readyz", "/metrics"} {
		resp, body := get(t, base+path, nil)
		h := resp.Header
		if got := h.Get("Content-Security-Policy"); got != policy || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" {
			t.Errorf("GET %s: headers %v", path, h)
		}
		if strings.HasPrefix(h.Get("Content-Type"), "text/html") {
			for _, bad := range []string{"<script>", "<style", " style=", "onclick=", "http://", "https://"} {
				if strings.Contains(body, bad) {
					t.Errorf("GET %s: the page has %q, which its policy refuses", path, bad)
				}
			}
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("policy %s", policy)
	}
}

func TestHosts(t *testing.T) {
	base := serve(t, Config{Hosts: []string{"console.example"}})
	f := func(host string, want int) {
		t.Helper()
		resp, body := get(t, base+"/api/dashboards", func(r *http.Request) { r.Host = host })
		if resp.StatusCode != want {
			t.Errorf("Host %s: %d %s, want %d", host, resp.StatusCode, body, want)
		}
	}
	f("localhost", 200)
	f("LocalHost:9410", 200)
	f("127.0.0.1:9410", 200)
	f("[::1]:9410", 200)
	f("10.1.2.3", 200)
	f("console.example:9410", 200)
	f("evil.example", http.StatusMisdirectedRequest)
	f("127.0.0.1.evil.example:9410", http.StatusMisdirectedRequest)
	f("localhost.evil.example", http.StatusMisdirectedRequest)

	resp, _ := get(t, base+"/api/dashboards", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("asked by another site: %d, want 403", resp.StatusCode)
	}
}

func TestOnlyGet(t *testing.T) {
	base := serve(t, Config{})
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} {
		for _, path := range []string{"/", "/api/dashboards", "/metrics", "/livez"} {
			resp, _ := get(t, base+path, func(r *http.Request) { r.Method = method })
			if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, Allow %q", method, path, resp.StatusCode, resp.Header.Get("Allow"))
			}
		}
	}
}

func TestFiles(t *testing.T) {
	base := serve(t, Config{})
	resp, _ := get(t, base+"/static/app.js", nil)
	tag := resp.Header.Get("ETag")
	if resp.StatusCode != 200 || tag == "" || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/javascript") {
		t.Errorf("app.js: %d, headers %v", resp.StatusCode, resp.Header)
	}
	resp, _ = get(t, base+"/static/app.js", func(r *http.Request) { r.Header.Set("If-None-Match", tag) })
	if resp.StatusCode != http.StatusNotModified {
		t.Errorf("app.js again: %d, want 304", resp.StatusCode)
	}
	for _, path := range []string{"/static/", "/static/panel/", "/static/../server.go", "/static/%2e%2e/server.go", "/server.go", "/d/"} {
		if resp, _ := get(t, base+path, nil); resp.StatusCode != 404 {
			t.Errorf("GET %s: %d, want 404", path, resp.StatusCode)
		}
	}
}

// Refusals are JSON with a reason that its reader understands.
func TestErrors(t *testing.T) {
	base := serve(t, Config{DB: migrated(t)})
	f := func(path string, status int, want string) {
		t.Helper()
		resp, body := get(t, base+path, nil)
		var refusal struct{ Error string }
		if err := json.Unmarshal([]byte(body), &refusal); err != nil || resp.StatusCode != status || !strings.Contains(refusal.Error, want) {
			t.Errorf("GET %s: %d %s (%v), want %d with %q", path, resp.StatusCode, body, err, status, want)
		}
	}
	const q = "/api/query?dashboard=tocsin-overview&panel=1&ref=A"
	f("/api/no-such", 404, "no such address")
	f("/api/dashboards/no-such", 404, `no dashboard "no-such"`)
	f("/api/query", 404, "no dashboard")
	f("/api/query?dashboard=tocsin-overview", 400, "is no number")
	f("/api/query?dashboard=tocsin-overview&panel=1&ref=Z", 400, `no panel 1 with a query "Z"`)
	f("/api/query?dashboard=tocsin-overview&panel=99&ref=A", 400, "no panel 99")
	f("/api/query?%zz", 400, "cannot be read")
	f(q+"&points=0", 400, "want 1 to 2000")
	f(q+"&points=1e9", 400, "want 1 to 2000")
	f(q+"&from=now-1h", 400, "milliseconds since 1970")
	f(q+"&to=x", 400, "milliseconds since 1970")
	f(q+"&from=5&to=5", 400, "empty or out of bounds")
	f(q+"&from=-5&to=5", 400, "empty or out of bounds")
	f(q+"&from=0&to=99999999999999999", 400, "empty or out of bounds")
	f(q+"&var-project="+strings.Repeat("x", 301), 400, "a value of 301 bytes")
	f(q+strings.Repeat("&var-project=x", 101), 400, "101 values")
	f("/api/values?dashboard=tocsin-overview&name=severity", 400, "no query variable")
	f("/api/values?dashboard=tocsin-overview&name=datasource", 400, "no query variable")

	resp, _ := get(t, base+q+"&var-project="+strings.Repeat("x", maxHeaderBytes+8<<10), nil)
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("an address of %d bytes: %d, want 431", maxHeaderBytes, resp.StatusCode)
	}

	base = serve(t, Config{})
	f(q, 503, "no warehouse")
	f("/api/extent", 503, "no warehouse")
}

// A range over years, or one without an end in sight, costs no more than its points.
func TestSteps(t *testing.T) {
	p := panel{Interval: "1m"}
	f := func(span time.Duration, points int, want time.Duration) {
		t.Helper()
		if got := p.step(span, points); got != want {
			t.Errorf("%v in %d points: %v, want %v", span, points, got, want)
		}
	}
	f(time.Second, 300, time.Minute)
	f(time.Hour, 300, time.Minute)
	f(24*time.Hour, 300, 5*time.Minute)
	f(30*24*time.Hour, 300, 3*time.Hour)
	f(80*365*24*time.Hour, 100, 292*24*time.Hour)
}

// What stands in a value stays there: it neither widens what is shown, nor reaches what the page does not show.
func TestInjection(t *testing.T) {
	db := migrated(t)
	now := time.Now()
	seed(t, db, now)
	base := serve(t, Config{DB: db})
	for _, value := range []string{"x') OR 1=1 --", "payments' UNION ALL SELECT name, name, 1 FROM system.tables --", "{p1:String}", "${project:singlequote}", "\\", "$__all'", "\x00", "';DROP TABLE events;--"} {
		resp, body := get(t, fmt.Sprintf("%s/api/query?dashboard=tocsin-events&panel=3&ref=A&from=%d&to=%d&var-project=%s", base, now.Add(-time.Hour).UnixMilli(), now.UnixMilli(), url.QueryEscape(value)), nil)
		var res result
		if err := json.Unmarshal([]byte(body), &res); err != nil || resp.StatusCode != 200 || len(res.Rows) != 0 {
			t.Errorf("project %q: %d, %d rows, %.200s", value, resp.StatusCode, len(res.Rows), body)
		}
	}
	var n uint64
	if err := db.QueryRow(t.Context(), "SELECT count() FROM events").Scan(&n); err != nil || n == 0 {
		t.Errorf("%d events left, error %v", n, err)
	}
}

// A reader whose connection stays open does not hold up the end.
func TestServeEnds(t *testing.T) {
	var conn net.Conn
	t.Cleanup(func() { // runs after the server's own, which fails if Serve does
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	base := serve(t, Config{})
	var err error
	if conn, err = net.Dial("tcp", strings.TrimPrefix(base, "http://")); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "ok\n" {
		t.Errorf("%q, error %v", body, err)
	}
}

func TestNewRefuses(t *testing.T) {
	reg := prometheus.NewRegistry()
	s, err := New(Config{Listen: "127.0.0.1:0", Registry: reg})
	if err != nil {
		t.Fatal(err)
	}
	defer s.listener.Close()
	if _, err := New(Config{Listen: s.Addr()}); err == nil || !strings.Contains(err.Error(), "listen on the admin address") {
		t.Errorf("a port in use: error %v", err)
	}
	if want := "http://" + s.Addr() + "/"; s.URL() != want {
		t.Errorf("URL %s, want %s", s.URL(), want)
	}
}
