package clickhouse

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse/clustertest"
	"github.com/tocsin-project/tocsin/sql"
)

// A server of two is killed again and again while blocks come in: both have every row once, and there is always one that
// answers.
func TestClusterWithAKilledNode(t *testing.T) {
	const kills = 3
	nodes, addrs := clustertest.Start(t, 2)
	db := open(t, Config{Addrs: addrs, Cluster: clustertest.Mirror, Database: "c", Conns: 2})
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if plan, err := db.Plan(t.Context()); err != nil || len(plan) > 0 {
		t.Errorf("plan after migrating: %q, error %v", plan, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stop := hammer(ctx, t, db, 2, 2000)
	rng := rand.New(rand.NewPCG(3, 10))
	for i := range kills {
		time.Sleep(time.Duration(200+rng.IntN(300)) * time.Millisecond)
		node := nodes[(i+1)%2]
		node.Kill()
		number(t, db, "SELECT sum(n) FROM v_events_1m") // whom a dashboard asks
		node.Start()
	}
	want, retries := stop()
	for _, addr := range addrs {
		one := open(t, Config{Addrs: []string{addr}, Database: "c"})
		for _, query := range []string{"SELECT count() FROM events_local", "SELECT sum(n) FROM events_1m_local", "SELECT sum(n) FROM events_1h_local", "SELECT sum(rows) FROM ledger_local", "SELECT count() FROM events"} {
			if got := number(t, one, query); got != want {
				t.Errorf("%s: %s: %d, want %d", addr, query, got, want)
			}
		}
	}
	if retries == 0 {
		t.Errorf("no INSERT had to be retried in %d kills: the test shows nothing", kills)
	}
	t.Logf("%d rows, %d kills, %d retries", want, kills, retries)
}

// Two shards: a chunk goes to one, however often and through whichever server it is sent. Analysts' questions need no word
// about the cluster.
func TestClusterOfShards(t *testing.T) {
	_, addrs := clustertest.Start(t, 2)
	cfg := Config{Addrs: addrs, Cluster: clustertest.Shards, Database: "c"}
	db := open(t, cfg)
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := refusals(t, db, usual); len(got) > 0 {
		t.Errorf("what tocsin has made itself is refused: %v", got)
	}
	second := open(t, Config{Addrs: addrs[1:], Database: "c"})
	if err := second.Exec(t.Context(), "ALTER TABLE events_1h_local MODIFY SETTING non_replicated_deduplication_window = 0"); err != nil {
		t.Fatal(err)
	}
	if got := refusals(t, db, usual); len(got) != 1 || !strings.Contains(got[0].What, addrs[1]) || second.Exec(t.Context(), got[0].Mend) != nil {
		t.Errorf("one server's table remembers no blocks: %v", got)
	}
	cfg.Addrs = []string{addrs[1], addrs[0]}
	other := open(t, cfg)
	const partitions, rows = 8, 500
	for _, through := range []*DB{db, other, db} {
		s := through.EventSink()
		for p := range int32(partitions) {
			c := chunk(0, rows, 0)
			c.Partition = p
			store(t, s, ofPartition(p, typical(0, rows)), c)
		}
		_ = s.Close()
		alerts := through.AlertSink()
		store(t, alerts, alertBatch(t, 20), chunk(0, 40, 0))
		_ = alerts.Close()
	}
	for query, want := range map[string]uint64{
		"SELECT count() FROM events":                                partitions * rows,
		"SELECT sum(n) FROM events_1m":                              partitions * rows,
		"SELECT sum(n) FROM v_events_1d":                            partitions * rows,
		"SELECT sum(rows) FROM ledger":                              partitions * rows,
		"SELECT uniqExact(kafka_partition, _shard_num) FROM events": partitions,
		"SELECT uniqExact(_shard_num) FROM events":                  2,
		"SELECT count() FROM v_alerts":                              20,
		"SELECT min(version) FROM v_alerts":                         2,
		"SELECT count() FROM alert_versions":                        40,
		"SELECT uniqExact(_shard_num) FROM alerts":                  2,
	} {
		for _, through := range []*DB{db, other} {
			if got := number(t, through, query); got != want {
				t.Errorf("%s: %d, want %d", query, got, want)
			}
		}
	}
	queries, err := sql.Queries()
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queries {
		params := map[string]any{}
		for _, p := range q.Params {
			params[p.Name] = p.Default
		}
		if _, _, err := db.QueryJSON(t.Context(), q.Text, params, limits); err != nil {
			t.Errorf("%s: %v", q.Name, err)
		}
	}
	for _, view := range []string{"v_dead_letters_open", "v_rule_precision", "v_findings", "v_entity_links", "v_campaigns", "v_attributed"} {
		number(t, db, "SELECT count() FROM "+view)
	}
}

// alertBatch is n alerts, each in two versions.
func alertBatch(t *testing.T, n int) *pipeline.Batch {
	t.Helper()
	b := &pipeline.Batch{TopicPartition: partition0}
	for i := range 2 * n {
		a := &pipeline.Alert{
			ID: pipeline.NewID("alert", fmt.Sprint(i/2)), Version: uint64(i%2 + 1), Status: pipeline.StatusFiring, Team: pipeline.TeamSec, Class: pipeline.ClassNormal,
			Visibility: pipeline.VisibilityTeam, Rule: "C02", Severity: 4, Title: "t", DedupKey: fmt.Sprint("C02|", i/2), FirstEventTime: noon, LastEventTime: noon,
		}
		value, err := pipeline.EncodeAlert(a, "test", noon)
		if err != nil {
			t.Fatal(err)
		}
		b.Records = append(b.Records, pipeline.Record{Offset: int64(i), Time: noon, Value: value})
	}
	return b
}

func TestClusterIsChecked(t *testing.T) {
	f := func(cfg Config, want string) {
		t.Helper()
		err := open(t, cfg).Migrate(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	f(Config{Cluster: "nowhere", Database: "c1"}, "cluster nowhere is not in the server's remote_servers, which has [")
	f(Config{Cluster: "mirrored", Database: "c1", Keeper: true}, "cluster mirrored: internal_replication must be true")
}
