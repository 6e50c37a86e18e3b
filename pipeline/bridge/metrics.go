package bridge

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what bridges do.
type Metrics struct {
	tries   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

// How a try to deliver ended.
const (
	delivered   = "delivered"
	refusedTry  = "refused" // for good: a dead letter
	failedTry   = "failed"  // it is tried again
	bridgeLabel = "bridge"
)

// NewMetrics returns metrics for bridges to report to.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		tries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_bridge_tries_total", Help: "Tries to deliver a version of an alert, by how they ended: delivered, failed (tried again), refused (a dead letter).",
		}, []string{bridgeLabel, "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tocsin_bridge_delivery_seconds", Help: "Time from reading a version of an alert until the peer has it, with all tries.",
			Buckets: prometheus.ExponentialBuckets(0.005, 4, 10), // to 22 minutes
		}, []string{bridgeLabel}),
	}
	for _, c := range []prometheus.Collector{m.tries, m.seconds} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Report makes the bridge count.
func (b *Bridge) Report(m *Metrics) {
	b.metrics = m
	for _, result := range []string{delivered, failedTry, refusedTry} {
		m.tries.WithLabelValues(b.cfg.Name, result) // 0 says that it runs
	}
}

func (b *Bridge) count(result string) {
	if b.metrics != nil {
		b.metrics.tries.WithLabelValues(b.cfg.Name, result).Inc()
	}
}

func (b *Bridge) took(seconds float64) {
	if b.metrics != nil {
		b.metrics.seconds.WithLabelValues(b.cfg.Name).Observe(seconds)
	}
}
