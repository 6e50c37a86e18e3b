package clickhouse

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
)

// Each user of deploy/clickhouse does its work, and tries what it must not.
func TestUsersCanDoTheirWorkAndNoMore(t *testing.T) {
	users, err := os.ReadFile("../../deploy/clickhouse/users.d/tocsin.xml")
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte("bell"))
	for _, name := range []string{"INGEST", "BACKUP", "GRAFANA", "ANALYST", "SEC"} {
		t.Setenv("TOCSIN_"+name+"_SHA256", hex.EncodeToString(hash[:]))
	}
	dir := t.TempDir()
	for path, text := range map[string]string{
		"users.d/tocsin.xml":  string(users),
		"config.d/access.xml": "<clickhouse><access_control_improvements><settings_constraints_replace_previous>true</settings_constraints_replace_previous></access_control_improvements></clickhouse>",
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop(context.Background())
	as := func(user string) *DB {
		return open(t, Config{Addrs: []string{c.TCPAddr}, Database: "tocsin", User: user, Password: "bell"})
	}

	ingest := as("tocsin_ingest")
	if err := ingest.Migrate(ctx); err != nil {
		t.Fatalf("tocsin_ingest cannot migrate: %v", err)
	}
	if got := refusals(t, ingest, usual); len(got) > 0 {
		t.Errorf("tocsin_ingest is refused: %v", got)
	}
	if got := refusals(t, as("tocsin_sec"), usual); len(got) != len(sinkTables) || !strings.Contains(got[0].Mend, "GRANT INSERT ON `tocsin`.`events` TO `tocsin_sec`") {
		t.Errorf("a user who may only read: %v", got)
	}
	s := ingest.EventSink()
	defer s.Close()
	b := typical(0, 10)
	b.Events[3].Type, b.Events[3].Campaign = "campaign.declared", "red"
	b.Events[3].SetAttr("campaign.addresses", "203.0.113.0/24 2001:db8::/33")
	b.Events[3].SetAttr("campaign.from", noon.Add(-time.Hour).Format(time.RFC3339))
	store(t, s, b, chunk(0, 10, 0))
	alerts := ingest.AlertSink()
	defer alerts.Close()
	forTeam, forSec := fullAlert(), fullAlert()
	forTeam.ID, forTeam.Visibility = partition0.ID, pipeline.VisibilityTeam
	encode := func(a *pipeline.Alert) []byte { return must(t)(pipeline.EncodeAlert(a, "test", noon)) }
	store(t, alerts, records(encode(forTeam), encode(forSec)), chunk(0, 2, 0))

	root := open(t, Config{Addrs: []string{c.TCPAddr}, Database: "tocsin"})
	if err := root.server.Exec(ctx, "CREATE DATABASE others"); err != nil {
		t.Fatal(err)
	}
	if err := root.server.Exec(ctx, "CREATE TABLE others.t ENGINE = Memory AS SELECT 1 AS x"); err != nil {
		t.Fatal(err)
	}

	rows := func(user, query string, want uint64) {
		t.Helper()
		var got uint64
		if err := as(user).QueryRow(ctx, query).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %s: %d, %v; want %d", user, query, got, err, want)
		}
	}
	for _, user := range []string{"tocsin_grafana", "tocsin_analyst"} {
		rows(user, "SELECT count() FROM v_events", 9)
		rows(user, "SELECT count() FROM v_alerts", 1)
		rows(user, "SELECT count() FROM v_campaigns", 0)
		rows(user, "SELECT count() FROM v_attributed", 0)
	}
	rows("tocsin_sec", "SELECT count() FROM v_attributed WHERE by = 'address' AND campaign = 'red'", 9)
	rows("tocsin_sec", "SELECT count() FROM v_events", 10)
	rows("tocsin_sec", "SELECT count() FROM v_alerts", 2)
	rows("tocsin_grafana", "SELECT count() FROM v_alerts SETTINGS max_execution_time = 59", 1)
	rows("tocsin_analyst", "SELECT count() FROM v_alerts SETTINGS max_threads = 1", 1)
	if _, err := as("tocsin_backup").Backup(ctx, "File('x')", ""); err != nil {
		t.Errorf("tocsin_backup cannot back up: %v", err)
	}

	refused := func(user, statement, with string) {
		t.Helper()
		err := as(user).Exec(ctx, statement)
		if err == nil || !strings.Contains(err.Error(), with) {
			t.Errorf("%s: %s: %v, want a refusal with %q", user, statement, err, with)
		}
	}
	for _, user := range []string{"tocsin_grafana", "tocsin_analyst", "tocsin_sec"} {
		refused(user, "INSERT INTO ledger (kafka_topic) VALUES ('x')", "rivileges")
		refused(user, "DROP TABLE events", "rivileges")
		refused(user, "ALTER TABLE events DELETE WHERE 1", "rivileges")
		refused(user, "SELECT * FROM others.t", "rivileges")
		refused(user, "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'x String')", "rivileges")
		refused(user, "SELECT 1 SETTINGS readonly = 0", "readonly")
	}
	refused("tocsin_grafana", "SELECT 1 SETTINGS max_memory_usage = 0", "readonly")
	refused("tocsin_grafana", "SELECT 1 SETTINGS max_execution_time = 61", "max_execution_time")
	refused("tocsin_analyst", "SELECT 1 SETTINGS max_execution_time = 0", "max_execution_time")
	refused("tocsin_analyst", "SELECT 1 SETTINGS max_memory_usage = 0", "max_memory_usage")
	refused("tocsin_ingest", "SELECT * FROM others.t", "rivileges")
	refused("tocsin_ingest", "DROP DATABASE tocsin", "rivileges")
	refused("tocsin_backup", "DROP TABLE events", "rivileges")
	refused("tocsin_backup", "INSERT INTO ledger (kafka_topic) VALUES ('x')", "rivileges")
	if _, err := Open(ctx, Config{Addrs: []string{c.TCPAddr}, User: "tocsin_sec", Password: "wrong"}); err == nil {
		t.Error("a wrong password lets in")
	}
}
