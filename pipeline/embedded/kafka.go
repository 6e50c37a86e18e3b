package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
)

// KafkaConfig says where an embedded Kafka keeps its data and listens. Only
// Dir is required.
type KafkaConfig struct {
	Dir    string  // topics, groups, transactions and log; created if missing
	Port   int     // 0 takes a free one
	Topics []Topic // created if missing; those that exist are left as they are
}

// Topic is a topic to create.
type Topic struct {
	Name       string
	Partitions int32
	Configs    map[string]string // such as cleanup.policy; nil for none
}

// Kafka is one broker in this process, listening on loopback.
type Kafka struct {
	Addrs []string // seed brokers, host:port

	cluster *kfake.Cluster
	lock    *os.File
	log     *os.File
}

// StartKafka starts a broker. A folder that was used before comes back with
// its records, committed offsets and transactions, on whatever port; one that
// another process uses is refused. The caller owns the broker and closes it
// after the clients: a group member that hasn't left by then keeps its
// partitions until its session expires, also over a restart.
func StartKafka(cfg KafkaConfig) (*Kafka, error) {
	k, err := startKafka(cfg)
	if err != nil {
		return nil, fmt.Errorf("start kafka: %w", err)
	}
	return k, nil
}

func startKafka(cfg KafkaConfig) (_ *Kafka, err error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	k := new(Kafka)
	defer func() {
		if err != nil {
			k.Close()
		}
	}()
	// kfake has no lock of its own, and two of them would ruin the folder.
	if k.lock, err = lockDir(dir); err != nil {
		return nil, err
	}
	if k.log, err = os.Create(filepath.Join(dir, "kafka.log")); err != nil {
		return nil, err
	}
	k.cluster, err = kfake.NewCluster(
		kfake.Ports(cfg.Port),
		// Without SyncWrites, like Kafka itself: what was acknowledged survives this
		// process, and a lone record takes 35 us, not 360 (on a fast disk).
		kfake.DataDir(dir),
		kfake.WithLogger(kfake.BasicLogger(k.log, kfake.LogLevelWarn)),
		// Kafka's 5 s would make every start and rebalance of a demo wait.
		kfake.BrokerConfigs(map[string]string{"group.consumer.heartbeat.interval.ms": "500"}),
	)
	if err != nil {
		return nil, err
	}
	for _, t := range cfg.Topics {
		err = k.cluster.CreateTopic(t.Name, t.Partitions, t.Configs)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return nil, fmt.Errorf("create topic %s: %w", t.Name, err)
		}
	}
	k.Addrs = k.cluster.ListenAddrs()
	return k, nil
}

// Close ends the broker and writes out its state. Requests under way fail;
// what was acknowledged is kept.
func (k *Kafka) Close() {
	if k.cluster != nil {
		k.cluster.Close()
	}
	k.log.Close()
	k.lock.Close()
}
