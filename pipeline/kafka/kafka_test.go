package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/pipelinetest"
)

// broker starts a kfake cluster with the raw topic and tocsin's own.
func broker(t *testing.T, opts ...kfake.Opt) Config {
	t.Helper()
	cfg, _ := brokers(t, opts...)
	return cfg
}

func brokers(t *testing.T, opts ...kfake.Opt) (Config, *kfake.Cluster) {
	t.Helper()
	cluster, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1), kfake.SeedTopics(3, "raw"))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cfg := DefaultConfig()
	cfg.Brokers, cfg.Topics, cfg.Partitions, cfg.Replicas = cluster.ListenAddrs(), []string{"raw"}, 3, 1
	if err := EnsureTopics(t.Context(), cfg, zaptest.NewLogger(t)); err != nil {
		t.Fatal(err)
	}
	return cfg, cluster
}

// eachProtocol runs a test with groups whose members divide the partitions, and with those where the brokers do (KIP-848).
func eachProtocol(t *testing.T, test func(*testing.T, Config)) {
	for _, protocol := range []string{"classic", "consumer"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			cfg := broker(t)
			cfg.Protocol = protocol
			test(t, cfg)
		})
	}
}

func client(t *testing.T, cfg Config, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(cfg.Brokers...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// eventEach is a processor that makes one event of each record.
type eventEach struct{}

func (eventEach) Process(_ context.Context, b *pipeline.Batch) error {
	for i := range b.Records {
		b.Next(i)
	}
	return nil
}

// TestConsumerStoresEachRecordOnce produces while consumers come and go, as in rolling restarts, and expects every record
// of every partition in the warehouse exactly once.
func TestConsumerStoresEachRecordOnce(t *testing.T) {
	eachProtocol(t, testConsumerStoresEachRecordOnce)
}

func testConsumerStoresEachRecordOnce(t *testing.T, cfg Config) {
	warehouses := map[int32]*pipelinetest.Warehouse{0: pipelinetest.NewWarehouse(), 1: pipelinetest.NewWarehouse(), 2: pipelinetest.NewWarehouse()}
	metrics := pipeline.NewMetrics(prometheus.NewRegistry())
	log := zaptest.NewLogger(t)
	consume := func(ctx context.Context) error {
		c, err := NewConsumer(cfg, "instance", nil, func(tp pipeline.TopicPartition) (*pipeline.Worker, error) {
			w := warehouses[tp.Partition]
			if tp.Topic != "raw" {
				w = pipelinetest.NewWarehouse()
			}
			return &pipeline.Worker{
				Processors: []pipeline.Processor{eventEach{}}, NewSink: (&pipelinetest.Sink{Warehouse: w}).Copy, Publisher: &pipelinetest.Publisher{},
				Limits: pipeline.Limits{Rows: 50, Bytes: 1 << 20, Interval: 50 * time.Millisecond}, Now: time.Now, Log: log, Metrics: metrics,
			}, nil
		}, log)
		if err != nil {
			return err
		}
		return c.Run(ctx)
	}
	producer := client(t, cfg, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	const rounds, each = 4, 600
	for round := range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- consume(ctx) }()
		for i := range each {
			producer.Produce(ctx, &kgo.Record{Topic: "raw", Value: fmt.Appendf(nil, "%d-%d", round, i)}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
			if i%200 == 0 {
				time.Sleep(100 * time.Millisecond)
			}
		}
		if err := producer.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if round == rounds-1 {
			waitFor(t, "all records", func() bool {
				n := 0
				for _, w := range warehouses {
					n += len(w.Offsets())
				}
				return n == rounds*each
			})
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for p, w := range warehouses {
		for offset, n := range w.Offsets() {
			if n != 1 {
				t.Errorf("partition %d offset %d is stored %d times", p, offset, n)
			}
		}
	}
}

// oneWorker runs a consumer whose sink fails every flush with err, gives it one record, and returns its end.
func oneWorker(t *testing.T, ctx context.Context, err error) (done chan error, flushed chan struct{}) {
	t.Helper()
	cfg, log := broker(t), zaptest.NewLogger(t)
	flushed = make(chan struct{}, 1000)
	c, err2 := NewConsumer(cfg, "instance", nil, func(pipeline.TopicPartition) (*pipeline.Worker, error) {
		sink := &pipelinetest.Sink{Warehouse: pipelinetest.NewWarehouse(), Fail: func(bool) error { flushed <- struct{}{}; return err }}
		return &pipeline.Worker{
			Processors: []pipeline.Processor{eventEach{}}, NewSink: sink.Copy, Publisher: &pipelinetest.Publisher{},
			Limits: pipeline.Limits{Rows: 50, Bytes: 1 << 20, Interval: 300 * time.Millisecond}, Now: time.Now, Log: log,
			Metrics: pipeline.NewMetrics(prometheus.NewRegistry()),
		}, nil
	}, log)
	if err2 != nil {
		t.Fatal(err2)
	}
	c.drain = 200 * time.Millisecond
	done = make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	if err := client(t, cfg).ProduceSync(t.Context(), &kgo.Record{Topic: "raw", Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return done, flushed
}

// TestConsumerEndsWhenAWorkerFailsAndNothingArrives: the flush by time fails for good while the poll waits for records.
func TestConsumerEndsWhenAWorkerFailsAndNothingArrives(t *testing.T) {
	done, _ := oneWorker(t, t.Context(), &pipeline.Permanent{Err: errors.New("unknown table")})
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "unknown table") {
			t.Fatalf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the consumer polls on without its worker")
	}
}

// TestConsumerEndsWhileTheWarehouseIsDown: what cannot be stored is left to the next owner, within the time for draining.
func TestConsumerEndsWhileTheWarehouseIsDown(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done, flushed := oneWorker(t, ctx, errors.New("connection refused"))
	<-flushed
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the consumer waits for the warehouse")
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// tally is a correlator that counts the signals of each key and raises an alert at every third. Another rule takes it: its
// signal comes back by the topic and raises an alert as well.
type tally struct{ now, committed map[string]uint64 }

func newTally() *tally { return &tally{map[string]uint64{}, map[string]uint64{}} }

func (c *tally) Process(s *pipeline.Signal, out *pipeline.Output) {
	if s.Kind == pipeline.SignalAlert {
		out.Alerts = append(out.Alerts, &pipeline.Alert{ID: pipeline.NewID("heard", s.Key), Version: 1, Status: pipeline.StatusFiring, Team: pipeline.TeamSec, DedupKey: "heard " + s.Key})
	}
	if s.Kind != pipeline.SignalMatch {
		return
	}
	c.now[s.Key]++
	if n := c.now[s.Key]; n%3 == 0 {
		dedup := fmt.Sprintf("%s#%d", s.Key, n)
		out.Alerts = append(out.Alerts, &pipeline.Alert{ID: pipeline.NewID(dedup), Version: 1, Status: pipeline.StatusFiring, Team: pipeline.TeamSec, DedupKey: dedup})
		out.Signals = append(out.Signals, pipeline.Signal{Kind: pipeline.SignalAlert, Key: dedup, Time: s.Time, Ingest: s.Ingest})
	}
}
func (c *tally) Tick(*pipeline.Output) {}
func (c *tally) Commit()               { c.committed = maps.Clone(c.now) }
func (c *tally) Rollback()             { c.now = maps.Clone(c.committed) }
func (c *tally) Dirty(f func(key, value []byte)) {
	for k, n := range c.now {
		if c.committed[k] != n {
			f([]byte(k), binary.AppendUvarint(nil, n))
		}
	}
}

func (c *tally) Restore(key, value []byte) error {
	c.now[string(key)], _ = binary.Uvarint(value)
	return nil
}

// TestDetectKeepsItsStateOverRestarts sends signals while detect instances come and go, one of them in the middle of
// everything, and expects each third signal of a key to raise one alert, and that to be heard, committed once.
func TestDetectKeepsItsStateOverRestarts(t *testing.T) {
	eachProtocol(t, testDetectKeepsItsStateOverRestarts)
}

func testDetectKeepsItsStateOverRestarts(t *testing.T, cfg Config) {
	log := zaptest.NewLogger(t)
	producer, err := NewProducer(t.Context(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	publisher := producer.Worker()
	const rounds, each, keys = 4, 300, 10
	const want = 2 * rounds * each / 3
	alerts := map[string]int{}
	reader := client(t, cfg, kgo.ConsumeTopics(DeskTopic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	read := func(wait time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			a, err := pipeline.DecodeFound(r.Value)
			if err != nil {
				t.Fatal(err)
			}
			alerts[a.DedupKey]++
		})
	}
	for round := range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		d, err := NewDetect(t.Context(), cfg, fmt.Sprintf("instance-%d", round%2), func(int, int) pipeline.Correlator { return newTally() }, time.Now, log)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx) }()
		for i := range each {
			b := &pipeline.Batch{Signals: []pipeline.Signal{{Kind: pipeline.SignalMatch, Key: fmt.Sprintf("key-%d", i%keys), Offset: int64(round*each + i), Time: time.Now(), Ingest: time.Now()}}}
			if err := publisher.Publish(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if i%50 == 0 {
				time.Sleep(20 * time.Millisecond)
			}
		}
		if err := publisher.Barrier()(t.Context()); err != nil {
			t.Fatal(err)
		}
		if round == rounds-1 {
			waitFor(t, "the last alerts", func() bool { read(200 * time.Millisecond); return len(alerts) >= want })
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	read(time.Second) // there are no more
	if len(alerts) != want {
		t.Errorf("%d different alerts, want %d", len(alerts), want)
	}
	for k, n := range alerts {
		if n != 1 {
			t.Errorf("alert %s was sent %d times", k, n)
		}
	}
	if err := producer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// slowTally takes longer to restore than a round may take.
type slowTally struct{ *tally }

func (c slowTally) Restore(key, value []byte) error {
	time.Sleep(400 * time.Millisecond)
	return c.tally.Restore(key, value)
}

// TestNoLagBehindTransactions: a partition that ends in the marks of transactions, committed and aborted, is read to its end.
func TestNoLagBehindTransactions(t *testing.T) {
	cfg := broker(t)
	producer := client(t, cfg, kgo.TransactionalID("app"), kgo.DefaultProduceTopic("raw"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for _, write := range []struct {
		partition int32
		end       kgo.TransactionEndTry
	}{{0, kgo.TryCommit}, {1, kgo.TryCommit}, {1, kgo.TryAbort}, {2, kgo.TryAbort}} {
		if err := producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := producer.ProduceSync(t.Context(), &kgo.Record{Partition: write.partition}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := producer.EndTransaction(t.Context(), write.end); err != nil {
			t.Fatal(err)
		}
	}
	warehouse := pipelinetest.NewWarehouse()
	registry := prometheus.NewRegistry()
	metrics := pipeline.NewMetrics(registry)
	log := zaptest.NewLogger(t)
	c, err := NewConsumer(cfg, "instance", nil, func(pipeline.TopicPartition) (*pipeline.Worker, error) {
		return &pipeline.Worker{
			Processors: []pipeline.Processor{eventEach{}}, NewSink: (&pipelinetest.Sink{Warehouse: warehouse}).Copy, Publisher: &pipelinetest.Publisher{},
			Limits: pipeline.Limits{Rows: 50, Bytes: 1 << 20, Interval: 50 * time.Millisecond}, Now: time.Now, Log: log, Metrics: metrics,
		}, nil
	}, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	waitFor(t, "the records and no lag", func() bool {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		partitions, lag := 0, 0.0
		for _, f := range families {
			if f.GetName() == "tocsin_ingest_lag_offsets" {
				for _, m := range f.Metric {
					if m.Label[1].GetValue() == "raw" {
						partitions++
						lag += m.Gauge.GetValue()
					}
				}
			}
		}
		return partitions == 3 && lag == 0 && len(warehouse.Offsets()) > 0
	})
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestDetectTakesItsTimeToRestore: a state that takes longer to read than a transaction may last is read to its end, and what was
// counted before the restart counts.
func TestDetectTakesItsTimeToRestore(t *testing.T) {
	t.Parallel()
	cfg := broker(t)
	producer := client(t, cfg)
	reader := client(t, cfg, kgo.ConsumeTopics(DeskTopic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	const keys = 10
	n := int64(0)
	produce := func() { // to one partition, so that one state has them all
		for k := range keys {
			s := pipeline.Signal{Kind: pipeline.SignalMatch, Key: fmt.Sprint("key-", k), Offset: n, Time: time.Now(), Ingest: time.Now()}
			n++
			if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: SignalsTopic, Key: []byte("one"), Value: pipeline.AppendSignal(nil, &s)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	start := func(open func(int, int) pipeline.Correlator) (stop func()) {
		return keepRunning(t, func(ctx context.Context) error {
			d, err := NewDetect(t.Context(), cfg, "instance", open, time.Now, zap.NewNop())
			if err != nil {
				return err
			}
			d.bound = 2 * time.Second
			return d.Run(ctx)
		})
	}
	alerts := 0 // each third signal of a key raises one, which is heard and answered by another
	told := func(want int) func() bool {
		return func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			alerts += reader.PollFetches(ctx).NumRecords()
			return alerts >= want
		}
	}
	stop := start(func(int, int) pipeline.Correlator { return newTally() })
	for range 3 {
		produce()
	}
	waitFor(t, "alerts at the third signal of each key", told(2*keys))
	stop()
	stop = start(func(int, int) pipeline.Correlator { return slowTally{newTally()} })
	for range 3 {
		produce()
	}
	waitFor(t, "alerts at the sixth", told(4*keys))
	stop()
	if alerts != 4*keys {
		t.Errorf("%d alerts, want %d", alerts, 4*keys)
	}
}

// TestRestoreWaitsForTheBroker: a broker that is away when a state is restored does not end the process.
func TestRestoreWaitsForTheBroker(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Brokers = []string{l.Addr().String()}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	core, said := observer.New(zap.WarnLevel)
	done := make(chan error, 1)
	go func() {
		done <- readChangelog(t.Context(), cfg, zap.New(core), "state", 0, func(_, _ []byte) error { return nil })
	}()
	waitFor(t, "it to ask in vain", func() bool {
		return said.FilterMessage("where a changelog begins and ends is asked for again").Len() > 0
	})
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port), kfake.SeedTopics(1, "state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestDetectEndsTheTransactionOfACrash: a transaction that a dead process left open, with offsets in it, is ended by its
// next start. The group does not tell offsets before that, or before the broker's timeout of 30 s.
func TestDetectEndsTheTransactionOfACrash(t *testing.T) {
	cfg, log := broker(t), zaptest.NewLogger(t)
	id, group := cfg.Group+"-detect-a", cfg.Group+"-detect"
	dead := client(t, cfg, kgo.TransactionalID(id), kgo.TransactionTimeout(transactionTimeout))
	pid, epoch, err := dead.ProducerID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = id, pid, epoch, group
	if r, err := add.RequestWith(t.Context(), dead); err != nil || r.ErrorCode != 0 {
		t.Fatal(r, err)
	}
	commit := kmsg.NewPtrTxnOffsetCommitRequest()
	commit.TransactionalID, commit.ProducerID, commit.ProducerEpoch, commit.Group, commit.Generation = id, pid, epoch, group, -1
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	details, err := kadm.NewClient(dead).ListTopics(t.Context(), SignalsTopic)
	if err != nil {
		t.Fatal(err)
	}
	topic.Topic, topic.TopicID = SignalsTopic, details[SignalsTopic].ID
	producer := client(t, cfg, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for n := range cfg.Partitions {
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset = n, 1
		topic.Partitions = append(topic.Partitions, p)
		value := pipeline.AppendSignal(nil, &pipeline.Signal{Kind: pipeline.SignalMatch, Key: "k", Time: time.Now(), Ingest: time.Now()})
		if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: SignalsTopic, Partition: n, Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	commit.Topics = append(commit.Topics, topic)
	if r, err := commit.RequestWith(t.Context(), dead); err != nil || r.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatal(r, err)
	}
	d, err := NewDetect(t.Context(), cfg, "a", func(int, int) pipeline.Correlator { return newTally() }, time.Now, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	waitFor(t, "the signals", func() bool {
		committed, err := kadm.NewClient(producer).FetchOffsets(t.Context(), group)
		return err == nil && len(committed[SignalsTopic]) == int(cfg.Partitions)
	})
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestDetectSaysWhoTookItsPlace: another process of its name ends its open transaction; what the broker says of that does not tell
// whoever looks for the cause.
func TestDetectSaysWhoTookItsPlace(t *testing.T) {
	cfg, cluster := brokers(t)
	d, err := NewDetect(t.Context(), cfg, "a", func(int, int) pipeline.Correlator { return newTally() }, time.Now, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.InvalidTxnState, Count: 1})
	value := pipeline.AppendSignal(nil, &pipeline.Signal{Kind: pipeline.SignalMatch, Key: "k", Time: time.Now(), Ingest: time.Now()})
	if err := client(t, cfg).ProduceSync(t.Context(), &kgo.Record{Topic: SignalsTopic, Value: value}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := d.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another process has taken the place of this one") {
		t.Error(err)
	}
}

func TestPlanSurvivesItsMetadata(t *testing.T) {
	c := &pipeline.Chunk{Span: pipeline.Span{From: 7, To: 1 << 40}, Epoch: 3, Planned: time.Unix(1_800_000_000, 0)}
	got := decodePlan(pipeline.TopicPartition{}, 7, encodePlan(c))
	if got == nil || got.From != 7 || got.To != 1<<40 || got.Epoch != 3 || !got.Planned.Equal(c.Planned) {
		t.Fatalf("%+v", got)
	}
	for _, metadata := range []string{"", "member-id", `{"v":2,"to":9}`, strings.Repeat("{", 100)} {
		if got := decodePlan(pipeline.TopicPartition{}, 7, metadata); got != nil {
			t.Errorf("%q gave %+v", metadata, got)
		}
	}
}
