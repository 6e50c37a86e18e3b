package kafka

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap/zaptest"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/alert"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// TestDeskOverRestarts hands alerts and what a person says of one to the desk, which is restarted in between, and expects
// each version once on the team's topic, all of them on the state topic, and what cannot be obeyed among the dead letters.
func TestDeskOverRestarts(t *testing.T) {
	cfg := broker(t)
	log := zaptest.NewLogger(t)
	rules, err := rule.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	start := func(instance string) (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		d, err := NewDesk(ctx, cfg, instance, func() pipeline.Desk { return alert.NewDesk(func() *rule.Set { return rules }, alert.DeskConfig{}) }, time.Now, log)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx) }()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	producer := client(t, cfg)
	send := func(topic, key string, value []byte, err error) {
		t.Helper()
		if err == nil {
			err = producer.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte(key), Value: value}).FirstErr()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	found := func(n int, status string, version uint64) uuid.UUID {
		a := &pipeline.Alert{ID: pipeline.NewID(fmt.Sprint(n)), Version: version, Status: status, Team: "sec", Class: pipeline.ClassNormal, Rule: "R", RuleVersion: 1, Severity: 4, Title: "t", DedupKey: fmt.Sprint("R|", n), Phases: []int8{7}}
		value, err := pipeline.EncodeFound(a)
		send(DeskTopic, a.Team, value, err)
		return a.ID
	}
	reader := client(t, cfg, kgo.ConsumeTopics(AlertsPrefix+"sec", AlertsStateTopic, DeadLetterTopic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	got := map[string][]string{}
	await := func(topic, want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		for strings.Join(got[topic], ", ") != want {
			if ctx.Err() != nil {
				t.Fatalf("%s has %q, want %q", topic, strings.Join(got[topic], ", "), want)
			}
			reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				if r.Topic == DeadLetterTopic {
					d, err := pipeline.DecodeDeadLetter(r.Value)
					if err != nil {
						t.Fatal(err)
					}
					got[r.Topic] = append(got[r.Topic], fmt.Sprintf("%s %s", d.Topic, d.Reason))
					return
				}
				a, err := pipeline.DecodeAlert(r.Value)
				if err != nil {
					t.Fatal(err)
				}
				got[r.Topic] = append(got[r.Topic], fmt.Sprintf("%s %s v%d", a.DedupKey, a.Status, a.Version))
			})
		}
	}
	stop := start("one")
	id := found(1, pipeline.StatusFiring, 1)
	await(AlertsPrefix+"sec", "R|1 firing v1")
	stop()
	c := &pipeline.Control{ID: uuid.New(), Time: time.Now(), Action: pipeline.ControlAck, Team: "sec", By: "maria", Alert: id}
	value, err := pipeline.EncodeControl(c)
	send(ControlTopic, c.Team, value, err)
	send(ControlTopic, "ops", value, nil)
	send(ControlTopic, "sec", []byte("{"), nil)
	stop = start("two")
	await(AlertsPrefix+"sec", "R|1 firing v1, R|1 acked v2")
	stop()
	stop = start("one")
	found(1, pipeline.StatusResolved, 2)
	await(AlertsPrefix+"sec", "R|1 firing v1, R|1 acked v2, R|1 resolved v3")
	await(AlertsStateTopic, "R|1 firing v1, R|1 acked v2, R|1 resolved v3")
	id = found(2, pipeline.StatusFiring, 1)
	c = &pipeline.Control{ID: uuid.New(), Time: time.Now(), Action: pipeline.ControlResolve, Team: "sec", By: "maria", Alert: id, Disposition: pipeline.FalsePositive}
	value, err = pipeline.EncodeControl(c)
	send(ControlTopic, c.Team, value, err)
	told := map[int32]bool{}
	signals := client(t, cfg, kgo.ConsumeTopics(SignalsTopic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for len(told) < int(cfg.Partitions) {
		signals.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) {
			if s, err := pipeline.DecodeSignal(r.Value); err != nil || s.Kind != pipeline.SignalDismiss || s.EventID != id || told[r.Partition] {
				t.Errorf("signal %+v on partition %d: %v", s, r.Partition, err)
			}
			told[r.Partition] = true
		})
	}
	stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for ctx.Err() == nil && len(got[DeadLetterTopic]) < 2 {
		reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) { got[r.Topic] = append(got[r.Topic], string(r.Value)) })
	}
	if all := strings.Join(got[DeadLetterTopic], "\n"); len(got[DeadLetterTopic]) != 2 || !strings.Contains(all, `the record's key is "ops", but it is of team "sec"`) {
		t.Errorf("dead letters: %q", all)
	}
}

func TestDeskRefusesTopicsThatDoNotFit(t *testing.T) {
	cfg := broker(t)
	_, err := samePartitions(t.Context(), cfg, zaptest.NewLogger(t), DeskTopic, "raw")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := samePartitions(t.Context(), cfg, zaptest.NewLogger(t), DeskTopic, "missing"); err == nil {
		t.Error("a topic that is missing passes")
	}
}
