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
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
)

func newAudit() *cobra.Command {
	var config string
	var byHour bool
	cmd := &cobra.Command{
		Use:   "audit -c FILE",
		Short: "Prove that every record is accounted for, once",
		Long: `Audit compares, for every partition, the offsets that Kafka still has and ingest has committed with the rows, the dead
letters and the ledger of the warehouse. Offsets without either are read again, to tell why: there is no record (compacted,
aborted, or the mark of a transaction), its events are dropped on purpose (opted out), they are stored under another
record (their source sent them twice), or they are lost. Rows that the ledger counts twice are named as well.

With --by-hour each hour of each partition has an account of its own. An hour begins with the first record that reached Kafka in it; hours
that left nothing in the warehouse are part of the one before.

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
				parts := []part{{log: l}}
				if byHour {
					if parts, err = hours(cmd.Context(), again, l); err != nil {
						return fmt.Errorf("audit %s/%d: %w", l.Topic, l.Partition, err)
					}
				}
				for _, p := range parts {
					s, err := audit(cmd.Context(), again, p)
					if err != nil {
						return fmt.Errorf("audit %s/%d: %w", l.Topic, l.Partition, err)
					}
					sheets = append(sheets, s)
					for _, what := range s.wrong {
						wrong = true
						fmt.Fprintf(cmd.ErrOrStderr(), "%s %s\n", p, what)
					}
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
	cmd.Flags().BoolVar(&byHour, "by-hour", false, "account for each hour")
	return cmd
}

// part is what one sheet is about: a partition, or an hour of it.
type part struct {
	log  kafka.Log
	hour time.Time // zero for all of it
}

func (p part) String() string {
	name := fmt.Sprintf("%s/%d", p.log.Topic, p.log.Partition)
	if !p.hour.IsZero() {
		name += p.hour.UTC().Format(" 2006-01-02T15h")
	}
	return name
}

// hours parts a partition at the first offset of each hour that the warehouse knows anything of.
func hours(ctx context.Context, again *rereader, l kafka.Log) ([]part, error) {
	var known []time.Time
	err := again.db.QueryRow(ctx, `SELECT arraySort(groupUniqArray(hour)) FROM
		(
			SELECT toStartOfHour(ingest_time) AS hour FROM events
			WHERE kafka_topic = $1 AND kafka_partition = $2 AND kafka_offset >= $3 AND kafka_offset < $4
			UNION ALL
			SELECT toStartOfHour(ts) FROM dead_letters
			WHERE kafka_topic = $1 AND kafka_partition = $2 AND kafka_offset >= $3 AND kafka_offset < $4
		)`, l.Topic, l.Partition, l.Start, l.Committed).Scan(&known)
	if err != nil || len(known) == 0 {
		return []part{{log: l}}, err
	}
	parts := []part{{log: l, hour: known[0]}}
	for _, hour := range known[1:] {
		from, err := again.kafka.FirstSince(ctx, l.TopicPartition, hour)
		if err != nil {
			return nil, err
		}
		last := &parts[len(parts)-1]
		if from <= last.log.Start || from >= l.Committed {
			continue // clocks of producers differ: the hour has no offsets of its own
		}
		last.log.Committed = from
		next := l
		next.Start = from
		parts = append(parts, part{next, hour})
	}
	return parts, nil
}

// sheet is the account of one part, in offsets but for rows, expanded and doubled: read is the sum of stored, refused, dropped,
// repeated, absent and lost, and rows that of stored and expanded.
type sheet struct {
	part
	read, stored, refused, dropped, repeated, absent, lost int64
	rows, doubled                                          uint64
	reasons                                                map[string]int64 // why events were dropped
	wrong                                                  []string
}

func printSheets(out io.Writer, sheets []sheet) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "partition\toffsets\tread\tstored\texpanded\trows\tdead letters\tdropped\trepeated\tno record\tlost\tdoubled\t")
	for _, s := range sheets {
		fmt.Fprintf(w, "%s\t[%d,%d)\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", s.part, s.log.Start, s.log.Committed,
			s.read, s.stored, int64(s.rows)-s.stored, s.rows, s.refused, s.dropped, s.repeated, s.absent, s.lost, s.doubled)
	}
	for _, s := range sheets {
		for _, reason := range slices.Sorted(maps.Keys(s.reasons)) {
			fmt.Fprintf(w, "%s\tdropped\t%d\t%s\t\n", s.part, s.reasons[reason], reason)
		}
	}
	return w.Flush()
}

func audit(ctx context.Context, again *rereader, p part) (sheet, error) {
	l := p.log
	s := sheet{part: p, read: max(0, l.Committed-l.Start), reasons: map[string]int64{}}
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
			FROM ledger WHERE kafka_topic = $1 AND kafka_partition = $2 AND last_offset >= $3 AND first_offset < $4
				AND NOT (first_offset = last_offset AND first_offset IN
					(SELECT kafka_offset FROM dead_letters_settled WHERE kafka_topic = $1 AND kafka_partition = $2 AND action = 'replayed'))
		)
		WHERE n > 1 AND reached >= first_offset AND first_offset >= $3 ORDER BY first_offset`, l.Topic, l.Partition, l.Start, l.Committed)
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
