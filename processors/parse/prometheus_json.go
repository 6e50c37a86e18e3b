package parse

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// prometheusJSON reads answers of Prometheus' HTTP API (queries, alerts, targets, rules) and the records that remote-write
// bridges send to Kafka.
// https://prometheus.io/docs/prometheus/latest/querying/api/
var prometheusJSON = Format{
	Name: "prometheus-json", Title: "Prometheus HTTP API and remote write in JSON", Phase: pipeline.PhaseMonitoring,
	Types: []string{"metric", "db.size", "alert.firing", "heartbeat", "log"},
	Known: "JSON with status and data that holds result, alerts, activeTargets or groups; or name, labels, value and timestamp",
	Frame: Values, Log: true,
	Match: func(s *Shape) bool {
		if s.Has("status") {
			d := s.Raw("data")
			if status := s.String("status"); status == "error" && s.Has("errorType") {
				return true
			}
			return member(d, "resultType") != nil || member(d, "alerts") != nil || member(d, "activeTargets") != nil || member(d, "groups") != nil
		}
		return s.Has("labels", "value", "timestamp") && s.Raw("labels", "__name__") != nil
	},
	Parse: parsePrometheusJSON,
}

type promAnswer struct {
	Status    string `json:"status"`
	Error     string `json:"error"`
	ErrorType string `json:"errorType"`
	Data      struct {
		ResultType string       `json:"resultType"`
		Result     promRaw      `json:"result"`
		Alerts     []promAlert  `json:"alerts"`
		Targets    []promTarget `json:"activeTargets"`
		Groups     []struct {
			Name  string `json:"name"`
			Rules []struct {
				Alerts []promAlert `json:"alerts"`
			} `json:"rules"`
		} `json:"groups"`
	} `json:"data"`

	// Remote write.
	Labels promRaw `json:"labels"`
	Value  Number  `json:"value"`
	Stamp  Text    `json:"timestamp"`
}

// promRaw is JSON kept as it is.
type promRaw []byte

// UnmarshalJSON implements json.Unmarshaler.
func (r *promRaw) UnmarshalJSON(b []byte) error { *r = b; return nil }

type promAlert struct {
	Labels      promRaw `json:"labels"`
	Annotations promRaw `json:"annotations"`
	State       string  `json:"state"`
	ActiveAt    string  `json:"activeAt"`
	Value       Text    `json:"value"`
}

type promTarget struct {
	Labels    promRaw `json:"labels"`
	Pool      string  `json:"scrapePool"`
	URL       string  `json:"scrapeUrl"`
	LastError string  `json:"lastError"`
	Last      string  `json:"lastScrape"`
	Duration  Number  `json:"lastScrapeDuration"`
	Health    string  `json:"health"`
}

func parsePrometheusJSON(in *Input, out *Out) error {
	if in.Data[0] == '[' {
		return eachElement(in, out, in.Data, func(b []byte) error { return promAnswerEvents(in, b, out) })
	}
	return promAnswerEvents(in, in.Data, out)
}

func promAnswerEvents(in *Input, b []byte, out *Out) error {
	var v promAnswer
	if err := decode(b, &v); err != nil {
		return err
	}
	if len(v.Labels) > 0 {
		return promSeries(out, v.Labels, alias(b), string(v.Stamp), float64(v.Value))
	}
	d := &v.Data
	for i := range d.Alerts {
		if err := d.Alerts[i].event(out); err != nil {
			return err
		}
	}
	for _, g := range d.Groups {
		for _, r := range g.Rules {
			for i := range r.Alerts {
				if err := r.Alerts[i].event(out); err != nil {
					return err
				}
			}
		}
	}
	for i := range d.Targets {
		if err := d.Targets[i].event(out); err != nil {
			return err
		}
	}
	before := len(out.batch.Events)
	if err := promResult(in, d.ResultType, d.Result, out); err != nil {
		return err
	}
	if v.Status == "error" || d.ResultType != "" && len(out.batch.Events) == before || len(out.batch.Events) == out.first {
		e := out.Event("log")
		e.Title, e.Severity, e.Outcome = "prometheus has nothing to tell", pipeline.SeverityInfo, pipeline.OutcomeSuccess
		if v.Status == "error" {
			e.Title, e.Severity, e.Outcome = "prometheus: "+first(v.Error, v.ErrorType), pipeline.SeverityMedium, pipeline.OutcomeError
		} else if v.Status == "" {
			out.takeBack()
			return errors.New("prometheus-json: neither an answer of the API nor a sample")
		}
	}
	return nil
}

// promResult reads a query's result: instant vectors, matrices and scalars.
func promResult(in *Input, kind string, result []byte, out *Out) error {
	if len(result) == 0 || result[0] != '[' {
		return nil
	}
	if kind == "scalar" || kind == "string" {
		at, value, err := promPoint(result)
		if err != nil {
			return err
		}
		return promSeries(out, []byte(`{"__name__":"scalar"}`), alias(result), at, value)
	}
	return eachElement(in, out, result, func(b []byte) error {
		labels := member(b, "metric")
		if labels == nil {
			return errors.New("prometheus-json: series without metric")
		}
		if point := member(b, "value"); point != nil {
			at, value, err := promPoint(point)
			if err != nil {
				return err
			}
			return promSeries(out, labels, alias(b), at, value)
		}
		points := member(b, "values")
		if len(points) == 0 || points[0] != '[' {
			return nil // native histograms have none
		}
		return eachElement(in, out, points, func(point []byte) error {
			at, value, err := promPoint(point)
			if err != nil {
				return err
			}
			return promSeries(out, labels, alias(b), at, value)
		})
	})
}

// promPoint reads [1795417500.123, "42"].
func promPoint(b []byte) (at string, value float64, err error) {
	var pair []Text
	if err := decode(b, &pair); err != nil {
		return "", 0, err
	}
	if len(pair) != 2 {
		return "", 0, errors.New("prometheus-json: a point is not [time, value]")
	}
	if value, err = strconv.ParseFloat(string(pair[1]), 64); err != nil && !errors.Is(err, strconv.ErrRange) {
		return "", 0, errors.New("prometheus-json: a value is not a number")
	}
	return string(pair[0]), value, nil
}

func promSeries(out *Out, labels []byte, raw, at string, value float64) error {
	e := out.Event("metric")
	e.Raw, e.Value, e.Severity = raw, value, pipeline.SeverityInfo
	if seconds, err := strconv.ParseFloat(at, 64); err == nil && !math.IsInf(seconds, 0) && !math.IsNaN(seconds) {
		if t, err := promTime(at); err == nil && !t.IsZero() {
			e.Time = t
		}
	} else if t := parseTime(at); !t.IsZero() {
		e.Time = t
	}
	if err := promLabels(e, labels); err != nil {
		out.takeBack()
		return err
	}
	e.Metric = first(e.Metric, "expression")
	e.Title = e.Metric
	dbSize(e)
	return nil
}

// promLabels makes a series' labels attributes.
func promLabels(e *pipeline.Event, labels []byte) error {
	return eachPair(labels, func(key string, value []byte) error {
		v := textOf(value)
		switch key {
		case "__name__":
			e.Metric = v
			return nil
		case "instance":
			e.Host = hostOf(v)
		case "job":
			e.Service = v
		}
		e.SetAttr(key, v)
		return nil
	})
}

func (a *promAlert) event(out *Out) error {
	typ := "alert.firing"
	if a.State != "firing" && a.State != "" { // pending: its condition holds, but not for long enough
		typ = "log"
	}
	e := out.Event(typ)
	if t := parseTime(a.ActiveAt); !t.IsZero() {
		e.Time = t
	}
	if err := alertLabels(e, a.Labels, a.Annotations); err != nil {
		return err
	}
	if typ == "log" {
		e.Severity = pipeline.SeverityInfo
	}
	e.SetAttr("alert.state", a.State)
	e.SetAttr("alert.value", string(a.Value))
	return nil
}

func (t *promTarget) event(out *Out) error {
	e := out.Event("heartbeat")
	if at := parseTime(t.Last); !at.IsZero() {
		e.Time = at
	}
	e.Metric, e.Severity, e.Outcome = "up", pipeline.SeverityInfo, pipeline.OutcomeUnknown
	if len(t.Labels) > 0 {
		if err := promLabels(e, t.Labels); err != nil {
			return err
		}
		e.Metric = "up"
	}
	switch t.Health {
	case "up":
		e.Value, e.Outcome = 1, pipeline.OutcomeSuccess
	case "down":
		e.Outcome, e.Severity = pipeline.OutcomeFailure, pipeline.SeverityMedium
	}
	e.Title = "target " + first(t.Pool, t.URL) + " is " + strings.ToLower(t.Health)
	e.SetAttr("url.full", t.URL)
	e.SetAttr("error.message", t.LastError)
	return nil
}
