package console

import (
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/console/consoletest"
)

// Every statement of every dashboard runs, on a warehouse with nothing in it too.
func TestDashboardsOnAnEmptyWarehouse(t *testing.T) {
	now := time.Now()
	consoletest.Dashboards(t, serve(t, Config{DB: migrated(t)}), consoletest.Range{From: now.Add(-time.Hour), To: now}, false)
}

// Every panel has something to show for an hour as the demo plays it.
func TestDashboardsOnASeededWarehouse(t *testing.T) {
	db, now := migrated(t), time.Now()
	seed(t, db, now)
	consoletest.Dashboards(t, serve(t, Config{DB: db}),
		consoletest.Range{From: now.Add(-time.Hour), To: now, Vars: map[string]string{"id": "203.0.113.7", "event": anyEvent(t, db)}}, true)
}

// anyEvent returns the id of an event that has attributes.
func anyEvent(t testing.TB, db *clickhouse.DB) (id string) {
	t.Helper()
	if err := db.QueryRow(t.Context(), "SELECT toString(any(event_id)) FROM events WHERE notEmpty(attributes)").Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}
