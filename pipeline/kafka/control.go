package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
)

// SendControls writes what a person says to the desk's topic, and returns when the broker has it. All of it is checked first.
func SendControls(ctx context.Context, cfg Config, list []pipeline.Control, log *zap.Logger) error {
	records := make([]*kgo.Record, len(list))
	for i := range list {
		var err error
		if records[i], err = controlRecord(&list[i]); err != nil {
			return err
		}
	}
	opts, err := cfg.options(log)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(opts, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.RecordDeliveryTimeout(10*time.Second))...)
	if err != nil {
		return fmt.Errorf("kafka client: %w", err)
	}
	defer client.Close()
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("produce to %s: %w", ControlTopic, err)
	}
	return nil
}

func controlRecord(c *pipeline.Control) (*kgo.Record, error) {
	value, err := pipeline.EncodeControl(c)
	if err != nil {
		return nil, err
	}
	return &kgo.Record{Topic: ControlTopic, Key: []byte(c.Team), Value: value}, nil
}
