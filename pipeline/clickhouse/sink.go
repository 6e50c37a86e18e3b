package clickhouse

import (
	"context"
	"errors"
	"fmt"

	"github.com/ClickHouse/ch-go"

	"github.com/tocsin-project/tocsin/pipeline"
)

// ErrClosed is returned by a sink that was closed, and by those of a DB that was.
var ErrClosed = errors.New("clickhouse: closed")

// sink is what all sinks have in common: the open chunk as a block, and the INSERT that sends it.
type sink[R any] struct {
	db    *DB
	table *table[R]
	// content returns what a refused row was read from; nil where the record itself stands in one of tocsin's own topics.
	content func(b *block[R], row int) (source string, data []byte)
	last    bool // nothing takes what this sink refuses

	open   *block[R] // nil while the chunk is empty
	kept   []int     // the rows of open that are sent; nil is all, until the server has refused some
	closed bool
}

// add copies a row into the open chunk, or says why it does not fit the table.
func (s *sink[R]) add(r *R, from origin) error {
	if s.open == nil {
		s.open = s.table.block()
	}
	return s.open.add(r, from)
}

// empty reports whether the open chunk has no rows.
func (s *sink[R]) empty() bool {
	rows, _ := s.Size()
	return rows == 0
}

// Size returns the rows and bytes in the open chunk.
func (s *sink[R]) Size() (rows, bytes int) {
	switch {
	case s.open == nil:
		return 0, 0
	case s.kept != nil:
		return len(s.kept), s.open.size()
	}
	return s.open.rows, s.open.size()
}

// Flush sends the open chunk as one native block in one INSERT. A chunk without rows is nothing to send.
//
// The chunk stays open when an error comes back. Whether the server took the block may be unknown; another Flush of the
// same chunk settles that, by its token. Rows that the server refuses come back as pipeline.Refused, see refuse. An error
// that Classify would not retry is a pipeline.Permanent.
func (s *sink[R]) Flush(ctx context.Context, c pipeline.Chunk) error {
	if s.closed {
		return &pipeline.Permanent{Err: ErrClosed}
	}
	if s.empty() {
		s.forget()
		return nil
	}
	input := s.open.input
	if s.kept != nil {
		input = s.open.pick(s.kept)
	}
	err := s.db.insert(ctx, ch.Query{
		Body:     input.Into(s.table.name),
		Input:    input,
		Settings: s.db.insertSettings(Token(s.db.cfg.Pipeline, s.table.name, c)),
	})
	if err == nil {
		s.forget()
		return nil
	}
	reaction := Classify(err)
	if reaction == Isolate && !s.last {
		refused, rerr := s.refuse(ctx, c)
		switch {
		case rerr != nil:
			err, reaction = rerr, Classify(rerr)
		case refused != nil:
			return refused
		}
	}
	rows, _ := s.Size()
	err = fmt.Errorf("insert %d rows of %s/%d offsets [%d,%d) into %s: %w", rows, c.Topic, c.Partition, c.From, c.To, s.table.name, err)
	if reaction != Retry {
		return &pipeline.Permanent{Err: err}
	}
	return err
}

// Close forgets the open chunk.
func (s *sink[R]) Close() error {
	s.closed = true
	s.forget()
	return nil
}

func (s *sink[R]) forget() {
	if s.open == nil {
		return
	}
	s.table.giveBack(s.open)
	s.open, s.kept = nil, nil
}

// Token names a chunk's block to ClickHouse: a block whose token a table has seen is not stored again, whatever is in it.
// The topic's id tells the topic from a later one of the same name.
func Token(pipelineName, table string, c pipeline.Chunk) string {
	return fmt.Sprintf("%s/%s/%s/%d/%d-%d/e%d", pipelineName, table, c.ID, c.Partition, c.From, c.To, c.Epoch)
}

// insertSettings are those of one INSERT. Servers' defaults differ by version and by profile (DELIVERY, fact 1), so all
// that the guarantee rests on is said each time. A server skips those it does not know: insert_deduplicate is read by
// servers before 26.2, deduplicate_insert since.
func (db *DB) insertSettings(token string) []ch.Setting {
	return []ch.Setting{
		{Key: "insert_deduplication_token", Value: token, Important: true},
		{Key: "insert_deduplicate", Value: "1"},
		{Key: "deduplicate_insert", Value: "enable"},
		// Without it a retry skips the table and counts again in the views (servers 24.7 to 26.1).
		{Key: "deduplicate_blocks_in_dependent_materialized_views", Value: "1", Important: true},
		{Key: "materialized_views_ignore_errors", Value: "0"},
		{Key: "async_insert", Value: "0"},
		// Merges replace and aggregate; doing it on insert as well doubles the server's work: 0.37 against 0.19 core-seconds
		// for 65,536 events.
		{Key: "optimize_on_insert", Value: "0"},
		// They build the skipping indices as well, anew each time; the few parts that were not merged yet are read without.
		{Key: "materialize_skip_indexes_on_insert", Value: "0"},
		// On a cluster the answer means that the shard has it, not that it lies in a spool.
		{Key: "distributed_foreground_insert", Value: "1"},

		// One block stays one block: a token over several blocks loses or doubles rows when a retry is cut elsewhere.
		{Key: "max_insert_threads", Value: "1"},
		{Key: "min_insert_block_size_rows", Value: "1048449"},
		{Key: "min_insert_block_size_bytes", Value: "268402944"},
		{Key: "max_insert_block_size", Value: "1048449"},
		// Above what clampTimes lets into one block.
		{Key: "max_partitions_per_insert_block", Value: fmt.Sprint(2 * maxDays)},
		{Key: "max_execution_time", Value: fmt.Sprint(max(1, int(db.cfg.InsertTimeout.Seconds())))},
	}
}
