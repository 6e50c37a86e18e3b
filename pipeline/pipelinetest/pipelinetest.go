// Package pipelinetest has in-memory ends for the pipeline's tests: a Warehouse that stores chunks as ClickHouse does
// (one block a chunk, a chunk of the same name once), Offsets that remember plans as Kafka does, and a Publisher that
// keeps what it was given. Each can be made to fail at the moments that matter.
package pipelinetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/tocsin-project/tocsin/pipeline"
)

// ErrCrash is what a step returns that a test lets the process die in.
var ErrCrash = &pipeline.Permanent{Err: errors.New("crash")}

// Row is the record that a row stems from.
type Row struct {
	Topic     string
	Partition int32
	Offset    int64
}

// Warehouse is a table and a view of it that counts rows, as ClickHouse keeps them: each remembers the tokens of the last
// blocks that it took, and takes no block under one of those again. A block that the table knows is offered to the view all
// the same, which decides for itself, as ClickHouse's documentation of insert deduplication has it; the tests of
// pipeline/clickhouse hold the real one to the cases that delivery rests on. A Warehouse outlives the sinks that write to it.
type Warehouse struct {
	// Window and ViewWindow are how many tokens the table and the view remember.
	Window, ViewWindow int

	mu          sync.Mutex
	table, view tokens
	rows        map[Row]int
	counted     int
}

// NewWarehouse returns an empty one, with the windows of tocsin's tables.
func NewWarehouse() *Warehouse {
	return &Warehouse{Window: 10_000, ViewWindow: 10_000, rows: map[Row]int{}}
}

// tokens are those of the last blocks, the oldest first.
type tokens []string

// take reports whether the token is none of those, and remembers it.
func (t *tokens) take(token string, window int) bool {
	if slices.Contains(*t, token) {
		return false
	}
	*t = append(*t, token)
	*t = (*t)[max(0, len(*t)-window):]
	return true
}

// Insert stores a block.
func (w *Warehouse) Insert(token string, rows []Row) {
	w.InsertHalf(token, rows)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.view.take(token, w.ViewWindow) {
		w.counted += len(rows)
	}
}

// InsertHalf stores a block in the table only: the server ends, or the view fails, before that has it.
func (w *Warehouse) InsertHalf(token string, rows []Row) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.table.take(token, w.Window) {
		for _, r := range rows {
			w.rows[r]++
		}
	}
}

// Rows returns how often each row is stored.
func (w *Warehouse) Rows() map[Row]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.rows)
}

// Counted returns how many rows the view has counted.
func (w *Warehouse) Counted() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counted
}

// Offsets returns how many rows of each offset are stored, where there is one partition.
func (w *Warehouse) Offsets() map[int64]int {
	n := map[int64]int{}
	for row, stored := range w.Rows() {
		n[row.Offset] += stored
	}
	return n
}

// Sink writes one row for each event that was not dropped.
type Sink struct {
	Warehouse *Warehouse
	// Fail is asked before and after each block is stored; an error there is what Flush returns. nil never fails.
	Fail func(stored bool) error
	// Refuse tells which offsets' rows the warehouse refuses. nil refuses none.
	Refuse func(offset int64) bool
	// Insert sends a block in place of the Warehouse; nil for that one. It may keep the rows.
	Insert func(ctx context.Context, c pipeline.Chunk, rows []Row) error
	rows   []Row
}

// Copy returns an empty sink like s, for a worker.
func (s *Sink) Copy() pipeline.Sink {
	return &Sink{Warehouse: s.Warehouse, Fail: s.Fail, Refuse: s.Refuse, Insert: s.Insert}
}

// Append implements pipeline.Sink.
func (s *Sink) Append(b *pipeline.Batch) error {
	for i := range b.Events {
		if e := &b.Events[i]; e.Dropped() == "" {
			s.rows = append(s.rows, Row{b.Topic, b.Partition, e.Offset})
		}
	}
	return nil
}

// Size implements pipeline.Sink.
func (s *Sink) Size() (rows, bytes int) { return len(s.rows), 100 * len(s.rows) }

// Flush implements pipeline.Sink.
func (s *Sink) Flush(ctx context.Context, c pipeline.Chunk) error {
	if s.Fail != nil {
		if err := s.Fail(false); err != nil {
			return err
		}
	}
	if s.Refuse != nil {
		refused := &pipeline.Refused{}
		s.rows = slices.DeleteFunc(s.rows, func(r Row) bool {
			if s.Refuse(r.Offset) {
				refused.Letters = append(refused.Letters, pipeline.DeadLetter{Topic: c.Topic, Partition: c.Partition, Offset: r.Offset, Stage: "sink"})
				return true
			}
			return false
		})
		if refused.Letters != nil {
			return refused
		}
	}
	if s.Insert != nil {
		if err := s.Insert(ctx, c, slices.Clone(s.rows)); err != nil {
			return err
		}
	} else {
		s.Warehouse.Insert(fmt.Sprintf("%s/%d/%d-%d/e%d", c.Topic, c.Partition, c.From, c.To, c.Epoch), s.rows)
	}
	if s.Fail != nil {
		if err := s.Fail(true); err != nil {
			return err
		}
	}
	s.rows = s.rows[:0]
	return nil
}

// Close implements pipeline.Sink.
func (s *Sink) Close() error { return nil }

// Offsets remembers one partition's position and plan. It outlives the workers.
type Offsets struct {
	// Fail is asked before and after each commit, with the plan that it carries. nil never fails.
	Fail func(done bool, plan *pipeline.Chunk) error

	mu   sync.Mutex
	next int64
	plan *pipeline.Chunk
}

// NewOffsets returns those of a partition that nobody has read.
func NewOffsets() *Offsets { return &Offsets{} }

// Position returns what the next owner of the partition finds.
func (o *Offsets) Position() (next int64, plan *pipeline.Chunk) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.plan != nil {
		c := *o.plan
		plan = &c
	}
	return o.next, plan
}

// Commit implements pipeline.Offsets.
func (o *Offsets) Commit(_ context.Context, _ pipeline.TopicPartition, next int64, plan *pipeline.Chunk) error {
	if o.Fail != nil {
		if err := o.Fail(false, plan); err != nil {
			return err
		}
	}
	o.mu.Lock()
	o.next, o.plan = next, nil
	if plan != nil {
		c := *plan
		o.plan = &c
	}
	o.mu.Unlock()
	if o.Fail != nil {
		return o.Fail(true, plan)
	}
	return nil
}

// Publisher keeps what it was given.
type Publisher struct {
	Signals  []pipeline.Signal
	Failures []pipeline.Failure
	Letters  []pipeline.DeadLetter
	// Fail is asked before dead letters are taken. nil never fails.
	Fail func() error
}

// Publish implements pipeline.Publisher.
func (p *Publisher) Publish(_ context.Context, b *pipeline.Batch) error {
	for _, s := range b.Signals {
		p.Signals = append(p.Signals, s.Clone())
	}
	p.Failures = append(p.Failures, b.Failures...)
	return nil
}

// Bury implements pipeline.Publisher.
func (p *Publisher) Bury(_ context.Context, letters []pipeline.DeadLetter) error {
	if p.Fail != nil {
		if err := p.Fail(); err != nil {
			return err
		}
	}
	p.Letters = append(p.Letters, letters...)
	return nil
}

// Barrier implements pipeline.Publisher.
func (p *Publisher) Barrier() func(context.Context) error {
	return func(context.Context) error { return nil }
}
