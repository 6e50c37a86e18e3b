package parse

import (
	"errors"
	"strconv"
	"strings"

	"github.com/segmentio/encoding/json"

	"github.com/tocsin-project/tocsin/pipeline"
)

// k8sAudit reads the audit log of the Kubernetes API server: events in lines or pretty-printed, and the EventList that its
// webhook sends. Calls that give somebody a shell, secrets or rights are of medium severity.
// https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/
var k8sAudit = Format{
	Name: "k8s-audit", Title: "Kubernetes API server audit log", Phase: pipeline.PhaseOperation,
	Types: []string{"api.call", "auth.failed"},
	Known: "JSON with apiVersion audit.k8s.io/... and kind Event or EventList",
	Frame: Values, Log: true,
	Match: func(s *Shape) bool {
		return strings.HasPrefix(s.String("apiVersion"), "audit.k8s.io/") || s.Has("auditID", "verb")
	},
	Parse: func(in *Input, out *Out) error {
		if in.Data[0] == '[' {
			return eachElement(in, out, in.Data, func(b []byte) error { return k8sAuditEvent(in, b, out) })
		}
		return k8sAuditEvent(in, in.Data, out)
	},
}

type k8sAuditRecord struct {
	AuditID  string `json:"auditID"`
	Stage    string `json:"stage"`
	Level    string `json:"level"`
	URI      string `json:"requestURI"`
	Verb     string `json:"verb"`
	Received string `json:"requestReceivedTimestamp"`
	At       string `json:"stageTimestamp"`
	Agent    string `json:"userAgent"`
	Meta     struct {
		Created string `json:"creationTimestamp"`
	} `json:"metadata"`
	User struct {
		Name   string  `json:"username"`
		Groups Strings `json:"groups"`
	} `json:"user"`
	As struct {
		Name string `json:"username"`
	} `json:"impersonatedUser"`
	SourceIPs Strings `json:"sourceIPs"`
	Object    struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
		Group       string `json:"apiGroup"`
	} `json:"objectRef"`
	Status struct {
		Code    int    `json:"code"`
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"responseStatus"`
	Request struct { // what was sent, of any kind; that of a pod has more to say
		Spec k8sPodSpec `json:"spec"`
	} `json:"requestObject"`
	Annotations struct {
		Decision string `json:"authorization.k8s.io/decision"`
		Reason   string `json:"authorization.k8s.io/reason"`
	} `json:"annotations"`
	Items json.RawMessage `json:"items"` // the records of an EventList
}

type k8sPodSpec struct {
	HostNetwork bool `json:"hostNetwork"`
	HostPID     bool `json:"hostPID"`
	Containers  []struct {
		Image   string `json:"image"`
		Context struct {
			Privileged bool `json:"privileged"`
		} `json:"securityContext"`
	} `json:"containers"`
}

func k8sAuditEvent(in *Input, b []byte, out *Out) error {
	v := scratch[k8sAuditRecord](out)
	if err := decode(b, v); err != nil {
		return err
	}
	if len(v.Items) > 0 && v.Items[0] == '[' {
		return eachElement(in, out, v.Items, func(b []byte) error { return k8sAuditEvent(in, b, out) })
	}
	return v.event(b, out)
}

func (v *k8sAuditRecord) event(b []byte, out *Out) error {
	if v.Verb == "" && v.AuditID == "" {
		return errors.New("k8s-audit: record without verb and auditID")
	}
	typ := "api.call"
	if v.Status.Code == 401 {
		typ = "auth.failed"
	}
	e := out.Event(typ)
	e.Raw = alias(b)
	if t := parseTime(first(v.At, v.Received, v.Meta.Created)); !t.IsZero() {
		e.Time = t
	}
	o := &v.Object
	e.Actor, e.Severity = v.User.Name, pipeline.SeverityInfo
	if len(v.SourceIPs) > 0 {
		e.SrcIP = addrOf(v.SourceIPs[0])
		e.SetAttr("client.address", v.SourceIPs[0])
	}
	what := o.Resource
	if o.Subresource != "" {
		what = out.join(what, "/", o.Subresource)
	}
	name := o.Name
	if o.Namespace != "" {
		name = out.join(o.Namespace, "/", name)
	}
	e.Title = strings.TrimSpace(out.join(v.Verb, " ", first(what, v.URI), " ", name))
	if v.User.Name != "" {
		e.Title = out.join(e.Title, " by ", v.User.Name)
	}
	switch {
	case v.Status.Code >= 500:
		e.Outcome = pipeline.OutcomeError
	case v.Status.Code >= 400:
		e.Outcome = pipeline.OutcomeFailure
	case v.Status.Code >= 100:
		e.Outcome = pipeline.OutcomeSuccess
	}
	switch {
	case v.Status.Code == 401 || v.Status.Code == 403 || v.Annotations.Decision == "forbid":
		e.Disposition, e.Severity = pipeline.DispositionUnauthorized, pipeline.SeverityLow
	case v.Annotations.Decision == "allow":
		e.Disposition = pipeline.DispositionAllowed
	}
	if v.sensitive() {
		e.Severity = pipeline.SeverityMedium
	}
	e.SetAttr("k8s.verb", v.Verb)
	e.SetAttr("k8s.resource", what)
	e.SetAttr("k8s.namespace.name", o.Namespace)
	e.SetAttr("k8s.object.name", o.Name)
	e.SetAttr("k8s.api_group", o.Group)
	e.SetAttr("k8s.audit.stage", v.Stage)
	e.SetAttr("k8s.audit.level", v.Level)
	e.SetAttr("k8s.impersonated_user", v.As.Name)
	e.SetAttr("http.response.status_code", positive(v.Status.Code))
	e.SetAttr("url.path", v.URI)
	e.SetAttr("user_agent.original", v.Agent)
	e.SetAttr("user.groups", out.list(v.User.Groups))
	e.SetAttr("k8s.reason", first(v.Status.Message, v.Status.Reason, v.Annotations.Reason))
	spec := &v.Request.Spec
	for i := range spec.Containers {
		if spec.Containers[i].Context.Privileged {
			e.SetAttr("k8s.pod.privileged", "true")
		}
		e.SetAttr("container.image.name", first(e.Attr("container.image.name"), spec.Containers[i].Image))
	}
	if spec.HostNetwork || spec.HostPID {
		e.SetAttr("k8s.pod.host_namespaces", "true")
	}
	if v.AuditID != "" {
		out.ID(e, v.AuditID, v.Stage, strconv.Itoa(v.Status.Code))
	}
	return nil
}

func (v *k8sAuditRecord) sensitive() bool {
	switch v.Object.Resource {
	case "secrets":
		return v.Verb == "get" || v.Verb == "list"
	case "pods":
		switch v.Object.Subresource {
		case "exec", "attach", "portforward", "ephemeralcontainers":
			return true
		}
	case "roles", "clusterroles", "rolebindings", "clusterrolebindings", "validatingwebhookconfigurations", "mutatingwebhookconfigurations":
		return v.Verb == "create" || v.Verb == "update" || v.Verb == "patch" || v.Verb == "delete"
	}
	for i := range v.Request.Spec.Containers {
		if v.Request.Spec.Containers[i].Context.Privileged {
			return true
		}
	}
	return v.Request.Spec.HostNetwork || v.Request.Spec.HostPID
}
