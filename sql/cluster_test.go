package sql

import (
	"slices"
	"strings"
	"testing"
)

func TestClusterStatements(t *testing.T) {
	f := func(c Cluster, statement string, want ...string) {
		t.Helper()
		got, err := c.Statements(Migration{Statements: []string{statement}})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("error %v, got\n%s\nwant\n%s", err, strings.Join(got, "\n;\n"), strings.Join(want, "\n;\n"))
		}
	}
	keeper := Cluster{Name: "c", Database: "d", Keeper: true}
	create := "-- why\nCREATE TABLE IF NOT EXISTS alerts (a Int8) ENGINE = ReplacingMergeTree(version) ORDER BY a SETTINGS non_replicated_deduplication_window = 10000, x = 1"
	f(Cluster{}, create, create)
	f(keeper, create,
		"-- why\nCREATE TABLE IF NOT EXISTS alerts_local ON CLUSTER 'c' (a Int8) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/d/alerts', '{replica}', version) ORDER BY a SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800, x = 1",
		"CREATE TABLE IF NOT EXISTS alerts ON CLUSTER 'c' AS alerts_local\nENGINE = Distributed('c', 'd', 'alerts_local', cityHash64(dedup_key))")
	f(Cluster{Name: "c", Database: "d"}, create,
		"-- why\nCREATE TABLE IF NOT EXISTS alerts_local (a Int8) ENGINE = ReplacingMergeTree(version) ORDER BY a SETTINGS non_replicated_deduplication_window = 10000, x = 1",
		"CREATE TABLE IF NOT EXISTS alerts AS alerts_local\nENGINE = Distributed('c', 'd', 'alerts_local', cityHash64(dedup_key))")
	f(keeper, "CREATE TABLE IF NOT EXISTS events_1h AS events_1m\nENGINE = AggregatingMergeTree ORDER BY a",
		"CREATE TABLE IF NOT EXISTS events_1h_local ON CLUSTER 'c' AS events_1m_local\nENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/d/events_1h', '{replica}') ORDER BY a",
		"CREATE TABLE IF NOT EXISTS events_1h ON CLUSTER 'c' AS events_1h_local\nENGINE = Distributed('c', 'd', 'events_1h_local')")
	f(keeper, "CREATE TABLE IF NOT EXISTS schema_migrations (a Int8) ENGINE = MergeTree ORDER BY a",
		"CREATE TABLE IF NOT EXISTS schema_migrations ON CLUSTER 'c' (a Int8) ENGINE = ReplicatedMergeTree('/clickhouse/tables/all/d/schema_migrations', '{shard}-{replica}') ORDER BY a")
	f(keeper, "CREATE MATERIALIZED VIEW IF NOT EXISTS x_mv TO x AS SELECT 1 FROM (SELECT 2\nFROM events AS e)",
		"CREATE MATERIALIZED VIEW IF NOT EXISTS x_mv ON CLUSTER 'c' TO x_local AS SELECT 1 FROM (SELECT 2\nFROM events_local AS e)")
	f(keeper, "CREATE OR REPLACE VIEW v AS SELECT * FROM events FINAL", "CREATE OR REPLACE VIEW v ON CLUSTER 'c' AS SELECT * FROM events FINAL")
	f(keeper, "ALTER TABLE alerts\n    ADD COLUMN b Int8", "ALTER TABLE alerts_local ON CLUSTER 'c'\n    ADD COLUMN b Int8", "ALTER TABLE alerts ON CLUSTER 'c'\n    ADD COLUMN b Int8")
	f(keeper, "ALTER TABLE alerts MODIFY TTL a", "ALTER TABLE alerts_local ON CLUSTER 'c' MODIFY TTL a")

	if _, err := keeper.Statements(Migration{Version: 7, Name: "x", Statements: []string{"SYSTEM STOP MERGES"}}); err == nil ||
		err.Error() != "migration 0007_x, statement 1: neither CREATE nor ALTER: not known on a cluster" {
		t.Errorf("error %v", err)
	}
}

// Every migration that there is can be made on a cluster.
func TestMigrationsOnACluster(t *testing.T) {
	all, err := Migrations()
	if err != nil {
		t.Fatal(err)
	}
	c := Cluster{Name: "c", Database: "d", Keeper: true}
	sharded := map[string]bool{}
	for _, m := range all {
		statements, err := c.Statements(m)
		if err != nil {
			t.Error(err)
		}
		for _, s := range statements {
			if !strings.Contains(s, " ON CLUSTER 'c'") || strings.Contains(s, window) || strings.Contains(s, "ENGINE = ") != (strings.Contains(s, "ENGINE = Replicated") || strings.Contains(s, "ENGINE = Distributed")) {
				t.Errorf("migration %04d_%s:\n%s", m.Version, m.Name, s)
			}
			for table, by := range shardBy {
				sharded[table] = sharded[table] || strings.Contains(s, "'"+table+"_local', "+by+")")
			}
		}
	}
	for table, ok := range sharded {
		if !ok {
			t.Errorf("no table %s is made by shard", table)
		}
	}
}
