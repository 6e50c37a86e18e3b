package console

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
)

var warehouse *embedded.ClickHouse // shared by all tests; a database each

func TestMain(m *testing.M) {
	embedded.MaybeChild()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "tocsin-console-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if warehouse, err = embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{Dir: dir}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer warehouse.Stop(context.Background())
		return m.Run()
	}())
}

var databases atomic.Int32

// migrated returns an empty, up-to-date database of its own.
func migrated(t testing.TB) *clickhouse.DB {
	t.Helper()
	db, err := clickhouse.Open(t.Context(), clickhouse.Config{Addrs: []string{warehouse.TCPAddr}, Database: fmt.Sprintf("console_%d", databases.Add(1))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

// serve returns the URL of a running server, without the last slash.
func serve(t testing.TB, cfg Config) string {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	cfg.Log = zaptest.NewLogger(t)
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + s.Addr()
}

// answer is the head of an answer.
type answer struct {
	StatusCode int
	Header     http.Header
}

// get returns the answer to a request, which change may alter first, and its body.
func get(t testing.TB, url string, change func(*http.Request)) (answer, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header}, string(body)
}
