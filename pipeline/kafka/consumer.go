package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/segmentio/encoding/json"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
)

// Consumer is the ingest role's member of the consumer group. It runs one worker a partition and moves records to it, in
// two goroutine hops: the poll loop and the worker.
type Consumer struct {
	client *kgo.Client // of one membership: a member that the group had out joins again with another
	opts   []kgo.Opt
	cfg    Config
	group  string
	name   string
	start  func(pipeline.TopicPartition) (*pipeline.Worker, error)
	log    *zap.Logger
	budget *pipeline.Budget
	drain  time.Duration // how long workers may store what they hold when their partitions move on or the process ends

	mu     sync.Mutex // guards parts: callbacks and the poll loop take turns
	parts  map[topicPartition]*partition
	failed chan error
}

type topicPartition struct {
	topic     string
	partition int32
}

// partition is one worker and its queue.
type partition struct {
	id     uuid.UUID
	in     chan *pipeline.Batch
	cancel context.CancelFunc
	done   chan struct{}
	end    pipeline.EndOffset
	next   int64 // behind the last record that was fetched; of the poll loop alone, once the partition is there

	mu     sync.Mutex // guards what follows, and lets the client hear of it in the order in which it came
	queued int
	bytes  int64 // of what is queued
	paused bool
}

// queueBatches bounds what waits for a worker; a partition whose queue is full is not fetched until one batch is left: the
// next ones come while that is worked on.
const queueBatches = 4

// fetchWait is for how long a broker may hold an answer that has nothing in it. A partition that is fetched again waits for the
// answer to the request before, which does not name it: with the client's usual 5 s one busy partition among quiet ones would
// stand still for seconds after every few batches.
const fetchWait = 50 * time.Millisecond

// newTopics is how soon topics and partitions that are new are read.
const newTopics = 30 * time.Second

// recordBytes is what a record takes beside its key and value, here and in the client.
const recordBytes = 400

// fetchBytes bounds what one broker sends ahead, compressed, of all partitions. It waits outside the budget.
const fetchBytes = 3 << 20

// pollRecords bounds one poll, and so a batch.
const pollRecords = 2048

// drainTime is the usual bound on draining. What is not stored by then was not committed either: the next owner reads it
// again, or sends the planned chunk under its old name.
const drainTime = 20 * time.Second

// NewConsumer joins the group <cfg.Group>-ingest on the raw topics and on tocsin's own topics that end in the warehouse.
// instance names this member among others, the same after a restart: it takes its partitions up again at once, without a
// rebalance, also after a crash. budget bounds the bytes under way, nil for no bound; start makes the worker of a partition; its Offsets and Budget are set by the Consumer.
func NewConsumer(cfg Config, instance string, budget *pipeline.Budget, start func(pipeline.TopicPartition) (*pipeline.Worker, error), log *zap.Logger) (*Consumer, error) {
	opts, err := cfg.options(log)
	if err != nil {
		return nil, err
	}
	c := &Consumer{
		cfg: cfg, budget: budget, group: cfg.Group + "-ingest", name: instance, start: start, log: log, drain: drainTime, parts: map[topicPartition]*partition{},
	}
	topics, regex := cfg.subscription(AlertsStateTopic, ControlTopic, GrowthTopic, DeadLetterTopic)
	if regex {
		opts = append(opts, kgo.ConsumeRegex())
	}
	opts = append(opts, cfg.member(c.group, instance, kgo.CooperativeStickyBalancer(), kgo.StickyBalancer())...)
	c.opts = append(opts,
		kgo.ConsumeTopics(topics...),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // they say that a partition ends in the mark of a transaction
		kgo.MetadataMaxAge(newTopics),
		kgo.FetchMaxWait(fetchWait),
		kgo.FetchMaxBytes(fetchBytes),
		kgo.FetchMaxPartitionBytes(512<<10),
		kgo.MaxDecompressBatchBytes(128<<20),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(c.assigned),
		kgo.OnPartitionsRevoked(c.revoked),
		kgo.OnPartitionsLost(c.lost),
	)
	return c, c.join()
}

// join makes the client, which joins the group by itself.
func (c *Consumer) join() (err error) {
	c.failed = make(chan error, 1)
	if c.client, err = kgo.NewClient(c.opts...); err != nil {
		return fmt.Errorf("kafka consumer: %w", err)
	}
	return nil
}

// Run polls until ctx ends, a worker fails for good, or the client does. On its way out it lets the workers store what
// they hold: what was read is stored or not committed. A member that the group had out joins again.
func (c *Consumer) Run(ctx context.Context) error {
	for {
		err := c.poll(ctx)
		leave(c.client, c.cfg, c.group, c.log)
		c.client.Close()
		if !errors.Is(err, errTaken) || ctx.Err() != nil {
			return replaced(err, c.name)
		}
		c.log.Warn("joins the group again", zap.String("group", c.group), zap.Error(err))
		if err := c.join(); err != nil {
			return err
		}
	}
}

// poll moves what comes to the workers.
func (c *Consumer) poll(ctx context.Context) error {
	polling, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // a worker may fail while there is nothing to poll
		select {
		case err := <-c.failed:
			cancel(err)
		case <-polling.Done():
		}
	}()
	go c.look(polling)
	for {
		c.budget.Wait(polling) // heartbeats and rebalances go on meanwhile
		fetches := c.client.PollRecords(polling, pollRecords)
		if polling.Err() != nil && ctx.Err() == nil { // in this order: ctx, which may end in between, ends polling too
			return context.Cause(polling)
		}
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return nil
		}
		var fatal error
		fetches.EachError(func(topic string, p int32, err error) {
			if halts(err) {
				fatal = fmt.Errorf("fetch %s/%d: %w", topic, p, err)
				return
			}
			c.log.Warn("fetch", zap.String("topic", topic), zap.Int32("partition", p), zap.Error(err))
		})
		fetches.EachTopic(func(t kgo.FetchTopic) {
			for i := range t.Partitions {
				c.dispatch(t.Topic, &t.Partitions[i])
			}
		})
		c.client.AllowRebalance()
		if fatal != nil {
			return fatal
		}
	}
}

// halts reports whether an error of a poll is one that no waiting mends. A member that the group has forgotten, as after a
// pause longer than the session timeout, is none: the client joins again. One whose name another process has taken is.
func halts(err error) bool {
	var kafkaErr *kerr.Error
	if !errors.As(err, &kafkaErr) || errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.IllegalGeneration) {
		return false
	}
	return !kafkaErr.Retriable
}

// replaced says what an error means where another process has the name of this one.
func replaced(err error, instance string) error {
	// INVALID_TXN_STATE is of an end of a transaction that the other one has ended already by taking the name.
	for _, fenced := range []error{kerr.FencedInstanceID, kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.InvalidTxnState} {
		if errors.Is(err, fenced) {
			return fmt.Errorf("another process has taken the place of this one, for both are called %q: give each an `instance` of its own in its configuration: %w", instance, err)
		}
	}
	return err
}

// leave lets the partitions go and takes this member out of its group. The client itself would let one that has a name keep
// its partitions until the session ends, so that a restart finds them again. But a process that ends cleanly may not come
// back, and a moment's rebalance is cheaper than partitions that nobody reads. Only a crash keeps its place. The member goes
// by the id that the group gave it and not by its name, which may be another process' by now.
func leave(client *kgo.Client, cfg Config, group string, log *zap.Logger) {
	id, _ := client.GroupMetadata()
	client.AllowRebalance()
	client.LeaveGroup()
	if id == "" || cfg.Protocol == "consumer" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = group
	member := kmsg.NewLeaveGroupRequestMember()
	member.MemberID = id
	req.Members = append(req.Members, member)
	if _, err := req.RequestWith(ctx, client); err != nil {
		log.Warn("leave group", zap.String("group", group), zap.Error(err))
	}
}

// dispatch hands one partition's records to its worker.
func (c *Consumer) dispatch(topic string, fetched *kgo.FetchPartition) {
	if len(fetched.Records) == 0 {
		return
	}
	key := topicPartition{topic, fetched.Partition}
	c.mu.Lock()
	p := c.parts[key]
	c.mu.Unlock()
	if p == nil {
		return // revoked since it was fetched: its next owner reads it again
	}
	past := fetched.Records[len(fetched.Records)-1].Offset + 1
	records := slices.DeleteFunc(fetched.Records, func(r *kgo.Record) bool { return r.Attrs.IsControl() })
	if len(records) > 0 {
		p.next = records[len(records)-1].Offset + 1
	}
	if past > p.next {
		p.end.Skipped(p.next, past)
	}
	p.end.Seen(fetched.HighWatermark)
	if len(records) == 0 {
		return
	}
	size := int64(0)
	b := &pipeline.Batch{
		TopicPartition: pipeline.TopicPartition{Topic: topic, ID: p.id, Partition: fetched.Partition},
		Records:        make([]pipeline.Record, len(records)),
		Polled:         time.Now(),
		Free: func() {
			c.budget.Give(size)
			c.queue(key, p, -1, -size)
		},
	}
	for i, r := range records {
		b.Records[i] = record(r)
		size += recordBytes + int64(len(r.Key)+len(r.Value))
	}
	c.budget.Take(size)
	c.queue(key, p, 1, size)
	select {
	case p.in <- b:
	case <-p.done: // the worker failed; Run is about to hear of it
		b.Release()
	}
}

// queue notes that batches came to a partition's queue or left it, before they are handed over or after they were released. One
// whose queue is full is not fetched until one batch is left.
func (c *Consumer) queue(key topicPartition, p *partition, batches int, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queued += batches
	p.bytes += bytes
	switch {
	case !p.paused && (p.queued >= queueBatches || p.queued > 1 && c.budget.Much(p.bytes)):
		p.paused = true
		c.client.PauseFetchPartitions(map[string][]int32{key.topic: {key.partition}})
	case p.paused && p.queued <= 1:
		p.paused = false
		c.client.ResumeFetchPartitions(map[string][]int32{key.topic: {key.partition}})
	}
}

// assigned starts a worker for each partition. It may be called before NewConsumer has returned. It asks itself where the
// group stands, for the plans in the metadata: the client does so only when this has returned, to fetch from there.
func (c *Consumer) assigned(ctx context.Context, client *kgo.Client, assigned map[string][]int32) {
	topics := slices.Collect(maps.Keys(assigned))
	known, err := c.ask(ctx, client, topics)
	for deadline := time.Now().Add(askTime); err != nil && !halts(err) && ctx.Err() == nil && time.Now().Before(deadline); {
		c.log.Warn("ids and offsets of topics are asked for again", zap.Error(err))
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
		known, err = c.ask(ctx, client, topics)
	}
	if err != nil {
		c.fail(fmt.Errorf("read ids and offsets of topics: %w", err))
		return
	}
	// The client remembers what was paused, also for one that had the partition before and lost it with a full queue.
	client.ResumeFetchPartitions(assigned)
	member, _ := client.GroupMetadata()
	c.mu.Lock()
	defer c.mu.Unlock()
	for topic, partitions := range assigned {
		for _, n := range partitions {
			key := topicPartition{topic, n}
			if _, running := c.parts[key]; running {
				continue
			}
			tp := pipeline.TopicPartition{Topic: topic, ID: uuid.UUID(known.topics[topic].ID), Partition: n}
			w, err := c.start(tp)
			if err != nil {
				c.fail(fmt.Errorf("start %s/%d: %w", topic, n, err))
				return
			}
			w.Partition, w.Offsets, w.Budget = tp, &ownership{client, member}, c.budget
			start, _ := known.starts.Lookup(topic, n)
			next, plan := start.Offset, (*pipeline.Chunk)(nil)
			if o, ok := known.committed.Lookup(topic, n); ok && o.At >= 0 {
				next, plan = o.At, decodePlan(tp, o.At, o.Metadata)
			}
			workerCtx, cancel := context.WithCancel(context.Background()) // ends by revoked and lost, not with the poll
			p := &partition{id: tp.ID, in: make(chan *pipeline.Batch, queueBatches+1), cancel: cancel, done: make(chan struct{}), next: next}
			end, _ := known.ends.Lookup(topic, n)
			p.end.Seen(end.Offset)
			w.End = &p.end
			c.parts[key] = p
			go func() {
				defer close(p.done)
				defer cancel()
				err := w.Run(workerCtx, p.in, next, plan)
				if err != nil && workerCtx.Err() == nil {
					c.fail(fmt.Errorf("%s/%d: %w", topic, n, err))
				}
			}()
			c.log.Debug("partition assigned", zap.String("topic", topic), zap.Int32("partition", n), zap.Int64("offset", next), zap.Bool("planned", plan != nil))
		}
	}
}

// lookEvery is how often the brokers are asked where partitions end.
const lookEvery = time.Second

// look asks where the partitions end, until ctx ends. Fetches say that as well, but not of partitions that are paused, and a
// client does not tell of fetches that bring nothing: a partition whose fetches fail looks idle.
func (c *Consumer) look(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		req, at := kmsg.NewPtrListOffsetsRequest(), time.Now()
		req.ReplicaID = -1
		topics := map[string]*kmsg.ListOffsetsRequestTopic{}
		c.mu.Lock()
		parts := maps.Clone(c.parts)
		c.mu.Unlock()
		for key := range parts {
			t := topics[key.topic]
			if t == nil {
				t = &kmsg.ListOffsetsRequestTopic{Topic: key.topic}
				topics[key.topic] = t
			}
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Partition, p.Timestamp = key.partition, -1 // the end
			t.Partitions = append(t.Partitions, p)
		}
		for _, t := range topics {
			req.Topics = append(req.Topics, *t)
		}
		for _, shard := range c.client.RequestSharded(ctx, req) {
			resp, ok := shard.Resp.(*kmsg.ListOffsetsResponse)
			if shard.Err != nil || !ok {
				continue // what is not known moves nothing
			}
			for _, t := range resp.Topics {
				for _, p := range t.Partitions {
					if part := parts[topicPartition{t.Topic, p.Partition}]; part != nil && p.ErrorCode == 0 {
						part.end.Asked(p.Offset, at)
					}
				}
			}
		}
	}
}

// known is what the brokers know of topics and the group of its place in them.
type known struct {
	topics       kadm.TopicDetails
	starts, ends kadm.ListedOffsets
	committed    kadm.OffsetResponses
}

// askTime bounds for how long it is asked for: as long as partitions take to find other leaders when a broker is gone.
const askTime = 30 * time.Second

func (c *Consumer) ask(ctx context.Context, client *kgo.Client, topics []string) (k known, err error) {
	admin := kadm.NewClient(client)
	var errs [4]error
	k.topics, errs[0] = admin.ListTopics(ctx, topics...)
	k.starts, errs[1] = admin.ListStartOffsets(ctx, topics...)
	k.ends, errs[2] = admin.ListEndOffsets(ctx, topics...)
	k.committed, errs[3] = admin.FetchOffsets(ctx, c.group)
	return k, errors.Join(errors.Join(errs[:]...), k.topics.Error(), k.starts.Error(), k.ends.Error(), k.committed.Error())
}

// revoked lets the workers store and commit what they hold before the partitions move on.
func (c *Consumer) revoked(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	c.stop(gone, func(p *partition) { close(p.in) })
}

// lost stops the workers at once: the partitions have new owners, who send what was planned.
func (c *Consumer) lost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	c.stop(gone, func(p *partition) { p.cancel() })
}

func (c *Consumer) stop(gone map[string][]int32, end func(*partition)) {
	var stopping []*partition
	c.mu.Lock()
	for topic, partitions := range gone {
		for _, n := range partitions {
			key := topicPartition{topic, n}
			if p := c.parts[key]; p != nil {
				delete(c.parts, key)
				end(p)
				stopping = append(stopping, p)
			}
		}
	}
	c.mu.Unlock()
	late := time.AfterFunc(c.drain, func() {
		for _, p := range stopping {
			p.cancel()
		}
	})
	defer late.Stop()
	for _, p := range stopping {
		<-p.done
		p.release()
	}
}

// release gives back what still waits for a worker that has ended; nobody hands it more by now.
func (p *partition) release() {
	for {
		select {
		case b, ok := <-p.in:
			if !ok {
				return
			}
			b.Release()
		default:
			return
		}
	}
}

// fail reports the first error that ends the consumer.
func (c *Consumer) fail(err error) {
	select {
	case c.failed <- err:
	default:
	}
}

// plan is the metadata of a committed offset: the chunk that its owner was about to send.
type plan struct {
	Version int   `json:"v"`
	To      int64 `json:"to"`
	Epoch   int   `json:"e,omitempty"`
	Planned int64 `json:"t,omitempty"` // Unix seconds; 0 in those of earlier versions: long ago
}

func encodePlan(c *pipeline.Chunk) string {
	if c == nil {
		return ""
	}
	b, err := json.Marshal(plan{1, c.To, c.Epoch, c.Planned.Unix()})
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return string(b)
}

// decodePlan reads a plan; metadata that is none (another tool committed, or nothing was under way) is nil.
func decodePlan(tp pipeline.TopicPartition, from int64, metadata string) *pipeline.Chunk {
	var p plan
	if metadata == "" || json.Unmarshal([]byte(metadata), &p) != nil || p.Version != 1 {
		return nil
	}
	return &pipeline.Chunk{Span: pipeline.Span{TopicPartition: tp, From: from, To: p.To}, Epoch: p.Epoch, Planned: time.Unix(p.Planned, 0)}
}

// ownership is a partition as it was assigned to a member of the group. It implements pipeline.Offsets.
type ownership struct {
	client *kgo.Client
	member string
}

// errTaken is of a member that the group has taken out and, without a word of that, in again under another id: the client does so
// where it hears of it from a join. What it had may have had other owners in between: it joins again, and begins where the group stands.
var errTaken = errors.New("the group has had this member out; its partitions may have had another owner since they were read")

// rejoined reports whether it is this client itself that has taken the place of the member that it was: it has joined again under
// the same name, and the answer to that may still be on its way.
func rejoined(ctx context.Context, client *kgo.Client, was string) bool {
	for range 20 {
		if now, _ := client.GroupMetadata(); now != "" && now != was {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(100 * time.Millisecond):
		}
	}
	return false
}

// Commit implements pipeline.Offsets.
func (o *ownership) Commit(ctx context.Context, tp pipeline.TopicPartition, next int64, chunk *pipeline.Chunk) error {
	metadata := encodePlan(chunk)
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		if req.MemberID != o.member {
			return errTaken
		}
		for i := range req.Topics {
			for j := range req.Topics[i].Partitions {
				req.Topics[i].Partitions[j].Metadata = &metadata
			}
		}
		return nil
	})
	var failure error
	offsets := map[string]map[int32]kgo.EpochOffset{tp.Topic: {tp.Partition: {Epoch: -1, Offset: next}}}
	o.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		failure = err
		if resp == nil {
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					failure = err
				}
			}
		}
	})
	if errors.Is(failure, kerr.FencedInstanceID) && rejoined(ctx, o.client, o.member) {
		failure = errTaken
	}
	switch {
	case failure == nil:
		return nil
	case errors.Is(failure, kerr.TopicAuthorizationFailed), errors.Is(failure, kerr.GroupAuthorizationFailed), errors.Is(failure, kerr.OffsetMetadataTooLarge),
		errors.Is(failure, errTaken), errors.Is(failure, kerr.FencedInstanceID): // another process has this one's name
		return &pipeline.Permanent{Err: fmt.Errorf("commit offset %d: %w", next, failure)}
	}
	// All else is worth another try: a partition that was lost ends the worker by its context.
	return fmt.Errorf("commit offset %d: %w", next, failure)
}
