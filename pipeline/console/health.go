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

// readyz says whether the process does its work, and if not why; then what somebody should mend all the same: a line a reason,
// or JSON for those who ask for it.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	texts := func(ask func() []error) []string {
		texts := []string{}
		if ask != nil {
			for _, err := range ask() {
				texts = append(texts, err.Error())
			}
		}
		return texts
	}
	reasons, warnings := texts(s.cfg.Ready), texts(s.cfg.Warnings)
	status := http.StatusOK
	if len(reasons) > 0 {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Cache-Control", "no-store")
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		reply(w, status, map[string]any{"ready": len(reasons) == 0, "reasons": reasons, "warnings": warnings})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if len(reasons) == 0 {
		fmt.Fprintln(w, "ready")
	} else {
		fmt.Fprintf(w, "not ready\n%s\n", strings.Join(reasons, "\n"))
	}
	for _, text := range warnings {
		fmt.Fprintf(w, "warning: %s\n", text)
	}
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
