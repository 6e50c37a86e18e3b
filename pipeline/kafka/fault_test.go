package kafka

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sync/errgroup"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/pipelinetest"
)

var thorough = flag.Bool("thorough", false, "sweep all errors, not only the one that leaves open what was done")

// faults are errors that a broker may give at any request, by what they mean to a client. Of a request that timed out the
// client cannot know whether it was done; kfake does it.
var faults = []*kerr.Error{
	kerr.RequestTimedOut, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotLeaderForPartition,
	kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.NetworkException, kerr.UnknownServerError,
}

// TestFaultsOfIngest lets each kind of request fail in each way, at the start and in the middle, while a consumer works that is started again when it
// ends. Every record is stored once.
func TestFaultsOfIngest(t *testing.T) {
	sweep(t, []kmsg.Key{
		kmsg.OffsetCommit, kmsg.OffsetFetch, kmsg.Fetch, kmsg.ListOffsets, kmsg.Metadata, kmsg.FindCoordinator, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat,
	}, faults, func(t *testing.T, cfg Config, cluster *kfake.Cluster, fault kfake.Fault) {
		var mu sync.Mutex
		warehouses := map[int32]*pipelinetest.Warehouse{0: pipelinetest.NewWarehouse(), 1: pipelinetest.NewWarehouse(), 2: pipelinetest.NewWarehouse()}
		stored := func() (n int) {
			mu.Lock()
			defer mu.Unlock()
			for _, w := range warehouses {
				n += len(w.Offsets())
			}
			return n
		}
		consume := func(ctx context.Context) error {
			c, err := NewConsumer(cfg, "instance", nil, func(tp pipeline.TopicPartition) (*pipeline.Worker, error) {
				w := pipelinetest.NewWarehouse()
				if tp.Topic == "raw" {
					w = warehouses[tp.Partition]
				}
				return &pipeline.Worker{
					Processors: []pipeline.Processor{eventEach{}}, NewSink: (&pipelinetest.Sink{Warehouse: w}).Copy, Publisher: &pipelinetest.Publisher{},
					Limits: pipeline.Limits{Rows: 20, Bytes: 1 << 20, Interval: 20 * time.Millisecond}, Now: time.Now, Log: zap.NewNop(),
					Metrics: pipeline.NewMetrics(prometheus.NewRegistry()),
				}, nil
			}, zap.NewNop())
			if err != nil {
				return err
			}
			return c.Run(ctx)
		}
		const each = 60
		producer := client(t, cfg, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
		produce := func() {
			for i := range each {
				if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: "raw", Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
		}
		produce()
		cluster.Fault(fault)
		stop := keepRunning(t, consume)
		waitFor(t, "the first records", func() bool { return stored() >= each })
		cluster.Fault(fault) // in the middle of its work
		produce()
		waitFor(t, "all records", func() bool { return stored() == 2*each })
		stop()
		for p, w := range warehouses {
			for offset, n := range w.Offsets() {
				if n != 1 {
					t.Errorf("partition %d offset %d is stored %d times", p, offset, n)
				}
			}
		}
	})
}

// TestFaultsOfDetect does the same with the transactions of detect: every third signal of a key raises one alert, and that is heard
// as a signal itself and answered, once.
func TestFaultsOfDetect(t *testing.T) {
	sweep(t, []kmsg.Key{
		kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.TxnOffsetCommit, kmsg.EndTxn, kmsg.Produce, kmsg.Fetch, kmsg.OffsetFetch, kmsg.Heartbeat,
	}, append([]*kerr.Error{kerr.ConcurrentTransactions, kerr.ProducerFenced, kerr.InvalidProducerEpoch}, faults...),
		func(t *testing.T, cfg Config, cluster *kfake.Cluster, fault kfake.Fault) {
			switch fault.Keys[0] { // the test itself produces and fetches as well
			case kmsg.Produce:
				fault.Topic = StateTopic
			case kmsg.Fetch:
				fault.Topic = SignalsTopic
			}
			producer := client(t, cfg)
			n := 0
			produce := func(count int) {
				for range count {
					s := pipeline.Signal{Kind: pipeline.SignalMatch, Key: fmt.Sprint("key-", n%5), Offset: int64(n), Time: time.Now(), Ingest: time.Now()}
					n++
					if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: SignalsTopic, Key: []byte(s.Key), Value: pipeline.AppendSignal(nil, &s)}).FirstErr(); err != nil {
						t.Fatal(err)
					}
				}
			}
			alerts := map[string]int{}
			reader := client(t, cfg, kgo.ConsumeTopics(DeskTopic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
			read := func(bound time.Duration) int {
				ctx, cancel := context.WithTimeout(t.Context(), bound)
				defer cancel()
				reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
					a, err := pipeline.DecodeFound(r.Value)
					if err != nil {
						t.Error(err)
						return
					}
					alerts[a.DedupKey]++
				})
				return len(alerts)
			}
			produce(60)
			cluster.Fault(fault)
			stop := keepRunning(t, func(ctx context.Context) error {
				d, err := NewDetect(t.Context(), cfg, "instance", func(int, int) pipeline.Correlator { return newTally() }, time.Now, zap.NewNop())
				if err != nil {
					return err
				}
				return d.Run(ctx)
			})
			waitFor(t, "the first alerts", func() bool { return read(50*time.Millisecond) >= 40 })
			cluster.Fault(fault)
			produce(60)
			waitFor(t, "all alerts", func() bool { return read(50*time.Millisecond) >= 80 })
			stop()
			read(100 * time.Millisecond)
			if len(alerts) != 80 {
				t.Errorf("%d alerts, want 80", len(alerts))
			}
			for a, n := range alerts {
				if n != 1 {
					t.Errorf("alert %s was sent %d times", a, n)
				}
			}
		})
}

// TestMemberThatWasOutJoinsAgain: the group forgets its members, which hear of it from a join only. What they had may have had
// other owners; they go on by themselves from where the group stands.
func TestMemberThatWasOutJoinsAgain(t *testing.T) {
	cfg, cluster := brokers(t)
	core, logs := observer.New(zap.WarnLevel)
	log := zap.New(core)
	warehouse := pipelinetest.NewWarehouse() // of the one partition that is written to
	consumer, err := NewConsumer(cfg, "instance", nil, func(tp pipeline.TopicPartition) (*pipeline.Worker, error) {
		w := &pipeline.Worker{
			Processors: []pipeline.Processor{eventEach{}}, NewSink: (&pipelinetest.Sink{Warehouse: pipelinetest.NewWarehouse()}).Copy, Publisher: &pipelinetest.Publisher{},
			Limits: pipeline.Limits{Rows: 20, Bytes: 1 << 20, Interval: 20 * time.Millisecond}, Now: time.Now, Log: log,
			Metrics: pipeline.NewMetrics(prometheus.NewRegistry()),
		}
		if tp.Topic == "raw" && tp.Partition == 0 {
			w.NewSink = (&pipelinetest.Sink{Warehouse: warehouse}).Copy
		}
		return w, nil
	}, log)
	if err != nil {
		t.Fatal(err)
	}
	detect, err := NewDetect(t.Context(), cfg, "instance", func(int, int) pipeline.Correlator { return newTally() }, time.Now, log)
	if err != nil {
		t.Fatal(err)
	}
	g, ctx := errgroup.WithContext(t.Context())
	ctx, cancel := context.WithCancel(ctx)
	g.Go(func() error { return consumer.Run(ctx) })
	g.Go(func() error { return detect.Run(ctx) })

	producer := client(t, cfg, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	reader := client(t, cfg, kgo.ConsumeTopics(DeskTopic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	sent, alerts := 0, 0
	produce := func(count int) {
		for range count {
			s := pipeline.Signal{Kind: pipeline.SignalMatch, Key: "key", Offset: int64(sent), Time: time.Now(), Ingest: time.Now()}
			sent++
			if err := producer.ProduceSync(ctx, &kgo.Record{Topic: "raw", Value: []byte("x")}, &kgo.Record{Topic: SignalsTopic, Value: pipeline.AppendSignal(nil, &s)}).FirstErr(); err != nil {
				t.Fatal(errors.Join(err, g.Wait()))
			}
		}
	}
	all := func() bool { // every third signal of a key is an alert, and the alert is answered by another
		poll, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		alerts += reader.PollFetches(poll).NumRecords()
		return ctx.Err() != nil || len(warehouse.Offsets()) == sent && alerts == 2*(sent/3)
	}
	produce(60)
	waitFor(t, "the first records", all)
	for _, group := range []string{"tocsin-ingest", "tocsin-detect"} {
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Group: group, Err: kerr.UnknownMemberID, Count: 1})
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: group, Err: kerr.RebalanceInProgress, Count: 1})
	}
	waitFor(t, "both to join again", func() bool {
		produce(3)
		return ctx.Err() != nil || logs.FilterMessage("joins the group again").Len() == 2
	})
	waitFor(t, "all records", all)
	cancel()
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for offset, n := range warehouse.Offsets() {
		if n != 1 {
			t.Errorf("offset %d is stored %d times", offset, n)
		}
	}
}

// sweep runs a test for each kind of request with each error, against a broker of its own.
func sweep(t *testing.T, keys []kmsg.Key, errs []*kerr.Error, test func(*testing.T, Config, *kfake.Cluster, kfake.Fault)) {
	if !*thorough {
		errs = []*kerr.Error{kerr.RequestTimedOut}
	}
	for _, key := range keys {
		for _, err := range errs {
			t.Run(fmt.Sprint(kmsg.NameForKey(int16(key)), "/", err.Message), func(t *testing.T) {
				t.Parallel()
				cfg, cluster := brokers(t)
				test(t, cfg, cluster, kfake.Fault{Keys: []kmsg.Key{key}, Err: err, Count: 1})
			})
		}
	}
}

// keepRunning starts run again whenever it ends, as an orchestrator does, until stop is called.
func keepRunning(t *testing.T, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := run(ctx); err != nil {
				t.Logf("ended: %v", err)
				time.Sleep(20 * time.Millisecond)
			}
		}
	}()
	return func() { cancel(); <-done }
}
