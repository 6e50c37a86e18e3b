package kafka

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/correlate"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// chainRules are three deep: two addresses guess at a project, and nobody gets in soon after. The last takes events as well.
var chainRules = []rule.File{{Name: "guessing.yaml", Data: []byte(`
id: guessing
title: t
why: w
kind: threshold
key: ip(ev.SrcIP)
when: ev.Type == "auth.failed"
window: 20s
aggregates: {failed: count}
having: failed >= 3
entities: {project: project}
subscriptions: [{team: sec, severity: 3}]
alert: {title: "{src_ip}", summary: s}
`)}, {Name: "many.yaml", Data: []byte(`
id: many
title: t
why: w
kind: threshold
key: ev.Project
alerts: guessing
window: 1m
aggregates: {addresses: count}
having: addresses >= 2
entities: {project: project}
subscriptions: [{team: sec, severity: 4}]
alert: {title: "{addresses}", summary: s}
`)}, {Name: "quiet.yaml", Data: []byte(`
id: quiet
title: t
why: w
kind: absence
key: ev.Project
trigger: {alerts: many}
expect: {when: ev.Type == "auth.success"}
within: 20s
subscriptions: [{team: sec, severity: 5}]
alert: {title: t, summary: s}
`)}}

// TestAlertsOfAlertsInACatchUp: detect begins with an hour of signals behind it, and finds what it would have found
// in that hour. An alert is on its way for as long as the rest of the hour takes; rules that take it wait for it.
func TestAlertsOfAlertsInACatchUp(t *testing.T) {
	rules, err := rule.Load(chainRules)
	if err != nil {
		t.Fatal(err)
	}
	for _, instances := range []int{1, 3} {
		t.Run(fmt.Sprint(instances), func(t *testing.T) {
			t.Parallel()
			testCatchUp(t, rules, instances)
		})
	}
}

func testCatchUp(t *testing.T, rules *rule.Set, instances int) {
	cfg, log := broker(t), zaptest.NewLogger(t)
	const lateness, partitions = 30 * time.Second, 2
	producer, err := NewProducer(t.Context(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	oracle, matcher := correlate.New(rules, correlate.Config{Lateness: lateness}), rules.NewMatcher()
	var publishers [partitions]*WorkerPublisher
	for p := range publishers {
		publishers[p] = producer.Worker()
	}
	want := pipeline.Output{}
	offset, began := int64(0), time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	send := func(p int, at time.Time, typ, project, addr string) {
		b := &pipeline.Batch{TopicPartition: pipeline.TopicPartition{Topic: "raw", Partition: int32(p)}}
		b.Records = []pipeline.Record{{Offset: offset, Time: at}}
		e := b.Next(0)
		e.ID, e.Time, e.IngestTime, e.Type, e.Project = pipeline.NewID(fmt.Sprint(offset)), at, at, typ, project
		e.SrcIP, _ = netip.ParseAddr(addr)
		offset++
		if err := matcher.Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		for i := range b.Signals {
			s := b.Signals[i].Clone()
			oracle.Process(&s, &want)
			oracle.Feed(&want)
		}
		if err := publishers[p].Publish(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	mark := func(at time.Time) {
		for p, publisher := range publishers {
			tp := pipeline.TopicPartition{Topic: "raw", Partition: int32(p)}
			oracle.Process(&pipeline.Signal{Kind: pipeline.SignalWatermark, Origin: tp, Offset: offset - 1, Time: at}, &want)
			if err := publisher.Watermark(t.Context(), tp, offset-1, at); err != nil {
				t.Fatal(err)
			}
		}
		oracle.Feed(&want)
	}
	for minute := range 60 {
		at := began.Add(time.Duration(minute) * time.Minute)
		mark(at)
		project := fmt.Sprint("project-", minute)
		for i := range 6 { // of two addresses in each third minute, of one in the others
			addr := netip.AddrFrom4([4]byte{203, 0, 113, byte(2 * minute)})
			if minute%3 == 0 && i%2 == 0 {
				addr = addr.Next()
			}
			send(i%partitions, at.Add(time.Duration(i)*time.Second), "auth.failed", project, addr.String())
		}
		if minute%2 == 0 {
			send(0, at.Add(20*time.Second), "auth.success", project, "192.0.2.1")
		}
	}
	mark(began.Add(3 * time.Hour))
	for _, publisher := range publishers {
		if err := publisher.Barrier()(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	reader := client(t, cfg, kgo.ConsumeTopics(DeskTopic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	var alerts []*pipeline.Alert
	found := func() []string {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			a, err := pipeline.DecodeFound(r.Value)
			if err != nil {
				t.Fatal(err)
			}
			alerts = append(alerts, a)
		})
		return foundIn(alerts)
	}
	expected := foundIn(want.Alerts)
	for n := range instances {
		defer keepRunning(t, func(ctx context.Context) error {
			d, err := NewDetect(ctx, cfg, fmt.Sprint("instance-", n), func(partition, partitions int) pipeline.Correlator {
				e := correlate.New(rules, correlate.Config{Lateness: lateness, Idle: time.Hour})
				e.Among(partition, partitions)
				return e
			}, time.Now, zap.NewNop())
			if err != nil {
				return err
			}
			return d.Run(ctx)
		})()
	}
	waitFor(t, "the alerts", func() bool { return slices.Equal(found(), expected) })
	if err := producer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(expected); n != 80+20+10 {
		t.Errorf("%d alerts: %v", n, expected)
	}
}

// foundIn says what alerts there are, by their last records.
func foundIn(alerts []*pipeline.Alert) (all []string) {
	last := map[string]*pipeline.Alert{}
	for _, a := range alerts {
		if before := last[a.ID.String()]; before == nil || before.Version < a.Version {
			last[a.ID.String()] = a
		}
	}
	for id, a := range last {
		all = append(all, fmt.Sprint(a.Rule, " ", a.DedupKey, " ", a.FirstEventTime.Format(time.TimeOnly), " ", a.EventCount, " ", a.Status, " ", id))
	}
	slices.Sort(all)
	return all
}
