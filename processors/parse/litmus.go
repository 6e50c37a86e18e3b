package parse

import (
	"bytes"
	"errors"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// litmus reads LitmusChaos: ChaosResult and ChaosEngine as JSON, YAML or `kubectl describe` prints them, and the events of
// Kubernetes about them. The verdict says whether the system withstood.
// https://docs.litmuschaos.io/docs/concepts/chaos-result
var litmus = Format{
	Name: "litmus", Title: "LitmusChaos results", Phase: pipeline.PhaseOperation,
	Types: []string{"chaos.finished", "chaos.started"},
	Known: "object of litmuschaos.io in JSON or YAML, or kubectl describe of a ChaosResult",
	Frame: Reports,
	Match: func(s *Shape) bool {
		if s.IsObject() {
			for _, b := range [...][]byte{s.Object(), s.Raw("object")} {
				if strings.HasPrefix(textOf(member(b, "apiVersion")), "litmuschaos.io/") ||
					strings.HasPrefix(textOf(member(member(b, "involvedObject"), "apiVersion")), "litmuschaos.io/") {
					return true
				}
			}
			items := s.Raw("items")
			return bytes.Contains(items[:min(len(items), 2000)], []byte("litmuschaos.io/"))
		}
		return s.Root == "" && bytes.Contains(s.Data()[:min(len(s.Data()), 4000)], []byte("litmuschaos.io/"))
	},
	Parse: func(in *Input, out *Out) error {
		b := in.Data
		if !isJSON(b) {
			if bytes.Contains(b, []byte("API Version:")) {
				return litmusDescribe(in.Text(), out)
			}
			var err error
			if b, err = yamlToJSON(b); err != nil {
				return err
			}
		}
		if items := member(b, "items"); items != nil && items[0] == '[' {
			b = items
		}
		if b[0] == '[' {
			return eachElement(in, out, b, func(b []byte) error { return litmusObject(b, out) })
		}
		if object := member(b, "object"); object != nil && object[0] == '{' {
			b = object
		}
		return litmusObject(b, out)
	},
}

// litmusResult is what any of the forms says of one experiment.
type litmusResult struct {
	name, namespace, engine, experiment, phase, verdict, probes, failStep, uid string

	time time.Time // zero: unknown
}

type litmusStatus struct {
	Phase    Text `json:"phase"`
	Verdict  Text `json:"verdict"`
	Probes   Text `json:"probeSuccessPercentage"`
	FailStep Text `json:"failStep"`
}

func litmusObject(b []byte, out *Out) error {
	var v struct {
		Kind     string `json:"kind"`
		Metadata struct {
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
			UID       string `json:"uid"`
			Changes   []struct {
				Time Text `json:"time"`
			} `json:"managedFields"`
		} `json:"metadata"`
		litmusEvent
		Spec struct {
			Engine     string       `json:"engine"`
			Experiment string       `json:"experiment"`
			Old        litmusStatus `json:"experimentstatus"`
		} `json:"spec"`
		Status struct {
			Result      litmusStatus `json:"experimentStatus"`
			Old         litmusStatus `json:"experimentstatus"`
			Engine      string       `json:"engineStatus"`
			Experiments []struct {
				Name    string `json:"name"`
				Status  string `json:"status"`
				Verdict string `json:"verdict"`
				Probes  Text   `json:"probeSuccessPercentage"`
				Updated Text   `json:"lastUpdateTime"`
			} `json:"experiments"`
		} `json:"status"`
	}
	if err := decode(b, &v); err != nil {
		return err
	}
	m := &v.Metadata
	base := litmusResult{name: m.Name, namespace: m.Namespace, engine: v.Spec.Engine, experiment: v.Spec.Experiment, uid: m.UID}
	for _, c := range m.Changes {
		if t := parseTime(string(c.Time)); t.After(base.time) {
			base.time = t
		}
	}
	if v.Involved.Kind != "" {
		v.litmusEvent.read(&base)
		base.event(out)
		return nil
	}
	if v.Kind == "ChaosEngine" || v.Status.Engine != "" {
		base.engine = first(base.engine, m.Name)
		if len(v.Status.Experiments) == 0 {
			base.phase = first(v.Status.Engine, "initialized")
			base.event(out)
			return nil
		}
		for _, x := range v.Status.Experiments {
			r := base
			r.experiment, r.phase, r.verdict, r.probes = x.Name, x.Status, x.Verdict, string(x.Probes)
			r.time = first(parseTime(string(x.Updated)), r.time)
			r.event(out)
		}
		return nil
	}
	s := &v.Status.Result
	for _, other := range [...]*litmusStatus{&v.Status.Old, &v.Spec.Old} {
		if s.Verdict == "" {
			s = other
		}
	}
	if m.Name == "" && s.Verdict == "" {
		return errors.New("litmus: object without name and verdict")
	}
	base.phase, base.verdict, base.probes, base.failStep = string(s.Phase), string(s.Verdict), string(s.Probes), string(s.FailStep)
	base.event(out)
	return nil
}

// litmusEvent is what an event of Kubernetes adds to its metadata.
// https://docs.litmuschaos.io/docs/concepts/chaos-workflow
type litmusEvent struct {
	Involved struct {
		Kind      string `json:"kind"`
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"involvedObject"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Last    Text   `json:"lastTimestamp"`
	At      Text   `json:"eventTime"`
}

// read takes over what the event says of the experiment: on its engine the steps and a summary ("pod-delete experiment has
// been Passed"), on its result the verdict ("experiment: pod-delete, Result: Pass").
func (v *litmusEvent) read(r *litmusResult) {
	r.name, r.namespace, r.uid = v.Involved.Name, first(v.Involved.Namespace, r.namespace), ""
	r.time, r.phase = first(parseTime(string(v.Last)), parseTime(string(v.At))), v.Reason
	if v.Involved.Kind == "ChaosEngine" {
		r.engine = v.Involved.Name
	}
	r.experiment = between(v.Message, "experiment: ", ",")
	switch v.Reason {
	case "Awaited", "Pass", "Fail", "Error", "Stopped":
		r.verdict = v.Reason
	case "Summary":
		r.experiment = firstWord(v.Message)
		r.verdict = lastWord(v.Message)
	case "ChaosEngineCompleted":
		r.phase = "completed"
	case "ChaosEngineStopped":
		r.phase, r.verdict = "stopped", "stopped"
	}
}

// litmusDescribe reads `kubectl describe chaosresult`; several may follow one another.
func litmusDescribe(text string, out *Out) error {
	var r litmusResult
	found := false
	flush := func() {
		if r.verdict != "" || r.phase != "" {
			r.event(out)
			found = true
		}
		r = litmusResult{}
	}
	for l := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(l), ":")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		if strings.HasPrefix(l, "Name:") { // objects begin in the first column
			flush()
		}
		for _, f := range [...]struct {
			key string
			to  *string
		}{
			{"Name", &r.name}, {"Namespace", &r.namespace}, {"Engine", &r.engine}, {"Experiment", &r.experiment}, {"Phase", &r.phase},
			{"Verdict", &r.verdict}, {"Probe Success Percentage", &r.probes}, {"Fail Step", &r.failStep}, {"UID", &r.uid},
		} {
			if key == f.key && *f.to == "" {
				*f.to = value
			}
		}
	}
	flush()
	if !found {
		return errors.New("litmus: text without phase and verdict")
	}
	return nil
}

func (r *litmusResult) event(out *Out) {
	verdict, phase := strings.ToLower(r.verdict), strings.ToLower(r.phase)
	running := verdict == "awaited" || verdict == "" && phase != "completed" && phase != "stopped"
	name := first(r.experiment, r.name)
	e := chaosEvent(out, name, running)
	if !r.time.IsZero() {
		e.Time = r.time
	}
	e.Labels[0] = "chaos:" + slug(first(r.engine, r.name, name))
	if !running {
		e.SetAttr("deviated", "false")
		switch verdict {
		case "pass", "passed":
			e.Outcome = pipeline.OutcomeSuccess
		case "fail", "failed":
			e.Outcome, e.Severity = pipeline.OutcomeFailure, pipeline.SeverityHigh
			e.Title = "weakness found: " + name
			e.SetAttr("deviated", "true")
		case "error":
			e.Outcome, e.Severity = pipeline.OutcomeError, pipeline.SeverityMedium
		case "stopped":
			e.Outcome, e.Severity = pipeline.OutcomeCancel, pipeline.SeverityLow
		}
	}
	e.SetAttr("chaos.verdict", r.verdict)
	e.SetAttr("chaos.status", ifKind(phase != "null", r.phase))
	e.SetAttr("chaos.engine", r.engine)
	e.SetAttr("chaos.result", r.name)
	e.SetAttr("chaos.probe_success_percentage", r.probes)
	e.SetAttr("chaos.fail_step", ifKind(r.failStep != "N/A", r.failStep))
	e.SetAttr("k8s.namespace.name", r.namespace)
	e.SetAttr("k8s.object.uid", r.uid)
}
