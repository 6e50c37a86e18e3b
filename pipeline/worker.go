package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// Offsets commits one consumer's progress where the next owner of a partition will find it.
type Offsets interface {
	// Commit stores that everything of the partition before next is done for good. plan names the chunk that is sent
	// next, nil where none is: whoever takes the partition over after a crash sends exactly that chunk again, and the
	// warehouse knows it already. The commit fails for a worker that lost its partition meanwhile, which keeps it from
	// sending chunks of its own making.
	Commit(ctx context.Context, p TopicPartition, next int64, plan *Chunk) error
}

// Limits say when a worker sends its open chunk.
type Limits struct {
	Rows     int           // at so many rows
	Bytes    int           // at so many bytes of rows
	Interval time.Duration // at this age of its first row; later while the partition lags, see patience
}

// Worker carries one partition's batches through the processors into a sink, and commits what is stored. It is one
// goroutine, and a second one while a chunk is stored: the next one is filled meanwhile, and sent when that is committed. See
// docs/ARCHITECTURE.md for the path step by step.
//
// Exactly-once is by the plan: before a chunk is sent, its offsets are committed as metadata of the position before it.
// A crash leaves the plan behind; the next owner rebuilds the chunk from the same offsets and sends it under the same name.
type Worker struct {
	Partition  TopicPartition
	Processors []Processor
	NewSink    func() Sink // is called twice: one chunk is filled while the one before is stored
	Publisher  Publisher
	Offsets    Offsets
	Limits     Limits
	Budget     *Budget // shared by the workers of a process; nil for no bound
	Epoch      int     // names the rows of a deliberate second reading; 0 normally

	// Watermark is called about once a second with the event time that the partition has reached, and the last offset
	// that took part. nil where nobody needs it.
	Watermark func(ctx context.Context, p TopicPartition, offset int64, t time.Time) error
	// Now is the wall clock, and End the partition's: together they move the watermark of one that is idle and read to its
	// end.
	Now     func() time.Time
	End     *EndOffset
	Log     *zap.Logger
	Metrics *Metrics
	Tracer  trace.Tracer // nil for no traces

	steps   steps
	plan    *Chunk     // the chunk that an earlier owner planned, until it is sent
	waiting []*Batch   // for the open chunk to take them
	turn    bool       // the open chunk has one of the budget's
	open    Sink       // of the open chunk
	spare   Sink       // of the one that is stored; empty where none is
	storing *storing   // nil where no chunk is
	stored  chan error // what became of it
	held    int64      // bytes of both chunks that the budget knows of
	from    int64      // first offset of the open chunk
	to      int64      // first offset behind it
	opened  time.Time  // when its first records came; zero while there are none
	last    time.Time  // Kafka's time of the last record in it
	shown   *progress
	maxTime time.Time       // highest event time seen
	quiet   int             // ticks since the last batch
	clock   [idleTicks]tick // the last ones, the oldest first
	piece   Batch           // records under way, and their events
}

// tick is when the worker looked at its clock, and what that said.
type tick struct{ at, now time.Time }

const (
	watermarkEvery = time.Second
	// idleTicks is for how many ticks a partition must be quiet before its watermark follows the clock instead of its
	// events, and how many ticks it stays behind: what was sent in that time may not have arrived yet.
	idleTicks = 2
	// retry bounds between attempts of a commit or an insert.
	retryMin, retryMax = 100 * time.Millisecond, 5 * time.Second
)

// Run works until in is closed and everything is stored (nil), or ctx ends or a step fails for good (the cause). next is
// the position that was committed, or the partition's start; plan is the chunk that was under way then, nil if none was.
func (w *Worker) Run(ctx context.Context, in <-chan *Batch, next int64, plan *Chunk) (err error) {
	w.from, w.to, w.plan, w.steps = next, next, plan, newSteps(w.Processors)
	w.open, w.spare, w.stored = w.NewSink(), w.NewSink(), make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		if w.storing != nil {
			_ = w.finish(<-w.stored) // a chunk that was cut off has left its plan behind
		}
		w.steps.trace.end(err)
		for _, b := range w.waiting {
			b.Release()
		}
		w.hold(0)
		w.Budget.pass(&w.turn)
		err = errors.Join(err, w.open.Close(), w.spare.Close())
	}()
	shown, end := w.Metrics.Progress.begin(w.Partition, w.Now, w.End, next)
	defer end()
	w.shown = shown
	if err := w.watermark(ctx); err != nil {
		return err
	}
	if plan != nil && (plan.From != next || plan.To <= plan.From || plan.Epoch != w.Epoch) {
		w.Log.Warn("a plan that does not fit its position is ignored", zap.Int64("from", plan.From), zap.Int64("to", plan.To), zap.Int64("offset", next))
		w.plan = nil
	}
	flush := time.NewTimer(time.Hour)
	flush.Stop()
	ticker := time.NewTicker(watermarkEvery)
	defer ticker.Stop()
	for {
		due := flush.C
		if w.storing != nil {
			due = nil // until that is stored
		}
		var turns <-chan struct{}
		if len(w.waiting) > 0 {
			turns = w.Budget.turn()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b, ok := <-in:
			if !ok {
				if w.plan == nil { // one that is not whole is built by its next owner
					err = w.send(ctx)
				}
				return errors.Join(err, w.wait())
			}
			w.quiet = 0
			last := len(in) == 0
			w.waiting = append(w.waiting, b)
			w.shown.begun(b.Records[0].Time)
			if err := w.fill(ctx, flush); err != nil {
				return err
			}
			if last {
				w.piece = Batch{} // its events would keep the records' memory for as long as nothing comes
			}
		case <-turns:
			w.turn = true
			if err := w.fill(ctx, flush); err != nil {
				return err
			}
		case err := <-w.stored:
			if err := w.finish(err); err != nil {
				return err
			}
			if w.plan == nil && w.tight() {
				if err := w.send(ctx); err != nil {
					return err
				}
			}
		case <-due:
			if w.plan != nil || w.opened.IsZero() {
				continue // the planned chunk is only sent whole, and this one was full before its time
			}
			if time.Since(w.opened) < w.patience() && !w.tight() {
				flush.Reset(w.Limits.Interval)
				continue
			}
			if err := w.send(ctx); err != nil {
				return err
			}
		case <-ticker.C:
			w.quiet++
			copy(w.clock[:], w.clock[1:])
			w.clock[idleTicks-1] = tick{time.Now(), w.Now()}
			if err := w.watermark(ctx); err != nil {
				return err
			}
		}
	}
}

// fill takes what waits into the open chunk, and sends that when it is full. A worker with much to catch up with, an eighth of a chunk's
// rows or more, does not open one without a turn: a few large blocks cost less memory and processor time, here and in the
// warehouse, than as many small ones as there are partitions.
func (w *Worker) fill(ctx context.Context, flush *time.Timer) error {
	for len(w.waiting) > 0 {
		behind := w.Budget != nil && w.End.Offset()-w.to >= int64(w.Limits.Rows/8)
		if behind && w.plan == nil && w.opened.IsZero() && !w.turn {
			return nil
		}
		b := w.waiting[0]
		if from := b.Span().From; from < w.to {
			return &Permanent{fmt.Errorf("offset %d comes after offset %d: the topic has lost records and begins again before what is stored", from, w.to-1)}
		}
		var rest *Batch
		if w.plan != nil && b.Span().To > w.plan.To {
			b, rest = b.Split(w.plan.To)
		}
		if rest != nil {
			w.waiting[0] = rest
		} else {
			w.waiting = slices.Delete(w.waiting, 0, 1)
		}
		if b != nil {
			if w.opened.IsZero() {
				w.opened = time.Now()
				flush.Reset(w.Limits.Interval)
			}
			if err := w.append(ctx, b); err != nil {
				return err
			}
		}
		rows, bytes := w.open.Size()
		if w.plan == nil { // which is not bounded: it is only sent whole
			w.hold(bytes)
		}
		full := rows >= w.Limits.Rows || bytes >= w.Limits.Bytes || w.storing == nil && w.tight()
		if w.plan != nil {
			// The planned chunk ends where its plan says, whatever today's limits are. Its last offsets may be gone
			// from the topic; a record behind them tells.
			full = w.to >= w.plan.To || rest != nil
		}
		if full {
			if err := w.send(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// tight reports whether the open chunk makes room for others. One that has a turn does not: its room is kept for it.
func (w *Worker) tight() bool {
	_, bytes := w.open.Size()
	return !w.turn && w.Budget.tight(int64(bytes))
}

// patience is the age at which the open chunk is sent. While more of the partition waits, one whose records are late already
// may grow for a quarter of that time again, and for ten seconds at most: a block of 2,000 rows costs ClickHouse five times as
// much a row as one of 65,536, and is merged more often.
func (w *Worker) patience() time.Duration {
	if w.to >= w.End.Offset() {
		return w.Limits.Interval
	}
	return max(w.Limits.Interval, min(w.Now().Sub(w.last)/4, 10*time.Second))
}

// hold tells the budget how many bytes the open chunk has, beside the one that is stored.
func (w *Worker) hold(open int) {
	held := int64(open)
	if w.storing != nil {
		held += int64(w.storing.bytes)
	}
	w.Budget.hold(w.held, held)
	w.held = held
}

// pieceRecords is how many records go through the processors together. What they and their events take stays in the
// processor's cache from step to step, and is used again by the next piece.
const pieceRecords = 256

// append takes the records of a batch through the processors, into the open chunk.
func (w *Worker) append(ctx context.Context, b *Batch) (err error) {
	defer b.Release()
	span, records, began := b.Span(), len(b.Records), time.Now()
	w.steps.since = began
	defer func() { w.batch(span, records, b.Polled, began, err) }()
	for records := range slices.Chunk(b.Records, pieceRecords) {
		w.piece.TopicPartition, w.piece.Records = b.TopicPartition, records
		if err := w.process(ctx, &w.piece); err != nil {
			return err
		}
		w.piece.Reset()
	}
	return nil
}

// process takes one piece through the processors into the open chunk and hands on what it has to say.
func (w *Worker) process(ctx context.Context, b *Batch) error {
	from, to := b.Span().From, b.Span().To
	w.last = b.Records[len(b.Records)-1].Time
	for i, p := range w.Processors {
		if err := p.Process(ctx, b); err != nil {
			return fmt.Errorf("process offsets %d to %d: %w", from, to, err)
		}
		w.steps.lap(i)
	}
	for i := range b.Events {
		if t := b.Events[i].Time; t.After(w.maxTime) && !Ahead(t, b.Events[i].IngestTime) {
			w.maxTime = t
		}
	}
	w.count(b)
	if err := w.open.Append(b); err != nil {
		return fmt.Errorf("append offsets %d to %d: %w", from, to, err)
	}
	w.steps.lap(len(w.Processors))
	if err := w.Publisher.Publish(ctx, b); err != nil {
		return fmt.Errorf("publish offsets %d to %d: %w", from, to, err)
	}
	w.steps.lap(len(w.Processors) + 1)
	for i := range b.Failures {
		w.Metrics.failed.WithLabelValues(b.Failures[i].Stage).Inc()
	}
	w.to = to
	return nil
}

// count notes what a processed batch holds, before the sink takes it.
func (w *Worker) count(b *Batch) {
	m, topic := w.Metrics, w.Partition.Topic
	size := 0
	for i := range b.Records {
		size += len(b.Records[i].Value)
	}
	for i := range b.Events {
		if reason := b.Events[i].dropped; reason != "" {
			m.dropped.WithLabelValues(reason).Inc()
		}
	}
	m.records.WithLabelValues(topic).Add(float64(len(b.Records)))
	m.bytes.WithLabelValues(topic).Add(float64(size))
	m.events.WithLabelValues(topic).Add(float64(len(b.Events)))
	m.signals.Add(float64(len(b.Signals)))
}

// maxAhead is how far an event's clock may run ahead of its record's arrival and still move the watermark: one wrong clock must not
// close everybody's windows, so it is within the lateness that rules usually grant.
const maxAhead = 30 * time.Second

// Ahead reports whether an event's time is so far after its arrival that it moves no watermark; where nobody knows when it arrived it is not.
func Ahead(event, arrival time.Time) bool {
	return !arrival.IsZero() && event.After(arrival.Add(maxAhead))
}

// watermark tells how far the partition's event time has come, the zero time before its first event. A partition that
// has been quiet for a while follows the clock, or the windows over its events would never close.
func (w *Worker) watermark(ctx context.Context) error {
	if w.Watermark == nil {
		return nil
	}
	// What was asked before says nothing: reading may have stood still since.
	if t := w.clock[0]; w.quiet > idleTicks && t.now.After(w.maxTime) && w.End.reached(w.to, t.at) {
		w.maxTime = t.now
	}
	if err := w.Watermark(ctx, w.Partition, w.to-1, w.maxTime); err != nil {
		return fmt.Errorf("publish watermark: %w", err)
	}
	return nil
}
