package parse

import (
	"errors"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// kubernetesEvents reads events of Kubernetes, of both APIs, as a watch, a list or an exporter hands them on, and those that
// Flux' controllers post, which are alike. Deployments by Flux and Helm have types of their own.
// https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
// https://fluxcd.io/flux/components/notification/events/
var kubernetesEvents = Format{
	Name: "kubernetes-events", Title: "Kubernetes events, Flux events (JSON)", Phase: pipeline.PhaseOperation,
	Types: []string{"log", "service.deployed", "service.upgraded", "service.rolledback", "service.removed"},
	Known: "JSON object with involvedObject or regarding, and reason; a watch's or list's objects of kind Event",
	Frame: Values, Log: true,
	Match: func(s *Shape) bool {
		for _, b := range [...][]byte{s.Object(), s.Raw("object"), firstMember(s.Raw("items"))} {
			if member(b, "reason") != nil && (member(b, "involvedObject") != nil || member(b, "regarding") != nil) {
				return true
			}
		}
		return false
	},
	Parse: func(in *Input, out *Out) error {
		b := in.Data
		if items := member(b, "items"); len(items) > 0 && items[0] == '[' {
			b = items
		}
		if b[0] == '[' {
			return eachElement(in, out, b, func(b []byte) error { return kubernetesEvent(b, out) })
		}
		return kubernetesEvent(b, out)
	},
}

type kubernetesObject struct {
	Kind      Text `json:"kind"`
	Namespace Text `json:"namespace"`
	Name      Text `json:"name"`
}

type kubernetesRecord struct {
	Metadata struct {
		UID      Text `json:"uid"`
		Version  Text `json:"resourceVersion"`
		Created  Text `json:"creationTimestamp"`
		Revision Text `json:"revision"` // Flux
	} `json:"metadata"`
	Involved  kubernetesObject `json:"involvedObject"`
	Regarding kubernetesObject `json:"regarding"`
	Reason    Text             `json:"reason"`
	Message   Text             `json:"message"`
	Note      Text             `json:"note"`
	Type      Text             `json:"type"`
	Severity  Text             `json:"severity"` // Flux
	Count     Text             `json:"count"`
	Source    struct {
		Component Text `json:"component"`
		Host      Text `json:"host"`
	} `json:"source"`
	Controller Text `json:"reportingController"`
	Component  Text `json:"reportingComponent"`
	Last       Text `json:"lastTimestamp"`
	OldLast    Text `json:"deprecatedLastTimestamp"`
	At         Text `json:"eventTime"`
	Timestamp  Text `json:"timestamp"` // Flux
	Cluster    Text `json:"clusterName"`
}

func kubernetesEvent(b []byte, out *Out) error {
	watch := scratch[struct {
		kubernetesRecord
		Object *kubernetesRecord `json:"object"`
	}](out)
	if err := decode(b, watch); err != nil {
		return err
	}
	v := &watch.kubernetesRecord
	if watch.Object != nil {
		v = watch.Object
	}
	about := v.Involved
	if about.Kind == "" {
		about = v.Regarding
	}
	if about.Name == "" || v.Reason == "" {
		return errors.New("kubernetes-events: event without reason, or of no object")
	}
	reason, text := string(v.Reason), string(first(v.Message, v.Note))
	typ, outcome := deployedBy(reason)
	e := out.Event(typ)
	e.Raw, e.Outcome, e.Severity = alias(b), outcome, pipeline.SeverityInfo
	if typ != "log" {
		e.Phase, e.Service = pipeline.PhaseDeployment, string(about.Name)
	}
	if t := parseTime(string(first(v.Last, v.OldLast, v.At, v.Timestamp, v.Metadata.Created))); !t.IsZero() {
		e.Time = t
	}
	if v.Type == "Warning" || v.Severity == "error" {
		e.Severity = pipeline.SeverityMedium
	}
	e.Host = out.lower(string(v.Source.Host))
	name := out.join(string(about.Kind), "/", string(about.Name))
	e.Title = out.join(reason, " ", name, ": ", oneLine(text, 160))
	if _, commit, ok := strings.Cut(string(v.Metadata.Revision), "@sha1:"); ok { // main@sha1:...
		e.Ref, e.Commit = strings.TrimSuffix(string(v.Metadata.Revision), "@sha1:"+commit), commitOf(commit)
	}
	e.SetAttr("k8s.event.reason", reason)
	e.SetAttr("k8s.event.type", string(first(v.Type, v.Severity)))
	e.SetAttr("k8s.event.message", text)
	e.SetAttr("k8s.event.count", string(v.Count))
	e.SetAttr("k8s.event.source", string(first(v.Controller, v.Component, v.Source.Component)))
	e.SetAttr("k8s.resource", out.lower(string(about.Kind)))
	e.SetAttr("k8s.object.name", string(about.Name))
	e.SetAttr("k8s.namespace.name", string(about.Namespace))
	e.SetAttr("k8s.cluster.name", string(v.Cluster))
	if v.Metadata.UID != "" { // an event that is seen again is counted up
		out.ID(e, string(v.Metadata.UID), string(first(v.Metadata.Version, v.Count)))
	}
	return nil
}

// deployedBy knows the reasons of Flux' controllers and Helm's operators that tell of a deployment.
func deployedBy(reason string) (typ, outcome string) {
	verb, ok := strings.CutSuffix(reason, "Succeeded")
	outcome = pipeline.OutcomeSuccess
	if !ok {
		if verb, ok = strings.CutSuffix(reason, "Failed"); !ok {
			return "log", pipeline.OutcomeUnknown
		}
		outcome = pipeline.OutcomeFailure
	}
	switch verb {
	case "Install":
		return "service.deployed", outcome
	case "Upgrade", "Reconciliation":
		return "service.upgraded", outcome
	case "Rollback":
		return "service.rolledback", outcome
	case "Uninstall":
		return "service.removed", outcome
	}
	return "log", pipeline.OutcomeUnknown
}
