package kafka

import (
	"context"
	"errors"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
)

// TestDetectOutlivesAnOutage: all brokers are away for longer than the client asks again, in the middle of transactions. Detect goes on when
// they are back, and finds what it would have found.
func TestDetectOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kafka, err := embedded.StartKafka(embedded.KafkaConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { kafka.Close() }()
	cfg := DefaultConfig()
	cfg.Brokers, cfg.Topics, cfg.Partitions, cfg.Replicas = kafka.Addrs, []string{"raw"}, 3, 1
	if err := EnsureTopics(t.Context(), cfg, zaptest.NewLogger(t)); err != nil {
		t.Fatal(err)
	}
	d, err := NewDetect(t.Context(), cfg, "instance", func(int, int) pipeline.Correlator { return newTally() }, time.Now, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()

	producer := client(t, cfg)
	reader := client(t, cfg, kgo.ConsumeTopics(DeskTopic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	sent, alerts := 0, 0
	produce := func() *kgo.Record {
		s := pipeline.Signal{Kind: pipeline.SignalMatch, Key: "key", Offset: int64(sent), Time: time.Now(), Ingest: time.Now()}
		sent++
		return &kgo.Record{Topic: SignalsTopic, Value: pipeline.AppendSignal(nil, &s)}
	}
	all := func() bool { // every third signal is an alert, and the alert is answered by another
		poll, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		alerts += reader.PollFetches(poll).NumRecords()
		return len(ended) > 0 || alerts == 2*(sent/3)
	}
	for range 60 {
		if err := producer.ProduceSync(ctx, produce()).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the first alerts", all)
	failed := make(chan error, 600)
	for range cap(failed) { // so many that transactions are under way
		producer.Produce(ctx, produce(), func(_ *kgo.Record, err error) { failed <- err })
		if sent%20 == 0 {
			time.Sleep(5 * time.Millisecond)
		}
	}
	_, port, err := net.SplitHostPort(kafka.Addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	kafka.Close()
	time.Sleep(12 * time.Second)
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	if kafka, err = embedded.StartKafka(embedded.KafkaConfig{Dir: dir, Port: number}); err != nil {
		t.Fatal(err)
	}
	var errs error
	for range cap(failed) {
		errs = errors.Join(errs, <-failed)
	}
	if errs != nil {
		t.Fatal(errs)
	}
	waitFor(t, "all alerts", all)
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
