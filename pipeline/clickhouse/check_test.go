package clickhouse

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

var usual = Load{Blocks: 6, Outage: 7 * 24 * time.Hour}

// refusals returns what Check refuses, with what mends it.
func refusals(t *testing.T, db *DB, load Load) (list []pipeline.Flaw) {
	t.Helper()
	flaws, err := db.Check(t.Context(), load)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(flaws, func(f pipeline.Flaw) bool { return !f.Loses })
}

// TestCheckFollowsEveryView breaks a table behind each kind of view: all are named at once, and each statement that is given mends.
func TestCheckFollowsEveryView(t *testing.T) {
	db := migrated(t)
	if got := refusals(t, db, usual); len(got) > 0 {
		t.Fatalf("what tocsin has made itself is refused: %v", got)
	}
	exec := func(sql string) {
		t.Helper()
		if err := db.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	own := db.cfg.Database
	other := own + "_other"
	exec("CREATE DATABASE " + other)
	exec("ALTER TABLE events_1h MODIFY SETTING non_replicated_deduplication_window = 0") // two views behind events
	exec("ALTER TABLE alerts MODIFY SETTING non_replicated_deduplication_window = 100")
	exec("CREATE TABLE " + other + ".`it's TO x` (n UInt64) ENGINE = MergeTree ORDER BY n")
	exec("CREATE MATERIALIZED VIEW " + other + ".`a view` TO " + other + ".`it's TO x` AS SELECT count() AS n FROM " + own + ".events")
	exec("CREATE MATERIALIZED VIEW inner ENGINE = SummingMergeTree ORDER BY host AS SELECT host, count() AS n FROM events GROUP BY host")
	exec("CREATE TABLE passing (n UInt64) ENGINE = Null")
	exec("CREATE MATERIALIZED VIEW to_passing TO passing AS SELECT count() AS n FROM dead_letters")
	exec("CREATE TABLE behind (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 7")
	exec("CREATE MATERIALIZED VIEW to_behind TO behind AS SELECT n FROM passing")
	got := refusals(t, db, usual)
	for _, want := range []string{
		"`" + own + "`.`events_1h` gets blocks of events and remembers none",
		"`" + own + "`.`alerts` remembers 100 blocks (non_replicated_deduplication_window), which is 17s at 6 blocks a second",
		"`" + other + "`.`it's TO x` gets blocks of events and remembers none",
		"`" + own + "`.`.inner_id.",
		"`" + own + "`.`behind` remembers 7 blocks",
	} {
		if n := len(got); n == 0 || !slices.ContainsFunc(got, func(f pipeline.Flaw) bool { return strings.Contains(f.What, want) }) {
			t.Errorf("nothing is said of %s", want)
		}
	}
	if len(got) != 5 {
		t.Errorf("%d are refused, want 5: %v", len(got), got)
	}
	for _, f := range got {
		exec(f.Mend)
	}
	if got := refusals(t, db, usual); len(got) > 0 {
		t.Errorf("the statements do not mend: %v", got)
	}
	exec("CREATE TABLE keeps (n UInt64) ENGINE = Memory")
	exec("CREATE MATERIALIZED VIEW to_keeps TO keeps AS SELECT count() AS n FROM events")
	if got := refusals(t, db, usual); len(got) != 1 || !strings.Contains(got[0].What, "`keeps` gets blocks of events, and its engine Memory") {
		t.Errorf("a target without tokens: %v", got)
	}
}

// TestCheckMeasuresTheWindow: what lasts for six partitions may not for six hundred, nor what one server remembers for two.
func TestCheckMeasuresTheWindow(t *testing.T) {
	db := migrated(t)
	two := open(t, Config{Addrs: []string{server.TCPAddr, server.TCPAddr}, Database: db.cfg.Database})
	if got := refusals(t, two, usual); len(got) < len(sinkTables) || !strings.Contains(got[0].What, "names 2 servers, and `"+db.cfg.Database+"`.`events` is not replicated") {
		t.Errorf("two servers: %v", got)
	}
	got := refusals(t, db, Load{Blocks: 600, Outage: usual.Outage})
	if len(got) < len(sinkTables) {
		t.Fatalf("%d tables are refused: %v", len(got), got)
	}
	for _, f := range got {
		if err := db.Exec(t.Context(), f.Mend); err != nil {
			t.Fatalf("%s: %v", f.Mend, err)
		}
	}
	if got := refusals(t, db, Load{Blocks: 600, Outage: usual.Outage}); len(got) > 0 {
		t.Errorf("the statements do not mend: %v", got)
	}
}

// TestCheckKnowsReplicas: replicated tables forget by time as well. The embedded server has none.
func TestCheckKnowsReplicas(t *testing.T) {
	c := &checker{db: &DB{}, load: usual}
	c.window("t", "events", tableInfo{engine: "ReplicatedMergeTree", full: "ReplicatedMergeTree('x', 'y') ORDER BY n SETTINGS index_granularity = 8192"},
		map[string]string{"replicated_deduplication_window": "10000", "replicated_deduplication_window_seconds": "3600"})
	if len(c.flaws) != 1 || c.flaws[0].Mend != "ALTER TABLE t MODIFY SETTING replicated_deduplication_window_seconds = 604800" {
		t.Errorf("a window of an hour: %v", c.flaws)
	}
}

// TestCheckWithoutTables: before the first start there is nothing to refuse.
func TestCheckWithoutTables(t *testing.T) {
	flaws, err := open(t, Config{}).Check(t.Context(), usual)
	if err != nil || len(flaws) != 1 || flaws[0].Loses || !strings.Contains(flaws[0].What, "not there") {
		t.Errorf("%v, error %v", flaws, err)
	}
}
