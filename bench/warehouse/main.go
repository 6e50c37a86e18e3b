// Command warehouse measures the tables: `go run ./bench/warehouse size` what an event costs to store, in bytes and in the
// server's processor time, and which view and index costs what; `go run ./bench/warehouse scale -rows 100000000` how long each
// panel of the dashboards and each question about one entity takes on so many events. Both start a ClickHouse of their own.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
)

func main() {
	embedded.MaybeChild()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	commands := map[string]func(context.Context, []string) error{"size": size, "scale": scale}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: warehouse size|scale [flags]")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](ctx, os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "warehouse:", err)
		os.Exit(1)
	}
}

// number returns the result of a query that gives one UInt64.
func number(ctx context.Context, db *clickhouse.DB, query string, args ...any) (n uint64, err error) {
	if err := db.QueryRow(ctx, query, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("%s: %w", query, err)
	}
	return n, nil
}

// served is the processor time that the server has used for queries and merges so far, in microseconds.
func served(ctx context.Context, db *clickhouse.DB) (uint64, error) {
	return number(ctx, db, "SELECT toUInt64(sum(value)) FROM system.events WHERE event = 'OSCPUVirtualTimeMicroseconds'")
}
