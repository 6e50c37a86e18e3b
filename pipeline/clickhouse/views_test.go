package clickhouse

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// Hours and days must count what minutes count, whatever is sent again.
func TestCoarserRollupsEqualTheMinutes(t *testing.T) {
	db := migrated(t)
	s := db.EventSink()
	defer s.Close()
	rng := rand.New(rand.NewPCG(1, 7))
	for from := int64(0); from < 4000; from += 500 {
		b := typical(from, 500)
		for i := range b.Events {
			b.Events[i].Time = noon.Add(-time.Duration(rng.IntN(72*3600)) * time.Second)
		}
		for range 1 + rng.IntN(2) {
			store(t, s, b, chunk(from, from+500, 0))
		}
	}
	for _, view := range []string{"v_events_1h", "v_events_1d"} {
		unit := map[string]string{"v_events_1h": "toStartOfHour", "v_events_1d": "toStartOfDay"}[view]
		fine := fmt.Sprintf("SELECT toDateTime(%s(event_time), 'UTC') AS t, toString(project), toString(event_type), count(), sum(bytes), uniqExact(actor), uniqExact(src_ip) FROM v_events GROUP BY ALL", unit)
		coarse := fmt.Sprintf("SELECT ts AS t, toString(project), toString(event_type), n, bytes, actors, src_ips FROM %s", view)
		if n := number(t, db, "SELECT count() FROM ("+coarse+")"); n < 3 {
			t.Errorf("%s has %d rows", view, n)
		}
		for _, difference := range []string{fine + " EXCEPT " + coarse, coarse + " EXCEPT " + fine} {
			if n := number(t, db, "SELECT count() FROM ("+difference+")"); n != 0 {
				t.Errorf("%d rows of %s", n, difference)
			}
		}
	}
}

// A finding's state must follow from when things happened, not from the order in which they were heard of.
func TestFindingsStateIsWithoutOrder(t *testing.T) {
	db := migrated(t)
	s := db.EventSink()
	defer s.Close()
	expires := func(after time.Duration) string { return time.Now().Add(after).UTC().Format(time.RFC3339) }
	cases := []struct{ events, state string }{
		{"vulnerability.found", "new"},
		{"finding.blocked", "blocked"},
		{"vulnerability.found finding.blocked vulnerability.found", "blocked"},
		{"vulnerability.found finding.blocked finding.corrected", "fixed"},
		{"vulnerability.found finding.corrected finding.verified", "verified"},
		{"vulnerability.found finding.corrected vulnerability.found", "reopened"},
		{"finding.blocked finding.corrected vulnerability.found", "blocked"},
		{"vulnerability.found finding.accepted", "accepted"},
		{"finding.blocked finding.accepted=" + expires(time.Hour), "accepted"},
		{"finding.accepted=" + expires(time.Hour) + " finding.blocked", "blocked"},
		{"vulnerability.found finding.accepted=" + expires(-time.Minute), "reopened"},
		{"vulnerability.found finding.suppressed vulnerability.found", "suppressed"},
		{"vulnerability.found finding.suppressed finding.reopened", "reopened"},
	}
	type record struct {
		key   int
		at    int
		event string
	}
	var records []record
	for key, c := range cases {
		for at, event := range strings.Fields(c.events) {
			records = append(records, record{key + 1, at, event}, record{key + 1, at, event})
		}
	}
	rng := rand.New(rand.NewPCG(2, 7))
	rng.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	offset := int64(0)
	for some := range slices.Chunk(records, 7) {
		b := typical(offset, len(some))
		for i, r := range some {
			e := &b.Events[i]
			e.Type, e.Attrs = splitAttr(r.event)
			e.FindingKey, e.Time, e.Severity = uint64(r.key), noon.Add(time.Duration(r.at)*time.Minute), pipeline.SeverityHigh
		}
		store(t, s, b, chunk(offset, offset+int64(len(some)), 0))
		offset += int64(len(some))
	}
	for key, c := range cases {
		var state string
		var first, due time.Time
		if err := db.QueryRow(t.Context(), "SELECT state, first_seen, due FROM v_findings WHERE finding_key = ?", uint64(key+1)).Scan(&state, &first, &due); err != nil {
			t.Fatal(err)
		}
		if state != c.state || !first.Equal(noon) || !due.Equal(noon.AddDate(0, 0, 30)) {
			t.Errorf("%s: %s, first seen %v, due %v; want %s", c.events, state, first, due, c.state)
		}
	}
}

// splitAttr reads an event's type and, behind "=", when it expires.
func splitAttr(text string) (eventType string, attrs []pipeline.Attr) {
	eventType, expires, ok := strings.Cut(text, "=")
	if ok {
		attrs = []pipeline.Attr{{Key: "expires", Value: expires}}
	}
	return eventType, attrs
}

// From a deployed digest back to who approved its commit, over links that five events brought.
func TestLineage(t *testing.T) {
	db := migrated(t)
	s := db.EventSink()
	defer s.Close()
	b := typical(0, 6)
	const digest, commit = "sha256:aa", "0123456789012345678901234567890123456789"
	for i, fill := range []func(e *pipeline.Event){
		func(e *pipeline.Event) { e.Type, e.Digest, e.Run = "artifact.packaged", digest, "jenkins/pay/7" },
		func(e *pipeline.Event) { e.Type, e.Run, e.Commit = "pipelinerun.finished", "jenkins/pay/7", commit },
		func(e *pipeline.Event) { e.Type, e.Commit, e.Change = "change.merged", commit, "git.example/pay!3" },
		func(e *pipeline.Event) {
			e.Type, e.Change, e.Disposition, e.Actor = "approval.closed", "git.example/pay!3", pipeline.DispositionApproved, "maria"
		},
		func(e *pipeline.Event) { e.Type, e.Digest, e.Commit = "service.deployed", digest, commit },
		func(e *pipeline.Event) { e.Type, e.DBName = "auth.failed", "pay" },
	} {
		fill(&b.Events[i])
	}
	store(t, s, b, chunk(0, 6, 0))
	var steps []string
	if err := db.QueryRow(t.Context(), `
		WITH RECURSIVE lineage AS
		(
			SELECT 'artifact' AS kind, ? AS id, '' AS rel, 0 AS depth
			UNION ALL
			SELECT toString(to_kind), to_id, toString(l.rel), depth + 1
			FROM v_entity_links AS l INNER JOIN lineage AS x ON l.from_kind = x.kind AND l.from_id = x.id WHERE depth < 8
		)
		SELECT arraySort(groupUniqArray(concat(toString(depth), ' ', rel, ' ', kind, ' ', id))) FROM lineage WHERE depth > 0`,
		digest).Scan(&steps); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"1 built_by run jenkins/pay/7", "1 deployed_to service production/svc-4", "1 of_commit commit " + commit, "2 in_change change git.example/pay!3", "2 of_commit commit " + commit,
		"2 runs_on host host-4.example.com", "3 approved_by user maria", "3 in_change change git.example/pay!3", "4 approved_by user maria",
	}
	if !slices.Equal(steps, want) {
		t.Errorf("lineage %q\nwant    %q", steps, want)
	}
	for _, x := range []struct {
		query string
		want  uint64
	}{
		{"SELECT count() FROM entity_links WHERE kind = 'commit' AND id = '" + commit + "'", 3},
		{"SELECT count() FROM entity_links WHERE kind = 'ip' AND id = '203.0.113.5' AND rel = 'attacks' AND side = 'from'", 2},
		{"SELECT count() FROM entity_links WHERE kind = 'database' AND id = 'host-5.example.com/pay' AND other_id = '203.0.113.5'", 1},
	} {
		if got := number(t, db, x.query); got != x.want {
			t.Errorf("%s: %d, want %d", x.query, got, x.want)
		}
	}
}

// A question about one thing reads what the index points to, and not all that overlaps it.
func TestNeedlesUseTheirIndex(t *testing.T) {
	db := migrated(t)
	s := db.EventSink()
	defer s.Close()
	for from := int64(0); from < 3000; from += 1000 {
		store(t, s, typical(from, 1000), chunk(from, from+1000, 0))
	}
	// Inserts of the sink leave the indices to merges; this one does not.
	for _, statement := range []string{"SYSTEM STOP MERGES events", "INSERT INTO events SELECT * REPLACE(generateUUIDv4() AS event_id) FROM events"} {
		if err := db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	lines := func(from, like string) uint64 {
		return number(t, db, "SELECT count() FROM (EXPLAIN indexes = 1 SELECT * FROM "+from+" WHERE src_ip = toIPv6('203.0.113.5')) WHERE explain LIKE ?", like)
	}
	if lines("v_events", "%ix_src_ip%") == 0 || lines("v_events", "%PrimaryKeyExpand%") != 0 {
		t.Error("v_events does without the index, or reads what overlaps it")
	}
	if lines("events FINAL", "%PrimaryKeyExpand%") == 0 {
		t.Error("ClickHouse no longer reads what overlaps the index: v_events needs no setting for it")
	}
}
