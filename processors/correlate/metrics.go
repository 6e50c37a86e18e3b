package correlate

import (
	"runtime"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics is what the engines of a process have counted and hold, by rule. An engine reports with every Commit; one that
// nobody holds any more (its partition is another's) is left out after the next garbage collection.
type Metrics struct {
	mu     sync.Mutex
	held   map[int]map[string]holding // by engine and rule
	next   int
	total  Stats
	alerts map[said]uint64
}

// holding is the state that an engine has of a rule.
type holding struct {
	keys  int
	bytes int64
}

// said is a record of an alert.
type said struct{ rule, status string }

// NewMetrics returns metrics for engines to report to.
func NewMetrics() *Metrics {
	return &Metrics{held: map[int]map[string]holding{}, alerts: map[said]uint64{}}
}

// Report makes the engine report to m.
func (e *Engine) Report(m *Metrics) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.metrics, e.reporter = m, m.next
	m.next++
	m.held[e.reporter] = map[string]holding{}
	runtime.AddCleanup(e, m.drop, e.reporter)
}

func (m *Metrics) drop(reporter int) {
	m.mu.Lock()
	delete(m.held, reporter)
	m.mu.Unlock()
}

// report takes what is committed with the transaction.
func (m *Metrics) report(e *Engine) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total.add(&e.stats, &e.tx.stats)
	for _, s := range e.tx.said {
		m.alerts[s]++
	}
	held := m.held[e.reporter]
	clear(held)
	for id, r := range e.rules {
		if len(r.keys) > 0 {
			held[id] = holding{len(r.keys), r.bytes}
		}
	}
}

// add adds what was counted between two moments.
func (s *Stats) add(now, before *Stats) {
	s.Signals += now.Signals - before.Signals
	s.Duplicates += now.Duplicates - before.Duplicates
	s.Torn += now.Torn - before.Torn
	s.Late += now.Late - before.Late
	s.Foreign += now.Foreign - before.Foreign
	s.Evicted += now.Evicted - before.Evicted
	s.Truncated += now.Truncated - before.Truncated
}

var (
	signalsMetric = prometheus.NewDesc("tocsin_detect_signals_total", "Signals by what became of them: judged, seen before, behind one that the broker refused (torn: it comes again), later than the watermark allows, of a rule's definition that is gone.", []string{"result"}, nil)
	lostMetric    = prometheus.NewDesc("tocsin_detect_forgotten_total", "State that was given up because a rule had too many keys, or a key too many events.", []string{"what"}, nil)
	keysMetric    = prometheus.NewDesc("tocsin_rule_keys", "Keys that detect holds state of.", []string{"rule"}, nil)
	bytesMetric   = prometheus.NewDesc("tocsin_rule_state_bytes", "Size of that state as it is kept in the changelog.", []string{"rule"}, nil)
	alertsMetric  = prometheus.NewDesc("tocsin_rule_alerts_total", "Records of alerts that the rule gave, by status; suppressed are those under a label that the rule is not meant for.", []string{"rule", "status"}, nil)
)

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{signalsMetric, lostMetric, keysMetric, bytesMetric, alertsMetric} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	for result, n := range map[string]uint64{"judged": m.total.Signals, "duplicate": m.total.Duplicates, "torn": m.total.Torn, "late": m.total.Late, "foreign": m.total.Foreign} {
		send(signalsMetric, prometheus.CounterValue, float64(n), result)
	}
	send(lostMetric, prometheus.CounterValue, float64(m.total.Evicted), "keys")
	send(lostMetric, prometheus.CounterValue, float64(m.total.Truncated), "events")
	sum := map[string]holding{}
	for _, held := range m.held {
		for id, h := range held {
			sum[id] = holding{sum[id].keys + h.keys, sum[id].bytes + h.bytes}
		}
	}
	for id, h := range sum {
		send(keysMetric, prometheus.GaugeValue, float64(h.keys), id)
		send(bytesMetric, prometheus.GaugeValue, float64(h.bytes), id)
	}
	for s, n := range m.alerts {
		send(alertsMetric, prometheus.CounterValue, float64(n), s.rule, s.status)
	}
}
