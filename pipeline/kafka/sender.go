package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
)

// What Send says of a record that is not in its topic.
var (
	ErrTooLarge = errors.New("the broker takes no record of this size; raise the topic's max.message.bytes")
	ErrBusy     = errors.New("too much waits for the broker already")
)

// Bounds of a Sender. What waits for a slow broker waits in memory, so it is little.
const (
	maxRecordBytes = 64 << 20 // before compression; the broker's own limit is on what is left of it
	maxWaiting     = 128 << 20
	deliveryTime   = 10 * time.Second
)

// Sender sends records to raw topics on behalf of those who cannot speak to Kafka. It is safe for concurrent use.
type Sender struct{ client *kgo.Client }

// NewSender connects and sees that the topics exist: a name that was mistyped must not become a topic nobody reads.
func NewSender(ctx context.Context, cfg Config, topics []string, log *zap.Logger) (*Sender, error) {
	opts, err := cfg.options(log)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(opts,
		kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(maxRecordBytes),
		kgo.MaxBufferedBytes(maxWaiting),
		kgo.RecordDeliveryTimeout(deliveryTime),
	)...)
	if err != nil {
		return nil, fmt.Errorf("kafka sender: %w", err)
	}
	s := &Sender{client}
	found, err := kadm.NewClient(client).ListTopics(ctx, topics...)
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("read topics: %w", err)
	}
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if err := found[name].Err; errors.Is(err, kerr.UnknownTopicOrPartition) {
			missing = append(missing, name)
		} else if err != nil {
			s.Close()
			return nil, fmt.Errorf("read topic %s: %w", name, err)
		}
	}
	if len(missing) > 0 {
		s.Close()
		return nil, fmt.Errorf("no such topic: %s; create it, or mend its name in the configuration", strings.Join(missing, ", "))
	}
	return s, nil
}

// Send sends one record and waits until all replicas in sync have it, at most ten seconds; what the client repeats on the
// way is stored once. A time that is zero becomes now. The error wraps ErrTooLarge or ErrBusy where it is of that kind,
// and the record is not in the topic then; after any other it may be, and is sent again by who wants it there for sure.
func (s *Sender) Send(ctx context.Context, topic string, r *pipeline.Record) error {
	rec := &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Timestamp: r.Time}
	for _, h := range r.Headers {
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	done := make(chan error, 1)
	s.client.TryProduce(ctx, rec, func(_ *kgo.Record, err error) { done <- err })
	switch err := <-done; {
	case err == nil:
		return nil
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return fmt.Errorf("produce %d bytes to %s: %w", len(r.Value), topic, ErrTooLarge)
	case errors.Is(err, kgo.ErrMaxBuffered):
		return fmt.Errorf("produce to %s: %w", topic, ErrBusy)
	default:
		return fmt.Errorf("produce to %s: %w", topic, err)
	}
}

// Ping asks whether a broker answers.
func (s *Sender) Ping(ctx context.Context) error { return s.client.Ping(ctx) }

// Close ends the connections. What Send waits for fails.
func (s *Sender) Close() { s.client.Close() }
