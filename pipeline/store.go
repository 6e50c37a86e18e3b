package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.uber.org/zap"
)

// storing is a chunk on its way into the warehouse. What it holds is its own: the worker fills the next one meanwhile.
type storing struct {
	Chunk
	planned   bool // by an earlier owner: the plan stands in the committed metadata
	turn      bool // it has one of the budget's
	sink      Sink
	rows      int
	bytes     int
	published func(ctx context.Context) error // waits for what the chunk had to say
	last      time.Time                       // Kafka's time of its last record
	reached   time.Time                       // highest event time seen up to there
	began     time.Time
	trace     chunkTrace
}

// send begins to store the open chunk, under the name that an earlier owner planned for it if there was one, when the chunk before
// is stored. The next chunk is empty.
func (w *Worker) send(ctx context.Context) error {
	plan := w.plan
	if w.to == w.from && plan == nil {
		return nil
	}
	if err := w.wait(); err != nil {
		return err
	}
	s := &storing{
		Chunk: Chunk{Span{w.Partition, w.from, w.to}, w.Epoch, time.Now()}, turn: w.turn, sink: w.open, published: w.Publisher.Barrier(),
		last: w.last, reached: w.maxTime, began: time.Now(), trace: w.steps.trace,
	}
	s.rows, s.bytes = s.sink.Size()
	if s.rows > 0 && plan != nil {
		s.To, s.Planned, s.planned = plan.To, plan.Planned, true
	}
	w.storing, w.open, w.spare, w.plan, w.turn = s, w.spare, w.open, nil, false
	w.from, w.to, w.opened, w.steps.trace = s.To, s.To, time.Time{}, chunkTrace{}
	w.hold(0)
	go func() { w.stored <- w.store(ctx, s) }()
	return nil
}

// wait returns when no chunk is on its way any more.
func (w *Worker) wait() error {
	if w.storing == nil {
		return nil
	}
	return w.finish(<-w.stored)
}

// store takes a chunk through its steps, beside the worker.
func (w *Worker) store(ctx context.Context, s *storing) error {
	if s.rows > 0 {
		if !s.planned {
			if err := w.retry(ctx, s, "plan", func() error { return w.Offsets.Commit(ctx, s.TopicPartition, s.From, &s.Chunk) }); err != nil {
				return err
			}
		}
		if err := w.retry(ctx, s, "insert", func() error { return w.insert(ctx, s) }); err != nil {
			return err
		}
	}
	if err := w.step(s.trace, "acknowledge", func() error { return s.published(ctx) }); err != nil {
		return fmt.Errorf("publish before offset %d: %w", s.To, err)
	}
	return w.retry(ctx, s, "commit", func() error { return w.Offsets.Commit(ctx, s.TopicPartition, s.To, nil) })
}

// insert stores the chunk's rows, without those that the warehouse refuses.
func (w *Worker) insert(ctx context.Context, s *storing) error {
	for {
		err := s.sink.Flush(ctx, s.Chunk)
		var refused *Refused
		if !errors.As(err, &refused) {
			return err
		}
		s.rows -= len(refused.Letters)
		if err := w.Publisher.Bury(ctx, refused.Letters); err != nil {
			return &Permanent{fmt.Errorf("publish %d dead letters: %w", len(refused.Letters), err)}
		}
		w.Metrics.failed.WithLabelValues("sink").Add(float64(len(refused.Letters)))
	}
}

// finish notes what became of the chunk that was on its way.
func (w *Worker) finish(err error) error {
	s := w.storing
	w.storing = nil
	if err == nil {
		s.trace.set(attribute.Int64("tocsin.offset.to", s.To), attribute.Int("tocsin.rows", s.rows))
	}
	s.trace.end(err)
	_, bytes := w.open.Size()
	w.hold(bytes)
	w.Budget.pass(&s.turn)
	if err != nil {
		return err
	}
	since := w.opened
	if since.IsZero() && len(w.waiting) > 0 {
		since = w.waiting[0].Polled
	}
	w.shown.done(s.To, s.last, since)
	m, topic, partition := w.Metrics, w.Partition.Topic, strconv.Itoa(int(w.Partition.Partition))
	m.stored.WithLabelValues(topic).Add(float64(s.rows))
	m.chunk.Observe(float64(s.rows))
	m.flushed.Observe(time.Since(s.began).Seconds())
	m.position.WithLabelValues(topic, partition).Set(float64(s.To))
	if !s.reached.IsZero() {
		m.reached.WithLabelValues(topic, partition).Set(float64(s.reached.Unix()))
	}
	return nil
}

// Permanent is an error that no repetition mends: the partition was lost, access was refused, a table is missing.
type Permanent struct{ Err error }

func (p *Permanent) Error() string { return p.Err.Error() }
func (p *Permanent) Unwrap() error { return p.Err }

func isPermanent(err error) bool {
	var p *Permanent
	return errors.As(err, &p)
}

// retry repeats a step that is safe to repeat until it succeeds, ctx ends or the error is Permanent.
func (w *Worker) retry(ctx context.Context, s *storing, what string, step func() error) error {
	return w.step(s.trace, what, func() error { return w.repeat(ctx, what, step) })
}

func (w *Worker) repeat(ctx context.Context, what string, step func() error) error {
	for attempt, wait := 1, retryMin; ; attempt, wait = attempt+1, min(2*wait, retryMax) {
		err := step()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if isPermanent(err) {
			return fmt.Errorf("%s: %w", what, err)
		}
		w.Metrics.retries.WithLabelValues(what).Inc()
		w.shown.retries.Store(&what)
		w.Log.Warn("retry", zap.String("step", what), zap.Int("attempt", attempt), zap.Error(err))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}
