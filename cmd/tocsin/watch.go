package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/bridge"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
)

// WatchConfig says how tocsin watches itself.
type WatchConfig struct {
	// Bridges are names of bridges that are told directly, past Kafka and ClickHouse, when the process halts or cannot do its work.
	Bridges []string `yaml:"bridges"`
	// Topic gets heartbeats and figures of the process as events; none where it is empty. It is read where kafka.topics, of this pipeline or
	// another, names it.
	Topic string `yaml:"topic"`
}

const (
	// watchEvery is how often the process looks at itself.
	watchEvery = 15 * time.Second
	// tellTime bounds how long the bridges may take, all at the same time.
	tellTime = 20 * time.Second
	// watchSkew is by how much ClickHouse's clock may be off.
	watchSkew = 30 * time.Second
	// watchDelay is by how much a replica may be behind.
	watchDelay = 5 * time.Minute
)

// watch is a process that looks at itself. What it finds goes into the log and past Kafka and ClickHouse to the bridges: an alert by way of
// what has failed would not arrive.
type watch struct {
	instance string
	topic    string
	bridges  []*bridge.Bridge
	log      *zap.Logger
	open     map[string]*pipeline.Alert // what is wrong, by its name
	untold   map[string]*pipeline.Alert // what some bridge does not have yet
}

func newWatch(cfg Config, log *zap.Logger) (*watch, error) {
	w := &watch{instance: cfg.Instance, topic: cfg.Watch.Topic, log: log, open: map[string]*pipeline.Alert{}, untold: map[string]*pipeline.Alert{}}
	for _, c := range cfg.Bridges {
		if slices.Contains(cfg.Watch.Bridges, c.Name) {
			b, err := bridge.New(c, log.Named("bridge."+c.Name))
			if err != nil {
				return nil, err
			}
			w.bridges = append(w.bridges, b)
		}
	}
	return w, nil
}

// check returns all that is wrong with the configuration.
func (c WatchConfig) check(bridges []bridge.Config) error {
	var errs []error
	for _, name := range c.Bridges {
		i := slices.IndexFunc(bridges, func(b bridge.Config) bool { return b.Name == name })
		switch {
		case i < 0:
			errs = append(errs, fmt.Errorf("watch.bridges: no bridge is called %q", name))
		case len(bridges[i].Teams) > 0 && !slices.Contains(bridges[i].Teams, pipeline.TeamOps):
			errs = append(errs, fmt.Errorf("watch.bridges: bridge %q carries nothing of team ops, whose alerts these are", name))
		}
	}
	return errors.Join(errs...)
}

// note takes what is wrong at a moment, by name; what was wrong and is not named any more is over.
func (w *watch) note(wrong map[string]string, now time.Time) {
	for _, name := range slices.Sorted(maps.Keys(wrong)) {
		if w.open[name] == nil {
			w.log.Error("tocsin watches itself", zap.String("wrong", name), zap.String("reason", wrong[name]))
			w.open[name] = w.alert(name, pipeline.StatusFiring, wrong[name], now)
			w.untold[name] = w.open[name]
		}
	}
	for name := range w.open {
		if _, still := wrong[name]; !still {
			w.log.Info("tocsin watches itself", zap.String("over", name))
			w.untold[name] = w.alert(name, pipeline.StatusResolved, "It is over.", now)
			delete(w.open, name)
		}
	}
}

// alert is what a bridge carries. The same trouble of the same instance is the same alert; versions rise with the time, also over a restart.
func (w *watch) alert(name, status, reason string, now time.Time) *pipeline.Alert {
	key := "tocsin|" + w.instance + "|" + name
	return &pipeline.Alert{
		ID: pipeline.NewID("watch", w.instance, name), Version: uint64(now.UnixMilli()), Status: status, Team: pipeline.TeamOps, Class: pipeline.ClassNormal,
		Visibility: pipeline.VisibilityTeam, Rule: "tocsin", RuleVersion: 1, Severity: pipeline.SeverityCritical, Confidence: 100, Phases: []int8{8},
		Title: "tocsin " + w.instance + ": " + name, Summary: reason, Entities: map[string]string{"host": w.instance}, EventIDs: []uuid.UUID{},
		FirstEventTime: now, LastEventTime: now, EventCount: 1, DedupKey: key, Attacks: []string{}, Labels: []string{},
	}
}

// tell hands the bridges what they do not have yet. What one does not take in time it gets at the next look.
func (w *watch) tell(ctx context.Context) {
	if len(w.untold) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	var g errgroup.Group
	for _, b := range w.bridges {
		g.Go(func() error {
			for _, name := range slices.Sorted(maps.Keys(w.untold)) {
				record, err := pipeline.EncodeAlert(w.untold[name], "tocsin/"+w.instance, time.Now())
				if err != nil {
					return err
				}
				reason, err := b.Deliver(ctx, record)
				if reason != "" {
					w.log.Error("alert not delivered", zap.String("wrong", name), zap.String("reason", reason))
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		w.log.Error("bridges are not told yet", zap.Error(err))
		return
	}
	clear(w.untold)
}

// halted tells why the process ends, if it was not asked to. It takes tellTime at most.
func (w *watch) halted(err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	w.note(map[string]string{"halted": "The process has ended, and nothing is read until somebody mends it: " + err.Error()}, time.Now())
	w.tell(context.Background())
}

// run looks at the process until ctx ends.
func (w *watch) run(ctx context.Context, a *app, gather prometheus.Gatherer) error {
	var sender *kafka.Sender
	defer func() {
		if sender != nil {
			sender.Close()
		}
	}()
	// An alert of its own end may be open, from before this start.
	w.untold["halted"] = w.alert("halted", pipeline.StatusResolved, "The process runs.", time.Now())
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		now := time.Now()
		w.note(a.wrong(ctx), now)
		w.tell(ctx)
		if w.topic != "" && sender == nil {
			var err error
			if sender, err = kafka.NewSender(ctx, a.cfg.Kafka, []string{w.topic}, w.log); err != nil {
				w.log.Warn("watch", zap.Error(err))
			}
		}
		if sender != nil {
			record, err := w.events(gather, now)
			if err == nil {
				err = sender.Send(ctx, w.topic, &pipeline.Record{Key: []byte(w.instance), Value: record})
			}
			if err != nil && ctx.Err() == nil {
				w.log.Warn("watch", zap.Error(err))
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// wrong returns what keeps the process from its work, by name.
func (a *app) wrong(ctx context.Context) map[string]string {
	wrong := map[string]string{}
	note := func(name string, errs ...error) {
		if err := errors.Join(errs...); err != nil {
			wrong[name] = err.Error()
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	note("storing", a.metrics.Progress.Stuck(stuckAfter+a.cfg.Flush.Interval)...)
	note("rules and tables", a.warnings()...)
	state, err := a.db.State(ctx)
	if err != nil {
		note("clickhouse", err)
		return wrong
	}
	if state.Skew.Abs() > watchSkew {
		note("clock", fmt.Errorf("the clock of ClickHouse is %s this machine's", pipeline.Skew(state.Skew)))
	}
	if state.Delay > watchDelay || state.ReadOnly > 0 {
		note("replicas", fmt.Errorf("a replica is %v behind, and %d tables are read only", state.Delay, state.ReadOnly))
	}
	return wrong
}

// figures are the metrics that become events, and whether that is their sum or their highest value.
var figures = map[string]string{
	"tocsin_ingest_lag_offsets":     "sum",
	"tocsin_ingest_lag_seconds":     "max",
	"tocsin_ingest_records_total":   "sum",
	"tocsin_ingest_failures_total":  "sum",
	"tocsin_ingest_retries_total":   "sum",
	"tocsin_ingest_under_way_bytes": "sum",
	"tocsin_rule_errors_total":      "sum",
	"process_resident_memory_bytes": "sum",
}

// cloudEvent is one of tocsin's own events, as its parser reads them.
type cloudEvent struct {
	SpecVersion string         `json:"specversion"`
	ID          string         `json:"id"`
	Source      string         `json:"source"`
	Type        string         `json:"type"`
	Time        time.Time      `json:"time"`
	Data        map[string]any `json:"data"`
}

// events returns a record with a heartbeat, the process's figures, and an event for each thing that is wrong.
func (w *watch) events(gather prometheus.Gatherer, now time.Time) ([]byte, error) {
	var batch []cloudEvent
	add := func(kind, name string, data map[string]any) {
		data["host"], data["service"] = w.instance, "tocsin"
		batch = append(batch, cloudEvent{"1.0", fmt.Sprint(now.UnixMilli(), " ", name), "tocsin/" + w.instance, "tocsin." + kind, now.UTC(), data})
	}
	add("heartbeat", "heartbeat", map[string]any{"title": "tocsin " + w.instance + " runs"})
	families, err := gather.Gather()
	if err != nil {
		return nil, err
	}
	for _, f := range families {
		how := figures[f.GetName()]
		if how == "" {
			continue
		}
		total := 0.0
		for _, m := range f.GetMetric() {
			v := m.GetCounter().GetValue() + m.GetGauge().GetValue()
			if how == "max" {
				total = max(total, v)
			} else {
				total += v
			}
		}
		add("metric", f.GetName(), map[string]any{"metric_name": f.GetName(), "metric_value": total})
	}
	for name, a := range w.open {
		add("alert.firing", name, map[string]any{"title": a.Title, "rule_id": "tocsin " + name, "severity_id": a.Severity, "reason": strings.TrimSpace(a.Summary)})
	}
	return json.Marshal(batch)
}
