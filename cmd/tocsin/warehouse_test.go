package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/console"
	"github.com/tocsin-project/tocsin/pipeline/console/consoletest"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
	"github.com/tocsin-project/tocsin/processors/parse"
	"github.com/tocsin-project/tocsin/sql"
)

// leftBehind opens the warehouse that a demo has left in a folder, and writes a configuration for it.
func leftBehind(t *testing.T, dir string) (db *clickhouse.DB, config string) {
	t.Helper()
	server, err := embedded.StartClickHouse(t.Context(), embedded.ClickHouseConfig{Dir: filepath.Join(dir, "clickhouse")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.Background()) }) // its data is the test's
	config = filepath.Join(dir, "left.yaml")
	if err := os.WriteFile(config, []byte("clickhouse: {addrs: [\""+server.TCPAddr+"\"]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := LoadConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if db, err = clickhouse.Open(t.Context(), cfg.clickhouse()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db, config
}

// warehouseRequirements asks what the mission requires of the warehouse of what went through the whole pipeline.
func warehouseRequirements(t *testing.T, db *clickhouse.DB, config string) {
	var from, to time.Time
	var commit, digest string
	if err := db.QueryRow(t.Context(), "SELECT min(event_time), max(event_time), anyIf(commit_sha, commit_sha != ''), anyIf(artifact_digest, artifact_digest != '') FROM events").Scan(&from, &to, &commit, &digest); err != nil {
		t.Fatal(err)
	}
	admin, err := console.New(console.Config{Listen: "127.0.0.1:0", DB: db})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- admin.Serve(ctx) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	base := strings.TrimSuffix(admin.URL(), "/")
	// panel returns the rows of a panel of the front page over the whole story.
	panel := func(t *testing.T, id int) (rows [][]any) {
		t.Helper()
		query := url.Values{"dashboard": {"tocsin-overview"}, "panel": {strconv.Itoa(id)}, "ref": {"A"}, "from": {strconv.FormatInt(from.UnixMilli(), 10)}, "to": {strconv.FormatInt(to.UnixMilli()+1, 10)}}
		resp, err := http.Get(base + "/api/query?" + query.Encode())
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var result struct{ Rows [][]any }
		if err := json.NewDecoder(resp.Body).Decode(&result); err != nil {
			t.Fatal(err)
		}
		return result.Rows
	}
	number := func(t *testing.T, query string, args ...any) (n uint64) {
		t.Helper()
		if err := db.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return n
	}
	tocsin := func(t *testing.T, args ...string) string {
		t.Helper()
		out := &bytes.Buffer{}
		root := newRoot()
		root.SetArgs(args)
		root.SetOut(out)
		root.SetErr(&bytes.Buffer{})
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Errorf("tocsin %s: %v", strings.Join(args, " "), err)
		}
		return out.String()
	}

	t.Run("R01 one place for all phases", func(t *testing.T) {
		if n := number(t, "SELECT uniqExact(phase) FROM v_events WHERE project = 'payments' AND phase != 'unknown'"); n != 8 {
			t.Errorf("%d phases of one project, want 8", n)
		}
		tiles := map[string]float64{}
		for _, row := range panel(t, 1) {
			tiles[row[1].(string)] += row[2].(float64)
		}
		for phase, events := range tiles {
			if events == 0 {
				t.Errorf("the tile of %s is empty", phase)
			}
		}
		if len(tiles) != 8 {
			t.Errorf("%d tiles, want 8: %v", len(tiles), tiles)
		}
	})

	t.Run("R30 from records to alerts", func(t *testing.T) {
		records, rows := number(t, "SELECT uniqExact(kafka_topic, kafka_partition, kafka_offset) FROM events WHERE source = 'pandora-agent-xml'"),
			number(t, "SELECT count() FROM events WHERE source = 'pandora-agent-xml' AND metric_name != ''")
		if records == 0 || rows != 3*records {
			t.Errorf("%d measures of %d records of Pandora FMS with 3 modules each", rows, records)
		}
		rowsOf := panel(t, 9)
		if len(rowsOf) != 1 {
			t.Fatalf("the panel has %d rows", len(rowsOf))
		}
		events, failures, alerts := rowsOf[0][0].(float64), rowsOf[0][1].(float64), rowsOf[0][3].(float64)
		if !(events > failures && failures > alerts && alerts > 0) {
			t.Errorf("%v events, %v failures, %v alerts: want each to be fewer", events, failures, alerts)
		}
	})

	t.Run("R31 R70 every panel answers", func(t *testing.T) {
		consoletest.Dashboards(t, base, consoletest.Range{From: from, To: to.Add(time.Second), Vars: map[string]string{"id": "203.0.113.7"}}, false)
	})

	t.Run("R32 whatever is asked", func(t *testing.T) {
		least := map[string]int{"events": 90, "events_1m": 400, "events_1h": 400, "alerts": 400}
		for _, a := range sql.Agings {
			if a.Days < least[a.Table] {
				t.Errorf("%s is kept for %d days, want %d", a.Table, a.Days, least[a.Table])
			}
		}
		for where, value := range map[string]string{"commit_sha = ?": commit, "src_ip = toIPv6(?)": "203.0.113.7", "artifact_digest = ?": digest} {
			if number(t, "SELECT count() FROM v_events WHERE "+where, value) == 0 {
				t.Errorf("v_events has nothing where %s is %s", where, value)
			}
		}
	})

	t.Run("R71 every question has an answer", func(t *testing.T) {
		queries, err := sql.Queries()
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range queries {
			if out := tocsin(t, "sql", "-c", config, q.Name); strings.Count(out, "\n") < 1 {
				t.Errorf("tocsin sql %s prints %q", q.Name, out)
			}
		}
	})

	t.Run("R47 backup and restore", func(t *testing.T) {
		out := tocsin(t, "backup", "-c", config, "--to", "File('r47')")
		parser, err := parse.New(parse.Config{})
		if err != nil {
			t.Fatal(err)
		}
		b := &pipeline.Batch{Records: []pipeline.Record{{Value: []byte(out), Time: time.Now()}}}
		if err := parser.Process(t.Context(), b); err != nil || len(b.Events) != 1 || b.Events[0].Type != "backup.finished" || b.Events[0].Outcome != pipeline.OutcomeSuccess {
			t.Fatalf("the backup says %s: %v, %+v", out, err, b.Events)
		}
		tables := []string{"events", "events_1m", "events_1h", "alerts", "findings", "entity_links", "db_growth"}
		var before []uint64
		for _, table := range tables {
			before = append(before, number(t, fmt.Sprintf("SELECT count() FROM %s FINAL", table)))
		}
		if err := db.Exec(t.Context(), "DROP DATABASE tocsin SYNC"); err != nil {
			t.Fatal(err)
		}
		tocsin(t, "restore", "-c", config, "--from", "File('r47')")
		for i, table := range tables {
			if got := number(t, fmt.Sprintf("SELECT count() FROM tocsin.%s FINAL", table)); got != before[i] || got == 0 {
				t.Errorf("%s came back with %d rows, want %d", table, got, before[i])
			}
		}
	})
}
