package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tocsin-project/tocsin/bench/corpus"
	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
	"github.com/tocsin-project/tocsin/processors/parse"
)

// variants are databases that the same blocks are written to. A plain table has the columns without codecs, indices, views and
// memory of tokens, ordered by time: what one would make without thinking.
var variants = []struct {
	name   string
	change []string
}{
	{"as shipped", nil},
	{"without any view", []string{"DROP VIEW events_1m_mv", "DROP VIEW events_1h_mv", "DROP VIEW ledger_mv", "DROP VIEW findings_mv", "DROP VIEW entity_links_mv"}},
	{"without events_1h", []string{"DROP VIEW events_1h_mv"}},
	{"without events_1m and 1h", []string{"DROP VIEW events_1m_mv", "DROP VIEW events_1h_mv"}},
	{"without ledger", []string{"DROP VIEW ledger_mv"}},
	{"without findings", []string{"DROP VIEW findings_mv"}},
	{"without entity_links", []string{"DROP VIEW entity_links_mv"}},
	{"without indices", []string{"ALTER TABLE events DROP INDEX IF EXISTS ix_event, DROP INDEX IF EXISTS ix_commit, DROP INDEX IF EXISTS ix_digest, DROP INDEX IF EXISTS ix_src_ip, DROP INDEX IF EXISTS ix_dst_ip, DROP INDEX IF EXISTS ix_vuln, DROP INDEX IF EXISTS ix_offset"}},
	{"plain table", []string{
		"DROP VIEW events_1m_mv", "DROP VIEW events_1h_mv", "DROP VIEW ledger_mv", "DROP VIEW findings_mv", "DROP VIEW entity_links_mv",
		"CREATE TABLE plain ENGINE = MergeTree ORDER BY event_time AS SELECT * FROM events", "DROP TABLE events", "RENAME TABLE plain TO events",
	}},
}

// cost is what one variant took.
type cost struct {
	insert float64 // server's processor seconds a million events, merges stopped
	merge  float64 // the same, to merge all of events once
	bytes  float64 // an event, on disk, merged
	raw    float64 // of these, for raw
}

func size(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("size", flag.ExitOnError)
	blocks := flags.Int("blocks", 6, "blocks to insert")
	rows := flags.Int("rows", 65536, "events a block; the default is that of flush.rows")
	rounds := flags.Int("rounds", 3, "rounds; the medians are printed")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tocsin-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	server, err := embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{Dir: dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop(ctx)) }()
	batches, read, err := parsed(ctx, *blocks, *rows)
	if err != nil {
		return err
	}
	events := *blocks * *rows
	fmt.Printf("%d events of six formats, of records of %d bytes, in blocks of %d; medians of %d rounds\n\n", events, read/events, *rows, *rounds)
	costs := make([][]cost, len(variants))
	for round := range *rounds {
		for i, v := range variants {
			c, err := store(ctx, server.TCPAddr, fmt.Sprintf("v%d_%d", i, round), v.change, batches, i == 0 && round == 0)
			if err != nil {
				return fmt.Errorf("%s: %w", v.name, err)
			}
			costs[i] = append(costs[i], c)
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "variant\tserver's CPU-s a million, to insert\tto merge once\tbytes an event\twithout raw")
	for i, v := range variants {
		median := func(of func(cost) float64) float64 {
			var all []float64
			for _, c := range costs[i] {
				all = append(all, of(c))
			}
			slices.Sort(all)
			return all[len(all)/2]
		}
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.1f\t%.1f\n", v.name, median(func(c cost) float64 { return c.insert }), median(func(c cost) float64 { return c.merge }),
			median(func(c cost) float64 { return c.bytes }), median(func(c cost) float64 { return c.bytes - c.raw }))
	}
	return w.Flush()
}

// parsed returns the corpus as events, a slice of batches for each block, and the bytes of its records.
func parsed(ctx context.Context, blocks, rows int) (batches [][]*pipeline.Batch, read int, err error) {
	parser, err := parse.New(parse.Config{})
	if err != nil {
		return nil, 0, err
	}
	start := time.Now().UTC().Add(-2 * time.Hour).Truncate(time.Hour)
	projects := [][]pipeline.Header{}
	for _, p := range []string{"payments", "web", "infra"} {
		projects = append(projects, []pipeline.Header{{Key: "tocsin_project", Value: []byte(p)}, {Key: "tocsin_environment", Value: []byte("production")}})
	}
	n := blocks * rows
	for block := range blocks {
		var all []*pipeline.Batch
		for at := 0; at < rows; {
			b := &pipeline.Batch{TopicPartition: pipeline.TopicPartition{Topic: "raw.bench", Partition: int32(block)}}
			for ; at < rows && len(b.Records) < 4096; at++ {
				i := at*blocks + block // partitions share the time
				t := start.Add(time.Duration(i) * time.Hour / time.Duration(n))
				value := corpus.Record(i, t)
				read += len(value)
				b.Records = append(b.Records, pipeline.Record{Offset: int64(at), Time: t.Add(300 * time.Millisecond), Value: value, Headers: projects[i%7%3]})
			}
			if err := parser.Process(ctx, b); err != nil {
				return nil, 0, err
			}
			if len(b.Failures) > 0 || len(b.Events) != len(b.Records) {
				return nil, 0, fmt.Errorf("%d events and %d failures of %d records", len(b.Events), len(b.Failures), len(b.Records))
			}
			all = append(all, b)
		}
		batches = append(batches, all)
	}
	return batches, read, nil
}

// store writes the events to a database of its own.
func store(ctx context.Context, addr, database string, change []string, batches [][]*pipeline.Batch, columns bool) (c cost, err error) {
	db, err := clickhouse.Open(ctx, clickhouse.Config{Addrs: []string{addr}, Database: database})
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Migrate(ctx); err != nil {
		return c, err
	}
	for _, statement := range append(slices.Clone(change), "SYSTEM STOP MERGES") {
		if err := db.Exec(ctx, statement); err != nil {
			return c, err
		}
	}
	sink := db.EventSink()
	defer sink.Close()
	before, err := served(ctx, db)
	if err != nil {
		return c, err
	}
	events := 0
	for _, block := range batches {
		first := events
		for _, b := range block {
			if err := sink.Append(b); err != nil {
				return c, err
			}
			events += len(b.Events)
		}
		tp := block[0].TopicPartition
		if err := sink.Flush(ctx, pipeline.Chunk{Span: pipeline.Span{TopicPartition: tp, From: 0, To: int64(events - first)}}); err != nil {
			return c, err
		}
	}
	after, err := served(ctx, db)
	if err != nil {
		return c, err
	}
	c.insert = float64(after-before) / float64(events)
	for _, statement := range []string{"SYSTEM START MERGES", "OPTIMIZE TABLE events FINAL"} {
		if err := db.Exec(ctx, statement); err != nil {
			return c, err
		}
	}
	merged, err := served(ctx, db)
	if err != nil {
		return c, err
	}
	c.merge = float64(merged-after) / float64(events)
	all, err := number(ctx, db, "SELECT sum(bytes_on_disk) FROM system.parts WHERE database = currentDatabase() AND table = 'events' AND active")
	if err != nil {
		return c, err
	}
	raw, err := number(ctx, db, "SELECT sum(column_data_compressed_bytes) FROM system.parts_columns WHERE database = currentDatabase() AND table = 'events' AND active AND column = 'raw'")
	if err != nil {
		return c, err
	}
	c.bytes, c.raw = float64(all)/float64(events), float64(raw)/float64(events)
	if columns {
		if err := printColumns(ctx, db, events); err != nil {
			return c, err
		}
	}
	return c, db.Exec(ctx, "DROP DATABASE "+database+" SYNC")
}

// printColumns says what each column, index and rollup of the warehouse takes.
func printColumns(ctx context.Context, db *clickhouse.DB, events int) error {
	for _, query := range []string{
		`SELECT column AS what, sum(column_data_compressed_bytes + column_marks_bytes) AS bytes FROM system.parts_columns
			WHERE database = currentDatabase() AND table = 'events' AND active GROUP BY what`,
		`SELECT concat('index ', name) AS what, data_compressed_bytes + marks_bytes AS bytes FROM system.data_skipping_indices
			WHERE database = currentDatabase() AND table = 'events'`,
		`SELECT 'primary key, in memory' AS what, sum(primary_key_bytes_in_memory) AS bytes FROM system.parts WHERE database = currentDatabase() AND table = 'events' AND active`,
		`SELECT concat('table ', table) AS what, sum(bytes_on_disk) AS bytes FROM system.parts WHERE database = currentDatabase() AND table NOT IN ('events', 'schema_migrations') AND active GROUP BY what`,
	} {
		rows, err := db.Query(ctx, "SELECT what, toUInt64(bytes) FROM ("+query+") WHERE bytes > 0 ORDER BY bytes DESC")
		if err != nil {
			return err
		}
		defer rows.Close()
		var line []string
		for rows.Next() {
			var what string
			var bytes uint64
			if err := rows.Scan(&what, &bytes); err != nil {
				return err
			}
			line = append(line, fmt.Sprintf("%s %.2f", what, float64(bytes)/float64(events)))
		}
		if err := rows.Err(); err != nil {
			return err
		}
		fmt.Printf("bytes an event: %s\n\n", strings.Join(line, ", "))
	}
	return nil
}
