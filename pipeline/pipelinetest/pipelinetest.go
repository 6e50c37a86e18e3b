// Package pipelinetest has in-memory ends for the pipeline's tests: a Warehouse that stores chunks as ClickHouse does
// (one block a chunk, a chunk of the same name once), Offsets that remember plans as Kafka does, and a Publisher that
// keeps what it was given. Each can be made to fail at the moments that matter.
package pipelinetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/tocsin-project/tocsin/pipeline"
)

// ErrCrash is what a step returns that a test lets the process die in.
var ErrCrash = &pipeline.Permanent{Err: errors.New("crash")}

// Warehouse stores rows. It outlives the sinks that write to it.
type Warehouse struct {
	mu     sync.Mutex
	chunks map[string][]int64 // offsets of the rows, by the chunk's name
}

// NewWarehouse returns an empty one.
func NewWarehouse() *Warehouse { return &Warehouse{chunks: map[string][]int64{}} }

// Offsets returns how many rows of each offset are stored.
func (w *Warehouse) Offsets() map[int64]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := map[int64]int{}
	for _, rows := range w.chunks {
		for _, o := range rows {
			n[o]++
		}
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
	rows   []int64
}

// Append implements pipeline.Sink.
func (s *Sink) Append(b *pipeline.Batch) error {
	for i := range b.Events {
		if b.Events[i].Dropped() == "" {
			s.rows = append(s.rows, b.Events[i].Offset)
		}
	}
	return nil
}

// Size implements pipeline.Sink.
func (s *Sink) Size() (rows, bytes int) { return len(s.rows), 100 * len(s.rows) }

// Flush implements pipeline.Sink.
func (s *Sink) Flush(_ context.Context, c pipeline.Chunk) error {
	if s.Fail != nil {
		if err := s.Fail(false); err != nil {
			return err
		}
	}
	if s.Refuse != nil {
		refused := &pipeline.Refused{}
		s.rows = slices.DeleteFunc(s.rows, func(o int64) bool {
			if s.Refuse(o) {
				refused.Letters = append(refused.Letters, pipeline.DeadLetter{Topic: c.Topic, Partition: c.Partition, Offset: o, Stage: "sink"})
				return true
			}
			return false
		})
		if refused.Letters != nil {
			return refused
		}
	}
	name := fmt.Sprintf("%s/%d/%d-%d/e%d", c.Topic, c.Partition, c.From, c.To, c.Epoch)
	s.Warehouse.mu.Lock()
	if _, known := s.Warehouse.chunks[name]; !known {
		s.Warehouse.chunks[name] = append([]int64(nil), s.rows...)
	}
	s.Warehouse.mu.Unlock()
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

// Flush implements pipeline.Publisher.
func (p *Publisher) Flush(context.Context) error { return nil }
