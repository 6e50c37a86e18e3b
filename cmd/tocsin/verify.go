package main

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// settled returns an event for each finding that the warehouse shows to be settled, though nobody has said so. Whoever asks, the same finding and
// release, or report, give the same event.
func settled(ctx context.Context, db *clickhouse.DB) ([]cloudEvent, error) {
	released, err := settledBy(ctx, db, "corrected_released", verified)
	if err != nil {
		return nil, err
	}
	gone, err := settledBy(ctx, db, "findings_gone", corrected)
	return append(released, gone...), err
}

// verified is of a finding that is fixed, and whose component is in the latest release: with a version that is not older than the one that
// corrects it, it is verified (R26).
func verified(row map[string]string) (id, kind string, data map[string]any) {
	component, fixed := row["component"], row["fixed_version"]
	if !rule.HasVersion(component) || rule.VersionBelow(component, fixed) {
		return "", "", nil
	}
	return row["digest"] + " " + component, "finding.verified", map[string]any{
		"phase": pipeline.PhaseRelease, "purl": component, "artifact_digest": row["digest"], "fixed_version": fixed,
		"reason": component + " is in the latest release, and " + fixed + " corrects it",
	}
}

// corrected is of a finding that a complete report no longer has.
func corrected(row map[string]string) (id, kind string, data map[string]any) {
	return row["source"] + " " + row["scope"] + " " + row["reported"], "finding.corrected", map[string]any{
		"reason": "it is not in the complete report of " + row["source"] + " about " + row["scope"] + " any more",
	}
}

// settledBy asks a question about findings, whose one time is when each was settled, and has an event made of each row.
func settledBy(ctx context.Context, db *clickhouse.DB, name string, event func(row map[string]string) (id, kind string, data map[string]any)) ([]cloudEvent, error) {
	q, err := question(name)
	if err != nil {
		return nil, err
	}
	params, err := values(q, nil)
	if err != nil {
		return nil, err
	}
	columns, rows, err := db.QueryJSON(ctx, q.Text, params, clickhouse.Limits{Rows: 1000, Time: time.Minute})
	if err != nil {
		return nil, fmt.Errorf("look for findings that are settled: %w", err)
	}
	var events []cloudEvent
	for _, row := range rows {
		text := map[string]string{}
		var at time.Time
		for i, c := range columns {
			switch v := row[i].(type) {
			case string:
				text[c.Name] = v
			case time.Time:
				at = v.UTC()
				text[c.Name] = at.Format(time.RFC3339Nano)
			}
		}
		id, kind, more := event(text)
		if kind == "" {
			continue
		}
		data := map[string]any{"project": text["project"], "finding_key": text["finding_key"], "title": text["finding"]}
		maps.Copy(data, more)
		events = append(events, cloudEvent{"1.0", text["finding_key"] + " " + id, "tocsin", "tocsin." + kind, at, data})
	}
	return events, nil
}
