package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/bridge"
	"github.com/tocsin-project/tocsin/processors/enrich"
	"github.com/tocsin-project/tocsin/processors/parse"
)

// pager is a peer that may be away. It returns what it was told.
func pager(t *testing.T) (config bridge.Config, told chan *pipeline.Alert, away chan bool) {
	t.Helper()
	told, away = make(chan *pipeline.Alert, 10), make(chan bool, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-away:
			w.WriteHeader(http.StatusBadGateway)
			return
		default:
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		a, err := pipeline.DecodeAlert(body)
		if err != nil {
			t.Error(err)
		}
		told <- a
	}))
	t.Cleanup(server.Close)
	return bridge.Config{Name: "pager", Kind: "webhook", URL: server.URL, Key: "a-long-key"}, told, away
}

func testWatch(t *testing.T, b bridge.Config) *watch {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Instance, cfg.Bridges, cfg.Watch.Bridges = "a", []bridge.Config{b}, []string{"pager"}
	w, err := newWatch(cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestWatchTellsOnceAndWhenItIsOver: a peer that is away for a moment hears of it all the same, as one alert that ends.
func TestWatchTellsOnceAndWhenItIsOver(t *testing.T) {
	b, told, away := pager(t)
	w := testWatch(t, b)
	now := time.Now()
	away <- true
	w.note(map[string]string{"clickhouse": "connection refused"}, now)
	w.tell(t.Context())
	first := <-told
	w.note(map[string]string{"clickhouse": "connection refused"}, now.Add(time.Second))
	w.tell(t.Context())
	w.note(nil, now.Add(2*time.Second))
	w.tell(t.Context())
	last := <-told
	if first.Status != pipeline.StatusFiring || last.Status != pipeline.StatusResolved || first.ID != last.ID || last.Version <= first.Version || !strings.Contains(first.Summary, "connection refused") {
		t.Errorf("told %+v, then %+v", first, last)
	}
	if len(told) != 0 {
		t.Errorf("told of more: %+v", <-told)
	}
}

// TestWatchEndsWithItsProcess: what one process found is not open for ever when another takes its place, which looks anew.
func TestWatchEndsWithItsProcess(t *testing.T) {
	b, told, _ := pager(t)
	w := testWatch(t, b)
	w.note(map[string]string{"clickhouse": "connection refused"}, time.Now())
	w.tell(t.Context())
	<-told
	w.halted(context.Canceled)
	if a := <-told; a.Status != pipeline.StatusResolved || !strings.Contains(a.Title, "clickhouse") || len(told) != 0 {
		t.Errorf("told %+v", a)
	}
}

// TestWatchTellsAlertmanagerAgain: Alertmanager forgets what it was told when it starts anew.
func TestWatchTellsAlertmanagerAgain(t *testing.T) {
	posts := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		posts <- string(body)
	}))
	t.Cleanup(server.Close)
	w := testWatch(t, bridge.Config{Name: "pager", Kind: "alertmanager", URL: server.URL})
	w.note(map[string]string{"clickhouse": "connection refused"}, time.Now())
	for range 2 {
		w.tell(t.Context())
		if text := <-posts; !strings.Contains(text, "connection refused") {
			t.Error(text)
		}
	}
}

// TestWatchTellsOfTheEnd: `tocsin run` that cannot work any more says so past what has failed; one that was asked to end does not.
func TestWatchTellsOfTheEnd(t *testing.T) {
	b, told, _ := pager(t)
	w := testWatch(t, b)
	w.halted(nil)
	w.halted(context.Canceled)
	w.halted(errors.New("insert: code: 60, table tocsin.events does not exist"))
	if a := <-told; a.Status != pipeline.StatusFiring || !strings.Contains(a.Summary, "table tocsin.events does not exist") || len(told) != 0 {
		t.Errorf("told %+v", a)
	}
}

// TestWatchEventsAreOrdinary: what a process writes of itself is read by the parser as events of its instance.
func TestWatchEventsAreOrdinary(t *testing.T) {
	b, _, _ := pager(t)
	w := testWatch(t, b)
	now := time.Now()
	w.note(map[string]string{"clock": "it is 40s ahead", "lag": "an hour"}, now)
	w.note(map[string]string{"clock": "it is 40s ahead"}, now.Add(time.Second))
	reg := prometheus.NewRegistry()
	pipeline.NewMetrics(reg)
	reg.MustRegister(pipeline.NewBudget(1, 1))
	record, err := w.events(gathered(t, reg), now)
	if err != nil {
		t.Fatal(err)
	}
	parser, err := parse.New(parse.Config{})
	if err != nil {
		t.Fatal(err)
	}
	batch := &pipeline.Batch{Records: []pipeline.Record{{Time: now, Value: record}}}
	if err := parser.Process(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for i := range batch.Events {
		e := &batch.Events[i]
		got[e.Type+" "+e.Rule]++
		if e.Host != "a" || e.Service != "tocsin" || e.Phase != pipeline.PhaseMonitoring || e.Type == "metric" && e.Metric != "tocsin_ingest_under_way_bytes" {
			t.Errorf("event %s of host %q, phase %s, metric %q", e.Type, e.Host, e.Phase, e.Metric)
		}
	}
	want := map[string]int{"heartbeat ": 1, "metric ": 1, "alert.firing tocsin clock": 1, "alert.resolved tocsin lag": 1}
	if len(batch.Failures) > 0 || !maps.Equal(got, want) {
		t.Errorf("%v, want %v; failures %+v", got, want, batch.Failures)
	}
}

func gathered(t *testing.T, reg *prometheus.Registry) []*dto.MetricFamily {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// TestWatchTellsOfLag: who starts with old records and catches up is not called for; who stands still or falls back is, and so is
// who catches up for too long. Each partition counts for itself: one that stands still is not hidden by one that is older.
func TestWatchTellsOfLag(t *testing.T) {
	const day = 24 * time.Hour
	for name, history := range map[string]struct {
		lag  func(partition int, since time.Duration) time.Duration
		want time.Duration // after which it is told; 0 for never
	}{
		"catches up":         {func(_ int, since time.Duration) time.Duration { return day - 100*since }, 0},
		"stands still":       {func(_ int, since time.Duration) time.Duration { return watchLag + time.Second + since }, watchStill},
		"only just behind":   {func(int, time.Duration) time.Duration { return watchLag }, 0},
		"catches up slowly":  {func(_ int, since time.Duration) time.Duration { return day - 2*since }, watchCatchUp},
		"stops for a moment": {func(_ int, since time.Duration) time.Duration { return day - since.Truncate(time.Minute)*100 }, 0},
		"one of two, the older one": {func(p int, since time.Duration) time.Duration {
			return time.Duration(p)*(day-100*since) + time.Duration(1-p)*2*watchLag
		}, watchStill},
	} {
		b, _, _ := pager(t)
		w := testWatch(t, b)
		reg := prometheus.NewRegistry()
		lag := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tocsin_ingest_lag_seconds"}, []string{"partition", "topic"})
		reg.MustRegister(lag)
		began, told := time.Now(), time.Duration(0)
		for since := time.Duration(0); since < time.Hour && told == 0; since += watchEvery {
			for p := range 2 {
				lag.WithLabelValues(fmt.Sprint(p), "raw").Set(max(0, history.lag(p, since)).Seconds())
			}
			if w.measured(gathered(t, reg), began.Add(since))["lag"] != "" {
				told = since
			}
		}
		if told != history.want {
			t.Errorf("%s: told after %v, want %v", name, told, history.want)
		}
	}
}

// TestWatchMeasures: dead letters and quarantined rules are trouble, each from some amount on.
func TestWatchMeasures(t *testing.T) {
	b, _, _ := pager(t)
	w := testWatch(t, b)
	reg := prometheus.NewRegistry()
	lag := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tocsin_ingest_lag_seconds"}, []string{"partition"})
	quarantined := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tocsin_rule_quarantined"}, []string{"rule"})
	read := prometheus.NewCounter(prometheus.CounterOpts{Name: "tocsin_ingest_records_total"})
	failed := prometheus.NewCounter(prometheus.CounterOpts{Name: "tocsin_ingest_failures_total"})
	reg.MustRegister(lag, quarantined, read, failed)
	now := time.Now()
	for _, step := range []struct {
		lag                      time.Duration
		read, failed, quarantine float64
		want                     string
	}{
		{9 * time.Minute, 1000, 900, 0, ""}, // what was before the first look is not its business
		{0, 100, 9, 1, "quarantine"},
		{0, 0, 1, 0, "dead letters"},
		{0, 101, 0, 0, ""},
	} {
		lag.WithLabelValues("0").Set(step.lag.Seconds())
		lag.WithLabelValues("1").Set(0)
		quarantined.WithLabelValues("slow").Set(step.quarantine)
		read.Add(step.read)
		failed.Add(step.failed)
		now = now.Add(watchEvery)
		got := strings.Join(slices.Sorted(maps.Keys(w.measured(gathered(t, reg), now))), ", ")
		if got != step.want {
			t.Errorf("%+v: wrong are %q", step, got)
		}
	}
}

// TestWatchAuditsOptOuts: a policy that comes, changes or goes is an event with who answers for it, and one that stays is none
// (R49). What it is about is in no event.
func TestWatchAuditsOptOuts(t *testing.T) {
	b, _, _ := pager(t)
	w := testWatch(t, b)
	w.topic = "raw.watch"
	path := filepath.Join(t.TempDir(), "opt-out.csv")
	for _, step := range []struct{ rows, want string }{
		{"stays,ana,SEC-1,hidden-*,\ngoes,ana,SEC-2,hidden-2,\nchanges,ana,SEC-3,hidden-3,\n", "opt-out changes is in force, opt-out goes is in force, opt-out stays is in force"},
		{"stays,ana,SEC-1,hidden-*,\nchanges,ana,SEC-3,hidden-4,\ncomes,bob,SEC-4,hidden-5,2030-01-01T00:00:00+02:00\n", "opt-out changes is changed, opt-out comes is added, opt-out goes is removed"},
		{"stays,ana,SEC-1,hidden-*,\nchanges,ana,SEC-3,hidden-4,\ncomes,bob,SEC-4,hidden-5,2030-01-01T00:00:00+02:00\n", ""},
	} {
		if err := os.WriteFile(path, []byte("id,owner,reason,suite,until\n"+step.rows), 0o600); err != nil {
			t.Fatal(err)
		}
		en, err := enrich.New(enrich.Config{OptOut: []string{path}}, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		w.compare(en.OptOuts())
		record, err := w.events(nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		w.audit = nil // sent
		parser, err := parse.New(parse.Config{})
		if err != nil {
			t.Fatal(err)
		}
		batch := &pipeline.Batch{Records: []pipeline.Record{{Time: time.Now(), Value: record}}}
		if err := parser.Process(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		var titles []string
		for i := range batch.Events {
			if e := &batch.Events[i]; e.Type == "policy.changed" {
				titles = append(titles, e.Title)
				if e.Actor == "" || !strings.HasPrefix(e.Attr("reason"), "SEC-") || e.Attr("policy.id") == "" {
					t.Errorf("%s by %q because of %q", e.Title, e.Actor, e.Attr("reason"))
				}
			}
		}
		slices.Sort(titles)
		if got := strings.Join(titles, ", "); got != step.want || strings.Contains(string(record), "hidden") {
			t.Errorf("got %q, want %q, of %s", got, step.want, record)
		}
	}
}

func TestWatchConfigIsChecked(t *testing.T) {
	err := WatchConfig{Bridges: []string{"nonesuch", "dev"}}.check([]bridge.Config{{Name: "dev", Teams: []string{"dev"}}})
	if err == nil || !strings.Contains(err.Error(), `no bridge is called "nonesuch"`) || !strings.Contains(err.Error(), `"dev" carries nothing of team ops`) {
		t.Error(err)
	}
}
