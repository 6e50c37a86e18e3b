package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
)

// Log is a partition as Kafka has it, for those who look at it from outside.
type Log struct {
	pipeline.TopicPartition
	Start     int64 // first offset that is still there
	Committed int64 // first offset that ingest has not stored; -1 where it has stored none
}

// Reader reads raw topics without being a member of a group.
type Reader struct {
	cfg    Config
	log    *zap.Logger
	client *kgo.Client
}

// NewReader connects to nothing yet. The caller closes it.
func NewReader(cfg Config, log *zap.Logger) (*Reader, error) {
	opts, err := cfg.options(log)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka reader: %w", err)
	}
	return &Reader{cfg, log, client}, nil
}

// Close ends the connections.
func (r *Reader) Close() { r.client.Close() }

// Logs returns the partitions that ingest has read from, without tocsin's own topics, by topic and number.
func (r *Reader) Logs(ctx context.Context) ([]Log, error) {
	admin := kadm.NewClient(r.client)
	committed, err := admin.FetchOffsets(ctx, r.cfg.Group+"-ingest")
	if err = errors.Join(err, committed.Error()); err != nil {
		return nil, fmt.Errorf("read the group's offsets: %w", err)
	}
	own := OwnTopics()
	var logs []Log
	for _, o := range committed.Sorted() {
		if _, ours := own[o.Topic]; ours {
			continue
		}
		l := Log{TopicPartition: pipeline.TopicPartition{Topic: o.Topic, Partition: o.Partition}, Committed: o.At}
		details, err := admin.ListTopics(ctx, o.Topic)
		starts, err2 := admin.ListStartOffsets(ctx, o.Topic)
		if err := errors.Join(err, err2, details.Error(), starts.Error()); err != nil {
			return nil, fmt.Errorf("read topic %s: %w", o.Topic, err)
		}
		start, _ := starts.Lookup(o.Topic, o.Partition)
		l.ID, l.Start = uuid.UUID(details[o.Topic].ID), start.Offset
		logs = append(logs, l)
	}
	return logs, nil
}

// FirstSince returns the first offset of a partition whose record is of that time or later, its end where none is.
func (r *Reader) FirstSince(ctx context.Context, tp pipeline.TopicPartition, t time.Time) (int64, error) {
	offsets, err := kadm.NewClient(r.client).ListOffsetsAfterMilli(ctx, t.UnixMilli(), tp.Topic)
	if err = errors.Join(err, offsets.Error()); err != nil {
		return 0, fmt.Errorf("read offsets of topic %s: %w", tp.Topic, err)
	}
	o, _ := offsets.Lookup(tp.Topic, tp.Partition)
	return o.Offset, nil
}

// Read calls f with the records that the span still has, in their order; the batch is f's. Offsets without a record
// (compacted, expired, aborted, or the mark of a transaction) are passed over.
func (r *Reader) Read(ctx context.Context, span pipeline.Span, f func(*pipeline.Batch) error) error {
	if span.From >= span.To {
		return nil
	}
	opts, err := r.cfg.options(r.log)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(opts,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{span.Topic: {span.Partition: kgo.NewOffset().At(span.From)}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // the end of the span may be the mark of a transaction
		kgo.FetchMaxWait(500*time.Millisecond),
	)...)
	if err != nil {
		return fmt.Errorf("kafka reader: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for next := span.From; next < span.To; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s/%d from offset %d: %w", span.Topic, span.Partition, next, err)
		}
		b := &pipeline.Batch{TopicPartition: span.TopicPartition}
		fetches.EachRecord(func(rec *kgo.Record) {
			next = rec.Offset + 1
			if !rec.Attrs.IsControl() && rec.Offset < span.To {
				b.Records = append(b.Records, record(rec))
			}
		})
		if len(b.Records) == 0 {
			continue
		}
		if err := f(b); err != nil {
			return err
		}
	}
	return nil
}

// record is a record as the pipeline sees it.
func record(r *kgo.Record) pipeline.Record {
	rec := pipeline.Record{Offset: r.Offset, Time: r.Timestamp.UTC(), Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		rec.Headers = append(rec.Headers, pipeline.Header{Key: h.Key, Value: h.Value})
	}
	return rec
}
