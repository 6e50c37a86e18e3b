package main

import (
	"context"
	"fmt"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// verified returns an event finding.verified for each finding that is fixed, and whose component is in the latest release with a
// version that is not older than the one that corrects it (R26). Whoever asks, the same finding and release give the same event.
func verified(ctx context.Context, db *clickhouse.DB) ([]cloudEvent, error) {
	q, err := question("corrected_released")
	if err != nil {
		return nil, err
	}
	params, err := values(q, nil)
	if err != nil {
		return nil, err
	}
	columns, rows, err := db.QueryJSON(ctx, q.Text, params, clickhouse.Limits{Rows: 1000, Time: time.Minute})
	if err != nil {
		return nil, fmt.Errorf("look for corrected components in releases: %w", err)
	}
	var events []cloudEvent
	for _, row := range rows {
		text := map[string]string{}
		var released time.Time
		for i, c := range columns {
			switch v := row[i].(type) {
			case string:
				text[c.Name] = v
			case time.Time:
				released = v.UTC()
			}
		}
		component, fixed := text["component"], text["fixed_version"]
		if !rule.HasVersion(component) || rule.VersionBelow(component, fixed) {
			continue
		}
		events = append(events, cloudEvent{"1.0", text["finding_key"] + " " + text["digest"] + " " + component, "tocsin", "tocsin.finding.verified", released, map[string]any{
			"project": text["project"], "finding_key": text["finding_key"], "phase": pipeline.PhaseRelease, "purl": component, "artifact_digest": text["digest"],
			"title": text["finding"], "reason": component + " is in the latest release, and " + fixed + " corrects it", "fixed_version": fixed,
		}})
	}
	return events, nil
}
