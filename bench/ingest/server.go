package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
)

// serverLogs is the server's configuration: with -where it notes what inserts, their views and merges took.
func serverLogs() string {
	if !*where {
		return ""
	}
	logs := ""
	for _, name := range []string{"query_log", "query_views_log", "part_log"} {
		logs += fmt.Sprintf("<%[1]s><database>system</database><table>%[1]s</table></%[1]s>", name)
	}
	return "<clickhouse>" + logs + "</clickhouse>"
}

// printServer says what the server's processor time went to. A view's time is the clock's, within its insert.
func printServer(ctx context.Context, db *clickhouse.DB) error {
	if err := db.Exec(ctx, "SYSTEM FLUSH LOGS"); err != nil {
		return err
	}
	million := float64(*events) / 1e6
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, query := range []string{
		`SELECT 'inserts' AS what, count() AS n, sum(written_rows) / n AS size, sum(ProfileEvents['OSCPUVirtualTimeMicroseconds']) / 1e6 AS seconds
			FROM system.query_log WHERE type = 'QueryFinish' AND query_kind = 'Insert'`,
		`SELECT 'other queries' AS what, count() AS n, 0 AS size, sum(ProfileEvents['OSCPUVirtualTimeMicroseconds']) / 1e6 AS seconds FROM system.query_log WHERE type = 'QueryFinish' AND query_kind != 'Insert'`,
		`SELECT concat('view ', view_name) AS what, count() AS n, sum(written_rows) / n AS size, sum(view_duration_ms) / 1e3 AS seconds FROM system.query_views_log GROUP BY what ORDER BY what`,
		`SELECT concat(lower(toString(event_type)), ' of ', table) AS what, count() AS n, sum(rows) / n AS size, sum(ProfileEvents['OSCPUVirtualTimeMicroseconds']) / 1e6 AS seconds FROM system.part_log
			WHERE event_type IN ('MergeParts', 'NewPart') AND database = currentDatabase() GROUP BY what ORDER BY what`,
	} {
		rows, err := db.Query(ctx, "SELECT what, n, toFloat64(size), toFloat64(seconds) FROM ("+query+")")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var what string
			var n uint64
			var size, seconds float64
			if err := rows.Scan(&what, &n, &size, &seconds); err != nil {
				return err
			}
			fmt.Fprintf(w, "%s\t%d times\t%.0f rows each\t%.2f s a million\n", what, n, size, seconds/million)
		}
		if err := rows.Err(); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	return w.Flush()
}
