package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
)

// Producer sends signals and dead letters for all workers of the process.
type Producer struct {
	client     *kgo.Client
	partitions int32                // of the signals topic
	byKey      kgo.TopicPartitioner // every Kafka client's for records with a key
}

// NewProducer connects and asks how many partitions the signals topic has. The topic must exist.
func NewProducer(ctx context.Context, cfg Config, log *zap.Logger) (*Producer, error) {
	opts, err := cfg.options(log)
	if err != nil {
		return nil, err
	}
	byKey := kgo.StickyKeyPartitioner(nil)
	client, err := kgo.NewClient(append(opts,
		kgo.RecordPartitioner(partitioner{Partitioner: byKey, signals: true}),
		kgo.ProducerLinger(5*time.Millisecond),
		kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.NoCompression()),
	)...)
	if err != nil {
		return nil, fmt.Errorf("kafka producer: %w", err)
	}
	topics, err := kadm.NewClient(client).ListTopics(ctx, SignalsTopic)
	if err == nil {
		err = topics[SignalsTopic].Err
	}
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("read topic %s: %w", SignalsTopic, err)
	}
	return &Producer{client: client, partitions: int32(len(topics[SignalsTopic].Partitions)), byKey: byKey.ForTopic(SignalsTopic)}, nil
}

// Close sends what is buffered, within ctx, and ends.
func (p *Producer) Close(ctx context.Context) error {
	err := p.client.Flush(ctx)
	p.client.Close()
	return err
}

// partitioner sends watermarks and ticks, which have no key, and changelogs to the partition they name.
type partitioner struct {
	kgo.Partitioner
	signals bool // name theirs also where they have a key
}

func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return topicPartitioner{p.Partitioner.ForTopic(topic), p.signals && topic == SignalsTopic}
}

type topicPartitioner struct {
	kgo.TopicPartitioner
	named bool
}

func (topicPartitioner) RequiresConsistency(*kgo.Record) bool { return true }

func (t topicPartitioner) Partition(r *kgo.Record, n int) int {
	if t.named || r.Key == nil && (r.Topic == SignalsTopic || r.Topic == DeskTopic) || r.Topic == StateTopic || r.Topic == DeskStateTopic {
		return int(r.Partition) % n
	}
	return t.TopicPartitioner.Partition(r, n)
}

// Worker returns the publisher of one worker: it waits for its own records only.
func (p *Producer) Worker() *WorkerPublisher {
	return &WorkerPublisher{producer: p, sent: make([]pipeline.Place, p.partitions), open: new(outstanding)}
}

// WorkerPublisher implements pipeline.Publisher over the shared producer.
type WorkerPublisher struct {
	producer *Producer
	sent     []pipeline.Place // behind the last match, for each partition of the signals topic
	open     *outstanding     // since the last Barrier
}

// outstanding are records that the broker has not acknowledged.
type outstanding struct {
	pending sync.WaitGroup
	mu      sync.Mutex
	err     error
}

// Publish implements pipeline.Publisher. It returns at once; the next Barrier tells how it went.
func (w *WorkerPublisher) Publish(ctx context.Context, b *pipeline.Batch) error {
	for i := range b.Signals {
		s := &b.Signals[i]
		r := &kgo.Record{Topic: SignalsTopic, Key: []byte(s.Key), Timestamp: s.Ingest}
		r.Partition = int32(w.producer.byKey.Partition(r, len(w.sent)))
		if s.Kind == pipeline.SignalMatch {
			s.After = w.sent[r.Partition]
			w.sent[r.Partition] = pipeline.Place{Offset: s.Offset, Seq: s.Seq + 1}
		}
		r.Value = pipeline.AppendSignal(nil, s)
		w.producer.send(ctx, r, w.open)
	}
	var letters []pipeline.DeadLetter
	var seq uint32 // among the failures of one record; they come in the records' order
	for i := range b.Failures {
		f := &b.Failures[i]
		if seq++; i == 0 || f.Record != b.Failures[i-1].Record {
			seq = 0
		}
		rec := &b.Records[f.Record]
		letters = append(letters, pipeline.DeadLetter{
			Topic: b.Topic, Partition: b.Partition, Offset: rec.Offset, Seq: seq, Line: uint32(f.Line), Time: rec.Time,
			Stage: f.Stage, Source: f.Source, Reason: f.Reason, Data: f.Data,
		})
	}
	return w.producer.bury(ctx, letters, w.open)
}

// Barrier implements pipeline.Publisher.
func (w *WorkerPublisher) Barrier() func(ctx context.Context) error {
	before := w.open
	w.open = new(outstanding)
	return before.wait
}

// Bury implements pipeline.Publisher.
func (w *WorkerPublisher) Bury(ctx context.Context, letters []pipeline.DeadLetter) error {
	var all outstanding
	if err := w.producer.bury(ctx, letters, &all); err != nil {
		return err
	}
	return all.wait(ctx)
}

func (p *Producer) bury(ctx context.Context, letters []pipeline.DeadLetter, to *outstanding) error {
	for i := range letters {
		r, err := letterRecord(&letters[i])
		if err != nil {
			return err
		}
		p.send(ctx, r, to)
	}
	return nil
}

// letterRecord returns the record of a dead letter. Its key is the coordinates of the record that it is of, so that all that is said
// of that lands on one partition.
func letterRecord(d *pipeline.DeadLetter) (*kgo.Record, error) {
	value, err := pipeline.EncodeDeadLetter(d)
	if err != nil {
		return nil, err
	}
	key := append([]byte(d.Topic), 0)
	key = binary.AppendVarint(key, int64(d.Partition))
	key = binary.AppendVarint(key, d.Offset)
	return &kgo.Record{Topic: DeadLetterTopic, Key: key, Value: value, Timestamp: d.Time}, nil
}

// Watermark tells every partition of the signals topic how far the input partition's event time has come.
func (w *WorkerPublisher) Watermark(ctx context.Context, tp pipeline.TopicPartition, offset int64, t time.Time) error {
	for n, after := range w.sent {
		mark := pipeline.Signal{Kind: pipeline.SignalWatermark, Origin: tp, Offset: offset, After: after, Time: t, Ingest: t}
		w.producer.send(ctx, &kgo.Record{Topic: SignalsTopic, Partition: int32(n), Value: pipeline.AppendSignal(nil, &mark)}, w.open)
	}
	return nil
}

// send hands a record over. What the worker has handed over is sent even when that is ended: the client would fail the whole
// batch, with other workers' records in it.
func (p *Producer) send(ctx context.Context, r *kgo.Record, to *outstanding) {
	to.pending.Add(1)
	p.client.Produce(context.WithoutCancel(ctx), r, func(_ *kgo.Record, err error) {
		if err != nil {
			to.mu.Lock()
			if to.err == nil {
				to.err = fmt.Errorf("produce to %s: %w", r.Topic, err)
			}
			to.mu.Unlock()
		}
		to.pending.Done()
	})
}

// wait returns when all of them are acknowledged or refused, or ctx ends.
func (o *outstanding) wait(ctx context.Context) error {
	sent := make(chan struct{})
	go func() {
		o.pending.Wait()
		close(sent)
	}()
	select {
	case <-sent:
	case <-ctx.Done():
		return ctx.Err()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
