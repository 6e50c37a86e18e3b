package clickhouse

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline/embedded"
)

var (
	server    *embedded.ClickHouse // shared by all tests; a database each
	serverDir string
)

func TestMain(m *testing.M) {
	embedded.MaybeChild()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "tocsin-clickhouse-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		serverDir = dir
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if server, err = embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{Dir: dir, More: more}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer server.Stop(context.Background())
		return m.Run()
	}())
}

var databases atomic.Int32

// open returns a DB on a database of its own, not migrated.
func open(t testing.TB, cfg Config) *DB {
	t.Helper()
	if cfg.Addrs == nil {
		cfg.Addrs = []string{server.TCPAddr}
	}
	if cfg.Database == "" {
		cfg.Database = fmt.Sprintf("test_%d", databases.Add(1))
	}
	db, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// migrated returns a DB on an empty, up-to-date database of its own.
func migrated(t testing.TB) *DB {
	t.Helper()
	db := open(t, Config{})
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

// number returns the result of a query that gives one UInt64.
func number(t testing.TB, db *DB, query string, args ...any) (n uint64) {
	t.Helper()
	if err := db.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}
