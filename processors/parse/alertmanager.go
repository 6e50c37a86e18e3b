package parse

import (
	"errors"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// alertmanager reads the webhook of Prometheus' Alertmanager and of Grafana, and Alertmanager's list of alerts. A group
// holds many alerts; each is an event. Its end is the zero time while it fires.
// https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
var alertmanager = Format{
	Name: "alertmanager", Title: "Alertmanager and Grafana alerts", Phase: pipeline.PhaseMonitoring,
	Types: []string{"alert.firing", "alert.resolved"},
	Known: "JSON with alerts and groupKey or receiver; array of objects with labels, annotations and startsAt",
	Frame: Values,
	Match: func(s *Shape) bool {
		return s.Has("alerts") && (s.Has("groupKey") || s.Has("receiver") || s.Has("groupLabels")) || s.Has("labels", "startsAt")
	},
	Parse: func(in *Input, out *Out) error {
		list := in.Data
		status := ""
		if in.Data[0] == '{' {
			status = textOf(member(in.Data, "status"))
			if list = member(in.Data, "alerts"); list == nil {
				return alertEvent(in.Data, status, out)
			}
		}
		if len(list) == 0 || list[0] != '[' {
			return errors.New("alertmanager: alerts is not a list")
		}
		return eachElement(in, out, list, func(b []byte) error { return alertEvent(b, status, out) })
	},
}

type alertRecord struct {
	Status      promRaw `json:"status"`
	Labels      promRaw `json:"labels"`
	Annotations promRaw `json:"annotations"`
	StartsAt    string  `json:"startsAt"`
	EndsAt      string  `json:"endsAt"`
	Generator   string  `json:"generatorURL"`
	Fingerprint string  `json:"fingerprint"`
}

func alertEvent(b []byte, groupStatus string, out *Out) error {
	v := scratch[alertRecord](out)
	if err := decode(b, v); err != nil {
		return err
	}
	if len(v.Labels) == 0 || v.Labels[0] != '{' {
		return errors.New("alertmanager: alert without labels")
	}
	status := groupStatus
	if len(v.Status) > 0 && v.Status[0] == '"' {
		status = textOf(v.Status)
	} else if state := member(v.Status, "state"); state != nil {
		status = textOf(state) // the API: active, suppressed, unprocessed
	}
	start, end := parseTime(v.StartsAt), parseTime(v.EndsAt)
	typ := "alert.firing"
	if status == "resolved" {
		typ = "alert.resolved"
	}
	e := out.Event(typ)
	e.Raw = alias(b)
	if !start.IsZero() {
		e.Time = start
	}
	if typ == "alert.resolved" {
		e.Outcome = pipeline.OutcomeSuccess
		if !end.IsZero() {
			e.Time = end
		}
	}
	if err := alertLabels(e, v.Labels, v.Annotations); err != nil {
		return err
	}
	e.SetAttr("alert.status", status)
	e.SetAttr("alert.started", v.StartsAt)
	e.SetAttr("alert.fingerprint", v.Fingerprint)
	e.SetAttr("url.full", v.Generator)
	if v.Fingerprint != "" {
		out.ID(e, v.Fingerprint, v.StartsAt, status)
	}
	return nil
}

// alertLabels fills an alert's event from its labels, which become attributes, and its annotations.
func alertLabels(e *pipeline.Event, labels, annotations []byte) error {
	if len(labels) > 0 && labels[0] == '{' {
		if err := promLabels(e, labels); err != nil {
			return err
		}
	}
	summary := ""
	if len(annotations) > 0 && annotations[0] == '{' {
		err := eachPair(annotations, func(key string, value []byte) error {
			v := textOf(value)
			switch key {
			case "summary":
				summary = v
			case "description", "message":
				summary = first(summary, v)
			}
			e.SetAttr("annotation."+key, v)
			return nil
		})
		if err != nil {
			return err
		}
	}
	e.Metric = "" // a label __name__ would be of the expression
	e.Rule = e.Attr("alertname")
	e.Title = strings.Trim(e.Rule+": "+summary, ": ")
	e.Severity = alertSeverity(first(e.Attr("severity"), e.Attr("level"), e.Attr("priority")))
	e.Environment = first(e.Attr("environment"), e.Attr("env"))
	e.DBName = first(e.Attr("datname"), e.Attr("database"))
	return nil
}

// alertSeverity converts what people write into the label severity.
func alertSeverity(s string) uint8 {
	switch strings.ToLower(s) {
	case "page", "emergency", "disaster", "p1", "sev1":
		return pipeline.SeverityCritical
	case "p2", "sev2":
		return pipeline.SeverityHigh
	case "p3", "sev3", "average":
		return pipeline.SeverityMedium
	case "p4", "sev4", "notice":
		return pipeline.SeverityLow
	}
	return severityWord(s)
}
