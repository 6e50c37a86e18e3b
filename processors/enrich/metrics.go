package enrich

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	ageMetric     = prometheus.NewDesc("tocsin_enrich_table_age_seconds", "Age of what the table in use says: by its own date, otherwise by its oldest file.", []string{"table"}, nil)
	entriesMetric = prometheus.NewDesc("tocsin_enrich_table_entries", "Entries of the table in use.", []string{"table"}, nil)
	failedMetric  = prometheus.NewDesc("tocsin_enrich_table_failed", "1 while the table's files are missing or wrong, so that the one before stays in use.", []string{"table"}, nil)
)

// Describe implements prometheus.Collector.
func (en *Enricher) Describe(ch chan<- *prometheus.Desc) {
	ch <- ageMetric
	ch <- entriesMetric
	ch <- failedMetric
	en.optOuts.Describe(ch)
}

// Collect implements prometheus.Collector.
func (en *Enricher) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, table string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, table)
	}
	for _, t := range en.tables {
		t.mu.Lock()
		failed, entries, asOf := 0.0, t.entries, t.asOf
		if t.problem != nil {
			failed = 1
		}
		t.mu.Unlock()
		gauge(failedMetric, failed, t.name)
		gauge(entriesMetric, float64(entries), t.name)
		if !asOf.IsZero() { // a feed that was never read has no age
			gauge(ageMetric, time.Since(asOf).Seconds(), t.name)
		}
	}
	en.optOuts.Collect(ch)
}

// count notes that something was withheld under a policy.
func (en *Enricher) count(o *optOut, what string) { en.optOuts.WithLabelValues(o.id, what).Inc() }
