package main

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
	"github.com/tocsin-project/tocsin/processors/enrich"
	"github.com/tocsin-project/tocsin/processors/parse"
)

func newDLQ() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "List, show, replay and discard dead letters",
		Long: `Dlq deals with the records that could not become events or rows. A dead letter is named by its record's coordinates,
TOPIC/PARTITION/OFFSET. What is done about it is kept with who did it; the letter itself stays.`,
	}
	var config string
	cmd.PersistentFlags().StringVarP(&config, "config", "c", "", "configuration file")
	_ = cmd.MarkPersistentFlagRequired("config")
	cmd.AddCommand(newDLQLs(&config), newDLQShow(&config), newDLQReplay(&config), newDLQDiscard(&config))
	return cmd
}

func newDLQLs(config *string) *cobra.Command {
	var topic, stage, source string
	var limit int
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List what is neither replayed nor discarded, the newest first: one JSON object a line",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			_, db, err := openWarehouse(cmd.Context(), *config)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, db.Close()) }()
			return printRows(cmd, db, `SELECT concat(kafka_topic, '/', toString(kafka_partition), '/', toString(kafka_offset)) AS record, seq, line, ts, stage,
				source, reason, rule_id, column_name, code FROM v_dead_letters_open
				WHERE ($1 = '' OR kafka_topic = $1) AND ($2 = '' OR stage = $2) AND ($3 = '' OR source = $3)
				ORDER BY v_dead_letters_open.ts DESC, kafka_topic, kafka_partition, kafka_offset, seq LIMIT $4`, topic, stage, source, limit)
		},
	}
	cmd.Flags().StringVar(&topic, "topic", "", "of records of this topic only")
	cmd.Flags().StringVar(&stage, "stage", "", "of this step only: parse, rule, sink ...")
	cmd.Flags().StringVar(&source, "source", "", "of records read as this format only")
	cmd.Flags().IntVar(&limit, "limit", 1000, "at most so many")
	return cmd
}

func newDLQShow(config *string) *cobra.Command {
	return &cobra.Command{
		Use:   "show RECORD...",
		Short: "Show the dead letters of records with what was refused, redacted, and what was done about them",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			spans, err := coordinates(args)
			if err != nil {
				return err
			}
			_, db, err := openWarehouse(cmd.Context(), *config)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, db.Close()) }()
			for _, s := range spans {
				if err := printRows(cmd, db, `SELECT d.*, toString(a.action) AS action, a.said_by AS said_by, a.reason AS because, a.ts AS settled
					FROM v_dead_letters AS d LEFT JOIN (SELECT * FROM dead_letters_settled FINAL) AS a USING (kafka_topic, kafka_partition, kafka_offset)
					WHERE kafka_topic = $1 AND kafka_partition = $2 AND kafka_offset = $3 ORDER BY seq SETTINGS join_use_nulls = 1`, s.Topic, s.Partition, s.From); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func newDLQReplay(config *string) *cobra.Command {
	return &cobra.Command{
		Use:   "replay RECORD...",
		Short: "Read records again and store what they hold by now",
		Long: `Replay reads the records from Kafka again, with today's parsers and configuration, and stores the events that are not in the
warehouse yet. Their ids are those that the stream would have given, so a second replay stores nothing. It raises no
alerts: the time of these events is over for the windows. A record that is still refused stays where it is, and the
exit status is 1.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			spans, err := coordinates(args)
			if err != nil {
				return err
			}
			cfg, db, err := openWarehouse(cmd.Context(), *config)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, db.Close()) }()
			again, err := newRereader(cmd.Context(), cfg, db)
			if err != nil {
				return err
			}
			defer again.close()
			refused := 0
			for _, s := range spans {
				n, err := again.replay(cmd.Context(), s)
				var still *refusal
				switch {
				case errors.As(err, &still):
					refused++
					fmt.Fprintf(cmd.ErrOrStderr(), "%s is still refused: %s\n", name(s), still.reason)
					continue
				case err != nil:
					return err
				}
				if err := settle(cmd.Context(), db, s, "replayed", n, "", ""); err != nil {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %d events stored\n", name(s), n)
			}
			if refused > 0 {
				return errNo
			}
			return nil
		},
	}
}

func newDLQDiscard(config *string) *cobra.Command {
	var by, reason string
	cmd := &cobra.Command{
		Use:   "discard RECORD... --reason WHY",
		Short: "Say that records are not wanted",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			spans, err := coordinates(args)
			if err != nil {
				return err
			}
			if by == "" {
				u, err := user.Current()
				if err != nil {
					return fmt.Errorf("who you are is not known, say it with --by: %w", err)
				}
				by = u.Username
			}
			_, db, err := openWarehouse(cmd.Context(), *config)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, db.Close()) }()
			for _, s := range spans {
				var letters uint64
				if err := db.QueryRow(cmd.Context(), "SELECT count() FROM v_dead_letters WHERE kafka_topic = $1 AND kafka_partition = $2 AND kafka_offset = $3",
					s.Topic, s.Partition, s.From).Scan(&letters); err != nil {
					return err
				}
				if letters == 0 {
					return fmt.Errorf("%s is no dead letter; 'tocsin dlq ls' lists them", name(s))
				}
				if err := settle(cmd.Context(), db, s, "discarded", 0, by, reason); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&by, "by", "", "who you are; the name of your account without it")
	cmd.Flags().StringVar(&reason, "reason", "", "why they are not wanted")
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}

// settle notes what was done about the dead letters of a record.
func settle(ctx context.Context, db *clickhouse.DB, s pipeline.Span, action string, rows int, by, reason string) error {
	return db.Exec(ctx, "INSERT INTO dead_letters_settled (kafka_topic, kafka_partition, kafka_offset, action, rows, said_by, reason) VALUES (?, ?, ?, ?, ?, ?, ?)",
		s.Topic, s.Partition, s.From, action, uint64(rows), by, reason)
}

// coordinates reads names of records, TOPIC/PARTITION/OFFSET.
func coordinates(names []string) ([]pipeline.Span, error) {
	var spans []pipeline.Span
	var errs []error
	for _, n := range names {
		parts := strings.Split(n, "/")
		if len(parts) == 3 {
			partition, err := strconv.ParseInt(parts[1], 10, 32)
			offset, err2 := strconv.ParseInt(parts[2], 10, 64)
			if err == nil && err2 == nil && partition >= 0 && offset >= 0 {
				spans = append(spans, pipeline.Span{TopicPartition: pipeline.TopicPartition{Topic: parts[0], Partition: int32(partition)}, From: offset, To: offset + 1})
				continue
			}
		}
		errs = append(errs, fmt.Errorf("%q does not name a record: want TOPIC/PARTITION/OFFSET, as in raw.ci/0/4711", n))
	}
	return spans, errors.Join(errs...)
}

func name(s pipeline.Span) string { return fmt.Sprintf("%s/%d/%d", s.Topic, s.Partition, s.From) }

// refusal is why a record is still no event.
type refusal struct{ reason string }

func (r *refusal) Error() string { return r.reason }

// rereader reads records again that the pipeline has read before.
type rereader struct {
	db         *clickhouse.DB
	kafka      *kafka.Reader
	logs       []kafka.Log
	processors []pipeline.Processor
}

func newRereader(ctx context.Context, cfg Config, db *clickhouse.DB) (*rereader, error) {
	parser, err := parse.New(cfg.Parse)
	if err != nil {
		return nil, err
	}
	enricher, err := enrich.New(cfg.Enrich, zap.NewNop())
	if err != nil {
		return nil, err
	}
	r := &rereader{db: db, processors: []pipeline.Processor{parser, enricher.Processor()}}
	if r.kafka, err = kafka.NewReader(cfg.Kafka, zap.NewNop()); err != nil {
		return nil, err
	}
	if r.logs, err = r.kafka.Logs(ctx); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *rereader) close() { r.kafka.Close() }

// read takes the records of a span through the processors.
func (r *rereader) read(ctx context.Context, s pipeline.Span, f func(*pipeline.Batch) error) error {
	return r.kafka.Read(ctx, s, func(b *pipeline.Batch) error {
		for _, p := range r.processors {
			if err := p.Process(ctx, b); err != nil {
				return err
			}
		}
		return f(b)
	})
}

// replay stores the events of one record that are not stored yet and returns how many those were.
func (r *rereader) replay(ctx context.Context, s pipeline.Span) (rows int, err error) {
	known := false
	for _, l := range r.logs {
		if l.Topic == s.Topic && l.Partition == s.Partition {
			s.ID, known = l.ID, s.From >= l.Start && s.From < l.Committed
		}
	}
	if !known {
		return 0, fmt.Errorf("%s is not, or no longer, among the records that ingest has read", name(s))
	}
	found := false
	err = r.read(ctx, s, func(b *pipeline.Batch) error {
		found = true
		if len(b.Failures) > 0 {
			return &refusal{b.Failures[0].Reason}
		}
		stored, err := r.stored(ctx, b)
		if err != nil {
			return err
		}
		for i := range b.Events {
			if e := &b.Events[i]; stored[e.ID] {
				e.Drop("stored")
			}
		}
		sink := r.db.EventSink()
		if err := sink.Append(b); err != nil {
			return errors.Join(err, sink.Close())
		}
		rows, _ = sink.Size()
		// The time in the epoch tells this block from the stream's own and from earlier replays of other parts of the record.
		err = sink.Flush(ctx, pipeline.Chunk{Span: s, Epoch: int(time.Now().Unix())})
		var refused *pipeline.Refused
		if errors.As(err, &refused) {
			err = &refusal{refused.Letters[0].Reason}
		}
		return errors.Join(err, sink.Close())
	})
	if err == nil && !found {
		err = fmt.Errorf("%s is no longer in Kafka", name(s))
	}
	return rows, err
}

// stored returns which of the batch's events are in the warehouse.
func (r *rereader) stored(ctx context.Context, b *pipeline.Batch) (map[uuid.UUID]bool, error) {
	var ids []uuid.UUID
	for i := range b.Events {
		ids = append(ids, b.Events[i].ID)
	}
	rows, err := r.db.Query(ctx, "SELECT DISTINCT event_id FROM events WHERE event_id IN (?)", ids)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	stored := map[uuid.UUID]bool{}
	for rows.Next() {
		var id uuid.UUID
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		stored[id] = true
	}
	return stored, rows.Err()
}
