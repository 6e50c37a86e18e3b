package pipeline

import (
	"context"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Budget bounds the bytes that all partitions of a process have under way: records that wait for their worker, and rows that
// wait to be sent. While it is used up nothing is read; once three quarters of it are used, chunks are sent that are larger than
// the mean, be they small. Its methods may be called from any goroutine; a nil Budget has no bound.
type Budget struct {
	limit   int64
	used    atomic.Int64
	held    atomic.Int64 // of used, what is in open chunks
	holders atomic.Int64 // workers with rows in their chunk
	freed   chan struct{}
	turns   chan struct{} // those that are to be had
}

// NewBudget returns a budget of so many bytes, of which chunk are the most that a chunk takes.
func NewBudget(limit, chunk int64) *Budget {
	b := &Budget{limit: limit, freed: make(chan struct{}, 1)}
	b.turns = make(chan struct{}, max(2, limit/4*3/chunk)) // one is filled while one is stored
	for range cap(b.turns) {
		b.turns <- struct{}{}
	}
	return b
}

// turn returns where to get the turn to fill a large chunk; nil where nobody needs one.
func (b *Budget) turn() <-chan struct{} {
	if b == nil {
		return nil
	}
	return b.turns
}

// pass gives a turn back, if there is one.
func (b *Budget) pass(turn *bool) {
	if *turn {
		*turn = false
		b.turns <- struct{}{}
	}
}

var (
	budgetUsed  = prometheus.NewDesc("tocsin_ingest_under_way_bytes", "Bytes of records and rows that are not stored yet.", nil, nil)
	budgetLimit = prometheus.NewDesc("tocsin_ingest_budget_bytes", "Bytes that may be under way before nothing more is read.", nil, nil)
)

// Describe implements prometheus.Collector.
func (b *Budget) Describe(out chan<- *prometheus.Desc) {
	out <- budgetUsed
	out <- budgetLimit
}

// Collect implements prometheus.Collector.
func (b *Budget) Collect(out chan<- prometheus.Metric) {
	out <- prometheus.MustNewConstMetric(budgetUsed, prometheus.GaugeValue, float64(b.Used()))
	out <- prometheus.MustNewConstMetric(budgetLimit, prometheus.GaugeValue, float64(b.limit))
}

// Used returns the bytes under way.
func (b *Budget) Used() int64 { return b.used.Load() }

// Take notes n more bytes under way. It does not wait: who reads asks Wait before.
func (b *Budget) Take(n int64) {
	if b != nil {
		b.used.Add(n)
	}
}

// Give notes that n bytes are done with.
func (b *Budget) Give(n int64) {
	if b != nil && b.used.Add(-n) < b.limit {
		select {
		case b.freed <- struct{}{}:
		default:
		}
	}
}

// Wait returns when there is room, or ctx ends. It serves one goroutine.
func (b *Budget) Wait(ctx context.Context) {
	for b != nil && b.used.Load() >= b.limit {
		select {
		case <-ctx.Done():
			return
		case <-b.freed:
		}
	}
}

// Much reports whether a queue of n bytes is more than one partition should keep waiting: most of the budget is for chunks,
// which are the cheaper to store the larger they are.
func (b *Budget) Much(n int64) bool { return b != nil && n >= b.limit/32 }

// hold changes what a worker's open chunk holds, from before to now.
func (b *Budget) hold(before, now int64) {
	if b == nil || before == now {
		return
	}
	switch {
	case before == 0:
		b.holders.Add(1)
	case now == 0:
		b.holders.Add(-1)
	}
	b.held.Add(now - before)
	if now > before {
		b.Take(now - before)
	} else {
		b.Give(before - now)
	}
}

// tight reports whether a chunk of n bytes should be sent now, to make room. The largest goes first: partitions that are read
// at the same pace send one after the other, each when it is twice as large as if all were sent at once.
func (b *Budget) tight(n int64) bool {
	return b != nil && b.used.Load() >= b.limit/4*3 && n*max(1, b.holders.Load()) >= b.held.Load()
}
