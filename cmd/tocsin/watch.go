package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/bridge"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
	"github.com/tocsin-project/tocsin/processors/enrich"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// WatchConfig says how tocsin watches itself.
type WatchConfig struct {
	// Bridges are names of bridges that are told directly, past Kafka and ClickHouse, when the process halts or cannot do its work.
	Bridges []string `yaml:"bridges"`
	// Topic gets heartbeats and figures of the process, changes of opt-outs, findings that a release or a complete report settles and subscriptions that have run out, as events; none where it is empty. It is read where kafka.topics, of this pipeline or
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
	watchDelay = time.Minute
	// watchLag is by how much a partition may be behind. Who starts with old records is further behind for a while: that is told once
	// it has not become less for watchStill, or has lasted for watchCatchUp.
	watchLag     = 10 * time.Minute
	watchStill   = 2 * time.Minute
	watchCatchUp = 30 * time.Minute
	// watchLetters is what part of the records of watchRecent may be dead letters, where there are ten at least.
	watchLetters = 0.05
	watchRecent  = 5 * time.Minute
	// watchBackup is how old the last good backup may be, where there was ever one. It is looked up every askBackup.
	watchBackup = 25 * time.Hour
	askBackup   = 10 * time.Minute
	// askSettled is how often it is looked whether what was corrected has been released, and what reports no longer have.
	askSettled = 5 * time.Minute
	// tellExpired is for how long it is told that a subscription has run out: events keep their time for thirty days.
	tellExpired = 29 * 24 * time.Hour
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
	over     []*pipeline.Alert          // what the topic has not been told that it is over

	policies map[string]enrich.Policy // opt-outs at the last look; nil before the first
	audit    []policyChange           // what the topic has not been told of them

	behind        map[string]behind // partitions that are too far behind
	counts        []counts          // of the looks of watchRecent, oldest first
	asked, backup time.Time

	settled []cloudEvent // what the topic has not been told of findings
	looked  time.Time    // for them

	expired []cloudEvent    // what the topic has not been told of subscriptions
	ended   map[string]bool // all that have been seen to have run out
}

// policyChange is an opt-out that is another one than at the look before.
type policyChange struct {
	enrich.Policy
	how string // in force (at the start), added, changed, removed
}

// behind is a partition that is too far behind: since when, and when it was how little so at best.
type behind struct {
	since, shrunk time.Time
	least         float64 // seconds
}

// counts are what was read, and what of it became dead letters, until a moment.
type counts struct {
	at                time.Time
	records, failures float64
}

func newWatch(cfg Config, log *zap.Logger) (*watch, error) {
	w := &watch{instance: cfg.Instance, topic: cfg.Watch.Topic, log: log, open: map[string]*pipeline.Alert{}, untold: map[string]*pipeline.Alert{}, behind: map[string]behind{}, ended: map[string]bool{}}
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
			over := w.alert(name, pipeline.StatusResolved, "It is over, or its process has ended.", now)
			over.Version = max(over.Version, w.open[name].Version+1) // also within a millisecond
			w.untold[name] = over
			w.over = append(w.over, w.untold[name])
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

// tell hands the bridges what they do not have yet, and what they would forget. What one does not take in time it gets at the next look.
func (w *watch) tell(ctx context.Context) {
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
			b.Refresh(ctx)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		w.log.Error("bridges are not told yet", zap.Error(err))
		return
	}
	clear(w.untold)
}

// halted tells why the process ends, if it was not asked to, and that all else it had found is over: who starts in its place looks
// anew. It takes tellTime at most.
func (w *watch) halted(err error) {
	wrong := map[string]string{}
	if err != nil && !errors.Is(err, context.Canceled) {
		wrong["halted"] = "The process has ended, and nothing is read until somebody mends it: " + err.Error()
	}
	w.note(wrong, time.Now())
	if len(w.untold) > 0 {
		w.tell(context.Background())
	}
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
		families, err := gather.Gather()
		if err != nil {
			w.log.Warn("watch", zap.Error(err))
		}
		wrong := a.wrong(ctx)
		maps.Copy(wrong, w.measured(families, now))
		if reason := w.unsaved(ctx, a.db, now); reason != "" {
			wrong["backup"] = reason
		}
		w.note(wrong, now)
		w.tell(ctx)
		w.compare(a.enricher.OptOuts())
		w.settle(ctx, a.db, now)
		w.expire(a.rules.Set(), now)
		if w.topic != "" && sender == nil {
			var err error
			if sender, err = kafka.NewSender(ctx, a.cfg.Kafka, []string{w.topic}, w.log); err != nil {
				w.log.Warn("watch", zap.Error(err))
			}
		}
		if sender != nil {
			record, err := w.events(families, now)
			if err == nil {
				err = sender.Send(ctx, w.topic, &pipeline.Record{Key: []byte(w.instance), Value: record})
			}
			if err == nil {
				w.over, w.audit, w.settled, w.expired = nil, nil, nil, nil
			} else if ctx.Err() == nil {
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

// compare notes which opt-outs have changed: who lets evidence vanish leaves a trace.
func (w *watch) compare(list []enrich.Policy) {
	before, now := w.policies, map[string]enrich.Policy{}
	said := func(p enrich.Policy, how string) {
		w.log.Info("opt-out policy", zap.String("policy", p.ID), zap.String("is", how), zap.String("owner", p.Owner), zap.String("reason", p.Reason))
		w.audit = append(w.audit, policyChange{p, how})
	}
	for _, p := range list {
		now[p.ID] = p
		switch old, known := before[p.ID]; {
		case before == nil:
			said(p, "in force")
		case !known:
			said(p, "added")
		case old != p:
			said(p, "changed")
		}
	}
	for _, id := range slices.Sorted(maps.Keys(before)) {
		if _, still := now[id]; !still {
			said(before[id], "removed")
		}
	}
	if w.policies = now; w.topic == "" {
		w.audit = nil // the log has it
	}
}

// settle notes which findings are verified by what was released, or gone from complete reports.
func (w *watch) settle(ctx context.Context, db *clickhouse.DB, now time.Time) {
	if w.topic == "" || now.Sub(w.looked) < askSettled {
		return
	}
	if list, err := settled(ctx, db); err == nil { // where it does not answer there is an alert of its own
		w.looked, w.settled = now, list
	}
}

// expire notes which subscriptions have run out: who asked for alerts learns that none come any more (R34). Whoever tells it, and after
// each start, it is the same event.
func (w *watch) expire(set *rule.Set, now time.Time) {
	if w.topic == "" {
		return
	}
	for _, r := range set.Rules {
		for _, s := range r.Subscriptions {
			id := fmt.Sprint(r.ID, " ", s.Team, " ", s.By, " ", s.Expires.Format(time.DateOnly))
			if s.IsActive(now) || now.Sub(s.Expires) > tellExpired || w.ended[id] {
				continue
			}
			w.ended[id] = true
			w.expired = append(w.expired, cloudEvent{"1.0", id, "tocsin", "tocsin.rule.expired", s.Expires, map[string]any{
				"phase": pipeline.PhaseMonitoring, "rule_id": r.ID, "actor": s.By, "title": r.ID + " alerts " + s.Team + " no more: its subscription has run out",
				"ticket": s.Ticket, "alert.class": s.Class, "alert.team": s.Team, "expires": moment(s.Expires),
			}})
		}
	}
}

// unsaved tells how old the last good backup is, where it is too old.
func (w *watch) unsaved(ctx context.Context, db *clickhouse.DB, now time.Time) string {
	if now.Sub(w.asked) >= askBackup {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if last, err := db.LastBackup(ctx); err == nil { // where it does not answer there is an alert of its own
			w.asked, w.backup = now, last
		}
	}
	if age := now.Sub(w.backup); !w.backup.IsZero() && age > watchBackup {
		return fmt.Sprintf("the last verified backup ended %s ago", age.Round(time.Minute))
	}
	return ""
}

// measured returns what the process's own figures say is wrong, by name.
func (w *watch) measured(families []*dto.MetricFamily, now time.Time) map[string]string {
	wrong := map[string]string{}
	if reason := w.lagging(families, now); reason != "" {
		wrong["lag"] = reason
	}
	c := counts{now, figure(families, "tocsin_ingest_records_total", sum), figure(families, "tocsin_ingest_failures_total", sum)}
	w.counts = slices.DeleteFunc(w.counts, func(old counts) bool { return now.Sub(old.at) > watchRecent })
	w.counts = append(w.counts, c)
	first := w.counts[0]
	if failed, read := c.failures-first.failures, c.records-first.records; failed >= 10 && failed > watchLetters*read {
		wrong["dead letters"] = fmt.Sprintf("of %.0f records of the last minutes %.0f pieces became dead letters", read, failed)
	}
	var rules []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "tocsin_rule_quarantined" && m.GetGauge().GetValue() > 0 {
				rules = append(rules, m.GetLabel()[0].GetValue())
			}
		}
	}
	if len(rules) > 0 {
		wrong["quarantine"] = "rules take too much time and are not judged any more: " + strings.Join(rules, ", ")
	}
	return wrong
}

// lagging tells which partition is behind without catching up, the worst one.
func (w *watch) lagging(families []*dto.MetricFamily, now time.Time) (reason string) {
	before, worst := w.behind, 0.0
	w.behind = map[string]behind{}
	for _, f := range families {
		if f.GetName() != "tocsin_ingest_lag_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			lag, partition := m.GetGauge().GetValue(), m.GetLabel()[0].GetValue()
			for _, l := range m.GetLabel()[1:] { // the names are in order: partition, topic
				partition = l.GetValue() + "/" + partition
			}
			if lag <= watchLag.Seconds() {
				continue
			}
			b, known := before[partition]
			if !known {
				b.since = now
			}
			if !known || lag < b.least {
				b.least, b.shrunk = lag, now
			}
			w.behind[partition] = b
			if (now.Sub(b.shrunk) >= watchStill || now.Sub(b.since) >= watchCatchUp) && lag > worst {
				worst = lag
				reason = fmt.Sprintf("what is stored of %s is %s behind what has come, for %s", partition, time.Duration(lag)*time.Second, now.Sub(b.since).Round(time.Second))
			}
		}
	}
	return reason
}

func sum(a, b float64) float64 { return a + b }

// figure returns one number for a metric of several series.
func figure(families []*dto.MetricFamily, name string, of func(a, b float64) float64) (total float64) {
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				total = of(total, m.GetCounter().GetValue()+m.GetGauge().GetValue())
			}
		}
	}
	return total
}

// figures are the metrics that become events, and what is made of their series.
var figures = map[string]func(a, b float64) float64{
	"tocsin_ingest_lag_offsets":     sum,
	"tocsin_ingest_lag_seconds":     math.Max,
	"tocsin_ingest_records_total":   sum,
	"tocsin_ingest_failures_total":  sum,
	"tocsin_ingest_retries_total":   sum,
	"tocsin_ingest_under_way_bytes": sum,
	"tocsin_rule_errors_total":      sum,
	"process_resident_memory_bytes": sum,
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

// moment writes a time that may be none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

// events returns a record with a heartbeat, the process's figures, an event for each thing that is wrong or over, one for each
// opt-out that has changed, for each finding that is settled and for each subscription that has run out.
func (w *watch) events(families []*dto.MetricFamily, now time.Time) ([]byte, error) {
	var batch []cloudEvent
	add := func(kind, name string, data map[string]any) {
		data["host"], data["service"], data["phase"] = w.instance, "tocsin", pipeline.PhaseMonitoring
		batch = append(batch, cloudEvent{"1.0", fmt.Sprint(now.UnixMilli(), " ", kind, " ", name), "tocsin/" + w.instance, "tocsin." + kind, now.UTC(), data})
	}
	add("heartbeat", "heartbeat", map[string]any{"title": "tocsin " + w.instance + " runs"})
	for _, f := range families {
		if of := figures[f.GetName()]; of != nil {
			add("metric", f.GetName(), map[string]any{"metric_name": f.GetName(), "metric_value": figure(families, f.GetName(), of)})
		}
	}
	said := func(kind string, a *pipeline.Alert) {
		_, name, _ := strings.Cut(a.Title, ": ")
		add(kind, name, map[string]any{"title": a.Title, "rule_id": "tocsin " + name, "severity_id": a.Severity, "reason": strings.TrimSpace(a.Summary)})
	}
	for _, name := range slices.Sorted(maps.Keys(w.open)) {
		said("alert.firing", w.open[name])
	}
	for _, a := range w.over {
		said("alert.resolved", a)
	}
	for i, p := range w.audit {
		add("policy.changed", fmt.Sprint(i, " ", p.ID), map[string]any{"title": "opt-out " + p.ID + " is " + p.how, "actor": p.Owner, "reason": p.Reason,
			"policy.id": p.ID, "policy.change": p.how, "policy.until": moment(p.Until)})
	}
	return json.Marshal(slices.Concat(batch, w.settled, w.expired))
}
