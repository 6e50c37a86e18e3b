package kafka

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/pipelinetest"
)

// TestConsumerKeepsItsBudget: while the warehouse is away reading stops at the budget, no more than a poll beyond it; when it is back, all is
// stored.
func TestConsumerKeepsItsBudget(t *testing.T) {
	const limit, records, size = 256 << 10, 12_000, 500
	const poll = pollRecords * (size + recordBytes)
	cfg := broker(t)
	producer := client(t, cfg, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	for range records {
		producer.Produce(t.Context(), &kgo.Record{Topic: "raw", Value: bytes.Repeat([]byte("x"), size)}, nil)
	}
	if err := producer.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	budget := pipeline.NewBudget(limit, 64<<20)
	warehouses := map[int32]*pipelinetest.Warehouse{0: pipelinetest.NewWarehouse(), 1: pipelinetest.NewWarehouse(), 2: pipelinetest.NewWarehouse()}
	var away atomic.Bool
	away.Store(true)
	tried := make(chan struct{}, 10_000)
	c, err := NewConsumer(cfg, "instance", budget, func(tp pipeline.TopicPartition) (*pipeline.Worker, error) {
		sink := &pipelinetest.Sink{Warehouse: pipelinetest.NewWarehouse(), Fail: func(bool) error {
			if away.Load() {
				tried <- struct{}{}
				return errors.New("connection refused")
			}
			return nil
		}}
		if tp.Topic == "raw" {
			sink.Warehouse = warehouses[tp.Partition]
		}
		return &pipeline.Worker{
			Processors: []pipeline.Processor{eventEach{}}, NewSink: sink.Copy, Publisher: &pipelinetest.Publisher{},
			Limits: pipeline.Limits{Rows: 1 << 20, Bytes: 1 << 30, Interval: 200 * time.Millisecond}, Now: time.Now, Log: zap.NewNop(),
			Metrics: pipeline.NewMetrics(prometheus.NewRegistry()),
		}, nil
	}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	<-tried
	var most int64
	for range 30 {
		most = max(most, budget.Used())
		time.Sleep(10 * time.Millisecond)
	}
	if most < limit/2 || most > limit+poll {
		t.Errorf("%d bytes were under way, want about %d, and %d of a poll at most", most, limit, poll)
	}
	away.Store(false)
	waitFor(t, "all records", func() bool {
		n := 0
		for _, w := range warehouses {
			n += len(w.Offsets())
		}
		return n == records
	})
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if left := budget.Used(); left != 0 {
		t.Errorf("%d bytes are under way after the end", left)
	}
}

// TestConsumerGivesItsBudgetBack: what waits for workers that lose their partitions is no longer under way.
func TestConsumerGivesItsBudgetBack(t *testing.T) {
	cfg := broker(t)
	producer := client(t, cfg, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	budget, tried := pipeline.NewBudget(64<<20, 64<<20), make(chan struct{}, 10_000)
	c, err := NewConsumer(cfg, "instance", budget, func(pipeline.TopicPartition) (*pipeline.Worker, error) {
		return &pipeline.Worker{
			Processors: []pipeline.Processor{eventEach{}}, Publisher: &pipelinetest.Publisher{},
			NewSink: (&pipelinetest.Sink{Warehouse: pipelinetest.NewWarehouse(), Fail: func(bool) error {
				tried <- struct{}{}
				return errors.New("connection refused")
			}}).Copy,
			Limits: pipeline.Limits{Rows: 1, Bytes: 1 << 30, Interval: time.Hour}, Now: time.Now, Log: zap.NewNop(),
			Metrics: pipeline.NewMetrics(prometheus.NewRegistry()),
		}, nil
	}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	c.drain = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	const size = 500
	send := func() {
		for range 3 {
			if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: "raw", Value: make([]byte, size)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	send()
	<-tried
	waitFor(t, "batches that wait for a worker", func() bool {
		send()
		return budget.Used() > 6*(size+recordBytes)
	})
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if left := budget.Used(); left != 0 {
		t.Errorf("%d bytes are under way after the end", left)
	}
}

// TestBusyPartitionAmongQuietOnes: a partition that is paused again and again does not wait each time for the answer to a fetch of
// those where nothing comes.
func TestBusyPartitionAmongQuietOnes(t *testing.T) {
	const records = 40_000
	cfg := broker(t)
	producer := client(t, cfg, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for range records {
		producer.Produce(t.Context(), &kgo.Record{Topic: "raw", Value: make([]byte, 200)}, nil)
	}
	if err := producer.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	warehouse := pipelinetest.NewWarehouse()
	c, err := NewConsumer(cfg, "instance", pipeline.NewBudget(64<<20, 64<<20), func(tp pipeline.TopicPartition) (*pipeline.Worker, error) {
		w := &pipeline.Worker{
			Processors: []pipeline.Processor{eventEach{}}, NewSink: (&pipelinetest.Sink{Warehouse: pipelinetest.NewWarehouse()}).Copy, Publisher: &pipelinetest.Publisher{},
			Limits: pipeline.Limits{Rows: 1000, Bytes: 1 << 30, Interval: 100 * time.Millisecond}, Now: time.Now, Log: zap.NewNop(),
			Metrics: pipeline.NewMetrics(prometheus.NewRegistry()),
		}
		if tp.Topic == "raw" && tp.Partition == 0 {
			w.NewSink = (&pipelinetest.Sink{Warehouse: warehouse, Fail: func(bool) error { time.Sleep(10 * time.Millisecond); return nil }}).Copy
		}
		return w, nil
	}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	waitFor(t, "the first records", func() bool { return len(warehouse.Offsets()) > 0 })
	began := time.Now()
	waitFor(t, "all records", func() bool { return len(warehouse.Offsets()) == records })
	if took := time.Since(began); took > 9*time.Second { // with the client's usual wait: 5 s for each time
		t.Errorf("%d records took %v", records, took)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestQueueIsFetchedAgain: a worker that empties its queue while the partition is about to be paused leaves it fetched.
func TestQueueIsFetchedAgain(t *testing.T) {
	client, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:1")) // which is never asked
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	p := &partition{in: make(chan *pipeline.Batch, queueBatches+1), done: make(chan struct{})}
	c := &Consumer{client: client, budget: pipeline.NewBudget(32, 32), parts: map[topicPartition]*partition{{"raw", 0}: p}}
	released := make(chan struct{})
	go func() {
		for b := range p.in {
			b.Release()
			released <- struct{}{}
		}
	}()
	defer close(p.in)
	for range 50_000 {
		for range 2 {
			c.dispatch("raw", &kgo.FetchPartition{Records: []*kgo.Record{{Topic: "raw"}}})
		}
		for range 2 {
			<-released
		}
		if paused := client.PauseFetchPartitions(nil); len(paused) > 0 {
			t.Fatalf("paused with an empty queue: %v", paused)
		}
	}
}
