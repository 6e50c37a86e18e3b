package top

import (
	"fmt"
	"net/http"
	"net/http/httptest"
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
	text := func(records, lag, slow, fast, dead, flush float64) string {
		return fmt.Sprintf(`# TYPE tocsin_ingest_records_total counter
tocsin_ingest_records_total{topic="ci"} %g
# TYPE tocsin_ingest_lag_offsets gauge
tocsin_ingest_lag_offsets{topic="ci",partition="0"} %g
tocsin_ingest_lag_offsets{topic="ci",partition="1"} 0
# TYPE tocsin_rule_seconds_total counter
tocsin_rule_seconds_total{rule="slow"} %g
tocsin_rule_seconds_total{rule="fast"} %g
# TYPE tocsin_ingest_failures_total counter
tocsin_ingest_failures_total{stage="parse"} %g
# TYPE tocsin_ingest_flush_seconds histogram
tocsin_ingest_flush_seconds_bucket{le="+Inf"} 3
tocsin_ingest_flush_seconds_sum %g
tocsin_ingest_flush_seconds_count 3
`, records, lag, slow, fast, dead, flush)
	}
	before, now := sample(t, text(1000, 600, 1, 1, 5, 0)), sample(t, text(2000, 500, 2, 1.1, 6, 4))
	now.At = before.At.Add(10 * time.Second)
	var b strings.Builder
	Between(before, now).Write(&b, 5)
	got := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{
		"ci 1000 200 50s",            // lag of both, records a second, and 20 a second fewer
		"slow 200.00 0 0 fast 20.00", // ms a second, the slowest first
		"DEAD LETTERS OF since the start now/s parse 12 0.2",
		"ClickHouse and Kafka) 0.800 rules 0.220",
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

func TestFetchSaysWhoDoesNotAnswer(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	if _, errs := Fetch(t.Context(), []string{server.URL, "127.0.0.1:1"}); len(errs) != 2 || !strings.Contains(errs[0].Error(), "404") {
		t.Errorf("%v", errs)
	}
}
