package parse

import (
	"errors"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// argoCD reads Applications of Argo CD as a notification hands them on whose webhook body is {{toJson .app}}, alone or under "app",
// and as a watch of Kubernetes does. What happened is read off the Application's state: the body has no other word for it.
// https://argo-cd.readthedocs.io/en/stable/operator-manual/notifications/services/webhook/
// https://argo-cd.readthedocs.io/en/stable/operator-manual/application.yaml
var argoCD = Format{
	Name: "argo-cd", Title: "Argo CD applications (JSON)", Phase: pipeline.PhaseDeployment,
	Types: []string{"service.upgraded", "service.deployed", "service.rolledback", "service.removed", "incident.detected", "log"},
	Known: "JSON object of argoproj.io's kind Application, alone, in app (webhook body {{toJson .app}}) or in a watch's object",
	Frame: Values,
	Match: func(s *Shape) bool {
		return s.String("kind") == "Application" && strings.HasPrefix(s.String("apiVersion"), "argoproj.io/") ||
			isArgoApplication(s.Raw("app")) || isArgoApplication(s.Raw("object"))
	},
	Parse: parseArgoCD,
}

func isArgoApplication(b []byte) bool {
	return textOf(member(b, "kind")) == "Application" && strings.HasPrefix(textOf(member(b, "apiVersion")), "argoproj.io/")
}

type argoApplication struct {
	Metadata struct {
		Name      Text `json:"name"`
		Namespace Text `json:"namespace"`
		UID       Text `json:"uid"`
		Deleted   Text `json:"deletionTimestamp"`
		Labels    struct {
			Environment Text `json:"environment"`
			Env         Text `json:"env"`
		} `json:"labels"`
	} `json:"metadata"`
	Spec struct {
		Project     Text         `json:"project"`
		Source      argoSource   `json:"source"`
		Sources     []argoSource `json:"sources"`
		Destination struct {
			Name      Text `json:"name"`
			Server    Text `json:"server"`
			Namespace Text `json:"namespace"`
		} `json:"destination"`
	} `json:"spec"`
	Status struct {
		Health struct {
			Status  Text `json:"status"`
			Message Text `json:"message"`
			Since   Text `json:"lastTransitionTime"`
		} `json:"health"`
		Sync struct {
			Status   Text `json:"status"`
			Revision Text `json:"revision"`
		} `json:"sync"`
		History []struct {
			Revision Text `json:"revision"`
		} `json:"history"`
		Operation struct {
			Phase     Text `json:"phase"`
			Message   Text `json:"message"`
			Started   Text `json:"startedAt"`
			Finished  Text `json:"finishedAt"`
			Operation struct {
				By struct {
					User      Text `json:"username"`
					Automated Text `json:"automated"`
				} `json:"initiatedBy"`
			} `json:"operation"`
			Result struct {
				Revision Text `json:"revision"`
			} `json:"syncResult"`
		} `json:"operationState"`
		Summary struct {
			Images Strings `json:"images"`
		} `json:"summary"`
	} `json:"status"`
}

type argoSource struct {
	Repo   Text `json:"repoURL"`
	Target Text `json:"targetRevision"`
	Path   Text `json:"path"`
	Chart  Text `json:"chart"`
}

func parseArgoCD(in *Input, out *Out) error {
	var v struct {
		argoApplication
		App    *argoApplication `json:"app"`
		Object *argoApplication `json:"object"`
		Watch  Text             `json:"type"`
	}
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	a := first(v.App, v.Object, &v.argoApplication)
	if a.Metadata.Name == "" {
		return errors.New("argo-cd: application without a name")
	}
	typ, outcome, at := a.happened()
	if v.Watch == "DELETED" {
		typ, outcome = "service.removed", pipeline.OutcomeSuccess
	}
	op, health := &a.Status.Operation, &a.Status.Health
	e := out.Event(typ)
	e.Outcome, e.Severity = outcome, pipeline.SeverityInfo
	if !at.IsZero() {
		e.Time = at
	}
	e.Service, e.Project = string(a.Metadata.Name), string(a.Spec.Project)
	e.Environment = string(first(a.Metadata.Labels.Environment, a.Metadata.Labels.Env))
	source := a.Spec.Source
	if source.Repo == "" && len(a.Spec.Sources) > 0 {
		source = a.Spec.Sources[0]
	}
	revision := string(first(op.Result.Revision, a.Status.Sync.Revision))
	e.Repo, e.Ref, e.Commit = repoOf(string(source.Repo)), refOf(string(source.Target)), commitOf(revision)
	if images := a.Status.Summary.Images; len(images) > 0 {
		e.Artifact = images[0]
		if _, digest, ok := strings.Cut(images[0], "@sha256:"); ok {
			e.Digest = "sha256:" + digest
		}
		e.SetAttr("images", strings.Join(images, ","))
	}
	if e.Actor = string(op.Operation.By.User); e.Actor == "" && op.Operation.By.Automated == "true" {
		e.Actor = "argocd"
	}
	e.Title = e.Service + " " + strings.TrimPrefix(typ, "service.") + " to " + first(revision, e.Ref)
	why := ""
	switch {
	case typ == "incident.detected":
		e.Phase, e.Severity = pipeline.PhaseOperation, pipeline.SeverityHigh
		e.Title, why = e.Service+" is degraded", string(health.Message)
	case typ == "service.removed":
		e.Title = e.Service + " removed"
	case typ == "log":
		e.Title = e.Service + " is " + string(first(a.Status.Sync.Status, "Unknown")) + " and " + string(first(health.Status, "Unknown"))
	case outcome != pipeline.OutcomeSuccess:
		e.Severity = pipeline.SeverityMedium
		e.Title, why = e.Service+" was not brought to "+first(revision, e.Ref), string(op.Message)
	}
	if why != "" {
		e.Title += ": " + oneLine(why, 120)
	}
	e.SetAttr("argocd.sync.status", string(a.Status.Sync.Status))
	e.SetAttr("argocd.health.status", string(health.Status))
	e.SetAttr("argocd.operation.phase", string(op.Phase))
	e.SetAttr("argocd.operation.message", string(op.Message))
	e.SetAttr("argocd.source", string(first(source.Path, source.Chart)))
	e.SetAttr("revision", revision)
	e.SetAttr("k8s.cluster.name", string(first(a.Spec.Destination.Name, a.Spec.Destination.Server)))
	e.SetAttr("k8s.namespace.name", string(a.Spec.Destination.Namespace))
	e.SetAttr("duration_seconds", seconds(parseTime(string(op.Started)), parseTime(string(op.Finished))))
	if a.Metadata.UID != "" && typ != "log" { // several triggers tell of one sync
		out.ID(e, string(a.Metadata.UID), typ, outcome, string(first(a.Metadata.Deleted, op.Started)), string(health.Since))
	}
	return nil
}

// happened reads what happened last, and when, off the state of an application.
func (a *argoApplication) happened() (typ, outcome string, at time.Time) {
	op, health := &a.Status.Operation, &a.Status.Health
	finished := parseTime(string(op.Finished))
	switch {
	case a.Metadata.Deleted != "":
		return "service.removed", pipeline.OutcomeSuccess, parseTime(string(a.Metadata.Deleted))
	case op.Phase == "Failed":
		return "service.upgraded", pipeline.OutcomeFailure, finished
	case op.Phase == "Error":
		return "service.upgraded", pipeline.OutcomeError, finished
	case health.Status == "Degraded":
		return "incident.detected", pipeline.OutcomeFailure, parseTime(string(first(health.Since, op.Finished)))
	case op.Phase == "Succeeded":
		return a.synced(), pipeline.OutcomeSuccess, finished
	}
	return "log", pipeline.OutcomeUnknown, parseTime(string(op.Started))
}

// synced tells a first deployment and the return to a revision before the last one from a sync as others.
func (a *argoApplication) synced() string {
	h := a.Status.History
	n := len(h) - 1
	if n == 0 {
		return "service.deployed"
	}
	for i := 0; i < n-1; i++ {
		if h[i].Revision == h[n].Revision && h[n-1].Revision != h[n].Revision {
			return "service.rolledback"
		}
	}
	return "service.upgraded"
}
