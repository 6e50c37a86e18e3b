package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
)

// Detect is one stage of the detect role: a member of the consumer group <cfg.Group>-<stage>. Each round is one Kafka
// transaction: the records that were read, those they led to, the changelog of the state, and the offsets. The state of a
// partition is restored from its changelog by whoever takes it over.
type Detect struct {
	session *kgo.GroupTransactSession // of one membership: a member that the group had out joins again with another
	opts    []kgo.Opt
	stage   stage
	log     *zap.Logger
	now     func() time.Time

	// Tracer gets a span for each transaction; nil for no traces. It is set before Run.
	Tracer trace.Tracer

	group  string
	name   string
	cfg    Config
	bound  time.Duration // of a round
	states map[int32]member
	gone   chan map[string][]int32

	mu     sync.Mutex
	owned  map[int32]string // partitions, and the id that the group knew this member by when it gave them
	ticked time.Time
}

// stage is what tells the stages of the detect role apart.
type stage struct {
	name   string   // ends the group's name
	topics []string // read together: the partitions of one number have one state
	state  string   // changelog topic; the partition of the same number
	open   func(partition int) member
	// send produces what the state said.
	send func(out *pipeline.Output, produce func(*kgo.Record)) error
	// ticks is how often each partition of the first topic gets a record without a value, so that time goes on there; 0
	// for never.
	ticks time.Duration
}

// member is the state of a partition, and what takes a record.
type member struct {
	pipeline.Stateful
	take func(r *kgo.Record, out *pipeline.Output) error
	// tick is called after the partition's records of each round; nil for nothing.
	tick func(out *pipeline.Output)
}

// transactionTimeout is after what time the broker aborts a transaction whose owner has vanished.
const transactionTimeout = 30 * time.Second

// signalBytes bounds what a broker sends ahead of one partition, compressed. Signals and state are small and alike: a megabyte of them
// is fifty when it is read.
const signalBytes = 128 << 10

// NewDetect joins the group <cfg.Group>-detect, which reads signals and finds alerts. instance names this member among
// others, the same after a restart: it takes its partitions up again at once, and ends the transaction that a crash left
// open. start makes the state of a partition, of so many.
func NewDetect(ctx context.Context, cfg Config, instance string, start func(partition, partitions int) pipeline.Correlator, now func() time.Time, log *zap.Logger) (*Detect, error) {
	partitions, err := samePartitions(ctx, cfg, log, SignalsTopic, StateTopic)
	if err != nil {
		return nil, err
	}
	return newStage(cfg, instance, now, log, stage{
		name: "detect", topics: []string{SignalsTopic}, state: StateTopic,
		open: func(partition int) member {
			c := start(partition, partitions)
			return member{c, func(r *kgo.Record, out *pipeline.Output) error {
				s, err := pipeline.DecodeSignal(r.Value)
				if err == nil {
					c.Process(&s, out)
				}
				return err
			}, c.Tick}
		},
		send: func(out *pipeline.Output, produce func(*kgo.Record)) error {
			return sendFound(out, partitions, produce)
		},
	})
}

func newStage(cfg Config, instance string, now func() time.Time, log *zap.Logger, st stage) (*Detect, error) {
	opts, err := cfg.options(log)
	if err != nil {
		return nil, err
	}
	d := &Detect{
		stage: st, cfg: cfg, bound: transactionTimeout, group: cfg.Group + "-" + st.name, name: instance, log: log.Named(st.name), now: now,
	}
	leave := func(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
		d.disown(gone)
		d.gone <- gone
	}
	if len(st.topics) > 1 { // the partitions of one number of all topics go to the same member
		opts = append(opts, cfg.member(d.group, instance, kgo.RangeBalancer(), kgo.RangeBalancer())...)
	} else {
		opts = append(opts, cfg.member(d.group, instance, kgo.CooperativeStickyBalancer(), kgo.StickyBalancer())...)
	}
	d.opts = append(opts,
		kgo.TransactionalID(d.group+"-"+instance),
		kgo.TransactionTimeout(transactionTimeout),
		kgo.ConsumeTopics(st.topics...),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(500*time.Millisecond),
		kgo.FetchMaxBytes(signalBytes*8),
		kgo.FetchMaxPartitionBytes(signalBytes),
		kgo.ProducerLinger(0),
		// The changelog of a partition's state is the partition of the same number.
		kgo.RecordPartitioner(partitioner{Partitioner: kgo.StickyKeyPartitioner(nil)}),
		kgo.OnPartitionsAssigned(d.own),
		kgo.OnPartitionsRevoked(leave),
		kgo.OnPartitionsLost(leave),
	)
	return d, d.join()
}

// join makes the client, which joins the group by itself. What was known of partitions before was another member's.
func (d *Detect) join() (err error) {
	d.states, d.gone, d.owned = map[int32]member{}, make(chan map[string][]int32, 16), map[int32]string{}
	if d.session, err = kgo.NewGroupTransactSession(d.opts...); err != nil {
		return fmt.Errorf("kafka %s: %w", d.stage.name, err)
	}
	return nil
}

// own notes which partitions are this member's.
func (d *Detect) own(_ context.Context, client *kgo.Client, came map[string][]int32) {
	member, _ := client.GroupMetadata()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range came[d.stage.topics[0]] {
		d.owned[n] = member
	}
}

func (d *Detect) disown(gone map[string][]int32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range gone[d.stage.topics[0]] {
		delete(d.owned, n)
	}
}

// taken returns errTaken where one of the partitions was given to this member under another id.
func (d *Detect) taken(partitions map[int32][]*kgo.Record, member string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for n := range partitions {
		if was, ok := d.owned[n]; ok && was != member {
			return errTaken
		}
	}
	return nil
}

// Run works until ctx ends or a transaction fails for good. A member that the group had out joins again, and so does one whose
// brokers were away in the middle of a transaction: nobody knows how that ended until they are asked.
func (d *Detect) Run(ctx context.Context) error {
	for {
		err := d.work(ctx)
		leave(d.session.Client(), d.cfg, d.group, d.log)
		d.session.Close()
		if ctx.Err() != nil || !errors.Is(err, errTaken) && !away(err) {
			return replaced(err, d.name)
		}
		d.log.Warn("joins the group again", zap.String("group", d.group), zap.Error(err))
		if err := d.join(); err != nil {
			return err
		}
	}
}

// away reports whether an error is of brokers that could not be reached, or that will do later what they did not do now.
func away(err error) bool {
	var network *net.OpError
	var kafkaErr *kerr.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &kafkaErr) && kafkaErr.Retriable
}

// work goes from round to round.
func (d *Detect) work(ctx context.Context) error {
	// Asking for the producer's id ends the transaction that a crash of this instance left open. The client would ask at the
	// first Begin, and until the transaction's end the group does not say where its partitions stand: a wait of 30 s.
	if _, _, err := d.session.Client().ProducerID(ctx); halts(err) {
		return fmt.Errorf("take up transactions: %w", err)
	} else if err != nil && ctx.Err() == nil {
		d.log.Warn("take up transactions; it is tried again with the next one", zap.Error(err))
	}
	for {
		fetches := d.poll(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return nil
		}
		var fatal error
		fetches.EachError(func(topic string, p int32, err error) {
			if errors.Is(err, context.DeadlineExceeded) {
				return // nothing came, and time goes on
			}
			if halts(err) {
				fatal = fmt.Errorf("fetch %s/%d: %w", topic, p, err)
				return
			}
			d.log.Warn("fetch", zap.String("topic", topic), zap.Int32("partition", p), zap.Error(err))
		})
		if fatal != nil {
			return fatal
		}
		d.forget()
		tick := d.stage.ticks > 0 && time.Since(d.ticked) >= d.stage.ticks
		if fetches.NumRecords() == 0 && !tick {
			continue
		}
		if err := d.takeUp(ctx, fetches); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		// A transaction that was begun is ended, whatever ctx says: left open, it would hold back whoever takes the
		// partitions over until the broker times it out.
		round, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.bound)
		err := d.round(round, fetches, tick)
		cancel()
		if err != nil {
			return err
		}
	}
}

// poll waits for records, no longer than until time has to go on.
func (d *Detect) poll(ctx context.Context) kgo.Fetches {
	if d.stage.ticks > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.stage.ticks)
		defer cancel()
	}
	return d.session.PollRecords(ctx, pollRecords)
}

// forget drops the state of partitions that others own now.
func (d *Detect) forget() {
	for {
		select {
		case gone := <-d.gone:
			for _, n := range gone[d.stage.topics[0]] {
				delete(d.states, n)
			}
		default:
			return
		}
	}
}

// round is one transaction.
func (d *Detect) round(ctx context.Context, fetches kgo.Fetches, tick bool) (err error) {
	ctx, span := pipeline.Begin(ctx, d.Tracer, d.stage.name, trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(attribute.String("messaging.system", "kafka"), attribute.Int("messaging.batch.message_count", fetches.NumRecords())))
	defer func() { pipeline.End(span, err) }()
	if err := d.session.Begin(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	sent := kgo.AbortingFirstErrPromise(d.session.Client())
	produce := func(r *kgo.Record) { d.session.Produce(ctx, r, sent.Promise()) }
	partitions := map[int32][]*kgo.Record{}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) > 0 {
			partitions[p.Partition] = append(partitions[p.Partition], p.Records...)
		}
	})
	var failure error
	for p, records := range partitions {
		_, work := pipeline.Begin(ctx, d.Tracer, "work", trace.WithAttributes(
			attribute.Int("messaging.destination.partition.id", int(p)), attribute.Int("messaging.batch.message_count", len(records))))
		err := d.take(p, records, produce)
		pipeline.End(work, err)
		failure = errors.Join(failure, err)
	}
	if tick {
		d.tick(produce)
	}
	failure = errors.Join(failure, sent.Err())
	var member string
	ctx = kgo.PreTxnCommitFnContext(ctx, func(req *kmsg.TxnOffsetCommitRequest) error {
		member = req.MemberID
		return d.taken(partitions, req.MemberID)
	})
	_, commit := pipeline.Begin(ctx, d.Tracer, "commit")
	committed, err := d.session.End(ctx, kgo.TransactionEndTry(failure == nil))
	commit.SetAttributes(attribute.Bool("tocsin.committed", committed))
	pipeline.End(commit, err)
	if errors.Is(err, kerr.FencedInstanceID) && rejoined(ctx, d.session.Client(), member) {
		err = errTaken
	}
	for p := range partitions {
		if state, ok := d.states[p]; ok && committed {
			state.Commit()
		} else if ok {
			state.Rollback()
		}
	}
	if err = errors.Join(failure, err); err != nil {
		return fmt.Errorf("transaction: %w", err)
	}
	if !committed {
		d.log.Info("transaction aborted by a rebalance; its records are read again")
	}
	return nil
}

// take gives a partition's records to its state, and produces what comes of them.
func (d *Detect) take(partition int32, records []*kgo.Record, produce func(*kgo.Record)) error {
	state := d.states[partition]
	if len(d.stage.topics) > 1 { // in the order of their time, as far as they are here
		slices.SortStableFunc(records, func(a, b *kgo.Record) int { return a.Timestamp.Compare(b.Timestamp) })
	}
	var failure error
	out := pipeline.Output{Now: d.now()}
	for _, r := range records {
		if err := state.take(r, &out); err != nil {
			failure = errors.Join(failure, fmt.Errorf("%s/%d offset %d: %w", r.Topic, r.Partition, r.Offset, err))
		}
	}
	if state.tick != nil {
		state.tick(&out)
	}
	state.Dirty(func(key, value []byte) {
		produce(&kgo.Record{Topic: d.stage.state, Partition: partition, Key: bytes.Clone(key), Value: bytes.Clone(value)})
	})
	return errors.Join(failure, d.stage.send(&out, produce))
}

// tick lets time go on in the partitions that are this member's.
func (d *Detect) tick(produce func(*kgo.Record)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ticked = time.Now()
	for n := range d.owned {
		produce(&kgo.Record{Topic: d.stage.topics[0], Partition: n, Timestamp: d.now()})
	}
}

// sendFound hands alerts to the desk and growth rows to the warehouse, and tells the partitions of the signals topic what concerns them.
func sendFound(out *pipeline.Output, partitions int, produce func(*kgo.Record)) error {
	for _, a := range out.Alerts {
		value, err := pipeline.EncodeFound(a)
		if err != nil {
			return err
		}
		produce(&kgo.Record{Topic: DeskTopic, Key: []byte(a.Team), Value: value, Timestamp: out.Now})
	}
	for _, g := range out.Growth {
		value, err := pipeline.EncodeGrowth(g)
		if err != nil {
			return err
		}
		key := g.Host + "/" + g.DBName + "/" + g.DBObject
		produce(&kgo.Record{Topic: GrowthTopic, Key: []byte(key), Value: value, Timestamp: g.Time})
	}
	for i := range out.Controls {
		record, err := controlRecord(&out.Controls[i])
		if err != nil {
			return err
		}
		record.Timestamp = out.Now
		produce(record)
	}
	for i := range out.Signals {
		s := &out.Signals[i]
		if s.Kind == pipeline.SignalPassed {
			sendAll(s, partitions, out.Now, produce)
			continue
		}
		produce(&kgo.Record{Topic: SignalsTopic, Key: []byte(s.Key), Value: pipeline.AppendSignal(nil, s), Timestamp: s.Ingest})
	}
	return nil
}

// sendAll produces the signal to every partition of the signals topic.
func sendAll(s *pipeline.Signal, partitions int, now time.Time, produce func(*kgo.Record)) {
	value := pipeline.AppendSignal(nil, s)
	for n := range partitions {
		produce(&kgo.Record{Topic: SignalsTopic, Partition: int32(n), Value: value, Timestamp: now})
	}
}

// takeUp restores the states of partitions that are new here. It does so before their transaction, which has a time to be done in:
// a large state takes as long as it takes, and who gave up halfway would begin anew after each restart.
func (d *Detect) takeUp(ctx context.Context, fetches kgo.Fetches) (err error) {
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if _, ok := d.states[p.Partition]; ok || len(p.Records) == 0 || err != nil {
			return
		}
		var state member
		if state, err = d.restore(ctx, p.Partition); err == nil {
			d.states[p.Partition] = state
		}
	})
	return err
}

// restore makes the state of a partition as its last owner committed it.
func (d *Detect) restore(ctx context.Context, partition int32) (member, error) {
	state, started, records := d.stage.open(int(partition)), time.Now(), 0
	err := readChangelog(ctx, d.cfg, d.log, d.stage.state, partition, func(key, value []byte) error {
		records++
		return state.Restore(key, value)
	})
	if err != nil {
		return member{}, fmt.Errorf("restore state of partition %d: %w", partition, err)
	}
	state.Commit()
	d.log.Debug("state restored", zap.Int32("partition", partition), zap.Int("records", records), zap.Duration("elapsed", time.Since(started)))
	return state, nil
}

// ReadState gives what detect has written of its state, as it is now, to the correlator that start makes for each partition,
// and then that to show. It changes nothing.
func ReadState(ctx context.Context, cfg Config, log *zap.Logger, start func(partition, partitions int) pipeline.Correlator, show func(pipeline.Correlator) error) error {
	partitions, err := samePartitions(ctx, cfg, log, StateTopic)
	if err != nil {
		return err
	}
	for n := range partitions {
		c := start(n, partitions)
		if err := readChangelog(ctx, cfg, log, StateTopic, int32(n), c.Restore); err != nil {
			return fmt.Errorf("read state of partition %d: %w", n, err)
		}
		if err := show(c); err != nil {
			return err
		}
	}
	return nil
}

// readChangelog reads a partition of a changelog to its end. An owner's transaction that is still open is waited for: the
// broker ends it at its timeout. So is a broker that is away: whoever gave up would end the process.
func readChangelog(ctx context.Context, cfg Config, log *zap.Logger, topic string, partition int32, f func(key, value []byte) error) error {
	opts, err := cfg.options(log)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(opts,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // the end of the log may be the mark of a transaction
		kgo.FetchMaxWait(500*time.Millisecond),
		kgo.FetchMaxPartitionBytes(signalBytes),
	)...)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	var starts, ends kadm.ListedOffsets
	for {
		var err2 error
		starts, err = admin.ListStartOffsets(ctx, topic)
		ends, err2 = admin.ListEndOffsets(ctx, topic)
		if err = errors.Join(err, err2); err == nil {
			break
		}
		if halts(err) || ctx.Err() != nil {
			return err
		}
		log.Warn("where a changelog begins and ends is asked for again", zap.String("topic", topic), zap.Error(err))
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
	start, _ := starts.Lookup(topic, partition)
	end, ok := ends.Lookup(topic, partition)
	if !ok || end.Err != nil {
		return fmt.Errorf("topic %s has no partition %d, it needs as many as there are inputs: %w", topic, partition, end.Err)
	}
	for next := start.Offset; next < end.Offset; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if !r.Attrs.IsControl() {
				err = errors.Join(err, f(r.Key, r.Value))
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}
