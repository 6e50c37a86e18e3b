package top

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func sample(t *testing.T, text string) *Sample {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		fmt.Fprint(w, text)
	}))
	defer server.Close()
	// Twice the same process: what two tell is added up.
	s, errs := Fetch(t.Context(), []string{strings.TrimPrefix(server.URL, "http://"), server.URL + "/metrics"})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return s
}

func TestView(t *testing.T) {
	text := func(records, lag, slow, fast, dead, insert float64) string {
		return fmt.Sprintf(`# TYPE tocsin_ingest_records_total counter
tocsin_ingest_records_total{topic="ci"} %g
# TYPE tocsin_ingest_lag_offsets gauge
tocsin_ingest_lag_offsets{topic="ci",partition="0"} %g
tocsin_ingest_lag_offsets{topic="ci",partition="1"} 0
tocsin_ingest_lag_offsets{topic="stuck",partition="0"} 3
# TYPE tocsin_rule_seconds_total counter
tocsin_rule_seconds_total{rule="slow"} %g
tocsin_rule_seconds_total{rule="fast"} %g
# TYPE tocsin_ingest_failures_total counter
tocsin_ingest_failures_total{stage="parse"} %g
# TYPE tocsin_ingest_step_seconds_total counter
tocsin_ingest_step_seconds_total{step="insert"} %g
tocsin_ingest_step_seconds_total{step="rule"} 0.1
tocsin_ingest_step_seconds_total{step="parse"} %g
`, records, lag, slow, fast, dead, insert, insert/4)
	}
	before, now := sample(t, text(1000, 600, 1, 1, 5, 0)), sample(t, text(2000, 500, 2, 1.1, 6, 4))
	now.At = before.At.Add(10 * time.Second)
	var b strings.Builder
	Between(before, now).Write(&b, 5)
	got := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{
		"stuck 6 0 never at this rate", // nothing was read of it since the start
		"ci 1000 200 50s",              // lag of both, records a second, and 20 a second fewer
		"slow 200.00 0 0 fast 20.00",   // ms a second, the slowest first
		"DEAD LETTERS OF since the start now/s parse 12 0.2",
		"insert 0.800 parse 0.200 SLOWEST",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, b.String())
		}
	}
	// A process that began anew: its counters fell, and nothing is negative.
	b.Reset()
	after := sample(t, text(10, 500, 0, 0, 0, 0))
	after.At = now.At.Add(10 * time.Second)
	Between(now, after).Write(&b, 5)
	if strings.Contains(b.String(), "-0") || strings.Contains(b.String(), " -1") || !strings.Contains(b.String(), "never at this rate") {
		t.Error(b.String())
	}
}

func TestWrong(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/broken/readyz":
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, "not ready\nclickhouse: away\nwarning: an old table\n")
		case "/fine/readyz":
			fmt.Fprint(w, "ready\n")
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	got := Wrong(t.Context(), []string{server.URL + "/fine", server.URL + "/broken/metrics", server.URL, "127.0.0.1:1"})
	want := []string{server.URL + "/broken/metrics: clickhouse: away", server.URL + "/broken/metrics: warning: an old table"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestFetchSaysWhoDoesNotAnswer(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	if _, errs := Fetch(t.Context(), []string{server.URL, "127.0.0.1:1"}); len(errs) != 2 || !strings.Contains(errs[0].Error(), "404") {
		t.Errorf("%v", errs)
	}
}

// Each rule is stopped somewhere else on the way of an event; the one that fires is not named.
func TestSilent(t *testing.T) {
	got := &strings.Builder{}
	text := "# TYPE tocsin_rule_keys gauge\n"
	for _, m := range []string{"matched", "candidates", "evaluated", "excepted", "keyless", "errors", "events", "alerts"} {
		text += "# TYPE tocsin_rule_" + m + "_total counter\n"
	}
	rule := func(id string, counts string) {
		text += fmt.Sprintf("tocsin_rule_matched_total{rule=%q} 0\n", id)
		for _, count := range strings.Fields(counts) {
			name, value, _ := strings.Cut(count, "=")
			text += fmt.Sprintf("tocsin_rule_%s{rule=%q} %s\n", name, id, value)
		}
	}
	rule("fires", "events_total=9 candidates_total=9 evaluated_total=9")
	rule("quiet", "events_total=0")
	rule("poor", "events_total=7 errors_total=2")
	rule("unmet", "events_total=7 candidates_total=5 evaluated_total=5")
	rule("unindexed", "events_total=7")
	rule("played", "events_total=7 candidates_total=5")
	rule("excepted", "events_total=7 candidates_total=5 evaluated_total=5 excepted_total=4")
	rule("chain", "")
	rule("unmoved", "candidates_total=5 evaluated_total=5")
	rule("waits", "events_total=7 candidates_total=5 evaluated_total=5 keys=3")
	rule("held", "events_total=7")
	text += `# TYPE tocsin_rule_missing_field gauge
tocsin_rule_missing_field{rule="poor",field="src_ip"} 1
tocsin_rule_alerts_total{rule="fires",status="firing"} 1
tocsin_rule_alerts_total{rule="held",status="suppressed"} 2
# TYPE tocsin_exception_hits_total counter
tocsin_exception_hits_total{exception="old-scan"} 0
tocsin_exception_hits_total{exception="scan"} 3
`
	sample(t, text).Silent(got)
	for _, want := range []string{
		"quiet no event of the types that it asks for",
		"poor 4 times an expression ended with an error; none of 14 events of its types carries src_ip",
		"unmet none of 10 candidates meets its condition",
		"unindexed none of 14 events of its types has a value",
		"played all 10 candidates are of the playground",
		"excepted all 8 events that meet its condition are excepted",
		"chain none of the alerts that it takes has come",
		"unmoved none of 10 candidates meets its condition",
		"waits 0 matches, 6 keys are on their way",
		"held its 4 alerts are suppressed by a label",
		"10 of 11 rules have not fired",
		"exception old-scan has kept nothing",
	} {
		if lines := strings.Join(strings.Fields(got.String()), " "); !strings.Contains(lines, want) {
			t.Errorf("%q is not said in:\n%s", want, got)
		}
	}
	if strings.Contains(got.String(), "fires") || strings.Contains(got.String(), "exception scan") {
		t.Errorf("a rule that fires is called silent, or an exception that is used:\n%s", got)
	}
}
