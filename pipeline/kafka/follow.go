package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
)

// followed is how many records are taken at once: what was delivered is committed after each.
const followed = 50

// refreshEvery is how often Follow calls refresh.
const refreshEvery = 30 * time.Second

// Follow reads the teams' alerts as the consumer group <cfg.Group>-bridge-<name>, gives each record to deliver, and commits
// its position then. What deliver gives a reason for goes to the dead letters. A group that is new begins with what comes
// from now on: nobody is called for last week's alerts. instance names this member: one that was killed goes on at once when
// it is started again. It returns when ctx ends or deliver fails.
func Follow(ctx context.Context, cfg Config, name, instance string, deliver func(context.Context, []byte) (reason string, err error), refresh func(context.Context), log *zap.Logger) error {
	opts, err := cfg.options(log)
	if err != nil {
		return err
	}
	var topics []string
	for _, team := range []string{pipeline.TeamDev, pipeline.TeamSec, pipeline.TeamOps, pipeline.TeamMon} {
		topics = append(topics, AlertsPrefix+team)
	}
	group := cfg.Group + "-bridge-" + name
	if err := beginAtEnd(ctx, opts, group, topics); err != nil {
		return fmt.Errorf("kafka bridge %s: %w", name, err)
	}
	opts = append(opts, cfg.member(group, instance, kgo.CooperativeStickyBalancer(), kgo.StickyBalancer())...)
	own := owned{ctx: ctx, parts: map[topicPartition]ownedPartition{}}
	client, err := kgo.NewClient(append(opts,
		kgo.OnPartitionsAssigned(own.came), kgo.OnPartitionsRevoked(own.went), kgo.OnPartitionsLost(own.went),
		kgo.ConsumeTopics(topics...),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), // of a partition that was added since
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.DisableAutoCommit(),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
	)...)
	if err != nil {
		return fmt.Errorf("kafka bridge %s: %w", name, err)
	}
	defer client.CloseAllowingRebalance()
	defer leave(client, cfg, group, log)
	refreshed := time.Now()
	for ctx.Err() == nil {
		poll, cancel := context.WithTimeout(ctx, refreshEvery)
		fetches := client.PollRecords(poll, followed)
		cancel()
		if fetches.IsClientClosed() {
			break
		}
		fetches.EachError(func(topic string, p int32, err error) {
			if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
				log.Warn("fetch", zap.String("topic", topic), zap.Int32("partition", p), zap.Error(err))
			}
		})
		for _, r := range fetches.Records() {
			mine := own.of(r)
			if mine == nil {
				continue // its partition has another owner since, who delivers it
			}
			reason, err := deliver(mine, r.Value)
			if mine.Err() != nil && ctx.Err() == nil {
				continue // or did so while the peer was asked again and again: newer versions may be there by now
			}
			if err == nil && reason != "" {
				log.Error("alert not delivered", zap.String("topic", r.Topic), zap.Int32("partition", r.Partition), zap.Int64("offset", r.Offset), zap.String("reason", reason))
				err = bury(ctx, client, r, reason)
			}
			if ctx.Err() != nil {
				return nil // it is read again
			}
			if err != nil {
				return fmt.Errorf("%s/%d offset %d: %w", r.Topic, r.Partition, r.Offset, err)
			}
			if err := client.CommitRecords(ctx, r); err != nil && ctx.Err() == nil { // the next one says it as well, or another owner delivers it again
				log.Warn("commit position", zap.String("topic", r.Topic), zap.Int32("partition", r.Partition), zap.Error(err))
			}
		}
		if time.Since(refreshed) >= refreshEvery {
			refreshed = time.Now()
			refresh(ctx)
		}
	}
	return nil
}

// owned are the partitions that a member has, each with a context that ends when it has not.
type owned struct {
	ctx   context.Context
	mu    sync.Mutex
	parts map[topicPartition]ownedPartition
}

type ownedPartition struct {
	ctx    context.Context
	cancel context.CancelFunc
}

func (o *owned) came(_ context.Context, _ *kgo.Client, came map[string][]int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for topic, partitions := range came {
		for _, n := range partitions {
			ctx, cancel := context.WithCancel(o.ctx)
			o.parts[topicPartition{topic, n}] = ownedPartition{ctx, cancel}
		}
	}
}

func (o *owned) went(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for topic, partitions := range gone {
		for _, n := range partitions {
			if p, ok := o.parts[topicPartition{topic, n}]; ok {
				p.cancel()
				delete(o.parts, topicPartition{topic, n})
			}
		}
	}
}

// of returns the context of the record's partition; nil where that is another's.
func (o *owned) of(r *kgo.Record) context.Context {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.parts[topicPartition{r.Topic, r.Partition}].ctx
}

// beginAtEnd gives a group that has no position in a partition that of its end, once: a bridge that was down misses nothing.
func beginAtEnd(ctx context.Context, opts []kgo.Opt, group string, topics []string) error {
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	have, err := adm.FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return fmt.Errorf("read positions of %s: %w", group, err)
	}
	if len(have) > 0 {
		return nil
	}
	ends, err := adm.ListEndOffsets(ctx, topics...)
	if err != nil {
		return fmt.Errorf("read ends of the topics: %w", err)
	}
	if err := adm.CommitAllOffsets(ctx, group, ends.Offsets()); err != nil {
		return fmt.Errorf("set positions of %s: %w", group, err)
	}
	return nil
}

func bury(ctx context.Context, client *kgo.Client, r *kgo.Record, reason string) error {
	letter, err := letterRecord(&pipeline.DeadLetter{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Time: r.Timestamp, Stage: "bridge", Reason: reason, Data: r.Value,
	})
	if err != nil {
		return err
	}
	return client.ProduceSync(ctx, letter).FirstErr()
}
