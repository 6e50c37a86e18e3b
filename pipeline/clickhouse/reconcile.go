package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

const (
	// fresh is the age up to which a chunk's token is remembered for sure.
	fresh = 10 * time.Second
	// clockSkew is how far the clocks of whoever planned a chunk and of the server may be apart.
	clockSkew = time.Minute
)

// Flush sends the open chunk as every sink does, without those rows that are stored although ClickHouse may have forgotten
// the chunk's token.
func (s *EventSink) Flush(ctx context.Context, c pipeline.Chunk) error {
	if !s.empty() && !c.Planned.IsZero() && time.Since(c.Planned) > fresh {
		if err := s.reconcile(ctx, c); err != nil {
			err = fmt.Errorf("ask the ledger for %s/%d offsets [%d,%d): %w", c.Topic, c.Partition, c.From, c.To, err)
			if Classify(err) != Retry {
				return &pipeline.Permanent{Err: err}
			}
			return err
		}
	}
	return s.sink.Flush(ctx, c)
}

// reconcile takes the rows that the ledger has out of the open chunk, where half of the deduplication window or more was
// used up since the chunk was planned. Before that the token decides, which also completes a block that only some of the
// views have. A block is stored by days (partitions of the table), each whole or not at all, and each has a row of the ledger.
func (s *EventSink) reconcile(ctx context.Context, c pipeline.Chunk) error {
	since := c.Planned.Add(-clockSkew)
	var window, used uint64
	err := s.db.QueryRow(ctx, `SELECT
			toUInt64OrZero(extract(create_table_query, 'non_replicated_deduplication_window = (\d+)')),
			(SELECT count() FROM ledger WHERE inserted_at >= $1)
		FROM system.tables WHERE database = currentDatabase() AND name = 'events'`, since).Scan(&window, &used)
	if err != nil || used < window/2 {
		return err
	}
	rows, err := s.db.Query(ctx, `SELECT DISTINCT toInt64(toUInt16(day)) FROM ledger
		WHERE kafka_topic = $1 AND kafka_partition = $2 AND first_offset >= $3 AND last_offset < $4 AND inserted_at >= $5`,
		c.Topic, c.Partition, c.From, c.To, since)
	if err != nil {
		return err
	}
	defer rows.Close()
	var stored []int64
	for rows.Next() {
		var day int64
		if err := rows.Scan(&day); err != nil {
			return err
		}
		stored = append(stored, day)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	kept := []int{}
	for row := range s.open.rows {
		if (s.kept == nil || slices.Contains(s.kept, row)) && !slices.Contains(stored, s.open.origins[row].day) {
			kept = append(kept, row)
		}
	}
	s.kept = kept
	return nil
}
