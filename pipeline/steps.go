package pipeline

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// steps is how long each step of a worker takes: always as metrics, and as spans where the worker has a Tracer. A trace is one
// chunk, from the arrival of its first record to its commit: a span for each batch, with one for each step, then the plan, the
// insert, the acknowledgement of what was published, and the commit. Nothing is made for an event.
type steps struct {
	names []string        // a batch's steps in their order: the processors' packages, append, publish
	took  []time.Duration // of the batch under way, all pieces together
	since time.Time
	trace chunkTrace // of the open chunk
}

// chunkTrace is the span of a chunk; the zero value is of one that has none.
type chunkTrace struct {
	ctx  context.Context
	span trace.Span
}

func (c chunkTrace) set(attributes ...attribute.KeyValue) {
	if c.span != nil {
		c.span.SetAttributes(attributes...)
	}
}

func (c chunkTrace) end(err error) {
	if c.span != nil {
		End(c.span, err)
	}
}

// Begin begins a span, or none where the tracer is nil.
func Begin(ctx context.Context, t trace.Tracer, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	if t == nil {
		return ctx, noop.Span{}
	}
	return t.Start(ctx, name, opts...)
}

// End ends a span, with the error if there is one.
func End(s trace.Span, err error, opts ...trace.SpanEndOption) {
	if err != nil {
		s.SetStatus(codes.Error, err.Error())
	}
	s.End(opts...)
}

func newSteps(processors []Processor) steps {
	var s steps
	for _, p := range processors {
		name, _, _ := strings.Cut(strings.TrimPrefix(fmt.Sprintf("%T", p), "*"), ".")
		s.names = append(s.names, name)
	}
	s.names = append(s.names, "append", "publish")
	s.took = make([]time.Duration, len(s.names))
	return s
}

// lap notes that step i of the piece under way is done.
func (s *steps) lap(i int) {
	now := time.Now()
	s.took[i] += now.Sub(s.since)
	s.since = now
}

// batch tells what a batch has taken. Its pieces went through the steps in turns; as spans they are laid end to end.
func (w *Worker) batch(span Span, records int, polled, began time.Time, err error) {
	s := &w.steps
	var ctx context.Context
	var whole trace.Span
	if w.Tracer != nil {
		if polled.IsZero() {
			polled = began
		}
		if s.trace.ctx == nil {
			s.trace.ctx, s.trace.span = w.Tracer.Start(context.Background(), "chunk", trace.WithTimestamp(polled), trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
				attribute.String("messaging.system", "kafka"), attribute.String("messaging.destination.name", span.Topic),
				attribute.Int("messaging.destination.partition.id", int(span.Partition)), attribute.Int64("tocsin.offset.from", w.from)))
		}
		ctx, whole = w.Tracer.Start(s.trace.ctx, "batch", trace.WithTimestamp(polled), trace.WithAttributes(
			attribute.Int64("tocsin.offset.from", span.From), attribute.Int64("tocsin.offset.to", span.To), attribute.Int("messaging.batch.message_count", records)))
		_, queued := w.Tracer.Start(ctx, "queue", trace.WithTimestamp(polled))
		queued.End(trace.WithTimestamp(began))
	}
	at := began
	for i, name := range s.names {
		if w.Tracer != nil {
			_, step := w.Tracer.Start(ctx, name, trace.WithTimestamp(at))
			at = at.Add(s.took[i])
			step.End(trace.WithTimestamp(at))
		}
		w.Metrics.steps.WithLabelValues(name).Add(s.took[i].Seconds())
		s.took[i] = 0
	}
	if w.Tracer != nil {
		End(whole, err, trace.WithTimestamp(s.since))
	}
}

// step does one step of storing a chunk.
func (w *Worker) step(chunk chunkTrace, name string, do func() error) error {
	tracer := w.Tracer
	if chunk.ctx == nil {
		tracer = nil // the chunk has no batch: it is that of an earlier owner, whose offsets are gone
	}
	_, span := Begin(chunk.ctx, tracer, name)
	began := time.Now()
	err := do()
	w.Metrics.steps.WithLabelValues(name).Add(time.Since(began).Seconds())
	End(span, err)
	return err
}
