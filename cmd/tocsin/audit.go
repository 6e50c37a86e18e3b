package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
)

func newAudit() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "audit -c FILE",
		Short: "Prove that every record is accounted for, once",
		Long: `Audit compares, for every partition, the offsets that Kafka still has and ingest has committed with the rows, the dead
letters and the ledger of the warehouse. Offsets without either are read again, to tell why: there is no record (compacted,
aborted, or the mark of a transaction), its events are dropped on purpose (opted out), they are stored under another
record (their source sent them twice), or they are lost. Rows that the ledger counts twice are named as well.

It only reads, and may run beside the pipeline. The exit status is 1 where something is lost or doubled.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			cfg, db, err := openWarehouse(cmd.Context(), config)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, db.Close()) }()
			again, err := newRereader(cmd.Context(), cfg, db)
			if err != nil {
				return err
			}
			defer again.close()
			wrong := false
			var sheets []sheet
			for _, l := range again.logs {
				s, err := audit(cmd.Context(), again, l)
				if err != nil {
					return fmt.Errorf("audit %s/%d: %w", l.Topic, l.Partition, err)
				}
				sheets = append(sheets, s)
				for _, what := range s.wrong {
					wrong = true
					fmt.Fprintf(cmd.ErrOrStderr(), "%s/%d %s\n", l.Topic, l.Partition, what)
				}
			}
			if err := printSheets(cmd.OutOrStdout(), sheets); err != nil {
				return err
			}
			if wrong {
				return errNo
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", "", "configuration file")
	_ = cmd.MarkFlagRequired("config")
	return cmd
}

// sheet is the account of one partition, in offsets but for rows and doubled: read is the sum of stored, refused, dropped,
// repeated, absent and lost.
type sheet struct {
	log                                                    kafka.Log
	read, stored, refused, dropped, repeated, absent, lost int64
	rows, doubled                                          uint64
	reasons                                                map[string]int64 // why events were dropped
	wrong                                                  []string
}

func printSheets(out io.Writer, sheets []sheet) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "partition\toffsets\tread\tstored\trows\tdead letters\tdropped\trepeated\tno record\tlost\tdoubled\t")
	for _, s := range sheets {
		fmt.Fprintf(w, "%s/%d\t[%d,%d)\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", s.log.Topic, s.log.Partition, s.log.Start, s.log.Committed,
			s.read, s.stored, s.rows, s.refused, s.dropped, s.repeated, s.absent, s.lost, s.doubled)
	}
	for _, s := range sheets {
		for _, reason := range slices.Sorted(maps.Keys(s.reasons)) {
			fmt.Fprintf(w, "%s/%d\tdropped\t%d\t%s\t\n", s.log.Topic, s.log.Partition, s.reasons[reason], reason)
		}
	}
	return w.Flush()
}

func audit(ctx context.Context, again *rereader, l kafka.Log) (sheet, error) {
	s := sheet{log: l, read: max(0, l.Committed-l.Start), reasons: map[string]int64{}}
	where := []any{l.Topic, l.Partition, l.Start, l.Committed}
	err := again.db.QueryRow(ctx, `SELECT toInt64(uniqExact(kafka_offset)), uniqExact(kafka_offset, event_id) FROM events
		WHERE kafka_topic = $1 AND kafka_partition = $2 AND kafka_offset >= $3 AND kafka_offset < $4`, where...).Scan(&s.stored, &s.rows)
	if err != nil {
		return s, err
	}
	err = again.db.QueryRow(ctx, `SELECT toInt64(uniqExact(kafka_offset)) FROM v_dead_letters
		WHERE kafka_topic = $1 AND kafka_partition = $2 AND kafka_offset >= $3 AND kafka_offset < $4
		AND kafka_offset NOT IN (SELECT kafka_offset FROM events WHERE kafka_topic = $1 AND kafka_partition = $2)`, where...).Scan(&s.refused)
	if err != nil {
		return s, err
	}
	if s.wrong, s.doubled, err = doubled(ctx, again.db, l); err != nil {
		return s, err
	}
	gaps, err := unaccounted(ctx, again.db, l)
	if err != nil {
		return s, err
	}
	for _, gap := range gaps {
		if err := s.explain(ctx, again, gap); err != nil {
			return s, err
		}
	}
	return s, nil
}

// doubled finds blocks of the ledger that overlap: offsets that were stored under two names. What a replay of dead letters
// has added lies within the blocks of the stream, and is none.
func doubled(ctx context.Context, db *clickhouse.DB, l kafka.Log) (named []string, rows uint64, err error) {
	found, err := db.Query(ctx, `SELECT first_offset, last_offset, rows, reached FROM
		(
			SELECT first_offset, last_offset, rows,
				max(last_offset) OVER (PARTITION BY day ORDER BY first_offset, last_offset ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached,
				row_number() OVER (PARTITION BY day ORDER BY first_offset, last_offset) AS n
			FROM ledger WHERE kafka_topic = $1 AND kafka_partition = $2 AND last_offset >= $3
				AND NOT (first_offset = last_offset AND first_offset IN
					(SELECT kafka_offset FROM dead_letters_settled WHERE kafka_topic = $1 AND kafka_partition = $2 AND action = 'replayed'))
		)
		WHERE n > 1 AND reached >= first_offset ORDER BY first_offset`, l.Topic, l.Partition, l.Start)
	if err != nil {
		return nil, 0, err
	}
	defer found.Close()
	for found.Next() {
		var first, last, reached int64
		var n uint64
		if err := found.Scan(&first, &last, &n, &reached); err != nil {
			return nil, 0, err
		}
		rows += n
		named = append(named, fmt.Sprintf("[%d,%d): a block of %d rows overlaps one that reaches to %d: doubled in the rollups", first, last+1, n, reached+1))
	}
	return named, rows, found.Err()
}

// unaccounted returns the offsets that have neither a row nor a dead letter.
func unaccounted(ctx context.Context, db *clickhouse.DB, l kafka.Log) ([]pipeline.Span, error) {
	rows, err := db.Query(ctx, `SELECT before + 1 AS from, offset AS to FROM
		(
			SELECT offset, lagInFrame(offset, 1, $3 - 1) OVER (ORDER BY offset ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before FROM
			(
				SELECT DISTINCT kafka_offset AS offset FROM events
				WHERE kafka_topic = $1 AND kafka_partition = $2 AND kafka_offset >= $3 AND kafka_offset < $4
				UNION DISTINCT
				SELECT kafka_offset FROM dead_letters
				WHERE kafka_topic = $1 AND kafka_partition = $2 AND kafka_offset >= $3 AND kafka_offset < $4
				UNION DISTINCT SELECT toInt64($4)
			)
		)
		WHERE to > from ORDER BY from`, l.Topic, l.Partition, l.Start, l.Committed)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var gaps []pipeline.Span
	for rows.Next() {
		gap := pipeline.Span{TopicPartition: l.TopicPartition}
		if err := rows.Scan(&gap.From, &gap.To); err != nil {
			return nil, err
		}
		gaps = append(gaps, gap)
	}
	return gaps, rows.Err()
}

// explain reads the records of a gap again and books each of its offsets.
func (s *sheet) explain(ctx context.Context, again *rereader, gap pipeline.Span) error {
	records, lost := int64(0), []int64(nil)
	err := again.read(ctx, gap, func(b *pipeline.Batch) error {
		stored, err := again.stored(ctx, b)
		if err != nil {
			return err
		}
		fate := make([]string, len(b.Records)) // the worst of a record's events; empty is lost
		for i := range fate {
			fate[i] = "lost"
		}
		for i := range b.Events {
			e := &b.Events[i]
			r := b.RecordIndex(e)
			switch reason := e.Dropped(); {
			case reason != "":
				fate[r] = "dropped " + reason
			case stored[e.ID]:
				fate[r] = "repeated"
			}
		}
		for i := range b.Events {
			if e := &b.Events[i]; e.Dropped() == "" && !stored[e.ID] {
				fate[b.RecordIndex(e)] = "lost"
			}
		}
		records += int64(len(b.Records))
		for i, f := range fate {
			reason, dropped := strings.CutPrefix(f, "dropped ")
			switch {
			case dropped:
				s.dropped++
				s.reasons[reason]++
			case f == "repeated":
				s.repeated++
			default:
				s.lost++
				lost = append(lost, b.Records[i].Offset)
			}
		}
		return nil
	})
	s.absent += gap.To - gap.From - records
	if len(lost) > 0 {
		s.wrong = append(s.wrong, fmt.Sprintf("[%d,%d): %d records have neither a row nor a dead letter: lost, the first at offset %d", gap.From, gap.To, len(lost), lost[0]))
	}
	return err
}
