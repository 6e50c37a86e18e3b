package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// EndOffset is what is known of a partition's end. Its methods may be called from any goroutine.
type EndOffset struct {
	offset, asked atomic.Int64
	skipped       atomic.Pointer[[2]int64]
}

// Seen notes that there are records before the offset.
func (e *EndOffset) Seen(offset int64) {
	for before := e.offset.Load(); before < offset && !e.offset.CompareAndSwap(before, offset); before = e.offset.Load() {
	}
}

// Asked notes that at that time there was nothing behind the offset.
func (e *EndOffset) Asked(offset int64, at time.Time) {
	e.Seen(offset)
	e.asked.Store(at.UnixNano())
}

// Skipped notes that from the one offset to the other there is no record for anybody, only the marks of transactions and what was aborted
// in them. Where nothing follows, the partition ends before them, or it would lag until somebody writes to it again.
func (e *EndOffset) Skipped(from, to int64) { e.skipped.Store(&[2]int64{from, to}) }

// Offset returns the offset behind the newest record that is known of.
func (e *EndOffset) Offset() int64 {
	offset := e.offset.Load()
	if s := e.skipped.Load(); s != nil && s[0] < offset && offset <= s[1] {
		return s[0]
	}
	return offset
}

// reached reports whether nothing was behind the offset at that time, or later.
func (e *EndOffset) reached(offset int64, at time.Time) bool {
	return e.asked.Load() >= at.UnixNano() && offset >= e.Offset() // in this order: it was asked before the end was known
}

// Progress is how far the workers of a process are. Workers note it, metrics and /readyz ask for it; a worker that hangs in
// a step is seen, for nobody waits for it. It is a prometheus.Collector.
type Progress struct {
	mu      sync.Mutex
	workers map[*progress]struct{}
}

// progress is that of one worker. The zero times are 0, times are Unix nanoseconds.
type progress struct {
	partition TopicPartition
	now       func() time.Time
	end       *EndOffset
	stored    atomic.Int64 // first offset that is not stored
	reached   atomic.Int64 // Kafka's time of the last record that is stored, or of the first that was read
	busy      atomic.Int64 // since when there are records that are not stored
	retries   atomic.Pointer[string]
}

// begin adds a worker whose clock is now; the func that it returns takes it away.
func (p *Progress) begin(tp TopicPartition, now func() time.Time, end *EndOffset, next int64) (*progress, func()) {
	w := &progress{partition: tp, now: now, end: end}
	w.stored.Store(next)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.workers[w] = struct{}{}
	return w, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.workers, w)
	}
}

func (w *progress) begun(record time.Time) {
	w.busy.CompareAndSwap(0, time.Now().UnixNano())
	w.reached.CompareAndSwap(0, record.UnixNano())
}

// done notes that what lies before next is stored; other records have been waiting since that time, or none if it is zero.
func (w *progress) done(next int64, record, waiting time.Time) {
	w.stored.Store(next)
	if waiting.IsZero() {
		w.busy.Store(0)
	} else {
		w.busy.Store(waiting.UnixNano())
	}
	w.retries.Store(nil)
	if !record.IsZero() {
		w.reached.Store(record.UnixNano())
	}
}

func (p *Progress) snapshot() []*progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*progress, 0, len(p.workers))
	for w := range p.workers {
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b *progress) int {
		return cmp.Or(cmp.Compare(a.partition.Topic, b.partition.Topic), cmp.Compare(a.partition.Partition, b.partition.Partition))
	})
	return all
}

// Stuck returns the partitions of which records have been waiting to be stored for longer than the bound, with what is
// being tried.
func (p *Progress) Stuck(bound time.Duration) []error {
	var errs []error
	for _, w := range p.snapshot() {
		busy := w.busy.Load()
		if busy == 0 {
			continue
		}
		if since := time.Since(time.Unix(0, busy)); since > bound {
			what := ""
			if step := w.retries.Load(); step != nil {
				what = "; " + *step + " is retried, the log says why"
			}
			errs = append(errs, fmt.Errorf("%s/%d: nothing behind offset %d has been stored for %v%s",
				w.partition.Topic, w.partition.Partition, w.stored.Load(), since.Round(time.Second), what))
		}
	}
	return errs
}

var (
	lagOffsets = prometheus.NewDesc("tocsin_ingest_lag_offsets", "Offsets that are not stored yet.", []string{"topic", "partition"}, nil)
	lagSeconds = prometheus.NewDesc("tocsin_ingest_lag_seconds", "Age of the last record that is stored, while newer ones are not; 0 at the end of the partition.", []string{"topic", "partition"}, nil)
)

// Describe implements prometheus.Collector.
func (p *Progress) Describe(out chan<- *prometheus.Desc) {
	out <- lagOffsets
	out <- lagSeconds
}

// Collect implements prometheus.Collector.
func (p *Progress) Collect(out chan<- prometheus.Metric) {
	for _, w := range p.snapshot() {
		behind := max(0, w.end.Offset()-w.stored.Load())
		age := 0.0
		if reached := w.reached.Load(); behind > 0 && reached > 0 {
			age = max(0, w.now().Sub(time.Unix(0, reached)).Seconds())
		}
		partition := strconv.Itoa(int(w.partition.Partition))
		out <- prometheus.MustNewConstMetric(lagOffsets, prometheus.GaugeValue, float64(behind), w.partition.Topic, partition)
		out <- prometheus.MustNewConstMetric(lagSeconds, prometheus.GaugeValue, age, w.partition.Topic, partition)
	}
}
