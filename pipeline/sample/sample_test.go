package sample

import (
	"bytes"
	"context"
	"database/sql"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/parse"
)

// events reads what a sampler wrote, as the pipeline does.
func events(t *testing.T, value []byte) []pipeline.Event {
	t.Helper()
	parser, err := parse.New(parse.Config{})
	if err != nil {
		t.Fatal(err)
	}
	b := &pipeline.Batch{Records: []pipeline.Record{{Time: time.Now(), Value: value, Headers: []pipeline.Header{{Key: "tocsin_source", Value: []byte(Source)}}}}}
	if err := parser.Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if len(b.Failures) > 0 {
		t.Fatalf("refused: %s\nof %s", b.Failures[0].Reason, value)
	}
	return b.Events
}

var (
	named  = regexp.MustCompile(`(?i)\bAS ([a-z_]+)(,|\n|$)`)
	simple = regexp.MustCompile(`(?:SELECT|,) (?:db\.)?(datname|schemaname|relname|n_live_tup)\b`)
)

// TestColumnsAreThoseThatTheParserKnows writes a row with the columns of each query and reads it back.
func TestColumnsAreThoseThatTheParserKnows(t *testing.T) {
	for name, c := range map[string]struct{ query, db, object string }{
		"postgres databases": {postgresDatabases, "shop", ""},
		"postgres tables":    {postgresTables, "shop", "public.orders"},
		"mysql databases":    {mysqlDatabases, "shop", ""},
		"mysql tables":       {mysqlTables, "shop", "orders"},
	} {
		t.Run(name, func(t *testing.T) {
			value := map[string]string{"datname": "shop", "database_name": "shop", "schemaname": "public", "relname": "orders",
				"table_name": "orders", "total_bytes": "8192", "n_live_tup": "3", "table_rows": "3", "xact_commit": "7", "rows": "3"}
			var columns []string
			var values []sql.NullString
			for _, m := range append(simple.FindAllStringSubmatch(c.query, -1), named.FindAllStringSubmatch(c.query, -1)...) {
				if value[m[1]] == "" {
					t.Fatalf("column %s has no value in this test", m[1])
				}
				columns, values = append(columns, m[1]), append(values, sql.NullString{String: value[m[1]], Valid: true})
			}
			s := &Sampler{host: "db-1", capacity: 1 << 30}
			var out bytes.Buffer
			at := time.Date(2026, 11, 23, 7, 1, 18, 5e8, time.UTC)
			s.line(&out, at, columns, values)
			e := events(t, out.Bytes())
			if len(e) != 1 || e[0].Type != "db.size" || e[0].DBName != c.db || e[0].DBObject != c.object || e[0].Value != 8192 || e[0].Host != "db-1" ||
				!e[0].Time.Equal(at) || e[0].Attr("capacity_bytes") != "1073741824" {
				t.Errorf("%+v\nof %s", e, out.Bytes())
			}
		})
	}
}

func TestCheckRepeatsNothingOfADSN(t *testing.T) {
	cfg := Config{Interval: time.Millisecond, Databases: []Database{
		{Driver: "postgres", DSN: "postgres://u:hunter2@host:notaport/db"},
		{Driver: "mysql", DSN: "hunter2@wrong"},
		{Driver: "oracle", Tables: -1, Capacity: -1},
	}}
	err := cfg.Check()
	if err == nil {
		t.Fatal("nothing")
	}
	for _, want := range []string{"sample.topic", "sample.interval", "databases[0].dsn: not of the form", "databases[1].dsn: not of the form",
		`databases[2].driver: "oracle"`, "databases[2].tables", "databases[2].capacity"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not said: %s\nin %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the password is in it: %v", err)
	}
}

// TestAServerThatIsAway: the error says which, and keeps the password to itself.
func TestAServerThatIsAway(t *testing.T) {
	for _, d := range []Database{
		{Driver: "postgres", DSN: "postgres://u:hunter2@127.0.0.1:1/db?connect_timeout=1"},
		{Driver: "mysql", DSN: "u:hunter2@tcp(127.0.0.1:1)/"},
	} {
		s, err := Open(d)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := s.Sample(ctx, time.Now()); err == nil || !strings.Contains(err.Error(), "127.0.0.1") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", d.Driver, err)
		}
	}
}
