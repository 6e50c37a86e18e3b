package embedded

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	testTopic = "tocsin.test"
	testGroup = "tocsin-test"
	records   = 100
	committed = 42
	plan      = `{"plan":[42,97]}` // metadata beside the committed offset
)

var testTopics = []Topic{
	{Name: testTopic, Partitions: 1},
	{Name: "tocsin.state", Partitions: 3, Configs: map[string]string{"cleanup.policy": "compact"}},
}

func startTestKafka(t *testing.T, cfg KafkaConfig) *Kafka {
	t.Helper()
	begin := time.Now()
	k, err := StartKafka(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("kafka up in %v", time.Since(begin).Round(time.Millisecond))
	t.Cleanup(k.Close)
	return k
}

func kafkaClient(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(addr))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// produceAndCommit leaves behind what checkKept looks for: records, a
// transaction, and a committed offset with metadata.
func produceAndCommit(t *testing.T, ctx context.Context, addr string) {
	t.Helper()
	cl := kafkaClient(t, addr, kgo.TransactionalID("tocsin-test"), kgo.DefaultProduceTopic(testTopic))
	for _, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for i := range records {
			value := fmt.Sprintf("%v %d", bool(end), i)
			cl.Produce(ctx, kgo.StringRecord(value), nil)
		}
		if err := cl.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if err := cl.EndTransaction(ctx, end); err != nil {
			t.Fatal(err)
		}
	}
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: testTopic, At: committed, LeaderEpoch: -1, Metadata: plan})
	if err := kadm.NewClient(cl).CommitAllOffsets(ctx, testGroup, offsets); err != nil {
		t.Fatal(err)
	}
}

// checkKept reads on as the group does: the committed transaction from the
// committed offset, nothing of the aborted one.
func checkKept(t *testing.T, ctx context.Context, addr string) {
	t.Helper()
	cl := kafkaClient(t, addr,
		kgo.ConsumerGroup(testGroup), kgo.ConsumeTopics(testTopic), kgo.DisableAutoCommit(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	fetched, err := kadm.NewClient(cl).FetchOffsets(ctx, testGroup)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := fetched.Lookup(testTopic, 0); got.At != committed || got.Metadata != plan {
		t.Errorf("committed offset %d with metadata %q, want %d with %q", got.At, got.Metadata, committed, plan)
	}
	begin := time.Now()
	next := committed
	for next < records {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if value := fmt.Sprintf("%v %d", true, next); string(r.Value) != value || r.Offset != int64(next) {
				t.Errorf("record %d is %q, want %d %q", r.Offset, r.Value, next, value)
			}
			next++
		})
	}
	cl.Close() // leaves the group, or the next member waits for its session to expire
	t.Logf("the group read on within %v", time.Since(begin).Round(time.Millisecond))
}

func TestKafkaKeepsItsDataOverARestart(t *testing.T) {
	ctx := within(t, 30*time.Second)
	dir := t.TempDir()
	k := startTestKafka(t, KafkaConfig{Dir: dir, Topics: testTopics})
	host, port, err := net.SplitHostPort(k.Addrs[0])
	if err != nil || host != loopback || len(k.Addrs) != 1 {
		t.Fatalf("addresses %v, want one on %s", k.Addrs, loopback)
	}
	produceAndCommit(t, ctx, k.Addrs[0])
	begin := time.Now()
	k.Close()
	t.Logf("kafka closed in %v", time.Since(begin).Round(time.Millisecond))

	same, err := net.LookupPort("tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range []int{same, 0} {
		k = startTestKafka(t, KafkaConfig{Dir: dir, Port: port, Topics: testTopics})
		checkKept(t, ctx, k.Addrs[0])
		configs, err := kadm.NewClient(kafkaClient(t, k.Addrs[0])).DescribeTopicConfigs(ctx, "tocsin.state")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range configs[0].Configs {
			if c.Key == "cleanup.policy" && c.MaybeValue() != "compact" {
				t.Errorf("cleanup.policy is %q after a restart", c.MaybeValue())
			}
		}
		k.Close()
	}
}

func TestSecondKafkaOpenerIsRefused(t *testing.T) {
	dir := t.TempDir()
	startTestKafka(t, KafkaConfig{Dir: dir})
	_, err := StartKafka(KafkaConfig{Dir: dir})
	want(t, err, dir, fmt.Sprintf("process %d uses the folder", os.Getpid()), "choose another folder")
}
