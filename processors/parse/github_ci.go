package parse

import (
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// GitHub's checks, workflows, deployments, releases and packages.

type githubCheckRun struct {
	ID           Text              `json:"id"`
	Name         Text              `json:"name"`
	HeadSHA      Text              `json:"head_sha"`
	Status       Text              `json:"status"`
	Conclusion   Text              `json:"conclusion"`
	StartedAt    Text              `json:"started_at"`
	CompletedAt  Text              `json:"completed_at"`
	DetailsURL   Text              `json:"details_url"`
	HTMLURL      Text              `json:"html_url"`
	App          *githubObject     `json:"app"`
	CheckSuite   *githubCheckSuite `json:"check_suite"`
	PullRequests []githubPull      `json:"pull_requests"`
	Output       struct {
		Title       Text `json:"title"`
		Annotations Text `json:"annotations_count"`
	} `json:"output"`
}

type githubCheckSuite struct {
	ID           Text          `json:"id"`
	HeadBranch   Text          `json:"head_branch"`
	HeadSHA      Text          `json:"head_sha"`
	Status       Text          `json:"status"`
	Conclusion   Text          `json:"conclusion"`
	CreatedAt    Text          `json:"created_at"`
	UpdatedAt    Text          `json:"updated_at"`
	App          *githubObject `json:"app"`
	PullRequests []githubPull  `json:"pull_requests"`
}

type githubWorkflowRun struct {
	ID           Text         `json:"id"`
	Name         Text         `json:"name"`
	Path         Text         `json:"path"`
	DisplayTitle Text         `json:"display_title"`
	Event        Text         `json:"event"`
	Status       Text         `json:"status"`
	Conclusion   Text         `json:"conclusion"`
	HeadBranch   Text         `json:"head_branch"`
	HeadSHA      Text         `json:"head_sha"`
	RunNumber    Text         `json:"run_number"`
	RunAttempt   Text         `json:"run_attempt"`
	CreatedAt    Text         `json:"created_at"`
	UpdatedAt    Text         `json:"updated_at"`
	StartedAt    Text         `json:"run_started_at"`
	HTMLURL      Text         `json:"html_url"`
	Actor        *forgeUser   `json:"actor"`
	HeadRepo     *githubRepo  `json:"head_repository"`
	PullRequests []githubPull `json:"pull_requests"`
}

type githubWorkflowJob struct {
	ID           Text    `json:"id"`
	RunID        Text    `json:"run_id"`
	RunAttempt   Text    `json:"run_attempt"`
	WorkflowName Text    `json:"workflow_name"`
	Name         Text    `json:"name"`
	HeadBranch   Text    `json:"head_branch"`
	HeadSHA      Text    `json:"head_sha"`
	Status       Text    `json:"status"`
	Conclusion   Text    `json:"conclusion"`
	CreatedAt    Text    `json:"created_at"`
	StartedAt    Text    `json:"started_at"`
	CompletedAt  Text    `json:"completed_at"`
	HTMLURL      Text    `json:"html_url"`
	Labels       Strings `json:"labels"`
	RunnerName   Text    `json:"runner_name"`
	RunnerGroup  Text    `json:"runner_group_name"`
	Steps        []struct {
		Name       Text `json:"name"`
		Status     Text `json:"status"`
		Conclusion Text `json:"conclusion"`
	} `json:"steps"`
}

type githubDeployment struct {
	ID          Text       `json:"id"`
	SHA         Text       `json:"sha"`
	Ref         Text       `json:"ref"`
	Task        Text       `json:"task"`
	Environment Text       `json:"environment"`
	Production  Text       `json:"production_environment"`
	Description Text       `json:"description"`
	Creator     *forgeUser `json:"creator"`
	CreatedAt   Text       `json:"created_at"`
	UpdatedAt   Text       `json:"updated_at"`
}

type githubDeployStatus struct {
	ID             Text       `json:"id"`
	State          Text       `json:"state"`
	Environment    Text       `json:"environment"`
	EnvironmentURL Text       `json:"environment_url"`
	TargetURL      Text       `json:"target_url"`
	Description    Text       `json:"description"`
	Creator        *forgeUser `json:"creator"`
	CreatedAt      Text       `json:"created_at"`
	UpdatedAt      Text       `json:"updated_at"`
}

type githubRelease struct {
	ID          Text       `json:"id"`
	TagName     Text       `json:"tag_name"`
	Target      Text       `json:"target_commitish"`
	Name        Text       `json:"name"`
	Draft       Text       `json:"draft"`
	Prerelease  Text       `json:"prerelease"`
	Author      *forgeUser `json:"author"`
	CreatedAt   Text       `json:"created_at"`
	PublishedAt Text       `json:"published_at"`
	HTMLURL     Text       `json:"html_url"`
	Assets      []struct {
		Name   Text `json:"name"`
		Digest Text `json:"digest"`
	} `json:"assets"`
}

type githubPackage struct {
	Name      Text `json:"name"`
	Namespace Text `json:"namespace"`
	Type      Text `json:"package_type"`
	Ecosystem Text `json:"ecosystem"`
	Kind      Text `json:"type"`    // Gitea's
	Number    Text `json:"version"` // Gitea's
	HTMLURL   Text `json:"html_url"`
	CreatedAt Text `json:"created_at"`
	UpdatedAt Text `json:"updated_at"`
	Version   *struct {
		Version   Text       `json:"version"`
		Name      Text       `json:"name"`
		TagName   Text       `json:"tag_name"`
		Target    Text       `json:"target_oid"`
		CreatedAt Text       `json:"created_at"`
		Author    *forgeUser `json:"author"`
		Container *struct {
			Tag struct {
				Name   Text `json:"name"`
				Digest Text `json:"digest"`
			} `json:"tag"`
		} `json:"container_metadata"`
	} `json:"package_version"`
}

type githubPageBuild struct {
	Status   Text `json:"status"`
	Commit   Text `json:"commit"`
	Duration Text `json:"duration"`
	Created  Text `json:"created_at"`
	Updated  Text `json:"updated_at"`
	Error    struct {
		Message Text `json:"message"`
	} `json:"error"`
}

// runState gives the last part of a run's event type, from the first of the words that forges have for it. A run of which no
// word tells waits.
func runState(words ...Text) string {
	for _, word := range words {
		switch strings.ToLower(string(word)) {
		case "completed", "success", "failure", "error", "finished":
			return "finished"
		case "in_progress", "inprogress", "running":
			return "started"
		case "queued", "requested", "waiting", "pending":
			return "queued"
		}
	}
	return "queued"
}

// change names the pull request that a run belongs to, where it is exactly one.
func (v *githubEvent) changeOfRun(e *pipeline.Event, prs []githubPull) {
	if len(prs) == 1 {
		e.Change = changeOf(e.Repo, string(prs[0].Number))
	}
}

// runTitle says what happened to a run or job, for people.
func runTitle(e *pipeline.Event, name, status, conclusion string) string {
	what := strings.ReplaceAll(first(conclusion, status), "_", " ")
	title := name + " " + what
	if e.Ref != "" {
		title += " on " + e.Ref
	}
	return e.Repo + ": " + title
}

func (v *githubEvent) checkRun(out *Out) {
	c := v.CheckRun
	if c == nil {
		v.other(out, "check_run")
		return
	}
	e := v.event(out, "taskrun."+runState(c.Status), "check_run")
	e.Phase, e.Outcome = pipeline.PhaseTesting, runOutcome(string(c.Conclusion))
	e.Pipeline, e.Task = c.App.name(), string(c.Name)
	e.Commit = commitOf(string(c.HeadSHA))
	start, end := parseTime(string(c.StartedAt)), parseTime(string(c.CompletedAt))
	e.Time = end
	if end.IsZero() {
		e.Time = start
	}
	run := runInURL(string(c.DetailsURL))
	if s := c.CheckSuite; s != nil {
		e.Ref = refOf(string(s.HeadBranch))
		run = first(run, string(s.ID))
	}
	e.Run = githubRun(e.Repo, run)
	v.changeOfRun(e, c.PullRequests)
	e.SetAttr("cicd.pipeline.task.run.id", string(c.ID))
	e.SetAttr("status", string(c.Status))
	e.SetAttr("conclusion", string(c.Conclusion))
	e.SetAttr("duration_seconds", seconds(start, end))
	e.SetAttr("annotations", strings.TrimPrefix(string(c.Output.Annotations), "0"))
	e.Title = runTitle(e, "check "+e.Task, string(c.Status), string(c.Conclusion))
}

func (v *githubEvent) checkSuite(out *Out) {
	c := v.CheckSuite
	if c == nil {
		v.other(out, "check_suite")
		return
	}
	status := first(string(c.Status), string(v.Action))
	e := v.event(out, "pipelinerun."+runState(c.Status, v.Action), "check_suite")
	e.Phase, e.Outcome = pipeline.PhaseTesting, runOutcome(string(c.Conclusion))
	e.Pipeline, e.Ref, e.Commit = c.App.name(), refOf(string(c.HeadBranch)), commitOf(string(c.HeadSHA))
	e.Run = githubRun(e.Repo, string(c.ID))
	e.Time = parseTime(first(string(c.UpdatedAt), string(c.CreatedAt)))
	v.changeOfRun(e, c.PullRequests)
	e.SetAttr("status", string(c.Status))
	e.SetAttr("conclusion", string(c.Conclusion))
	e.Title = runTitle(e, "check suite "+e.Pipeline, status, string(c.Conclusion))
}

func (v *githubEvent) workflowRun(out *Out) {
	w := v.WorkflowRun
	if w == nil {
		v.other(out, "workflow_run")
		return
	}
	state := runState(v.Action, w.Status)
	e := v.event(out, "pipelinerun."+state, "workflow_run")
	e.Phase, e.Outcome = pipeline.PhaseTesting, runOutcome(string(w.Conclusion))
	e.Pipeline = first(string(w.Name), v.Workflow.name(), string(w.Path))
	e.Run, e.Ref, e.Commit = githubRun(e.Repo, string(w.ID)), refOf(string(w.HeadBranch)), commitOf(string(w.HeadSHA))
	e.Actor = first(e.Actor, w.Actor.account())
	start, end := parseTime(first(string(w.StartedAt), string(w.CreatedAt))), parseTime(string(w.UpdatedAt))
	e.Time = end
	if state == "finished" {
		e.SetAttr("duration_seconds", seconds(start, end))
	}
	v.changeOfRun(e, w.PullRequests)
	e.SetAttr("status", string(w.Status))
	e.SetAttr("conclusion", string(w.Conclusion))
	e.SetAttr("trigger", string(w.Event))
	e.SetAttr("run_number", string(w.RunNumber))
	e.SetAttr("run_attempt", string(w.RunAttempt))
	e.SetAttr("workflow.path", string(w.Path))
	e.SetAttr("cicd.pipeline.run.url.full", string(w.HTMLURL))
	if w.HeadRepo != nil && w.HeadRepo.FullName != v.Repository.FullName {
		e.SetAttr("fork", string(w.HeadRepo.FullName))
	}
	e.Title = runTitle(e, "workflow "+e.Pipeline, first(string(w.Status), string(v.Action)), string(w.Conclusion))
}

func (v *githubEvent) workflowJob(out *Out) {
	j := v.WorkflowJob
	if j == nil {
		v.other(out, "workflow_job")
		return
	}
	state := runState(v.Action, j.Status)
	e := v.event(out, "taskrun."+state, "workflow_job")
	e.Phase, e.Outcome = pipeline.PhaseTesting, runOutcome(string(j.Conclusion))
	e.Pipeline, e.Task = string(j.WorkflowName), string(j.Name)
	e.Run, e.Ref, e.Commit = githubRun(e.Repo, string(j.RunID)), refOf(string(j.HeadBranch)), commitOf(string(j.HeadSHA))
	start, end := parseTime(string(j.StartedAt)), parseTime(string(j.CompletedAt))
	switch {
	case !end.IsZero():
		e.Time = end
	case !start.IsZero():
		e.Time = start
	default:
		e.Time = parseTime(string(j.CreatedAt))
	}
	if v.Deployment != nil {
		e.Environment = string(v.Deployment.Environment)
	}
	failed, skipped, firstFailed := 0, 0, ""
	for i := range j.Steps {
		switch runOutcome(string(j.Steps[i].Conclusion)) {
		case pipeline.OutcomeFailure, pipeline.OutcomeError:
			failed++
			firstFailed = first(firstFailed, string(j.Steps[i].Name))
		case pipeline.OutcomeSkipped:
			skipped++
		}
	}
	e.SetAttr("cicd.pipeline.task.run.id", string(j.ID))
	e.SetAttr("status", string(j.Status))
	e.SetAttr("conclusion", string(j.Conclusion))
	e.SetAttr("run_attempt", string(j.RunAttempt))
	e.SetAttr("duration_seconds", seconds(start, end))
	e.SetAttr("steps", positive(len(j.Steps)))
	e.SetAttr("steps.failed", positive(failed))
	e.SetAttr("steps.skipped", positive(skipped))
	e.SetAttr("step.failed", firstFailed)
	e.SetAttr("cicd.worker.name", string(j.RunnerName))
	e.SetAttr("runner.labels", strings.Join(j.Labels, ","))
	e.SetAttr("cicd.pipeline.task.run.url.full", string(j.HTMLURL))
	e.Title = runTitle(e, "job "+e.Task, string(j.Status), string(j.Conclusion))
	if firstFailed != "" {
		e.Title += " at step " + strconv.Quote(firstFailed)
	}
}

// commitStatus is what an outside CI says of a commit.
func (v *githubEvent) commitStatus(out *Out) {
	e := v.event(out, "taskrun."+runState(v.State), "status")
	e.Phase = pipeline.PhaseTesting
	if v.State != "pending" {
		e.Outcome = runOutcome(string(v.State))
	}
	e.Task, e.Commit = string(v.Context), commitOf(string(v.SHA))
	e.Time = parseTime(first(string(v.UpdatedAt), string(v.CreatedAt)))
	e.SetAttr("status", string(v.State))
	e.SetAttr("description", string(v.Description))
	e.SetAttr("cicd.pipeline.task.run.url.full", string(v.TargetURL))
	e.Title = runTitle(e, "status "+e.Task, string(v.State), "")
}

// deployment tells that a deployment was asked for, and how it went. service.deployed is its end, good or bad.
func (v *githubEvent) deployment(out *Out) {
	typ, state, kind := "pipelinerun.queued", "", "deployment"
	if s := v.DeployStatus; s != nil {
		kind, state = "deployment_status", strings.ToLower(string(s.State))
		switch state {
		case "success", "failure", "error":
			typ = "service.deployed"
		case "in_progress":
			typ = "pipelinerun.started"
		case "inactive": // a newer deployment took its place
			typ = "environment.modified"
		}
	}
	e := v.event(out, typ, kind)
	e.Phase, e.Service = pipeline.PhaseDeployment, string(v.Repository.Name)
	e.Pipeline = first(v.Workflow.name(), "deployment")
	if d := v.Deployment; d != nil {
		e.Environment, e.Ref, e.Commit = string(d.Environment), refOf(string(d.Ref)), commitOf(string(d.SHA))
		e.Time = parseTime(first(string(d.UpdatedAt), string(d.CreatedAt)))
		e.Actor = first(e.Actor, d.Creator.account())
		e.SetAttr("deployment.id", string(d.ID))
		e.SetAttr("task", string(d.Task))
		e.SetAttr("description", string(d.Description))
	}
	if v.WorkflowRun != nil {
		e.Run = githubRun(e.Repo, string(v.WorkflowRun.ID))
	}
	if s := v.DeployStatus; s != nil {
		e.Environment = first(string(s.Environment), e.Environment)
		e.Time = parseTime(first(string(s.UpdatedAt), string(s.CreatedAt)))
		if typ == "service.deployed" {
			e.Outcome = runOutcome(state)
		}
		e.SetAttr("status", state)
		e.SetAttr("description", string(s.Description))
		e.SetAttr("url.full", string(s.EnvironmentURL))
	}
	e.SetAttr("deployment.environment.name", e.Environment)
	e.Title = e.Repo + ": deployment of " + first(e.Ref, short(e.Commit)) + " to " + e.Environment + " " +
		first(strings.ReplaceAll(state, "_", " "), string(v.Action))
}

func (v *githubEvent) deploymentReview(out *Out) {
	typ, decision := "approval.created", ""
	switch v.Action {
	case "approved":
		typ, decision = "approval.closed", decisionApproved
	case "rejected":
		typ, decision = "approval.closed", decisionRejected
	}
	e := v.event(out, typ, "deployment_review")
	e.Phase = pipeline.PhaseDeployment
	e.Environment = string(v.Environment)
	if e.Environment == "" && len(v.JobRuns) > 0 {
		e.Environment = string(v.JobRuns[0].Environment)
	}
	if decision != "" {
		setDecision(e, decision)
		e.Actor = first(v.Approver.account(), e.Actor)
	}
	if w := v.WorkflowRun; w != nil {
		e.Run, e.Pipeline = githubRun(e.Repo, string(w.ID)), string(w.Name)
		e.Ref, e.Commit = refOf(string(w.HeadBranch)), commitOf(string(w.HeadSHA))
	}
	if d := v.Deployment; d != nil {
		e.Ref, e.Commit = first(refOf(string(d.Ref)), e.Ref), first(commitOf(string(d.SHA)), e.Commit)
		e.Environment = first(e.Environment, string(d.Environment))
	}
	e.Title = e.Repo + ": deployment to " + e.Environment + " " + first(decision, "waits for approval")
}

func (v *githubEvent) release(out *Out) {
	r := v.Release
	if r == nil {
		v.other(out, "release")
		return
	}
	typ := "artifact.published"
	switch v.Action {
	case "created":
		typ = "artifact.packaged"
	case "deleted", "unpublished":
		typ = "artifact.deleted"
	case "edited":
		typ = "repository.modified"
	}
	e := v.event(out, typ, "release")
	e.Phase, e.Outcome = pipeline.PhaseRelease, pipeline.OutcomeSuccess
	e.Artifact, e.Ref = e.Repo, string(r.TagName)
	e.Time = parseTime(first(string(r.PublishedAt), string(r.CreatedAt)))
	e.SetAttr("artifact.version", string(r.TagName))
	e.SetAttr("artifact.type", "release")
	e.SetAttr("release.name", string(r.Name))
	e.SetAttr("prerelease", string(r.Prerelease))
	e.SetAttr("draft", string(r.Draft))
	e.SetAttr("vcs.ref.base.name", string(r.Target))
	e.SetAttr("author", r.Author.account())
	e.SetAttr("assets", positive(len(r.Assets)))
	if len(r.Assets) == 1 {
		e.Digest = string(r.Assets[0].Digest)
	}
	e.SetAttr("url.full", string(r.HTMLURL))
	e.Title = e.Repo + ": release " + e.Ref + " " + string(v.Action)
}

func (v *githubEvent) packageEvent(out *Out) {
	p, kind := v.Package, "package"
	if p == nil {
		p, kind = v.Registry, "registry_package"
	}
	if p == nil {
		v.other(out, kind)
		return
	}
	typ := "artifact.published"
	if v.Action == "deleted" {
		typ = "artifact.deleted"
	}
	e := v.event(out, typ, kind)
	e.Phase, e.Outcome = pipeline.PhaseRelease, pipeline.OutcomeSuccess
	e.Artifact = string(p.Name)
	e.Time = parseTime(first(string(p.UpdatedAt), string(p.CreatedAt)))
	ecosystem := strings.ToLower(string(first(p.Type, p.Ecosystem, p.Kind)))
	version := string(p.Number)
	if pv := p.Version; pv != nil {
		version = string(pv.Version)
		e.Actor = first(e.Actor, pv.Author.account())
		e.Commit = commitOf(string(pv.Target))
		if c := pv.Container; c != nil {
			e.Digest = string(c.Tag.Digest)
			version = first(string(c.Tag.Name), version)
		}
		if strings.HasPrefix(string(pv.Version), "sha256:") {
			e.Digest = string(pv.Version)
		}
	}
	e.SetAttr("artifact.type", ecosystem)
	e.SetAttr("artifact.version", version)
	e.Purl = purlOf(ecosystem, e.Artifact, version)
	if e.Digest != "" {
		e.Purl = ociPurl(e.Artifact, e.Digest)
	}
	e.Title = "package " + e.Artifact + " " + version + " " + string(v.Action)
}

func (v *githubEvent) pageBuild(out *Out) {
	b := v.Build
	if b == nil {
		v.other(out, "page_build")
		return
	}
	typ := "build.finished"
	if b.Status == "building" {
		typ = "build.started"
	}
	e := v.event(out, typ, "page_build")
	e.Phase, e.Pipeline = pipeline.PhasePackaging, "pages"
	e.Commit, e.Time = commitOf(string(b.Commit)), parseTime(first(string(b.Updated), string(b.Created)))
	switch b.Status {
	case "built":
		e.Outcome = pipeline.OutcomeSuccess
	case "errored":
		e.Outcome = pipeline.OutcomeError
	}
	e.SetAttr("error", string(b.Error.Message))
	e.Title = e.Repo + ": pages " + string(b.Status)
}
