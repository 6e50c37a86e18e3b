package bridge

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/tocsin-project/tocsin/pipeline"
)

// ocsf posts each version as a Detection Finding (class 2004) of OCSF 1.8, one that stands for an incident as an Incident Finding
// (2005); the secret is a bearer token. finding_info.uid is the alert's id, metadata.uid the key of the version.
type ocsf struct {
	url    string
	header http.Header
}

func newOCSF(b *Bridge) (peer, error) { return &ocsf{b.cfg.URL, bearer(b.cfg.Secret)}, nil }

func (p *ocsf) deliver(ctx context.Context, m *message) error {
	return postJSON(ctx, p.url, ocsfFinding(m), p.header)
}

// ocsfStatus converts statuses: 1 new, 2 in progress, 3 suppressed (of an incident: on hold), 4 resolved.
var ocsfStatus = map[string]int{
	pipeline.StatusFiring: 1, pipeline.StatusUpdated: 1, pipeline.StatusAcked: 2, pipeline.StatusSuppressed: 3, pipeline.StatusResolved: 4,
}

// ocsfObservables are the observable types of the entities that OCSF knows; 0 is unknown.
var ocsfObservables = map[string]int{"host": 1, "ip": 2, "mac": 3, "user": 4, "email": 5, "url": 6, "file": 7, "hash": 8, "process": 9}

func ocsfFinding(m *message) map[string]any {
	activity := 2 // update
	switch {
	case m.Status == pipeline.StatusFiring && m.Version == 1:
		activity = 1 // create
	case m.Status == pipeline.StatusResolved:
		activity = 3 // close
	}
	var attacks, observables []map[string]any
	for _, id := range m.Attacks {
		attacks = append(attacks, map[string]any{"technique": map[string]any{"uid": id}, "version": "18.1"})
	}
	for _, kind := range slices.Sorted(maps.Keys(m.Entities)) {
		observables = append(observables, map[string]any{"name": kind, "type_id": ocsfObservables[kind], "value": m.entity(kind)})
	}
	finding := map[string]any{
		"uid": m.ID.String(), "title": m.Title, "desc": m.Summary, "types": []string{m.Rule},
		"created_time": m.FirstEventTime.UnixMilli(), "first_seen_time": m.FirstEventTime.UnixMilli(), "last_seen_time": m.LastEventTime.UnixMilli(),
		"analytic": map[string]any{"type_id": 1, "uid": m.Rule, "name": m.Rule},
	}
	out := map[string]any{
		"category_uid": 2, "activity_id": activity,
		"severity_id": m.Severity, "status_id": ocsfStatus[m.Status], "confidence_score": m.Confidence, "count": m.EventCount,
		"time": m.LastEventTime.UnixMilli(), "message": m.title,
	}
	class := 2004
	if m.IsIncident() {
		class = 2005
		out["finding_info_list"] = []any{finding}
	} else {
		out["finding_info"], out["is_alert"] = finding, true
	}
	out["class_uid"], out["type_uid"] = class, class*100+activity
	metadata := map[string]any{"version": "1.8.0", "uid": m.key(), "product": map[string]any{"name": "tocsin", "vendor_name": "tocsin"}}
	if len(m.Labels) > 0 {
		metadata["labels"] = m.Labels
	}
	out["metadata"] = metadata
	if attacks != nil {
		finding["attacks"] = attacks
	}
	if observables != nil {
		out["observables"] = observables
	}
	if m.ChangedBy != "" {
		out["comment"] = m.ChangedBy + ": " + m.Reason
	}
	return out
}
