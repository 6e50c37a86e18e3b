package console

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// livez says that the process answers.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "ok")
}

// readyz says whether the process does its work, and if not why: a line a reason, or JSON for those who ask for it.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	reasons := []string{}
	if s.cfg.Ready != nil {
		for _, err := range s.cfg.Ready() {
			reasons = append(reasons, err.Error())
		}
	}
	status := http.StatusOK
	if len(reasons) > 0 {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Cache-Control", "no-store")
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		reply(w, status, map[string]any{"ready": len(reasons) == 0, "reasons": reasons})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if len(reasons) == 0 {
		fmt.Fprintln(w, "ready")
		return
	}
	fmt.Fprintf(w, "not ready\n%s\n", strings.Join(reasons, "\n"))
}

// metrics are the console's own.
type metrics struct {
	queries *prometheus.HistogramVec // by result: seconds
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{queries: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "tocsin_console_query_seconds", Help: "Time of the console's queries.",
		Buckets: prometheus.ExponentialBuckets(0.005, 2, 12),
	}, []string{"result"})}
	if err := reg.Register(m.queries); err != nil {
		return nil, fmt.Errorf("register the console's metrics: %w", err)
	}
	return m, nil
}
