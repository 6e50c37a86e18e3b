package console

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/deploy/grafana"
	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
)

//go:embed static
var static embed.FS

// DefaultListen is the address of a Config that names none: this machine only.
const DefaultListen = "127.0.0.1:9410"

// Bounds of a request and of what it may ask of the warehouse.
const (
	maxHeaderBytes = 32 << 10
	queryTime      = 10 * time.Second // run time of one query
	queryRows      = 20_000           // rows in one result
	queries        = 6                // at the same time, from all readers
	shutdownTime   = 5 * time.Second
)

// Config says where the admin address is and what it shows.
type Config struct {
	// Listen is host:port; default DefaultListen. Who can reach it can read the whole warehouse.
	Listen string
	// Hosts are further names under which a browser or a scraper may ask for it. Addresses and localhost need no entry;
	// any other name is refused, or a foreign page could read the console through a name of its own (DNS rebinding).
	Hosts []string
	// DB is the warehouse that the console reads; nil where the process has none, then it says so.
	DB *clickhouse.DB
	// People may say things of alerts; where there are none the console only reads.
	People []Person
	// Say writes what they say; nil only where there are no People.
	Say func(context.Context, []pipeline.Control) error
	// Registry is what /metrics shows; nil is nothing.
	Registry *prometheus.Registry
	// Ready returns why the process is not ready, one error a reason; none means it is. nil is always ready.
	Ready func() []error
	// Warnings returns what somebody should mend although the process does its work; nil is nothing.
	Warnings func() []error
	Log      *zap.Logger // nil logs nothing
	Pprof    bool        // serve /debug/pprof
}

// Server is the admin address: health, metrics and the console.
type Server struct {
	cfg      Config
	boards   map[string]*dashboard
	listener net.Listener
	http     *http.Server
	slots    chan struct{} // one for each query that runs
	metrics  *metrics
}

// New returns a server that holds its address already, so that a port in use is an error here and Addr is known. Serve
// answers and gives the address up in the end.
func New(cfg Config) (*Server, error) {
	if cfg.Listen == "" {
		cfg.Listen = DefaultListen
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.Registry == nil {
		cfg.Registry = prometheus.NewRegistry()
	}
	boards, err := loadDashboards(grafana.Dashboards, "dashboards")
	if err != nil {
		return nil, fmt.Errorf("load dashboards: %w", err)
	}
	s := &Server{cfg: cfg, boards: boards, slots: make(chan struct{}, queries)}
	if s.metrics, err = newMetrics(cfg.Registry); err != nil {
		return nil, err
	}
	if s.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, fmt.Errorf("listen on the admin address: %w", err)
	}
	s.http = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      time.Minute, // a profile takes 30 s
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          zap.NewStdLog(cfg.Log),
	}
	return s, nil
}

// Addr returns the host:port that the server holds.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL returns where a browser on this machine finds the console.
func (s *Server) URL() string {
	host, port, err := net.SplitHostPort(s.Addr())
	if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
}

// Serve answers until ctx is done, lets the requests under way end, and returns nil then.
func (s *Server) Serve(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve the admin address: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := s.http.Shutdown(grace); errors.Is(err, context.DeadlineExceeded) {
		return s.http.Close() // who still reads then has a slow line, not a reason
	} else if err != nil {
		return fmt.Errorf("stop the admin address: %w", err)
	}
	return nil
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", s.livez)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.cfg.Registry, promhttp.HandlerOpts{Registry: s.cfg.Registry, EnableOpenMetrics: true}))
	if s.cfg.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	mux.HandleFunc("GET /api/dashboards", s.listDashboards)
	mux.HandleFunc("GET /api/dashboards/{uid}", s.getDashboard)
	mux.HandleFunc("GET /api/query", s.queryPanel)
	mux.HandleFunc("GET /api/annotations", s.queryAnnotations)
	mux.HandleFunc("GET /api/values", s.queryValues)
	mux.HandleFunc("GET /api/extent", s.queryExtent)
	mux.HandleFunc("GET /api/tail", s.queryTail)
	mux.HandleFunc("GET /api/alerts/{id}", s.getAlert)
	mux.HandleFunc("POST /api/alerts/{id}", s.say)
	mux.HandleFunc("GET /api/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, errors.New("no such address"))
	})

	files, err := fs.Sub(static, "static")
	if err != nil {
		panic("BUG: " + err.Error())
	}
	mux.Handle("GET /static/", http.StripPrefix("/static/", newFiles(files)))
	page := newPage(files, "index.html")
	mux.Handle("GET /{$}", page)
	mux.Handle("GET /d/{uid}", page)
	mux.Handle("GET /d/{uid}/{slug}", page)
	return s.guard(mux)
}
