package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
)

// Detect is the detect role's member of the consumer group <cfg.Group>-detect. Each round is one Kafka transaction: the
// signals that were read, the alerts and growth records they led to, the changelog of the state, and the offsets. The state
// of a partition is restored from its changelog by whoever takes it over.
type Detect struct {
	session *kgo.GroupTransactSession
	start   func() pipeline.Correlator
	log     *zap.Logger
	now     func() time.Time
	source  string

	cfg    Config
	states map[int32]pipeline.Correlator
	gone   chan map[string][]int32
}

// transactionTimeout is after what time the broker aborts a transaction whose owner has vanished.
const transactionTimeout = 30 * time.Second

// NewDetect joins the group. instance names this member among others, the same after a restart: a transaction that a
// crash left open is ended at once by the next start. start makes the state of a partition.
func NewDetect(cfg Config, instance string, start func() pipeline.Correlator, now func() time.Time, log *zap.Logger) (*Detect, error) {
	opts, err := cfg.options(log)
	if err != nil {
		return nil, err
	}
	d := &Detect{cfg: cfg, start: start, log: log, now: now, source: "tocsin/" + instance, states: map[int32]pipeline.Correlator{}, gone: make(chan map[string][]int32, 16)}
	leave := func(_ context.Context, _ *kgo.Client, gone map[string][]int32) { d.gone <- gone }
	d.session, err = kgo.NewGroupTransactSession(append(opts,
		kgo.TransactionalID(cfg.Group+"-detect-"+instance),
		kgo.TransactionTimeout(transactionTimeout),
		kgo.ConsumerGroup(cfg.Group+"-detect"),
		kgo.ConsumeTopics(SignalsTopic),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(500*time.Millisecond),
		kgo.ProducerLinger(0),
		// The changelog of a partition's state is the partition of the same number.
		kgo.RecordPartitioner(partitioner{kgo.StickyKeyPartitioner(nil)}),
		kgo.OnPartitionsRevoked(leave),
		kgo.OnPartitionsLost(leave),
	)...)
	if err != nil {
		return nil, fmt.Errorf("kafka detect: %w", err)
	}
	return d, nil
}

// Run works until ctx ends or a transaction fails for good.
func (d *Detect) Run(ctx context.Context) error {
	defer d.session.Close()
	for {
		fetches := d.session.PollRecords(ctx, pollRecords)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return nil
		}
		fetches.EachError(func(topic string, p int32, err error) {
			d.log.Warn("fetch", zap.String("topic", topic), zap.Int32("partition", p), zap.Error(err))
		})
		d.forget()
		if fetches.NumRecords() == 0 {
			continue
		}
		// A transaction that was begun is ended, whatever ctx says: left open, it would hold back whoever takes the
		// partitions over until the broker times it out.
		round, cancel := context.WithTimeout(context.WithoutCancel(ctx), transactionTimeout)
		err := d.round(round, fetches)
		cancel()
		if err != nil {
			return err
		}
	}
}

// forget drops the state of partitions that others own now.
func (d *Detect) forget() {
	for {
		select {
		case gone := <-d.gone:
			for _, n := range gone[SignalsTopic] {
				delete(d.states, n)
			}
		default:
			return
		}
	}
}

// round is one transaction.
func (d *Detect) round(ctx context.Context, fetches kgo.Fetches) error {
	if err := d.session.Begin(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	touched := map[int32]pipeline.Correlator{}
	sent := kgo.AbortingFirstErrPromise(d.session.Client())
	var failure error
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		state := d.states[p.Partition]
		if state == nil {
			var err error
			if state, err = d.restore(ctx, p.Partition); err != nil {
				failure = errors.Join(failure, err)
				return
			}
			d.states[p.Partition] = state
		}
		touched[p.Partition] = state
		out := pipeline.Output{Now: d.now()}
		for _, r := range p.Records {
			s, err := pipeline.DecodeSignal(r.Value)
			if err != nil {
				failure = errors.Join(failure, fmt.Errorf("%s/%d offset %d: %w", r.Topic, r.Partition, r.Offset, err))
				continue
			}
			state.Process(&s, &out)
		}
		state.Tick(&out)
		state.Dirty(func(key, value []byte) {
			d.session.Produce(ctx, &kgo.Record{Topic: StateTopic, Partition: p.Partition, Key: bytes.Clone(key), Value: bytes.Clone(value)}, sent.Promise())
		})
		failure = errors.Join(failure, d.send(ctx, &out, sent.Promise))
	})
	failure = errors.Join(failure, sent.Err())
	committed, err := d.session.End(ctx, kgo.TransactionEndTry(failure == nil))
	for _, state := range touched {
		if committed {
			state.Commit()
		} else {
			state.Rollback()
		}
	}
	if err = errors.Join(failure, err); err != nil {
		return fmt.Errorf("transaction: %w", err)
	}
	if !committed {
		d.log.Info("transaction aborted by a rebalance; its signals are read again")
	}
	return nil
}

func (d *Detect) send(ctx context.Context, out *pipeline.Output, promise func() func(*kgo.Record, error)) error {
	now := d.now()
	for _, a := range out.Alerts {
		value, err := pipeline.EncodeAlert(a, d.source, now)
		if err != nil {
			return err
		}
		headers := []kgo.RecordHeader{
			{Key: "ce_type", Value: []byte(pipeline.AlertType)},
			{Key: "content-type", Value: []byte("application/cloudevents+json")},
			{Key: "alert_class", Value: []byte(a.Class)},
			{Key: "severity_id", Value: []byte(strconv.Itoa(int(a.Severity)))},
		}
		if a.Status != pipeline.StatusSuppressed {
			d.session.Produce(ctx, &kgo.Record{Topic: AlertsPrefix + a.Team, Key: []byte(a.DedupKey), Value: value, Headers: headers, Timestamp: now}, promise())
		}
		d.session.Produce(ctx, &kgo.Record{Topic: AlertsStateTopic, Key: []byte(a.ID.String()), Value: value, Headers: headers, Timestamp: now}, promise())
	}
	for _, g := range out.Growth {
		value, err := pipeline.EncodeGrowth(g)
		if err != nil {
			return err
		}
		key := g.Host + "/" + g.DBName + "/" + g.DBObject
		d.session.Produce(ctx, &kgo.Record{Topic: GrowthTopic, Key: []byte(key), Value: value, Timestamp: g.Time}, promise())
	}
	for i := range out.Signals {
		s := &out.Signals[i]
		d.session.Produce(ctx, &kgo.Record{Topic: SignalsTopic, Key: []byte(s.Key), Value: pipeline.AppendSignal(nil, s), Timestamp: s.Ingest}, promise())
	}
	return nil
}

// restore makes the state of a partition as its last owner committed it, by reading its changelog to the end. An owner's
// transaction that is still open is waited for: the broker ends it at its timeout.
func (d *Detect) restore(ctx context.Context, partition int32) (pipeline.Correlator, error) {
	state := d.start()
	opts, err := d.cfg.options(d.log)
	if err != nil {
		return nil, err
	}
	started, records := time.Now(), 0
	client, err := kgo.NewClient(append(opts,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{StateTopic: {partition: kgo.NewOffset().AtStart()}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // the end of the log may be the mark of a transaction
		kgo.FetchMaxWait(500*time.Millisecond),
	)...)
	if err != nil {
		return nil, fmt.Errorf("restore state of partition %d: %w", partition, err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, StateTopic)
	ends, err2 := admin.ListEndOffsets(ctx, StateTopic)
	if err := errors.Join(err, err2); err != nil {
		return nil, fmt.Errorf("restore state of partition %d: %w", partition, err)
	}
	start, _ := starts.Lookup(StateTopic, partition)
	end, ok := ends.Lookup(StateTopic, partition)
	if !ok || end.Err != nil {
		return nil, fmt.Errorf("restore state: topic %s has no partition %d; it needs as many as %s: %w", StateTopic, partition, SignalsTopic, end.Err)
	}
	for next := start.Offset; next < end.Offset; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return nil, fmt.Errorf("restore state of partition %d: %w", partition, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if !r.Attrs.IsControl() {
				records++
				err = errors.Join(err, state.Restore(r.Key, r.Value))
			}
		})
		if err != nil {
			return nil, fmt.Errorf("restore state of partition %d: %w", partition, err)
		}
	}
	state.Commit()
	d.log.Debug("state restored", zap.Int32("partition", partition), zap.Int("records", records), zap.Duration("elapsed", time.Since(started)))
	return state, nil
}
