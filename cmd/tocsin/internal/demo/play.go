package demo

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Clock is simulated time: it stands at Origin until it is started, runs Speed times as fast as the wall's, and stops where
// the story ends: nothing falls silent only because nobody plays on.
type Clock struct {
	Origin time.Time
	Speed  float64
	start  atomic.Pointer[time.Time]
}

// Start lets the clock run.
func (c *Clock) Start() {
	now := time.Now()
	c.start.Store(&now)
}

// Now returns the simulated time.
func (c *Clock) Now() time.Time {
	return c.Origin.Add(min(time.Duration(float64(c.wall())*c.Speed), Length))
}

// wall is how long the clock has been running.
func (c *Clock) wall() time.Duration {
	if start := c.start.Load(); start != nil {
		return time.Since(*start)
	}
	return 0
}

// wait sleeps until the clock shows Origin + t.
func (c *Clock) wait(ctx context.Context, t time.Duration) error {
	left := time.Duration(float64(t)/c.Speed) - c.wall()
	if left <= 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(left):
		return nil
	}
}

// Play sends the records by the clock and calls say with what the story says as it happens. It returns when the broker has
// all of them.
func Play(ctx context.Context, brokers []string, records []Record, clock *Clock, say func(at time.Duration, text string)) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ProducerLinger(10*time.Millisecond), kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	if err != nil {
		return fmt.Errorf("demo producer: %w", err)
	}
	defer client.Close()
	sent := kgo.AbortingFirstErrPromise(client)
	const tick = 20 * time.Millisecond // of the wall: what falls into it is sent together
	for i := 0; i < len(records); {
		if err := clock.wait(ctx, records[i].At); err != nil {
			return err
		}
		until := time.Duration(float64(clock.wall()+tick) * clock.Speed)
		for ; i < len(records) && records[i].At <= until; i++ {
			r := &records[i]
			rec := &kgo.Record{Topic: r.Topic, Key: []byte(r.Key), Value: []byte(r.Value), Timestamp: clock.Origin.Add(r.At)}
			for k, v := range r.Headers {
				rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: k, Value: []byte(v)})
			}
			client.Produce(ctx, rec, sent.Promise())
			if r.Says != "" {
				say(r.At, r.Says)
			}
		}
	}
	return sent.Err()
}
