package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// tocsin's own topics. Alerts of a team go to AlertsPrefix + team.
const (
	SignalsTopic     = "tocsin.signals"      // ingest to detect; keyed by the correlation key
	StateTopic       = "tocsin.state"        // changelog of detect's state; compacted, as many partitions as signals
	DeadLetterTopic  = "tocsin.dlq"          // what could not become an event or a row
	GrowthTopic      = "tocsin.growth"       // what the growth detector says of each database
	DeskTopic        = "tocsin.desk"         // what detect found, to the desk; keyed by team
	DeskStateTopic   = "tocsin.desk.state"   // changelog of the desk's state; compacted, as many partitions as desk
	ControlTopic     = "tocsin.control"      // what people say of alerts; keyed by team, as many partitions as desk
	AlertsPrefix     = "tocsin.alerts."      // + dev, sec, ops or mon; keyed by dedup key
	AlertsStateTopic = "tocsin.alerts.state" // the latest version of every alert, suppressed ones too; compacted, keyed by alert id
)

// OwnTopics lists every topic that tocsin writes, with the settings it needs.
func OwnTopics() map[string]map[string]string {
	const week, day, year = "604800000", "86400000", "34560000000"
	topics := map[string]map[string]string{
		SignalsTopic:     {"retention.ms": day},
		StateTopic:       {"cleanup.policy": "compact"},
		DeadLetterTopic:  {"retention.ms": week},
		GrowthTopic:      {"retention.ms": day},
		DeskTopic:        {"retention.ms": day},
		DeskStateTopic:   {"cleanup.policy": "compact"},
		ControlTopic:     {"retention.ms": year}, // 400 days: it is an audit
		AlertsStateTopic: {"cleanup.policy": "compact"},
	}
	for _, team := range []string{"dev", "sec", "ops", "mon"} {
		topics[AlertsPrefix+team] = map[string]string{"retention.ms": week}
	}
	return topics
}

// topicConfigs are the settings that one of tocsin's own topics is created with.
func topicConfigs(cfg Config, name string) map[string]*string {
	configs := map[string]*string{}
	for k, v := range OwnTopics()[name] {
		configs[k] = kadm.StringPtr(v)
	}
	if cfg.Replicas >= 3 { // what is acknowledged survives the loss of a broker, and the topic can be written to meanwhile
		configs["min.insync.replicas"] = kadm.StringPtr("2")
	}
	return configs
}

// EnsureTopics creates those of tocsin's own topics that do not exist, and returns when the brokers know all of them. Topics
// that exist are left as they are; where all do, no right to create any is needed. Raw topics are not created: those that are not
// there are said in the log.
func EnsureTopics(ctx context.Context, cfg Config, log *zap.Logger) error {
	opts, err := cfg.options(log)
	if err != nil {
		return err
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("kafka client: %w", err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	names := slices.Sorted(maps.Keys(OwnTopics()))
	known, err := adm.ListTopics(ctx, names...)
	if err != nil {
		return fmt.Errorf("list tocsin's own topics: %w", err)
	}
	all, err := adm.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	for _, t := range unmatched(cfg.Topics, all.Names()) {
		log.Warn("no such topic, or this user may not describe it: it is read once it is there", zap.String("topic", t))
	}
	for _, name := range names {
		if !errors.Is(known[name].Err, kerr.UnknownTopicOrPartition) {
			continue
		}
		r, err := adm.CreateTopic(ctx, cfg.Partitions, cfg.Replicas, topicConfigs(cfg, name), name)
		if err == nil {
			err = r.Err
		}
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", name, err)
		}
	}
	return awaitTopics(ctx, adm, names)
}

// awaitTopics waits until each topic has leaders. A topic that was just created is known to its brokers a moment later.
func awaitTopics(ctx context.Context, adm *kadm.Client, topics []string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		// The client remembers for seconds what it was told; together with rights it asks anew.
		details, err := adm.ListTopics(kadm.WithAuthorizedOps(ctx), topics...)
		if err == nil {
			err = details.Error()
		}
		details.EachPartition(func(p kadm.PartitionDetail) { err = errors.Join(err, p.Err) })
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("read tocsin's own topics: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
