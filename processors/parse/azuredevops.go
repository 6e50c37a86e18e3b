package parse

import (
	"strings"

	"github.com/segmentio/encoding/json"

	"github.com/tocsin-project/tocsin/pipeline"
)

// azureDevOps reads the service hooks of Azure DevOps: code, pull requests, work items, builds, releases, pipelines.
// https://learn.microsoft.com/en-us/azure/devops/service-hooks/events
var azureDevOps = Format{
	Name: "azure-devops-webhook", Title: "Azure DevOps service hooks", Phase: pipeline.PhaseWriting,
	Types: []string{
		"log", "branch.push", "branch.created", "branch.deleted", "change.created", "change.updated", "change.reviewed",
		"change.merged", "change.abandoned", "approval.created", "approval.closed", "ticket.created", "ticket.updated",
		"ticket.closed", "pipelinerun.queued", "pipelinerun.started", "pipelinerun.finished", "taskrun.queued", "taskrun.started",
		"taskrun.finished", "service.deployed", "artifact.packaged", "repository.created", "repository.modified",
		"repository.deleted", "vulnerability.found",
	},
	Known: "JSON object with eventType, publisherId and resource",
	Frame: Values,
	Match: func(s *Shape) bool {
		return !s.Array && s.Has("eventType", "resource") && (s.Has("publisherId") || s.Has("resourceVersion") || s.Has("subscriptionId"))
	},
	Parse: parseAzureDevOps,
}

type azureUser struct {
	DisplayName Text `json:"displayName"`
	UniqueName  Text `json:"uniqueName"`
	Name        Text `json:"name"`
}

// UnmarshalJSON implements json.Unmarshaler. Work items give a person as text in older versions: "Name <address>".
func (u *azureUser) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '{' {
		return u.DisplayName.UnmarshalJSON(b)
	}
	type plain azureUser
	return json.Unmarshal(b, (*plain)(u))
}

func (u *azureUser) account() string {
	if u == nil {
		return ""
	}
	return string(first(u.UniqueName, u.DisplayName, u.Name))
}

type azureRepo struct {
	Name      Text `json:"name"`
	RemoteURL Text `json:"remoteUrl"`
	URL       Text `json:"url"`
}

// repo returns the repository without the "_git" of its web address.
func (r *azureRepo) repo() string {
	return strings.Replace(repoOf(string(first(r.RemoteURL, r.URL, r.Name))), "/_git/", "/", 1)
}

type azureEvent struct {
	ID        Text `json:"id"`
	EventType Text `json:"eventType"`
	Message   struct {
		Text Text `json:"text"`
	} `json:"message"`
	Resource azureResource `json:"resource"`
	Created  Text          `json:"createdDate"`
}

type azureResource struct {
	Repository azureRepo `json:"repository"`
	Commits    []struct {
		ID      Text `json:"commitId"`
		Comment Text `json:"comment"`
		Author  struct {
			Name Text `json:"name"`
			Date Text `json:"date"`
		} `json:"author"`
	} `json:"commits"`
	RefUpdates []struct {
		Name Text `json:"name"`
		Old  Text `json:"oldObjectId"`
		New  Text `json:"newObjectId"`
	} `json:"refUpdates"`
	PushedBy *azureUser `json:"pushedBy"`
	Date     Text       `json:"date"`

	azurePull
	Comment *struct {
		Author *azureUser `json:"author"`
	} `json:"comment"`
	PullRequest *struct { // of a comment
		azurePull
		Repository azureRepo `json:"repository"`
	} `json:"pullRequest"`

	// Builds, runs and releases.
	BuildNumber  Text       `json:"buildNumber"`
	Result       Text       `json:"result"`
	State        Text       `json:"state"`
	Status       Text       `json:"status"`
	StartTime    Text       `json:"startTime"`
	FinishTime   Text       `json:"finishTime"`
	FinishedDate Text       `json:"finishedDate"`
	Source       Text       `json:"sourceVersion"`
	SourceBranch Text       `json:"sourceBranch"`
	URL          Text       `json:"url"`
	ID           Text       `json:"id"`
	Name         Text       `json:"name"`
	Definition   azureNamed `json:"definition"`
	Pipeline     azureNamed `json:"pipeline"`
	RequestedFor *azureUser `json:"requestedFor"`
	Run          *struct {
		ID       Text       `json:"id"`
		Name     Text       `json:"name"`
		State    Text       `json:"state"`
		Result   Text       `json:"result"`
		Created  Text       `json:"createdDate"`
		Finished Text       `json:"finishedDate"`
		Pipeline azureNamed `json:"pipeline"`
	} `json:"run"`
	Stage       *azureNamed `json:"stage"`
	Job         *azureNamed `json:"job"`
	Release     *azureNamed `json:"release"`
	Environment *azureStage `json:"environment"`
	Approval    *azureStage `json:"approval"`
	Deployment  *struct {
		Status      Text       `json:"deploymentStatus"`
		RequestedBy *azureUser `json:"requestedBy"`
	} `json:"deployment"`

	// Work items.
	WorkItemID Text                       `json:"workItemId"`
	Fields     map[string]json.RawMessage `json:"fields"`
	RevisedBy  *azureUser                 `json:"revisedBy"`
	Revision   *struct {
		Fields map[string]json.RawMessage `json:"fields"`
	} `json:"revision"`
}

type azureNamed struct {
	ID   Text `json:"id"`
	Name Text `json:"name"`
}

type azureStage struct {
	Name       Text       `json:"name"`
	Status     Text       `json:"status"`
	ApprovedBy *azureUser `json:"approvedBy"`
	Approver   *azureUser `json:"approver"`
}

type azurePull struct {
	PullRequestID Text       `json:"pullRequestId"`
	CreatedBy     *azureUser `json:"createdBy"`
	ClosedBy      *azureUser `json:"closedBy"`
	CreationDate  Text       `json:"creationDate"`
	ClosedDate    Text       `json:"closedDate"`
	Title         Text       `json:"title"`
	SourceRef     Text       `json:"sourceRefName"`
	TargetRef     Text       `json:"targetRefName"`
	MergeStatus   Text       `json:"mergeStatus"`
	Draft         Text       `json:"isDraft"`
	LastSource    azureC     `json:"lastMergeSourceCommit"`
	LastMerge     azureC     `json:"lastMergeCommit"`
	Reviewers     []struct {
		Vote Number `json:"vote"`
		azureVoter
	} `json:"reviewers"`
}

type azureVoter struct {
	DisplayName Text `json:"displayName"`
	UniqueName  Text `json:"uniqueName"`
}

type azureC struct {
	ID Text `json:"commitId"`
}

func parseAzureDevOps(in *Input, out *Out) error {
	var v azureEvent
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	kind := string(v.EventType)
	switch {
	case kind == "git.push":
		v.push(out)
	case strings.Contains(kind, "pullrequest"):
		v.pull(out, kind)
	case strings.HasPrefix(kind, "workitem."):
		v.workItem(out, kind)
	case strings.HasPrefix(kind, "build.") || strings.HasPrefix(kind, "ms.vss-pipelines.") || strings.HasPrefix(kind, "ms.vss-pipelinechecks-events."):
		v.run(out, kind)
	case strings.HasPrefix(kind, "ms.vss-release."):
		v.release(out, kind)
	default:
		v.other(out, kind)
	}
	return nil
}

func (v *azureEvent) event(out *Out, typ string) *pipeline.Event {
	e := out.Event(typ)
	e.Severity, e.Time, e.Repo = pipeline.SeverityInfo, parseTime(string(v.Created)), v.Resource.Repository.repo()
	e.SetAttr("webhook.event", string(v.EventType))
	e.Title = oneLine(string(v.Message.Text), 200)
	return e
}

// push gives a push's commits to the first ref that it moves; the hook does not say which ref has which.
func (v *azureEvent) push(out *Out) {
	r := &v.Resource
	for i := range r.RefUpdates {
		u := &r.RefUpdates[i]
		p := pushed{
			repo: r.Repository.repo(), ref: string(u.Name), before: string(u.Old), after: string(u.New), actor: r.PushedBy.account(),
			time: parseTime(string(first(r.Date, v.Created))),
		}
		if i == 0 {
			for _, c := range r.Commits {
				p.commits = append(p.commits, pushedCommit{
					id: string(c.ID), author: string(c.Author.Name), message: string(c.Comment), time: parseTime(string(c.Author.Date)),
				})
			}
		}
		emitPush(out, &p)
	}
	if len(r.RefUpdates) == 0 {
		v.other(out, "git.push")
	}
}

// azurePullType converts the event's kind, the status and, for votes, what the message says.
func azurePullType(v *azureEvent, kind string) (typ, decision string) {
	status := strings.ToLower(string(v.Resource.Status))
	text := strings.ToLower(string(v.Message.Text))
	switch {
	case kind == "git.pullrequest.created":
		return "change.created", ""
	case strings.Contains(kind, "comment"):
		return "change.reviewed", ""
	case status == "abandoned":
		return "change.abandoned", ""
	case status == "completed":
		return "change.merged", ""
	case kind == "git.pullrequest.merged":
		return "change.updated", "" // a trial merge, not the landing
	case strings.Contains(text, " approved ") || strings.Contains(text, "has approved"):
		return "approval.closed", decisionApproved
	case strings.Contains(text, " rejected "):
		return "approval.closed", decisionRejected
	case strings.Contains(text, "waiting for the author") || strings.Contains(text, "waiting on the author"):
		return "approval.closed", decisionChanges
	}
	return "change.updated", ""
}

func (v *azureEvent) pull(out *Out, kind string) {
	r := &v.Resource
	pr := &r.azurePull
	if r.PullRequest != nil {
		pr, r.Repository = &r.PullRequest.azurePull, r.PullRequest.Repository
	}
	typ, decision := azurePullType(v, kind)
	e := v.event(out, typ)
	e.Change = changeOf(e.Repo, string(pr.PullRequestID))
	e.Ref, e.Commit = refOf(string(pr.TargetRef)), commitOf(string(pr.LastSource.ID))
	e.Actor = pr.CreatedBy.account()
	if r.Comment != nil {
		e.Actor = first(r.Comment.Author.account(), e.Actor)
	}
	switch typ {
	case "change.merged", "change.abandoned":
		e.Outcome = pipeline.OutcomeSuccess
		if typ == "change.abandoned" {
			e.Outcome = pipeline.OutcomeCancel
		}
		if t := parseTime(string(pr.ClosedDate)); !t.IsZero() {
			e.Time = t
		}
		e.Actor = first(pr.ClosedBy.account(), e.Actor)
		e.SetAttr("vcs.change.merge_commit", string(pr.LastMerge.ID))
	case "approval.closed":
		setDecision(e, decision)
		for _, who := range pr.Reviewers {
			if name := string(who.DisplayName); name != "" && strings.HasPrefix(string(v.Message.Text), name) {
				e.Actor = string(first(who.UniqueName, who.DisplayName))
			}
		}
	case "change.updated":
		waiting := false
		for _, who := range pr.Reviewers {
			waiting = waiting || who.Vote.Or(0) < 0
		}
		if waiting && strings.Contains(strings.ToLower(string(v.Message.Text)), "source branch") {
			e.SetAttr("reformulated", "true") // new commits while a reviewer waits for the author
		}
	}
	e.SetAttr("vcs.change.id", string(pr.PullRequestID))
	e.SetAttr("vcs.change.title", string(pr.Title))
	e.SetAttr("vcs.change.state", strings.ToLower(string(r.Status)))
	e.SetAttr("vcs.ref.head.name", refOf(string(pr.SourceRef)))
	e.SetAttr("vcs.ref.base.name", e.Ref)
	e.SetAttr("merge_status", string(pr.MergeStatus))
	e.SetAttr("author", pr.CreatedBy.account())
}

func (v *azureEvent) run(out *Out, kind string) {
	r := &v.Resource
	status, created, finished, name, id := string(first(r.Result, r.Status, r.State)), string(r.StartTime), string(first(r.FinishTime, r.FinishedDate)),
		string(first(r.Definition.Name, r.Pipeline.Name)), string(first(r.BuildNumber, r.Name, r.ID))
	if r.Run != nil {
		status, created, finished = string(first(r.Run.Result, r.Run.State, r.Result, r.State)), string(first(r.Run.Created, r.StartTime)), string(first(r.Run.Finished, r.FinishTime))
		name, id = string(first(r.Run.Pipeline.Name, r.Pipeline.Name)), string(first(r.Run.Name, r.Run.ID))
	}
	what := "pipelinerun"
	if r.Stage != nil || r.Job != nil {
		what = "taskrun"
		status = string(first(r.Result, r.State, Text(status)))
	}
	state := azureRunState(status, kind)
	if strings.Contains(kind, "approval") {
		v.approval(out)
		return
	}
	e := v.event(out, what+"."+state)
	e.Phase, e.Pipeline = pipeline.PhaseTesting, name
	if state == "finished" {
		e.Outcome = runOutcome(status)
		if t := parseTime(finished); !t.IsZero() {
			e.Time = t
		}
	}
	if name != "" && id != "" {
		e.Run = "azure-devops/" + name + "/" + id
	}
	if j := first(r.Job, r.Stage); j != nil {
		e.Task = string(j.Name)
	}
	e.Ref, e.Commit = refOf(string(r.SourceBranch)), commitOf(string(r.Source))
	e.Actor = r.RequestedFor.account()
	e.SetAttr("status", strings.ToLower(status))
	e.SetAttr("duration_seconds", seconds(parseTime(created), parseTime(finished)))
	e.SetAttr("cicd.pipeline.run.url.full", string(r.URL))
}

func azureRunState(status, kind string) string {
	switch strings.ToLower(status) {
	case "inprogress", "running", "cancelling", "canceling", "started":
		return "started"
	case "notstarted", "pending", "postponed", "queued", "waiting":
		return "queued"
	case "", "none":
		if !strings.Contains(kind, "complete") {
			return "started"
		}
	}
	return "finished"
}

// approval reads checks of pipelines that wait for people.
func (v *azureEvent) approval(out *Out) {
	r := &v.Resource
	typ, decision := "approval.created", ""
	stage := first(r.Approval, r.Environment)
	status := strings.ToLower(string(r.Status))
	if stage != nil {
		status = strings.ToLower(string(first(stage.Status, r.Status)))
	}
	switch status {
	case "approved":
		typ, decision = "approval.closed", decisionApproved
	case "rejected":
		typ, decision = "approval.closed", decisionRejected
	}
	e := v.event(out, typ)
	e.Phase = pipeline.PhaseDeployment
	if decision != "" {
		setDecision(e, decision)
	}
	if stage != nil {
		e.Actor = first(stage.ApprovedBy.account(), stage.Approver.account())
	}
	if r.Environment != nil {
		e.Environment = string(r.Environment.Name)
	}
}

func (v *azureEvent) release(out *Out, kind string) {
	if strings.Contains(kind, "approval") {
		v.approval(out)
		return
	}
	r := &v.Resource
	typ, outcome := "artifact.packaged", pipeline.OutcomeSuccess
	switch {
	case strings.Contains(kind, "deployment-completed"):
		typ = "service.deployed"
		status := ""
		if r.Environment != nil {
			status = string(r.Environment.Status)
		}
		if r.Deployment != nil {
			status = string(first(r.Deployment.Status, Text(status)))
		}
		outcome = runOutcome(status)
	case strings.Contains(kind, "deployment-started"):
		typ, outcome = "pipelinerun.started", pipeline.OutcomeUnknown
	case strings.Contains(kind, "abandoned"):
		typ, outcome = "log", pipeline.OutcomeCancel
	}
	e := v.event(out, typ)
	e.Outcome, e.Phase = outcome, pipeline.PhaseDeployment
	if typ == "artifact.packaged" {
		e.Phase = pipeline.PhaseRelease
	}
	if r.Environment != nil {
		e.Environment = string(r.Environment.Name)
	}
	if r.Release != nil {
		e.Run = "azure-devops/release/" + string(first(r.Release.Name, r.Release.ID))
		e.Artifact = string(r.Release.Name)
	}
	if r.Deployment != nil {
		e.Actor = r.Deployment.RequestedBy.account()
	}
}

func (v *azureEvent) workItem(out *Out, kind string) {
	r := &v.Resource
	fields := r.Fields
	if r.Revision != nil && r.Revision.Fields != nil { // an update's own fields are pairs of old and new
		fields = r.Revision.Fields
	}
	field := func(name string) string { return textOf(fields[name]) }
	state := field("System.State")
	closed := false
	switch strings.ToLower(state) {
	case "closed", "done", "resolved", "removed", "completed":
		closed = true
	}
	typ := "ticket.updated"
	switch {
	case kind == "workitem.created":
		typ = "ticket.created"
	case closed && kind == "workitem.updated" && r.Fields["System.State"] != nil, kind == "workitem.deleted":
		typ = "ticket.closed"
	}
	e := v.event(out, typ)
	e.Phase = pipeline.PhaseRequirements
	if typ == "ticket.closed" {
		e.Outcome = pipeline.OutcomeSuccess
		e.SetAttr("resolution", strings.ToLower(first(field("System.Reason"), strings.TrimPrefix(kind, "workitem."))))
	}
	var who azureUser
	for _, name := range []string{"System.ChangedBy", "System.CreatedBy"} {
		if raw := fields[name]; e.Actor == "" && raw != nil && who.UnmarshalJSON(raw) == nil {
			e.Actor = who.account()
		}
	}
	e.Actor = first(r.RevisedBy.account(), e.Actor)
	e.SetAttr("action", strings.TrimPrefix(kind, "workitem."))
	e.SetAttr("ticket.id", string(first(r.WorkItemID, r.ID)))
	e.SetAttr("ticket.title", field("System.Title"))
	e.SetAttr("ticket.state", state)
	e.SetAttr("ticket.type", field("System.WorkItemType"))
	e.SetAttr("severity", field("Microsoft.VSTS.Common.Severity"))
	e.SetAttr("project.name", field("System.TeamProject"))
}

func (v *azureEvent) other(out *Out, kind string) {
	typ := "log"
	switch {
	case kind == "git.repo.created" || kind == "git.repo.forked":
		typ = "repository.created"
	case kind == "git.repo.deleted":
		typ = "repository.deleted"
	case strings.HasPrefix(kind, "git.repo."):
		typ = "repository.modified"
	case strings.HasPrefix(kind, "tfvc.checkin"):
		typ = "branch.push"
	case strings.HasPrefix(kind, "ms.advancedsecurity-") && strings.Contains(kind, "alert"):
		typ = "vulnerability.found"
	}
	e := v.event(out, typ)
	if typ == "vulnerability.found" {
		e.Phase = pipeline.PhaseTesting
		e.Rule, e.Severity = string(v.Resource.Title), pipeline.SeverityUnknown
		settleFinding(e)
	}
	e.Title = first(e.Title, kind)
}
