package parse

import (
	"errors"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// chaosToolkit reads the Chaos Toolkit's journal: the experiment's begin and end, so that both sides of its window are
// known. A run that completed with deviated true found a weakness.
// https://chaostoolkit.org/reference/api/journal/
var chaosToolkit = Format{
	Name: "chaos-toolkit", Title: "Chaos Toolkit journal", Phase: pipeline.PhaseOperation,
	Types: []string{"chaos.finished", "chaos.started"},
	Known: "JSON with experiment, status and run or chaoslib-version; notifications with name, phase and payload",
	Frame: Values,
	Match: func(s *Shape) bool {
		return s.Has("chaoslib-version") || s.Has("experiment", "status") && (s.Has("run") || s.Has("steady_states")) ||
			s.Has("payload", "phase", "ts") && s.Has("name")
	},
	Parse: func(in *Input, out *Out) error {
		if in.Data[0] == '[' {
			return eachElement(in, out, in.Data, func(b []byte) error { return chaosJournal(b, out) })
		}
		return chaosJournal(in.Data, out)
	},
}

type chaosRecord struct {
	Version    string `json:"chaoslib-version"`
	Node       string `json:"node"`
	Experiment struct {
		Title       string  `json:"title"`
		Description string  `json:"description"`
		Tags        Strings `json:"tags"`
	} `json:"experiment"`
	Start    string `json:"start"`
	End      string `json:"end"`
	Duration Text   `json:"duration"`
	Status   string `json:"status"`
	Deviated bool   `json:"deviated"`
	States   struct {
		Before *chaosState `json:"before"`
		After  *chaosState `json:"after"`
	} `json:"steady_states"`
	Run       []chaosRun `json:"run"`
	Rollbacks []chaosRun `json:"rollbacks"`
}

type chaosState struct {
	Met    *bool      `json:"steady_state_met"`
	Probes []chaosRun `json:"probes"`
}

type chaosRun struct {
	Activity struct {
		Name string `json:"name"`
		Type string `json:"type"`
	} `json:"activity"`
	Status string `json:"status"`
}

func chaosJournal(b []byte, out *Out) error {
	name, phase := "", ""
	if payload := member(b, "payload"); payload != nil && member(b, "phase") != nil { // a notification
		name, phase = textOf(member(b, "name")), textOf(member(b, "phase"))
		if len(payload) == 0 || payload[0] != '{' {
			return errors.New("chaos-toolkit: notification whose payload is not a journal or experiment")
		}
		if member(payload, "experiment") == nil { // of its beginning: the experiment itself
			e := chaosEvent(out, textOf(member(payload, "title")), strings.HasSuffix(name, "started"))
			e.Time = laterOf(parseTime(textOf(member(b, "ts"))), e.Time)
			e.SetAttr("chaos.status", first(name, phase))
			return nil
		}
		b = payload
	}
	var v chaosRecord
	if err := decode(b, &v); err != nil {
		return err
	}
	if v.Experiment.Title == "" && v.Status == "" {
		return errors.New("chaos-toolkit: journal without experiment and status")
	}
	start, end := parseTime(v.Start), parseTime(v.End)
	if !start.IsZero() {
		e := chaosEvent(out, v.Experiment.Title, true)
		e.Time, e.Host = start, strings.ToLower(v.Node)
		out.ID(e, "started", v.Experiment.Title, v.Start, v.Node)
	}
	if v.Status == "" && end.IsZero() {
		return nil
	}
	e := chaosEvent(out, v.Experiment.Title, false)
	e.Host = strings.ToLower(v.Node)
	switch {
	case !end.IsZero():
		e.Time = end
	case !start.IsZero():
		e.Time = start
	}
	v.fill(e)
	out.ID(e, "finished", v.Experiment.Title, v.Start, v.Node, v.Status)
	return nil
}

func laterOf(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return a
}

// chaosEvent emits the begin or end of an experiment, with the label that marks what happens meanwhile.
func chaosEvent(out *Out, title string, begin bool) *pipeline.Event {
	typ, verb := "chaos.finished", "ended"
	if begin {
		typ, verb = "chaos.started", "began"
	}
	e := out.Event(typ)
	e.Title, e.Severity = strings.TrimSpace("chaos experiment "+title)+" "+verb, pipeline.SeverityInfo
	e.Task = title
	e.Labels = append(e.Labels, "chaos:"+slug(title))
	e.SetAttr("chaos.experiment", title)
	return e
}

// slug makes an id of a title: lower case, what is neither letter nor digit as one hyphen.
func slug(s string) string {
	b := make([]byte, 0, len(s))
	for _, c := range []byte(strings.ToLower(s)) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= 0x80 {
			b = append(b, c)
		} else if len(b) > 0 && b[len(b)-1] != '-' {
			b = append(b, '-')
		}
	}
	return first(strings.Trim(string(b), "-"), "experiment")
}

func (v *chaosRecord) fill(e *pipeline.Event) {
	deviated := "false"
	switch {
	case v.Deviated:
		deviated = "true"
		e.Outcome, e.Severity = pipeline.OutcomeFailure, pipeline.SeverityHigh
		e.Title = "weakness found: " + v.Experiment.Title
	case v.Status == "completed":
		e.Outcome = pipeline.OutcomeSuccess
	case v.Status == "interrupted" || v.Status == "aborted":
		e.Outcome, e.Severity = pipeline.OutcomeCancel, pipeline.SeverityLow
	case v.Status == "failed":
		e.Outcome, e.Severity = pipeline.OutcomeError, pipeline.SeverityMedium
		e.Title = "chaos experiment failed: " + v.Experiment.Title
	}
	e.SetAttr("deviated", deviated)
	e.SetAttr("chaos.status", v.Status)
	e.SetAttr("duration_seconds", string(v.Duration))
	e.SetAttr("chaos.tags", strings.Join(v.Experiment.Tags, ","))
	e.SetAttr("chaos.version", v.Version)
	e.SetAttr("chaos.steady_before", v.States.Before.met())
	e.SetAttr("chaos.steady_after", v.States.After.met())
	e.SetAttr("chaos.activities", positive(len(v.Run)))
	e.SetAttr("chaos.rollbacks", positive(len(v.Rollbacks)))
	var failed []string
	for _, list := range [...][]chaosRun{v.States.Before.probes(), v.Run, v.States.After.probes(), v.Rollbacks} {
		for i := range list {
			if list[i].Status == "failed" {
				failed = append(failed, list[i].Activity.Name)
			}
		}
	}
	e.SetAttr("chaos.failed_activities", strings.Join(failed, ","))
	if len(failed) > 0 && e.Severity < pipeline.SeverityLow {
		e.Severity = pipeline.SeverityLow
	}
}

func (s *chaosState) met() string {
	if s == nil || s.Met == nil {
		return ""
	}
	if *s.Met {
		return "true"
	}
	return "false"
}

func (s *chaosState) probes() []chaosRun {
	if s == nil {
		return nil
	}
	return s.Probes
}
