package kafka

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
)

// tickEvery is how often the desk's time goes on where nothing happens.
const tickEvery = 5 * time.Second

// NewDesk joins the group <cfg.Group>-desk, which reads what detect found and what people said, and writes the teams'
// topics. All that a team is told is decided in one partition, so that its quota holds over all rules. The desk's time is
// that of its records: where none come, it writes empty ones. start makes the state of a partition.
func NewDesk(ctx context.Context, cfg Config, instance string, start func() pipeline.Desk, now func() time.Time, log *zap.Logger) (*Detect, error) {
	if _, err := samePartitions(ctx, cfg, log, DeskTopic, ControlTopic, DeskStateTopic); err != nil {
		return nil, err
	}
	signals, err := samePartitions(ctx, cfg, log, SignalsTopic)
	if err != nil {
		return nil, err
	}
	source := "tocsin/" + instance
	return newStage(cfg, instance, now, log, stage{
		name: "desk", topics: []string{DeskTopic, ControlTopic}, state: DeskStateTopic, ticks: tickEvery,
		open: func(int) member {
			d := start()
			return member{Stateful: d, take: func(r *kgo.Record, out *pipeline.Output) error { return takeDesk(d, r, out) }}
		},
		send: func(out *pipeline.Output, produce func(*kgo.Record)) error {
			for i := range out.Signals { // to all: which partition has the series is not known here
				sendAll(&out.Signals[i], signals, out.Now, produce)
			}
			return sendAlerts(source, now(), out, produce)
		},
	})
}

func takeDesk(d pipeline.Desk, r *kgo.Record, out *pipeline.Output) error {
	out.Now = r.Timestamp
	switch {
	case r.Topic == ControlTopic:
		c, err := pipeline.DecodeControl(r.Value)
		if err == nil && c.Team != string(r.Key) {
			err = fmt.Errorf("the record's key is %q, but it is of team %q", r.Key, c.Team)
		}
		if err != nil { // people write here: what cannot be obeyed is kept with the reason
			out.Letters = append(out.Letters, pipeline.DeadLetter{
				Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Time: r.Timestamp, Stage: "desk", Reason: err.Error(), Data: r.Value,
			})
			return nil
		}
		d.Control(c, out)
	case len(r.Value) > 0:
		a, err := pipeline.DecodeFound(r.Value)
		if err != nil {
			return err
		}
		d.Found(a, out)
	}
	d.Tick(out)
	return nil
}

// sendAlerts writes each version of an alert to the state topic, and to the team's where the team is to know.
func sendAlerts(source string, now time.Time, out *pipeline.Output, produce func(*kgo.Record)) error {
	for _, a := range out.Alerts {
		value, err := pipeline.EncodeAlert(a, source, now)
		if err != nil {
			return err
		}
		headers := []kgo.RecordHeader{
			{Key: "ce_type", Value: []byte(pipeline.AlertType)},
			{Key: "content-type", Value: []byte("application/cloudevents+json")},
			{Key: "alert_class", Value: []byte(a.Class)},
			{Key: "severity_id", Value: []byte(strconv.Itoa(int(a.Severity)))},
		}
		if !a.Quiet {
			produce(&kgo.Record{Topic: AlertsPrefix + a.Team, Key: []byte(a.DedupKey), Value: value, Headers: headers, Timestamp: now})
		}
		produce(&kgo.Record{Topic: AlertsStateTopic, Key: []byte(a.ID.String()), Value: value, Headers: headers, Timestamp: now})
	}
	for i := range out.Letters {
		letter, err := letterRecord(&out.Letters[i])
		if err != nil {
			return err
		}
		produce(letter)
	}
	return nil
}

// samePartitions makes sure that the topics have as many partitions as the first, and returns how many.
func samePartitions(ctx context.Context, cfg Config, log *zap.Logger, topics ...string) (int, error) {
	opts, err := cfg.options(log)
	if err != nil {
		return 0, err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return 0, fmt.Errorf("kafka client: %w", err)
	}
	defer client.Close()
	list, err := kadm.NewClient(client).ListTopics(ctx, topics...)
	if err != nil {
		return 0, fmt.Errorf("list topics: %w", err)
	}
	for _, t := range topics {
		if err := list[t].Err; err != nil {
			return 0, fmt.Errorf("read topic %s: %w", t, err)
		}
		if got, want := len(list[t].Partitions), len(list[topics[0]].Partitions); got != want {
			return 0, fmt.Errorf("topic %s has %d partitions and %s has %d: they need as many", t, got, topics[0], want)
		}
	}
	return len(list[topics[0]].Partitions), nil
}
