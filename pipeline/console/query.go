package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
)

// Bounds of what a request may say.
const (
	maxValues     = 100 // of one variable
	maxValueBytes = 300
	maxPoints     = 2000
	defaultPoints = 300
	lastTime      = (1<<32 - 1) * 1000 // in milliseconds: a DateTime ends in 2106
)

// result is what a query gives, for the browser. Times are milliseconds since 1970.
type result struct {
	Columns []clickhouse.Column `json:"columns"`
	Rows    [][]any             `json:"rows"`
	// StepMS is the width of one step of a time series.
	StepMS int64 `json:"step_ms,omitempty"`
}

// problem is an error that the reader can mend, or should at least know about.
type problem struct {
	status int
	text   string
}

func (p *problem) Error() string { return p.text }

func wrong(format string, args ...any) error {
	return &problem{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func (s *Server) listDashboards(w http.ResponseWriter, _ *http.Request) {
	type entry struct {
		UID         string   `json:"uid"`
		Title       string   `json:"title"`
		Description string   `json:"description"`
		Folder      string   `json:"folder"`
		Tags        []string `json:"tags"`
	}
	list := []entry{}
	for _, d := range sorted(s.boards) {
		list = append(list, entry{d.UID, d.Title, d.Description, d.folder, d.Tags})
	}
	reply(w, http.StatusOK, list)
}

func (s *Server) getDashboard(w http.ResponseWriter, r *http.Request) {
	d, ok := s.boards[r.PathValue("uid")]
	if !ok {
		fail(w, http.StatusNotFound, fmt.Errorf("no dashboard %q", r.PathValue("uid")))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	w.Write(d.file) //nolint:errcheck // nobody reads any more
}

// queryPanel answers one query of a panel: dashboard, panel, ref, from, to (milliseconds), points and var-<name>.
func (s *Server) queryPanel(w http.ResponseWriter, r *http.Request) {
	s.answer(w, r, func(d *dashboard, q url.Values, sc scope) (any, error) {
		id, err := strconv.Atoi(q.Get("panel"))
		if err != nil {
			return nil, wrong("panel %q is no number", q.Get("panel"))
		}
		p, t := d.target(id, q.Get("ref"))
		if t == nil {
			return nil, wrong("dashboard %s has no panel %d with a query %q", d.UID, id, q.Get("ref"))
		}
		points, err := number(q.Get("points"), defaultPoints)
		if err != nil || points < 1 || points > maxPoints {
			return nil, wrong("points %q, want 1 to %d", q.Get("points"), maxPoints)
		}
		sc.Interval = p.step(sc.To.Sub(sc.From), int(points))
		res, err := s.run(r.Context(), t.RawSQL, sc)
		if err != nil {
			return nil, err
		}
		res.StepMS = sc.Interval.Milliseconds()
		return res, nil
	})
}

// queryValues lists the values of a query variable: dashboard, name, from, to and var-<name>.
func (s *Server) queryValues(w http.ResponseWriter, r *http.Request) {
	s.answer(w, r, func(d *dashboard, q url.Values, sc scope) (any, error) {
		v := d.variable(q.Get("name"))
		if v == nil || v.Type != "query" {
			return nil, wrong("dashboard %s has no query variable %q", d.UID, q.Get("name"))
		}
		return s.run(r.Context(), v.sql(), sc)
	})
}

// queryAnnotations answers all annotations of a dashboard, a result each.
func (s *Server) queryAnnotations(w http.ResponseWriter, r *http.Request) {
	s.answer(w, r, func(d *dashboard, _ url.Values, sc scope) (any, error) {
		results := []any{}
		for _, a := range d.Annotations.List {
			if a.Target.RawSQL == "" {
				continue
			}
			res, err := s.run(r.Context(), a.Target.RawSQL, sc)
			if err != nil {
				return nil, err
			}
			results = append(results, map[string]any{"name": a.Name, "columns": res.Columns, "rows": res.Rows})
		}
		return results, nil
	})
}

// queryExtent says from when to when there are events at all: where a range shows nothing, the page offers that one.
func (s *Server) queryExtent(w http.ResponseWriter, r *http.Request) {
	res, err := s.run(r.Context(), "SELECT min(ts) AS first, max(ts) AS last, count() AS minutes FROM events_1m", scope{})
	if err != nil {
		s.report(w, r, err)
		return
	}
	row := res.Rows[0]
	reply(w, http.StatusOK, map[string]any{"from": row[0], "to": row[1], "minutes": row[2]})
}

// answer reads what all queries have in common and sends what ask returns.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, ask func(*dashboard, url.Values, scope) (any, error)) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		s.report(w, r, wrong("the query string cannot be read: %v", err))
		return
	}
	d, ok := s.boards[q.Get("dashboard")]
	if !ok {
		s.report(w, r, &problem{http.StatusNotFound, fmt.Sprintf("no dashboard %q", q.Get("dashboard"))})
		return
	}
	sc, err := d.scope(q, time.Now())
	if err == nil {
		var v any
		if v, err = ask(d, q, sc); err == nil {
			reply(w, http.StatusOK, v)
			return
		}
	}
	s.report(w, r, err)
}

// scope reads the time range and the variables of a request. What is missing has the file's value; variables that the
// dashboard does not have are passed over, as Grafana does: links carry those of the page that they stand on.
func (d *dashboard) scope(q url.Values, now time.Time) (scope, error) {
	from, err := number(q.Get("from"), now.Add(-time.Hour).UnixMilli())
	if err != nil {
		return scope{}, wrong("from %q, want milliseconds since 1970", q.Get("from"))
	}
	to, err := number(q.Get("to"), now.UnixMilli())
	if err != nil {
		return scope{}, wrong("to %q, want milliseconds since 1970", q.Get("to"))
	}
	if from < 0 || to <= from || to > lastTime {
		return scope{}, wrong("range %d to %d is empty or out of bounds", from, to)
	}
	sc := scope{From: time.UnixMilli(from).UTC(), To: time.UnixMilli(to).UTC(), Interval: time.Minute, Vars: map[string]choice{}}
	for i := range d.Templating.List {
		v := &d.Templating.List[i]
		values, given := q["var-"+v.Name]
		if !given {
			sc.Vars[v.Name] = v.preset()
			continue
		}
		if len(values) > maxValues {
			return scope{}, wrong("variable %s has %d values, at most %d are taken", v.Name, len(values), maxValues)
		}
		for _, value := range values {
			if len(value) > maxValueBytes {
				return scope{}, wrong("variable %s has a value of %d bytes, at most %d are taken", v.Name, len(value), maxValueBytes)
			}
		}
		sc.Vars[v.Name] = choose(values)
	}
	return sc, nil
}

// run expands a statement and asks the warehouse.
func (s *Server) run(ctx context.Context, sql string, sc scope) (*result, error) {
	text, params, err := expand(sql, sc)
	if err != nil {
		return nil, wrong("%v", err)
	}
	return s.ask(ctx, text, params)
}

// ask asks the warehouse, as one of a few at a time: a page has a dozen panels, and the warehouse has other work.
func (s *Server) ask(ctx context.Context, text string, params map[string]any) (*result, error) {
	if s.cfg.DB == nil {
		return nil, &problem{http.StatusServiceUnavailable, "this process has no warehouse"}
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	start := time.Now()
	columns, rows, err := s.cfg.DB.QueryJSON(ctx, text, params, clickhouse.Limits{Rows: queryRows, Time: queryTime})
	took := time.Since(start).Seconds()
	if err != nil {
		s.metrics.queries.WithLabelValues("error").Observe(took)
		return nil, err
	}
	s.metrics.queries.WithLabelValues("ok").Observe(took)
	for _, row := range rows {
		for i, v := range row {
			if t, ok := v.(time.Time); ok {
				row[i] = t.UnixMilli()
			}
		}
	}
	return &result{Columns: columns, Rows: rows}, nil
}

// report sends an error. What the reader can mend is said as it is; the warehouse's own words go to the log as well.
func (s *Server) report(w http.ResponseWriter, r *http.Request, err error) {
	var p *problem
	switch {
	case r.Context().Err() != nil: // the reader is gone
	case errors.As(err, &p):
		fail(w, p.status, err)
	case errors.Is(err, context.DeadlineExceeded):
		fail(w, http.StatusGatewayTimeout, fmt.Errorf("the warehouse took longer than %v: choose a shorter range", queryTime))
	default:
		s.cfg.Log.Warn("query for the console", zap.String("dashboard", r.URL.Query().Get("dashboard")),
			zap.String("panel", r.URL.Query().Get("panel")), zap.Error(err))
		text, _, _ := strings.Cut(err.Error(), "\n")
		fail(w, http.StatusBadGateway, fmt.Errorf("the warehouse: %s", text))
	}
}

func number(s string, missing int64) (int64, error) {
	if s == "" {
		return missing, nil
	}
	return strconv.ParseInt(s, 10, 64)
}
