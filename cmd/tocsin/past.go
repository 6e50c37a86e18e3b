package main

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/processors/correlate"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// Bounds of what the warehouse is asked before detect starts: the start waits for it, and the answer stays in memory.
const (
	maxPastTime = 20 * time.Second // of one rule's query
	maxPastRows = 100_000          // of one rule; the oldest are left out
)

// recall asks the warehouse what the rules that learn from a key's own past would know by now, so that a fresh start does
// not call everything new. Rules that were asked for already keep their answer. What goes wrong is a warning: the rule
// then learns afresh.
func (a *app) recall(ctx context.Context, set *rule.Set) {
	a.recalls.Lock()
	defer a.recalls.Unlock()
	began, known, all := time.Now(), a.known(), map[string]*correlate.Past{}
	rules, keys, rows := 0, 0, 0
	for _, r := range set.Rules {
		if p := known[r.ID]; p != nil && p.IsOf(r) {
			all[r.ID] = p
			continue
		}
		p, n, err := a.pastOf(ctx, r)
		if err != nil {
			a.log.Warn("rule learns afresh, the warehouse does not say what was before", zap.String("rule_id", r.ID), zap.Error(err))
		}
		if p != nil {
			all[r.ID] = p
			rules, keys, rows = rules+1, keys+len(p.Keys), rows+n
		}
	}
	a.past.Store(&all)
	if rules > 0 {
		a.log.Info("rules know what was before", zap.Int("rules", rules), zap.Int("keys", keys), zap.Int("rows", rows), zap.Duration("elapsed", time.Since(began)))
	}
}

// known returns what the warehouse has told, by the rule's id.
func (a *app) known() map[string]*correlate.Past {
	if all := a.past.Load(); all != nil {
		return *all
	}
	return nil
}

// pastOf asks for one rule's past, and returns how many rows it is; nil for a rule that has none.
func (a *app) pastOf(ctx context.Context, r *rule.Rule) (*correlate.Past, int, error) {
	query, span, err := r.PastSQL()
	if query == "" || err != nil {
		return nil, 0, err
	}
	const layout = "2006-01-02 15:04:05.000"
	now := a.now().UTC()
	_, rows, err := a.db.QueryJSON(ctx, query, map[string]any{"from": now.Add(-span).Format(layout), "to": now.Format(layout), "rows": maxPastRows},
		clickhouse.Limits{Rows: maxPastRows, Time: maxPastTime})
	if err != nil {
		return nil, 0, err
	}
	p := &correlate.Past{Rule: r}
	for i := len(rows) - 1; i >= 0; i-- { // the newest came first
		row := rows[i]
		p.Add(row[0].(string), correlate.Known{Value: row[1].(string), First: time.UnixMilli(row[2].(int64)), Last: time.UnixMilli(row[3].(int64)), Amount: row[4].(float64)})
	}
	return p, len(rows), nil
}
