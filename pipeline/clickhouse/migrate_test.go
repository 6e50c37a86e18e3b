package clickhouse

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/schemas"
	"github.com/tocsin-project/tocsin/sql"
)

func TestMigrateTwice(t *testing.T) {
	db := open(t, Config{Database: fmt.Sprintf("a `strange\\name %d", databases.Add(1))})
	plan, err := db.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := "CREATE DATABASE IF NOT EXISTS `a \\`strange\\\\name "; !strings.HasPrefix(plan[0], want) {
		t.Errorf("plan begins with %s, want %s", plan[0], want)
	}
	all, err := sql.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if plan, err := db.Plan(t.Context()); err != nil || len(plan) > 0 {
			t.Errorf("plan after migrating: %q, error %v; want none", plan, err)
		}
		if got := number(t, db, "SELECT count() FROM schema_migrations"); got != uint64(len(all)) {
			t.Errorf("%d migrations noted, want %d", got, len(all))
		}
	}
}

func TestMigrateInParallel(t *testing.T) {
	db := open(t, Config{})
	other := open(t, Config{Database: db.cfg.Database})
	var wg sync.WaitGroup
	for _, db := range []*DB{db, other, db} {
		wg.Go(func() {
			if err := db.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if plan, err := db.Plan(t.Context()); err != nil || len(plan) > 0 {
		t.Errorf("plan after migrating: %q, error %v; want none", plan, err)
	}
}

func TestMigrateAfterOneWasBrokenOff(t *testing.T) {
	db := migrated(t)
	for _, statement := range []string{"DROP VIEW v_alerts", "DROP VIEW alert_versions_mv", "DELETE FROM schema_migrations WHERE name = 'alerts'"} {
		if err := db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	number(t, db, "SELECT count() FROM v_alerts")
}

func TestMigrateRefusesAChangedFile(t *testing.T) {
	db := migrated(t)
	if err := db.Exec(t.Context(), "INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES (2, 'events_1m', 'cafe', '2100-01-01 00:00:00')"); err != nil {
		t.Fatal(err)
	}
	err := db.Migrate(t.Context())
	if err == nil || !strings.Contains(err.Error(), "migration 0002_events_1m was applied to "+db.cfg.Database+" with checksum cafe,") ||
		!strings.Contains(err.Error(), "an applied migration must not change") {
		t.Errorf("error %v, want one about a changed migration", err)
	}
}

func TestMigrateRefusesANewerDatabase(t *testing.T) {
	db := migrated(t)
	if err := db.Exec(t.Context(), "INSERT INTO schema_migrations (version, name, checksum) VALUES (9999, 'later', 'cafe')"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Plan(t.Context()); err == nil || !strings.Contains(err.Error(), "has migration 9999") {
		t.Errorf("error %v, want one about a newer database", err)
	}
}

// tableColumn is a row of system.columns.
type tableColumn struct{ name, typ, comment string }

func columnsOf(t *testing.T, db *DB, table string) (columns []tableColumn) {
	t.Helper()
	rows, err := db.Query(t.Context(), "SELECT name, type, comment FROM system.columns WHERE database = currentDatabase() AND table = ? ORDER BY position", table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var c tableColumn
		if err := rows.Scan(&c.name, &c.typ, &c.comment); err != nil {
			t.Fatal(err)
		}
		columns = append(columns, c)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return columns
}

func TestEventsAreTheFieldsOfSchemas(t *testing.T) {
	db := migrated(t)
	var want []tableColumn
	for _, f := range schemas.EventFields {
		want = append(want, tableColumn{f.Column, f.ClickHouse, f.Doc})
	}
	if got := columnsOf(t, db, "events"); !slices.Equal(got, want) {
		for i := range max(len(got), len(want)) {
			var g, w tableColumn
			if i < len(got) {
				g = got[i]
			}
			if i < len(want) {
				w = want[i]
			}
			if g != w {
				t.Errorf("column %d of events is\n\t%q, schemas.EventFields has\n\t%q", i, g, w)
			}
		}
	}

	var fields, names []string
	for f := range reflect.TypeFor[pipeline.Event]().Fields() {
		if f.IsExported() {
			fields = append(fields, f.Name)
		}
	}
	for _, f := range schemas.EventFields {
		names = append(names, f.Go)
	}
	if !slices.Equal(fields, names) {
		t.Errorf("pipeline.Event has\n\t%v, schemas.EventFields has\n\t%v", fields, names)
	}
}

// The sinks' columns have the tables' names, types and order: then the server converts nothing and fills in nothing.
func TestSinksWriteEveryColumn(t *testing.T) {
	db := migrated(t)
	f := func(table string, columns []string) {
		t.Helper()
		var want []string
		for _, c := range columnsOf(t, db, table) {
			if c.comment == "" {
				t.Errorf("column %s of %s has no comment", c.name, table)
			}
			want = append(want, c.name+" "+c.typ)
		}
		if !slices.Equal(columns, want) {
			t.Errorf("sink of %s writes\n\t%s, the table has\n\t%s", table, strings.Join(columns, "\n\t"), strings.Join(want, "\n\t"))
		}
	}
	f(sinkColumns(&events))
	f(sinkColumns(&alerts))
	f(sinkColumns(&controls))
	f(sinkColumns(&growth))
	f(sinkColumns(&deadLetters))
}

func sinkColumns[R any](t *table[R]) (name string, columns []string) {
	for _, c := range newBlock(t).input {
		columns = append(columns, fmt.Sprintf("%s %s", c.Name, c.Data.Type()))
	}
	return t.name, columns
}

// A block that is sent again must change nothing anywhere.
func TestEveryTableRemembersTokens(t *testing.T) {
	db := migrated(t)
	rows, err := db.Query(t.Context(), `SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'
		AND name != 'schema_migrations' AND engine_full NOT LIKE '%non_replicated_deduplication_window = 10000%'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		t.Errorf("table %s has no non_replicated_deduplication_window: a retried block counts there again", name)
	}
}

func TestAnalystsViewsAnswer(t *testing.T) {
	db := migrated(t)
	var views []string
	if err := db.QueryRow(t.Context(), "SELECT groupArray(name) FROM system.tables WHERE database = currentDatabase() AND startsWith(name, 'v_')").Scan(&views); err != nil {
		t.Fatal(err)
	}
	if len(views) < 9 {
		t.Errorf("only the views %v", views)
	}
	for _, view := range views {
		columns, rows, err := db.QueryJSON(t.Context(), "SELECT * FROM "+view, nil, Limits{Rows: 1, Time: 10 * 1e9})
		if err != nil || len(columns) == 0 || len(rows) != 0 {
			t.Errorf("%s: %d columns, %d rows, error %v", view, len(columns), len(rows), err)
		}
	}
}
