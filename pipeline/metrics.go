package pipeline

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the workers' counters, shared by all of them. For every topic, events = stored + dropped in the long run:
// what is in open chunks is the difference.
type Metrics struct {
	Progress Progress

	records  *prometheus.CounterVec // by topic
	bytes    *prometheus.CounterVec // by topic
	events   *prometheus.CounterVec // by topic
	stored   *prometheus.CounterVec // by topic
	dropped  *prometheus.CounterVec // by reason
	failed   *prometheus.CounterVec // by stage
	signals  prometheus.Counter
	retries  *prometheus.CounterVec // by step
	steps    *prometheus.CounterVec // seconds by step
	flushed  prometheus.Histogram   // seconds from the plan to the commit
	chunk    prometheus.Histogram   // rows
	position *prometheus.GaugeVec   // by topic and partition: first offset that is not stored
	reached  *prometheus.GaugeVec   // by topic and partition: event time, Unix seconds
}

// NewMetrics registers the workers' metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_ingest_" + name, Help: help}, labels)
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tocsin_ingest_" + name, Help: help}, labels)
		reg.MustRegister(g)
		return g
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "tocsin_ingest_" + name, Help: help, Buckets: buckets})
		reg.MustRegister(h)
		return h
	}
	m := &Metrics{
		records:  counter("records_total", "Records read from Kafka.", "topic"),
		bytes:    counter("record_bytes_total", "Bytes of the values of those records.", "topic"),
		events:   counter("events_total", "Events parsed.", "topic"),
		stored:   counter("stored_rows_total", "Rows that the warehouse acknowledged.", "topic"),
		dropped:  counter("dropped_events_total", "Events that were dropped on purpose.", "reason"),
		failed:   counter("failures_total", "Records or parts of them that went to the dead letters.", "stage"),
		retries:  counter("retries_total", "Steps that had to be repeated.", "step"),
		steps:    counter("step_seconds_total", "Time that workers spent in a step: parse, enrich, rule, append (columns), publish; then plan, insert, acknowledge, commit.", "step"),
		flushed:  histogram("flush_seconds", "Time from a chunk's plan to its commit.", prometheus.ExponentialBuckets(0.005, 2, 14)),
		chunk:    histogram("chunk_rows", "Rows in a chunk.", prometheus.ExponentialBuckets(1, 4, 10)),
		position: gauge("position_offset", "First offset that is not stored yet.", "topic", "partition"),
		reached:  gauge("watermark_timestamp_seconds", "Event time that the partition has reached.", "topic", "partition"),
	}
	signals := prometheus.NewCounter(prometheus.CounterOpts{Name: "tocsin_ingest_signals_total", Help: "Signals sent to detect."})
	m.Progress.workers = map[*progress]struct{}{}
	reg.MustRegister(signals, &m.Progress)
	m.signals = signals
	return m
}
