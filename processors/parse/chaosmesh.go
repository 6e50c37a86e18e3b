package parse

import (
	"bytes"
	"errors"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/tocsin-project/tocsin/pipeline"
)

// chaosMesh reads Chaos Mesh's objects as a watcher or kubectl gives them (JSON or YAML), their conditions alone, and the
// dashboard's lists. What is injected but not recovered is under way.
// https://chaos-mesh.org/docs/inspect-chaos-experiments/
var chaosMesh = Format{
	Name: "chaos-mesh", Title: "Chaos Mesh experiments", Phase: pipeline.PhaseOperation,
	Types: []string{"chaos.started", "chaos.finished"},
	Known: "object of chaos-mesh.org, status.experiment with records, list of conditions AllInjected and AllRecovered",
	Frame: Reports,
	Match: func(s *Shape) bool {
		if !s.IsObject() {
			head := s.Data()[:min(len(s.Data()), 4000)]
			return s.Root == "" && bytes.Contains(head, []byte("chaos-mesh.org/")) && bytes.Contains(head, []byte("kind: "))
		}
		if object := s.Raw("object"); object != nil && member(object, "apiVersion") != nil {
			return strings.HasPrefix(textOf(member(object, "apiVersion")), "chaos-mesh.org/")
		}
		if items := s.Raw("items"); items != nil {
			return bytes.Contains(items[:min(len(items), 2000)], []byte("chaos-mesh.org/"))
		}
		return strings.HasPrefix(s.String("apiVersion"), "chaos-mesh.org/") || strings.HasPrefix(s.String("involvedObject", "apiVersion"), "chaos-mesh.org/") ||
			strings.HasSuffix(s.String("kind"), "Chaos") && s.Has("object_id", "reason") || member(s.Raw("status", "experiment"), "containerRecords") != nil ||
			member(s.Raw("status", "experiment"), "desiredPhase") != nil || s.Array && isChaosCondition(s.String("type")) ||
			strings.HasSuffix(s.String("kind"), "Chaos") && s.Has("uid", "status")
	},
	Parse: func(in *Input, out *Out) error {
		b := in.Data
		if !isJSON(b) {
			var err error
			if b, err = yamlToJSON(b); err != nil {
				return err
			}
		}
		if items := member(b, "items"); items != nil && items[0] == '[' {
			b = items
		}
		if b[0] == '[' {
			if isChaosCondition(textOf(member(b[1+skipSpace(b[1:]):], "type"))) {
				var c []chaosCondition
				if err := decode(b, &c); err != nil {
					return err
				}
				v := meshRecord{Status: meshStatus{Conditions: c}}
				return v.event(out)
			}
			return eachElement(in, out, b, func(b []byte) error { return chaosMeshObject(b, out) })
		}
		if object := member(b, "object"); object != nil && object[0] == '{' {
			b = object
		}
		return chaosMeshObject(b, out)
	},
}

func isChaosCondition(t string) bool {
	return t == "Selected" || t == "AllInjected" || t == "AllRecovered" || t == "Paused"
}

// yamlToJSON converts one document of YAML. References are refused: they can make a small document huge.
func yamlToJSON(b []byte) ([]byte, error) {
	if len(b) > 1<<20 {
		return nil, errors.New("YAML of more than a megabyte")
	}
	for _, mark := range [...]string{": *", "- *", ": &", "- &", "<<:"} {
		if bytes.Contains(b, []byte(mark)) {
			return nil, errors.New("YAML with references, which are not read")
		}
	}
	j, err := yaml.YAMLToJSON(b)
	if err != nil || len(j) == 0 || !isJSON(j) {
		return nil, errors.New("not well-formed YAML of an object")
	}
	return j, nil
}

type chaosCondition struct {
	Type   string `json:"type"`
	Status Text   `json:"status"`
	Reason string `json:"reason"`
}

type meshStatus struct {
	Text       string
	Conditions []chaosCondition `json:"conditions"`
	Experiment struct {
		Phase   string `json:"desiredPhase"`
		Old     string `json:"phase"` // of version 1, with the two times
		Start   string `json:"startTime"`
		End     string `json:"endTime"`
		Records []struct {
			ID     string `json:"id"`
			Phase  string `json:"phase"`
			Events []struct {
				Operation string `json:"operation"`
				Type      string `json:"type"`
				Message   string `json:"message"`
				Time      string `json:"timestamp"`
			} `json:"events"`
		} `json:"containerRecords"`
	} `json:"experiment"`
}

// UnmarshalJSON implements json.Unmarshaler: the dashboard's status is one word.
func (s *meshStatus) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		type object meshStatus
		return decode(b, (*object)(s))
	}
	s.Text = textOf(b)
	return nil
}

type meshRecord struct {
	Kind      string `json:"kind"`
	UID       string `json:"uid"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Created   string `json:"created_at"`
	Started   string `json:"start_time"`
	Finished  string `json:"finish_time"`
	Metadata  struct {
		Name      string  `json:"name"`
		Namespace string  `json:"namespace"`
		UID       string  `json:"uid"`
		Created   string  `json:"creationTimestamp"`
		Labels    promRaw `json:"labels"`
	} `json:"metadata"`
	Reason   string `json:"reason"` // of a Kubernetes event, or of the dashboard's
	Message  string `json:"message"`
	Last     string `json:"lastTimestamp"`
	Involved struct {
		Kind      string `json:"kind"`
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"involvedObject"`
	Spec struct {
		Action   string `json:"action"`
		Mode     string `json:"mode"`
		Duration string `json:"duration"`
		Selector struct {
			Namespaces Strings `json:"namespaces"`
		} `json:"selector"`
	} `json:"spec"`
	Status meshStatus `json:"status"`
}

func chaosMeshObject(b []byte, out *Out) error {
	var v meshRecord
	if err := decode(b, &v); err != nil {
		return err
	}
	return v.event(out)
}

func (v *meshRecord) event(out *Out) error {
	if v.Involved.Kind != "" {
		v.Kind, v.Name, v.Namespace, v.Metadata.Name, v.Metadata.Namespace = v.Involved.Kind, v.Involved.Name, v.Involved.Namespace, "", ""
	}
	state := map[string]bool{}
	for _, c := range v.Status.Conditions {
		state[c.Type] = c.Status == "True" || c.Status == "true"
	}
	if len(state) == 0 && v.Status.Experiment.Phase == "" && v.Status.Text == "" && v.Kind == "" {
		return errors.New("chaos-mesh: object without kind and status")
	}
	finished := state["AllRecovered"] && !state["AllInjected"] || v.Status.Text == "finished" || v.Finished != "" || v.Reason == "Recovered" ||
		len(state) == 0 && v.Status.Experiment.Phase == "Stop" || v.Status.Experiment.Old == "Finished"
	if x := &v.Status.Experiment; x.Old != "" {
		v.Started, v.Finished = first(v.Started, x.Start), ""
		if finished {
			v.Finished = x.End
		}
	}
	name := first(v.Metadata.Name, v.Name)
	namespace := first(v.Metadata.Namespace, v.Namespace)
	id := first(name, v.Metadata.UID, v.UID)
	if len(v.Metadata.Labels) > 0 && v.Metadata.Labels[0] == '{' && id == "" {
		_ = eachMember(v.Metadata.Labels, func(key string, value []byte) { // a run's own id, where the tool that made it gave one
			if strings.HasSuffix(key, "run-id") || strings.HasSuffix(key, "workflow") {
				id = textOf(value)
			}
		})
	}
	what := strings.TrimSpace(v.Kind + " " + v.Spec.Action)
	e := chaosEvent(out, first(id, what, "of Chaos Mesh"), !finished)
	if finished {
		e.Outcome = pipeline.OutcomeSuccess
		e.SetAttr("deviated", "false") // Chaos Mesh judges nothing: probes elsewhere do
	}
	if t := parseTime(first(v.Finished, v.Last, v.Started, v.Created, v.Metadata.Created)); !t.IsZero() &&
		(!finished || v.Finished != "" || v.Reason != "") {
		e.Time = t
	}
	var targets []string
	for i := range v.Status.Experiment.Records {
		r := &v.Status.Experiment.Records[i]
		targets = append(targets, r.ID)
		for _, ev := range r.Events {
			if t := parseTime(ev.Time); !t.IsZero() && (ev.Operation == "Apply") != finished {
				e.Time = t
			}
			if ev.Type == "Failed" {
				e.Outcome, e.Severity = pipeline.OutcomeError, pipeline.SeverityMedium
				e.SetAttr("error.message", ev.Message)
			}
		}
	}
	e.SetAttr("chaos.kind", v.Kind)
	e.SetAttr("chaos.reason", v.Reason)
	e.SetAttr("chaos.message", v.Message)
	e.SetAttr("chaos.action", v.Spec.Action)
	e.SetAttr("chaos.mode", v.Spec.Mode)
	e.SetAttr("chaos.duration", v.Spec.Duration)
	e.SetAttr("chaos.targets", strings.Join(targets, ","))
	e.SetAttr("chaos.status", first(v.Status.Text, v.Status.Experiment.Phase))
	e.SetAttr("k8s.namespace.name", first(namespace, strings.Join(v.Spec.Selector.Namespaces, ",")))
	for _, c := range v.Status.Conditions {
		e.SetAttr("chaos.condition."+c.Type, string(c.Status))
	}
	return nil
}
