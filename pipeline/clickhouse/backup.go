package clickhouse

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Backup is what a backup holds.
type Backup struct {
	Destination string // as ClickHouse writes it: Disk('backups', 'x'), File('/x'), S3('url', 'key', 'secret')
	Base        string // destination that it continues; empty for a full one
	Files       uint64 // of its own, without the base
	Bytes       uint64 // likewise, as stored
	Took        time.Duration
	Tables      []TableCheck // by name; only those that hold something
}

// TableCheck is what is compared of one table: rows as its view counts them, and the sum of what they count.
type TableCheck struct {
	Table string
	Rows  uint64
	Sum   uint64 // of column n; 0 where there is none
}

// Backup writes the whole database to a destination of ClickHouse's own BACKUP and reads it back: it restores the backup
// into a database beside this one, compares every table's rows and sums with what was there before and after the
// backup, and drops it again. Events may come in meanwhile. Base makes it incremental.
//
// https://clickhouse.com/docs/operations/backup
func (db *DB) Backup(ctx context.Context, destination, base string) (b Backup, err error) {
	b = Backup{Destination: destination, Base: base}
	start := time.Now()
	before, err := db.tables(ctx, db.cfg.Database)
	if err != nil {
		return b, fmt.Errorf("backup: %w", err)
	}
	statement := "BACKUP DATABASE " + quote(db.cfg.Database) + " TO " + destination
	var settings []string
	if base != "" {
		settings = append(settings, "base_backup = "+base)
	}
	if b.Files, b.Bytes, err = db.operate(ctx, statement, settings, "BACKUP_CREATED"); err != nil {
		return b, fmt.Errorf("backup to %s: %w", maskArguments(destination), err)
	}
	after, err := db.tables(ctx, db.cfg.Database)
	if err != nil {
		return b, fmt.Errorf("backup: %w", err)
	}
	scratch := fmt.Sprintf("%s_verify_%d", db.cfg.Database, start.UnixNano())
	defer func() {
		if dropErr := db.server.Exec(context.WithoutCancel(ctx), "DROP DATABASE IF EXISTS "+quote(scratch)+" SYNC"); err == nil && dropErr != nil {
			err = fmt.Errorf("backup: drop the database that it was verified in: %w", dropErr)
		}
	}()
	if err := db.Restore(ctx, destination, scratch); err != nil {
		return b, fmt.Errorf("verify the backup: %w", err)
	}
	restored, err := db.tables(ctx, scratch)
	if err != nil {
		return b, fmt.Errorf("verify the backup: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(restored)) {
		got := restored[name]
		if got.Rows > 0 {
			b.Tables = append(b.Tables, got)
		}
		low, high := before[name], after[name]
		if !within(got.Rows, low.Rows, high.Rows) || !within(got.Sum, low.Sum, high.Sum) {
			return b, fmt.Errorf("verify the backup: table %s came back with %d rows that count %d; before it was %d and %d, after it %d and %d",
				name, got.Rows, got.Sum, low.Rows, low.Sum, high.Rows, high.Sum)
		}
	}
	for name := range before {
		if _, ok := restored[name]; !ok {
			return b, fmt.Errorf("verify the backup: table %s did not come back", name)
		}
	}
	b.Took = time.Since(start)
	return b, nil
}

func within(n, a, b uint64) bool { return min(a, b) <= n && n <= max(a, b) }

// Restore reads a backup into a database; what its tables hold already stays, and is an error if the backup holds rows of
// the same table.
func (db *DB) Restore(ctx context.Context, destination, into string) error {
	statement := "RESTORE DATABASE " + quote(db.cfg.Database) + " AS " + quote(into) + " FROM " + destination
	if _, _, err := db.operate(ctx, statement, nil, "RESTORED"); err != nil {
		return fmt.Errorf("restore from %s into %s: %w", maskArguments(destination), into, err)
	}
	return nil
}

// operate runs a BACKUP or RESTORE in the background of the server, for as long as it takes, and waits for its end.
func (db *DB) operate(ctx context.Context, statement string, settings []string, done string) (files, bytes uint64, err error) {
	id := uuid.NewString()
	settings = append(settings, "id = '"+id+"'")
	if err := db.server.Exec(ctx, statement+" SETTINGS "+strings.Join(settings, ", ")+" ASYNC"); err != nil {
		return 0, 0, err
	}
	for {
		var status, failure string
		if err := db.server.QueryRow(ctx, "SELECT toString(status), error, num_entries, compressed_size FROM system.backups WHERE id = ?", id).Scan(&status, &failure, &files, &bytes); err != nil {
			return 0, 0, err
		}
		switch {
		case status == done:
			return files, bytes, nil
		case strings.HasSuffix(status, "FAILED") || strings.HasSuffix(status, "CANCELLED"):
			failure, _, _ = strings.Cut(failure, ", Stack trace")
			return 0, 0, fmt.Errorf("%s: %s", status, failure)
		}
		select {
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// tables counts what the tables of a database hold.
func (db *DB) tables(ctx context.Context, database string) (map[string]TableCheck, error) {
	rows, err := db.server.Query(ctx, `
		SELECT t.name, t.engine, countIf(c.name = 'n') > 0
		FROM system.tables AS t LEFT JOIN system.columns AS c ON c.database = t.database AND c.table = t.name
		WHERE t.database = ? AND t.engine LIKE '%MergeTree' GROUP BY t.name, t.engine ORDER BY t.name`, database)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	checks := map[string]TableCheck{}
	queries := map[string]string{}
	for rows.Next() {
		var name, engine string
		var counts bool
		if err := rows.Scan(&name, &engine, &counts); err != nil {
			return nil, err
		}
		sum, final := "toUInt64(0)", ""
		if counts {
			sum = "sum(n)"
		}
		if strings.TrimPrefix(engine, "Replicated") != "MergeTree" {
			final = " FINAL" // merges may change how many rows lie there, but not this
		}
		queries[name] = fmt.Sprintf("SELECT count(), %s FROM %s.%s%s", sum, quote(database), quote(name), final)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for name, query := range queries {
		c := TableCheck{Table: name}
		if err := db.server.QueryRow(ctx, query).Scan(&c.Rows, &c.Sum); err != nil {
			return nil, err
		}
		checks[name] = c
	}
	return checks, nil
}

// maskArguments leaves of a destination what no secret is in: S3('url', ...).
func maskArguments(destination string) string {
	if first, _, ok := strings.Cut(destination, ","); ok && !strings.HasPrefix(destination, "Disk(") {
		return first + ", ...)"
	}
	return destination
}
