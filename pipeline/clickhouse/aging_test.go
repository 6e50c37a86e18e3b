package clickhouse

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/sql"
)

// more is what the server's configuration has besides: a second volume, to which nothing goes because the disk is nearly full, and a
// cluster whose servers have no Keeper. TestMain writes it.
const more = `<clickhouse><remote_servers>
	<mirrored><shard><internal_replication>false</internal_replication><replica><host>127.0.0.1</host><port>9000</port></replica></shard></mirrored>
</remote_servers><storage_configuration>
	<disks><slow><path>slow/</path></slow></disks>
	<policies><tiered><volumes>
		<default><disk>default</disk></default>
		<cold><disk>slow</disk></cold>
	</volumes><move_factor>0</move_factor></tiered></policies>
</storage_configuration></clickhouse>`

// sql.Agings is what the migrations say, table by table.
func TestAgingsAreTheMigrations(t *testing.T) {
	db := migrated(t)
	want := map[string]string{}
	for _, a := range sql.Agings {
		want[a.Table] = a.TTL(a.Days, "", 0)
	}
	rows, err := db.Query(t.Context(), "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, engine string
		if err := rows.Scan(&name, &engine); err != nil {
			t.Fatal(err)
		}
		got := ""
		if m := ttlClause.FindStringSubmatch(engine); m != nil {
			got = m[1]
		}
		if got != want[name] {
			t.Errorf("table %s has TTL %q, sql.Agings says %q", name, got, want[name])
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("there is no table %s", name)
	}
}

func TestTablesAgeAsConfigured(t *testing.T) {
	defaults := migrated(t)
	cfg := defaults.cfg
	cfg.KeepDays = map[string]int{"events": 120, "ledger": 30}
	cfg.Tier = Tier{Policy: "tiered", Volume: "cold", Days: map[string]int{"events": 14}}
	db := open(t, cfg)
	plan, err := db.Plan(t.Context())
	want := []string{
		"ALTER TABLE events MODIFY SETTING storage_policy = 'tiered'",
		"ALTER TABLE events MODIFY TTL toDateTime(event_time) + toIntervalDay(14) TO VOLUME 'cold', toDateTime(event_time) + toIntervalDay(120)",
		"ALTER TABLE ledger MODIFY TTL day + toIntervalDay(30)",
	}
	if err != nil || !slices.Equal(plan, want) {
		t.Errorf("error %v, plan\n%s\nwant\n%s", err, strings.Join(plan, "\n"), strings.Join(want, "\n"))
	}
	for range 2 {
		if err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if plan, err := db.Plan(t.Context()); err != nil || len(plan) > 0 {
			t.Errorf("error %v, plan after migrating %q, want none", err, plan)
		}
	}

	// What comes in goes where its age belongs.
	s := db.EventSink()
	defer s.Close()
	store(t, s, typical(0, 10), chunk(0, 10, 0))
	store(t, s, aged(20, 10, 10), chunk(10, 20, 0))
	for disk, rows := range map[string]uint64{"default": 10, "slow": 10} {
		if got := number(t, db, "SELECT sum(rows) FROM system.parts WHERE database = currentDatabase() AND table = 'events' AND active AND disk_name = ?", disk); got != rows {
			t.Errorf("%d rows on disk %s, want %d", got, disk, rows)
		}
	}

	// Without its lines in the configuration a table ages as before.
	if err := defaults.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if plan, err := defaults.Plan(t.Context()); err != nil || len(plan) > 0 {
		t.Errorf("error %v, plan %q, want none", err, plan)
	}
	if plan, err := db.Plan(t.Context()); err != nil || !slices.Equal(plan, want[1:]) {
		t.Errorf("error %v, plan %q, want %q", err, plan, want[1:])
	}
}

// aged returns events that happened and reached Kafka some days ago, as a topic has them that is read anew.
func aged(days int, from int64, n int) *pipeline.Batch {
	b := typical(from, n)
	for i := range b.Events {
		e := &b.Events[i]
		e.Time, e.IngestTime = e.Time.AddDate(0, 0, -days), e.IngestTime.AddDate(0, 0, -days)
	}
	return b
}

// What is written late counts where it is young enough: rollups keep longer than events. Sent again, it counts once.
func TestBackfill(t *testing.T) {
	db := migrated(t)
	s := db.EventSink()
	defer s.Close()
	batches := []*pipeline.Batch{aged(95, 0, 100), aged(85, 100, 100), aged(450, 200, 100)}
	for range 2 {
		for i, b := range batches {
			store(t, s, b, chunk(int64(i*100), int64(i*100+100), 0))
		}
	}
	day := noon.AddDate(0, 0, -95).Add(-time.Minute).Unix()
	for query, want := range map[string]uint64{
		"SELECT count() FROM v_events":                                        100, // 90 days
		"SELECT sum(n) FROM v_events_1m":                                      200, // 400 days
		"SELECT sum(n) FROM v_events_1h":                                      300, // ten years
		"SELECT sum(rows) FROM ledger":                                        200,
		"SELECT sum(n) FROM v_events_1m WHERE ts < toDateTime(?) + 86400":     100,
		"SELECT sum(n) FROM v_events_1h WHERE ts < toDateTime(?) - 100*86400": 100,
	} {
		var args []any
		if strings.Contains(query, "?") {
			args = append(args, day)
		}
		if got := number(t, db, query, args...); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}

	// Raise the days first, then fill: with another epoch the same records are written again.
	cfg := db.cfg
	cfg.KeepDays = map[string]int{"events": 100}
	longer := open(t, cfg)
	if err := longer.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	store(t, s, batches[0], chunk(0, 100, 1))
	if got := number(t, db, "SELECT count() FROM v_events"); got != 200 {
		t.Errorf("%d events with 100 days, want 200", got)
	}
}

func TestAgingRefuses(t *testing.T) {
	err := Config{
		KeepDays: map[string]int{"events": 10, "evnets": 5, "alerts": 0},
		Tier:     Tier{Policy: "a b", Days: map[string]int{"events": 14}},
		Cluster:  "c", Database: "x-y",
	}.Check()
	want := `clickhouse.database: "x-y", want letters, digits and _ only on a cluster
clickhouse.keep_days.alerts: 0, want 1 to 36500
clickhouse.keep_days: no table is named "evnets"; there are events, events_1m, events_1h, ledger, alerts, alert_versions, alert_controls, db_growth, dead_letters, dead_letters_settled, entity_links
clickhouse.tier.after_days.events: 14, which is no less than the 10 days that its rows are kept
clickhouse.tier: policy "a b" and volume "", want the names of the server's storage_configuration`
	if err == nil || err.Error() != want {
		t.Errorf("error\n%v\nwant\n%s", err, want)
	}
}
