package receive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
)

const (
	readTime     = 30 * time.Second // for a whole request: a slow sender holds its share of MaxPending that long
	sendTime     = 12 * time.Second
	shutdownTime = 15 * time.Second // what was accepted is still written
	retryAfter   = "2"              // seconds
	maxHeader    = 32 << 10
	maxValue     = 1 << 10 // of a header that is kept
)

// Server takes requests and writes records.
type Server struct {
	cfg      Config
	sender   *kafka.Sender
	now      func() time.Time
	log      *zap.Logger
	listener net.Listener
	http     *http.Server
	pending  *semaphore.Weighted
	same     singleflight.Group
	before   seen
	requests *prometheus.CounterVec // by route and code
	bytes    *prometheus.CounterVec // by route
	repeats  *prometheus.CounterVec // by route
	seconds  prometheus.Histogram
}

// New returns a server that holds its address already. The sender stays the caller's.
func New(cfg Config, sender *kafka.Sender, reg prometheus.Registerer, log *zap.Logger) (*Server, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if len(cfg.Routes) == 0 {
		return nil, errors.New("receive.routes: none is given, so there is nothing to receive")
	}
	s := &Server{
		cfg: cfg, sender: sender, now: time.Now, log: log, pending: semaphore.NewWeighted(int64(cfg.MaxPending)),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_receive_requests_total", Help: "Requests answered, by status code."}, []string{"route", "code"}),
		bytes:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_receive_bytes_total", Help: "Bytes of the bodies that were written to Kafka."}, []string{"route"}),
		repeats:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_receive_repeats_total", Help: "Deliveries that were there already, and not written again."}, []string{"route"}),
		seconds:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "tocsin_receive_write_seconds", Help: "Time until Kafka has a record.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}),
	}
	for _, c := range []prometheus.Collector{s.requests, s.bytes, s.repeats, s.seconds} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register the receiver's metrics: %w", err)
		}
	}
	s.http = &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: readTime, WriteTimeout: readTime + sendTime + 5*time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHeader, ErrorLog: zap.NewStdLog(log),
	}
	if cfg.Cert != "" {
		if _, err := tls.LoadX509KeyPair(cfg.Cert, cfg.Key); err != nil {
			return nil, fmt.Errorf("receive.cert: %w", err)
		}
		s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(cfg.Cert, cfg.Key)
			return &cert, err
		}}
	}
	var err error
	if s.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, fmt.Errorf("listen on receive.listen: %w", err)
	}
	return s, nil
}

// Addr returns the host:port that the server holds.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Serve answers until ctx is done and what was accepted is written.
func (s *Server) Serve(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() {
		if s.cfg.Cert != "" {
			failed <- s.http.ServeTLS(s.listener, "", "")
		} else {
			failed <- s.http.Serve(s.listener)
		}
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", s.cfg.Listen, err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := s.http.Shutdown(grace); errors.Is(err, context.DeadlineExceeded) {
		return s.http.Close() // its sender got no answer, and comes again
	} else if err != nil {
		return fmt.Errorf("stop %s: %w", s.cfg.Listen, err)
	}
	return nil
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for i := range s.cfg.Routes {
		route := &s.cfg.Routes[i]
		path := route.Path
		if path == "/" { // itself, not all below it
			path = "/{$}"
		}
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			code, text := s.receive(w, r, route)
			if code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable {
				w.Header().Set("Retry-After", retryAfter)
			}
			s.requests.WithLabelValues(route.Path, strconv.Itoa(code)).Inc()
			w.WriteHeader(code)
			fmt.Fprintln(w, text)
		})
	}
	return mux
}

// receive takes one request and returns its answer.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, route *Route) (code int, text string) {
	size := int64(s.cfg.MaxBytes)
	if r.ContentLength > size {
		return http.StatusRequestEntityTooLarge, fmt.Sprintf("a body of %d bytes; at most %d are taken", r.ContentLength, size)
	}
	if r.ContentLength >= 0 {
		size = r.ContentLength
	}
	if !s.pending.TryAcquire(size) {
		return http.StatusTooManyRequests, "too much is under way; try again"
	}
	defer s.pending.Release(size)
	var body bytes.Buffer
	if r.ContentLength > 0 {
		body.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, int64(s.cfg.MaxBytes))); err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return http.StatusRequestEntityTooLarge, fmt.Sprintf("at most %d bytes are taken", tooLarge.Limit)
		}
		return http.StatusBadRequest, "the body broke off"
	}
	now := s.now()
	if !route.verify(r.Header, body.Bytes(), now) {
		return http.StatusUnauthorized, "the signature or token is missing, wrong or too old"
	}
	value := payload(r.Header, body.Bytes())
	if route.Verify == "slack" {
		if challenge, ok := slackChallenge(value); ok {
			return http.StatusOK, challenge
		}
	}
	if len(bytes.TrimSpace(value)) == 0 && r.Header.Get("Ce-Type") == "" {
		return http.StatusBadRequest, "the body is empty"
	}
	rec := &pipeline.Record{Time: now, Value: value, Headers: route.headers(r.Header)}
	id := deliveryID(r.Header)
	if id != "" {
		rec.Key = []byte(id)
		rec.Headers = append(rec.Headers, pipeline.Header{Key: "delivery-id", Value: rec.Key})
	}
	repeated, err := s.write(r.Context(), route, id, rec)
	switch {
	case errors.Is(err, kafka.ErrTooLarge):
		s.log.Warn("record refused by the broker", zap.String("route", route.Path), zap.Error(err))
		return http.StatusRequestEntityTooLarge, "the topic takes no record of this size"
	case errors.Is(err, kafka.ErrBusy):
		return http.StatusTooManyRequests, "too much is under way; try again"
	case err != nil:
		s.log.Error("record not written", zap.String("route", route.Path), zap.Error(err))
		return http.StatusServiceUnavailable, "Kafka does not take it now; try again"
	case repeated:
		s.repeats.WithLabelValues(route.Path).Inc()
		return http.StatusAccepted, "accepted before"
	}
	return http.StatusAccepted, "accepted"
}

// write sends the record, unless the same one under the same id was sent before or is being sent. It goes on when the
// client hangs up: it may be in Kafka by then, and will be asked for again.
func (s *Server) write(ctx context.Context, route *Route, id string, rec *pipeline.Record) (repeated bool, err error) {
	send := func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTime)
		defer cancel()
		start := time.Now()
		err := s.sender.Send(ctx, route.Topic, rec)
		if err == nil {
			s.seconds.Observe(time.Since(start).Seconds())
			s.bytes.WithLabelValues(route.Path).Add(float64(len(rec.Value)))
		}
		return err
	}
	if id == "" {
		return false, send()
	}
	// The body is part of the name: who reuses an id for something else must not make it disappear.
	h := sha256.New()
	fmt.Fprintf(h, "%d %s %d %s ", len(route.Path), route.Path, len(id), id)
	h.Write(rec.Value)
	name := [sha256.Size]byte(h.Sum(nil))
	mine := false
	_, err, _ = s.same.Do(string(name[:]), func() (any, error) {
		if s.before.has(name) {
			return nil, nil
		}
		mine = true
		err := send()
		if err == nil {
			s.before.add(name)
		}
		return nil, err
	})
	return !mine, err
}

// headers returns what goes with the record. HMACs cover the body only, so that headers which fill fields of events are
// taken from those alone whose token covers all that they say.
func (r *Route) headers(h http.Header) []pipeline.Header {
	var out []pipeline.Header
	add := func(key, value string) {
		if value != "" && len(value) <= maxValue {
			out = append(out, pipeline.Header{Key: key, Value: []byte(value)})
		}
	}
	for _, name := range kept {
		key := name
		if name == "Content-Type" {
			if key = "content-type"; isForm(h) {
				add(key, "application/json")
				continue
			}
		}
		add(key, h.Get(name))
	}
	own := r.Verify == "token" || r.Verify == "none"
	for name, values := range h {
		if attr, ok := strings.CutPrefix(name, "Ce-"); ok {
			add("ce_"+strings.ToLower(attr), values[0])
		}
		if column, ok := strings.CutPrefix(name, "Tocsin-"); ok && own && !(column == "Source" && r.Source != "") {
			add("tocsin_"+strings.ReplaceAll(strings.ToLower(column), "-", "_"), values[0])
		}
	}
	add("tocsin_source", r.Source)
	return out
}

func isForm(h http.Header) bool {
	return strings.HasPrefix(strings.ToLower(h.Get("Content-Type")), "application/x-www-form-urlencoded")
}

// payload returns what a body says. GitHub and Slack can wrap JSON into a form's field "payload".
func payload(h http.Header, body []byte) []byte {
	if isForm(h) {
		if form, err := url.ParseQuery(string(body)); err == nil && form.Get("payload") != "" {
			return []byte(form.Get("payload"))
		}
	}
	return body
}

// slackChallenge returns what Slack asks for when an address is entered there: that it is answered.
func slackChallenge(body []byte) (string, bool) {
	var m struct {
		Type      string `json:"type"`
		Challenge string `json:"challenge"`
	}
	err := json.NewDecoder(io.LimitReader(bytes.NewReader(body), 4<<10)).Decode(&m)
	return m.Challenge, err == nil && m.Type == "url_verification" && m.Challenge != ""
}
