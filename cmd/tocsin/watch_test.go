package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/bridge"
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
	w.note(map[string]string{"clock": "it is 40s ahead"}, now)
	reg := prometheus.NewRegistry()
	pipeline.NewMetrics(reg)
	reg.MustRegister(pipeline.NewBudget(1))
	record, err := w.events(reg, now)
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
		got[e.Type]++
		if e.Host != "a" || e.Type == "metric" && e.Metric != "tocsin_ingest_under_way_bytes" {
			t.Errorf("event %s of host %q, metric %q", e.Type, e.Host, e.Metric)
		}
	}
	if len(batch.Failures) > 0 || got["heartbeat"] != 1 || got["metric"] != 1 || got["alert.firing"] != 1 {
		t.Errorf("%v, failures %+v", got, batch.Failures)
	}
}

func TestWatchConfigIsChecked(t *testing.T) {
	err := WatchConfig{Bridges: []string{"nonesuch", "dev"}}.check([]bridge.Config{{Name: "dev", Teams: []string{"dev"}}})
	if err == nil || !strings.Contains(err.Error(), `no bridge is called "nonesuch"`) || !strings.Contains(err.Error(), `"dev" carries nothing of team ops`) {
		t.Error(err)
	}
}
