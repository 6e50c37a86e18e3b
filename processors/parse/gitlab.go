package parse

import (
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// gitlab reads GitLab's webhooks and system hooks, but for pipelines and jobs, which are gitlabCI's.
// https://docs.gitlab.com/user/project/integrations/webhook_events/, https://docs.gitlab.com/administration/system_hooks/
var gitlab = Format{
	Name: "gitlab-webhook", Title: "GitLab webhooks and system hooks", Phase: pipeline.PhaseWriting,
	Types: []string{
		"log", "branch.push", "branch.created", "branch.deleted", "change.created", "change.updated", "change.reviewed",
		"change.merged", "change.abandoned", "approval.created", "approval.closed", "ticket.created", "ticket.updated",
		"ticket.closed", "repository.created", "repository.modified", "repository.deleted", "user.modified", "auth.failed",
		"pipelinerun.queued", "pipelinerun.started", "service.deployed", "environment.modified", "artifact.published",
		"artifact.deleted", "vulnerability.found", "finding.corrected", "finding.accepted", "finding.suppressed",
	},
	Known: "JSON object with object_kind, or event_name of a system hook",
	Frame: Values,
	Match: func(s *Shape) bool {
		if s.Array || !s.IsObject() {
			return false
		}
		if s.Header("X-Gitlab-Event") != "" || s.String("object_kind") != "" {
			return true
		}
		return s.String("event_name") != "" && (s.Has("created_at") || s.Has("project_id") || s.Has("project") || s.Has("user_id"))
	},
	Parse: parseGitLab,
}

type gitlabEvent struct {
	Kind      Text `json:"object_kind"`
	EventName Text `json:"event_name"`
	EventType Text `json:"event_type"`

	Project    gitlabProject `json:"project"`
	Repository gitlabProject `json:"repository"`
	User       *forgeUser    `json:"user"`
	UserName   Text          `json:"user_username"`
	UserTitle  Text          `json:"user_name"`
	UserEmail  Text          `json:"user_email"`
	Object     gitlabObject  `json:"object_attributes"`
	Changes    gitlabChanges `json:"changes"`
	Reviewers  []struct {
		Username Text `json:"username"`
		State    Text `json:"state"`
	} `json:"reviewers"`
	Assignees []forgeUser   `json:"assignees"`
	Assignee  *forgeUser    `json:"assignee"`
	Labels    []gitlabTitle `json:"labels"`

	Ref          Text           `json:"ref"`
	Before       Text           `json:"before"`
	After        Text           `json:"after"`
	TotalCommits Text           `json:"total_commits_count"`
	Commits      []githubCommit `json:"commits"`
	MergeRequest *gitlabObject  `json:"merge_request"`
	Issue        *gitlabObject  `json:"issue"`
	Commit       *gitlabCommit  `json:"commit"`

	// Releases and deployments.
	Action       Text `json:"action"`
	Tag          Text `json:"tag"`
	Name         Text `json:"name"`
	URL          Text `json:"url"`
	ReleasedAt   Text `json:"released_at"`
	Status       Text `json:"status"`
	StatusAt     Text `json:"status_changed_at"`
	DeploymentID Text `json:"deployment_id"`
	Environment  Text `json:"environment"`
	ShortSHA     Text `json:"short_sha"`
	CommitURL    Text `json:"commit_url"`
	CommitTitle  Text `json:"commit_title"`

	// System hooks and members.
	CreatedAt   Text `json:"created_at"`
	UpdatedAt   Text `json:"updated_at"`
	Username    Text `json:"username"`
	Email       Text `json:"email"`
	State       Text `json:"state"`
	Path        Text `json:"path_with_namespace"`
	ProjectPath Text `json:"project_path_with_namespace"`
	GroupPath   Text `json:"group_path"`
	FullPath    Text `json:"full_path"`
	OwnerName   Text `json:"owner_name"`
	Access      Text `json:"project_access"`
	GroupAccess Text `json:"group_access"`
	Key         Text `json:"key"`

	// Jobs.
	BuildID       Text            `json:"build_id"`
	BuildName     Text            `json:"build_name"`
	BuildStage    Text            `json:"build_stage"`
	BuildStatus   Text            `json:"build_status"`
	BuildCreated  Text            `json:"build_created_at"`
	BuildStarted  Text            `json:"build_started_at"`
	BuildFinished Text            `json:"build_finished_at"`
	BuildDuration Text            `json:"build_duration"`
	BuildReason   Text            `json:"build_failure_reason"`
	AllowFailure  Text            `json:"build_allow_failure"`
	PipelineID    Text            `json:"pipeline_id"`
	SHA           Text            `json:"sha"`
	ProjectName   Text            `json:"project_name"`
	Runner        *forgeUserNamed `json:"runner"`
	Builds        []struct {
		Stage        Text `json:"stage"`
		Name         Text `json:"name"`
		Status       Text `json:"status"`
		AllowFailure Text `json:"allow_failure"`
	} `json:"builds"`
}

// forgeUserNamed is a thing with a description, as runners have.
type forgeUserNamed struct {
	Description Text `json:"description"`
}

type gitlabProject struct {
	Name     Text `json:"name"`
	Path     Text `json:"path_with_namespace"`
	WebURL   Text `json:"web_url"`
	Homepage Text `json:"homepage"`
	URL      Text `json:"url"`
	HTTPURL  Text `json:"git_http_url"`
}

func (p *gitlabProject) repo() string {
	return repoOf(string(first(p.WebURL, p.Homepage, p.HTTPURL, p.URL, p.Path)))
}

type gitlabTitle struct {
	Title Text `json:"title"`
}

type gitlabCommit struct {
	ID        Text `json:"id"`
	SHA       Text `json:"sha"`
	Message   Text `json:"message"`
	Timestamp Text `json:"timestamp"`
}

type gitlabChanges struct {
	Reviewers *struct {
		Current []struct {
			Username Text `json:"username"`
			State    Text `json:"state"`
		} `json:"current"`
	} `json:"reviewers"`
}

// UnmarshalJSON implements json.Unmarshaler. A system hook lists refs here, which its push hook tells as well.
func (c *gitlabChanges) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '{' {
		return nil
	}
	type plain gitlabChanges
	return decode(b, (*plain)(c))
}

// gitlabObject is what the event is about: a merge request, issue, note, pipeline, vulnerability.
type gitlabObject struct {
	ID           Text          `json:"id"`
	IID          Text          `json:"iid"`
	Name         Text          `json:"name"`
	Title        Text          `json:"title"`
	State        Text          `json:"state"`
	Action       Text          `json:"action"`
	Status       Text          `json:"status"`
	Detailed     Text          `json:"detailed_merge_status"`
	Source       Text          `json:"source"`
	SourceBranch Text          `json:"source_branch"`
	TargetBranch Text          `json:"target_branch"`
	OldRev       Text          `json:"oldrev"`
	LastCommit   *gitlabCommit `json:"last_commit"`
	MergeCommit  Text          `json:"merge_commit_sha"`
	Draft        Text          `json:"draft"`
	CreatedAt    Text          `json:"created_at"`
	UpdatedAt    Text          `json:"updated_at"`
	ClosedAt     Text          `json:"closed_at"`
	MergedAt     Text          `json:"merged_at"`
	FinishedAt   Text          `json:"finished_at"`
	URL          Text          `json:"url"`
	Type         Text          `json:"type"`
	NoteableType Text          `json:"noteable_type"`
	CommitID     Text          `json:"commit_id"`
	Severity     Text          `json:"severity"`
	ReportType   Text          `json:"report_type"`
	Ref          Text          `json:"ref"`
	Tag          Text          `json:"tag"`
	SHA          Text          `json:"sha"`
	BeforeSHA    Text          `json:"before_sha"`
	Duration     Text          `json:"duration"`
	Identifiers  []struct {
		Name       Text `json:"name"`
		ExternalID Text `json:"external_id"`
	} `json:"identifiers"`
	Location struct {
		File       Text `json:"file"`
		Dependency struct {
			Package struct {
				Name Text `json:"name"`
			} `json:"package"`
			Version Text `json:"version"`
		} `json:"dependency"`
	} `json:"location"`
	Labels []gitlabTitle `json:"labels"`
}

func parseGitLab(in *Input, out *Out) error {
	var v gitlabEvent
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	switch string(first(v.Kind, v.EventName)) {
	case "push", "tag_push":
		v.push(out)
	case "merge_request":
		v.mergeRequest(out)
	case "issue", "confidential_issue", "work_item", "incident":
		v.issue(out)
	case "note", "confidential_note":
		v.note(out)
	case "deployment":
		v.deployment(out)
	case "release":
		v.release(out)
	case "vulnerability":
		v.vulnerability(out)
	case "user_failed_login":
		v.failedLogin(out)
	default:
		v.other(out)
	}
	return nil
}

// event appends an event with what all hooks say.
func (v *gitlabEvent) event(out *Out, typ string) *pipeline.Event {
	e := out.Event(typ)
	e.Severity = pipeline.SeverityInfo
	if e.Repo = v.Project.repo(); e.Repo == "" {
		e.Repo = v.Repository.repo()
	}
	e.Actor = first(v.User.account(), string(v.UserName), string(v.UserTitle))
	e.SetAttr("webhook.event", string(first(v.Kind, v.EventName)))
	e.SetAttr("action", string(first(v.Object.Action, v.Action)))
	return e
}

func (v *gitlabEvent) push(out *Out) {
	repo := v.Project.repo()
	if repo == "" {
		repo = v.Repository.repo()
	}
	p := pushed{
		repo: repo, ref: string(v.Ref), before: string(v.Before), after: string(v.After),
		actor: string(first(v.UserName, v.UserTitle, v.UserEmail)),
	}
	for i := range v.Commits {
		c := &v.Commits[i]
		p.commits = append(p.commits, pushedCommit{
			id: string(c.ID), author: c.Author.account(), message: string(c.Message), time: parseTime(string(c.Timestamp)),
			files: len(c.Added) + len(c.Removed) + len(c.Modified),
		})
	}
	emitPush(out, &p)
	if n, _ := strconv.Atoi(string(v.TotalCommits)); n > len(v.Commits) && len(v.Commits) > 0 { // GitLab lists the newest twenty
		out.batch.Events[len(out.batch.Events)-1].SetAttr("commits.total", strconv.Itoa(n))
	}
}

func gitlabMergeType(v *gitlabEvent) (typ, decision string) {
	o := &v.Object
	switch o.Action {
	case "open":
		return "change.created", ""
	case "merge":
		return "change.merged", ""
	case "close":
		return "change.abandoned", ""
	case "approved", "approval":
		return "approval.closed", decisionApproved
	case "unapproved", "unapproval":
		return "approval.closed", decisionDismissed
	case "":
		switch o.State {
		case "merged":
			return "change.merged", ""
		case "closed":
			return "change.abandoned", ""
		case "opened":
			if o.CreatedAt == o.UpdatedAt {
				return "change.created", ""
			}
		}
	}
	if r := v.Changes.Reviewers; r != nil && o.OldRev == "" {
		for _, who := range r.Current {
			if who.State == "requested_changes" {
				return "approval.closed", decisionChanges
			}
		}
		return "approval.created", ""
	}
	return "change.updated", ""
}

func (v *gitlabEvent) mergeRequest(out *Out) {
	o := &v.Object
	typ, decision := gitlabMergeType(v)
	e := v.event(out, typ)
	v.change(e, o)
	e.Time = parseTime(string(first(o.UpdatedAt, o.CreatedAt)))
	switch typ {
	case "change.created":
		e.Time = parseTime(string(first(o.CreatedAt, o.UpdatedAt)))
	case "change.merged":
		e.Outcome = pipeline.OutcomeSuccess
		e.Time = parseTime(string(first(o.MergedAt, o.UpdatedAt)))
		e.SetAttr("vcs.change.merge_commit", commitOf(string(o.MergeCommit)))
	case "change.abandoned":
		e.Outcome = pipeline.OutcomeCancel
		e.Time = parseTime(string(first(o.ClosedAt, o.UpdatedAt)))
	case "approval.closed":
		setDecision(e, decision)
	case "approval.created":
		var names []string
		for _, r := range v.Changes.Reviewers.Current {
			names = append(names, string(r.Username))
		}
		e.SetAttr("reviewer", strings.Join(names, ","))
	case "change.updated":
		if o.OldRev == "" {
			break
		}
		asked := o.Detailed == "requested_changes"
		for _, r := range v.Reviewers {
			asked = asked || r.State == "requested_changes"
		}
		if asked { // new commits while a reviewer waits for changes
			e.SetAttr("reformulated", "true")
		}
		e.SetAttr("before", string(o.OldRev))
	}
	if o.Draft == "true" {
		e.SetAttr("draft", "true")
	}
	e.Title = e.Change + " " + strings.TrimSpace(first(decision, string(first(o.Action, o.State)))) + ": " + string(o.Title)
}

// change sets what names a merge request.
func (v *gitlabEvent) change(e *pipeline.Event, o *gitlabObject) {
	e.Change = changeOf(e.Repo, string(o.IID))
	e.Ref = string(o.TargetBranch)
	if o.LastCommit != nil {
		e.Commit = commitOf(string(o.LastCommit.ID))
	}
	e.SetAttr("vcs.change.id", string(o.IID))
	e.SetAttr("vcs.change.title", string(o.Title))
	e.SetAttr("vcs.change.state", string(o.State))
	e.SetAttr("vcs.ref.head.name", string(o.SourceBranch))
	e.SetAttr("vcs.ref.base.name", string(o.TargetBranch))
}

func (v *gitlabEvent) issue(out *Out) {
	o := &v.Object
	typ := "ticket.updated"
	switch {
	case o.Action == "open" || o.Action == "" && o.State == "opened" && o.CreatedAt == o.UpdatedAt:
		typ = "ticket.created"
	case o.Action == "close" || o.Action == "" && o.State == "closed":
		typ = "ticket.closed"
	}
	e := v.event(out, typ)
	v.ticket(e, o)
	e.Time = parseTime(string(first(o.UpdatedAt, o.CreatedAt)))
	switch typ {
	case "ticket.created":
		e.Time = parseTime(string(o.CreatedAt))
	case "ticket.closed":
		e.Outcome = pipeline.OutcomeSuccess
		e.Time = parseTime(string(first(o.ClosedAt, o.UpdatedAt)))
		e.SetAttr("resolution", "completed")
	}
	var who []string
	for i := range v.Assignees {
		who = append(who, v.Assignees[i].account())
	}
	e.SetAttr("assignee", first(strings.Join(who, ","), v.Assignee.account()))
	e.Title = first(string(v.Project.Path), e.Repo) + "#" + string(o.IID) + " " + string(first(o.Action, o.State)) + ": " + string(o.Title)
}

func (v *gitlabEvent) ticket(e *pipeline.Event, o *gitlabObject) {
	e.Phase = pipeline.PhaseRequirements
	e.SetAttr("ticket.id", string(o.IID))
	e.SetAttr("ticket.title", string(o.Title))
	e.SetAttr("ticket.state", string(o.State))
	e.SetAttr("ticket.type", strings.ToLower(string(o.Type)))
	e.SetAttr("severity", string(o.Severity))
	var labels []string
	for _, l := range append(v.Labels, o.Labels...) {
		labels = append(labels, string(l.Title))
	}
	e.SetAttr("ticket.labels", strings.Join(labels, ","))
}

func (v *gitlabEvent) note(out *Out) {
	o := &v.Object
	typ := "log"
	switch o.NoteableType {
	case "MergeRequest", "Commit":
		typ = "change.reviewed"
	case "Issue", "WorkItem":
		typ = "ticket.updated"
	}
	e := v.event(out, typ)
	e.Time = parseTime(string(first(o.UpdatedAt, o.CreatedAt)))
	what := strings.ToLower(string(o.NoteableType))
	switch {
	case v.MergeRequest != nil:
		v.change(e, v.MergeRequest)
		what = e.Change
	case v.Issue != nil:
		v.ticket(e, v.Issue)
		what = e.Repo + "#" + string(v.Issue.IID)
	case v.Commit != nil:
		e.Commit = commitOf(string(first(v.Commit.ID, o.CommitID)))
		what = e.Repo + "@" + short(e.Commit)
	}
	e.SetAttr("url.full", string(o.URL))
	e.Title = what + " commented by " + e.Actor
}

func (v *gitlabEvent) deployment(out *Out) {
	typ := "service.deployed"
	switch v.Status {
	case "created", "blocked":
		typ = "pipelinerun.queued"
	case "running":
		typ = "pipelinerun.started"
	}
	e := v.event(out, typ)
	e.Phase, e.Environment, e.Service = pipeline.PhaseDeployment, string(v.Environment), string(v.Project.Name)
	e.Time, e.Ref = parseTime(string(v.StatusAt)), refOf(string(v.Ref))
	if typ == "service.deployed" {
		e.Outcome = runOutcome(string(v.Status))
	}
	if i := strings.LastIndex(string(v.CommitURL), "/commit/"); i >= 0 {
		e.Commit = commitOf(string(v.CommitURL[i+len("/commit/"):]))
	}
	e.SetAttr("vcs.ref.head.revision", string(v.ShortSHA))
	e.SetAttr("deployment.id", string(v.DeploymentID))
	e.SetAttr("deployment.environment.name", e.Environment)
	e.SetAttr("status", string(v.Status))
	e.Title = e.Repo + ": deployment of " + first(string(v.ShortSHA), e.Ref) + " to " + e.Environment + " " + string(v.Status)
}

func (v *gitlabEvent) release(out *Out) {
	typ := "artifact.published"
	switch v.Action {
	case "delete":
		typ = "artifact.deleted"
	case "update":
		typ = "repository.modified"
	}
	e := v.event(out, typ)
	e.Phase, e.Outcome = pipeline.PhaseRelease, pipeline.OutcomeSuccess
	e.Artifact, e.Ref, e.Time = e.Repo, string(v.Tag), parseTime(string(first(v.ReleasedAt, v.CreatedAt)))
	if v.Commit != nil {
		e.Commit = commitOf(string(v.Commit.ID))
	}
	e.SetAttr("artifact.version", string(v.Tag))
	e.SetAttr("artifact.type", "release")
	e.SetAttr("release.name", string(v.Name))
	e.SetAttr("url.full", string(v.URL))
	e.Title = e.Repo + ": release " + e.Ref + " " + string(v.Action)
}

func (v *gitlabEvent) vulnerability(out *Out) {
	o := &v.Object
	typ := "vulnerability.found"
	switch o.State {
	case "resolved":
		typ = "finding.corrected"
	case "dismissed":
		typ = "finding.suppressed"
	case "confirmed", "detected":
	}
	e := v.event(out, typ)
	e.Phase, e.Severity = pipeline.PhaseTesting, severityWord(string(o.Severity))
	settleFinding(e)
	e.Time = parseTime(string(first(o.UpdatedAt, o.CreatedAt)))
	var ids []string
	for _, id := range o.Identifiers {
		if n := string(first(id.Name, id.ExternalID)); strings.HasPrefix(n, "CVE-") || strings.HasPrefix(n, "GHSA-") {
			ids = append(ids, n)
		}
		e.Rule = first(e.Rule, string(first(id.Name, id.ExternalID)))
	}
	e.Vulns = appendVulns(nil, ids...)
	e.SetAttr("code.file.path", string(o.Location.File))
	e.SetAttr("package.name", string(o.Location.Dependency.Package.Name))
	e.SetAttr("package.version", string(o.Location.Dependency.Version))
	e.SetAttr("report_type", string(o.ReportType))
	e.SetAttr("state", string(o.State))
	e.SetAttr("url.full", string(o.URL))
	e.Title = e.Repo + ": " + string(o.Title)
}

func (v *gitlabEvent) failedLogin(out *Out) {
	e := v.event(out, "auth.failed")
	e.Phase, e.Outcome, e.Severity = pipeline.PhaseOperation, pipeline.OutcomeFailure, pipeline.SeverityLow
	e.Actor = string(first(v.Username, v.Email, v.Name))
	e.Time = parseTime(string(first(v.UpdatedAt, v.CreatedAt)))
	e.SetAttr("user.state", string(v.State))
	e.Title = "GitLab: failed login of " + e.Actor
	if v.State == "blocked" {
		e.Title += ", whose account is blocked"
	}
}

// other gives hooks about projects, groups, accounts and keys, and what has no better name.
func (v *gitlabEvent) other(out *Out) {
	kind := string(first(v.EventName, v.Kind, v.EventType))
	typ := "log"
	switch {
	case kind == "project_create":
		typ = "repository.created"
	case kind == "project_destroy":
		typ = "repository.deleted"
	case strings.HasPrefix(kind, "project_"), strings.HasSuffix(kind, "_team"), kind == "wiki_page":
		typ = "repository.modified"
	case strings.HasPrefix(kind, "user_"), strings.HasPrefix(kind, "group_"), strings.HasPrefix(kind, "subgroup_"),
		strings.HasPrefix(kind, "key_"), kind == "access_token":
		typ = "user.modified"
	case kind == "feature_flag":
		typ = "environment.modified"
	}
	e := v.event(out, typ)
	if e.Repo == "" {
		e.Repo = repoOf(string(first(v.Path, v.ProjectPath)))
	}
	e.Time = parseTime(string(first(v.UpdatedAt, v.CreatedAt, v.Object.UpdatedAt, v.Object.CreatedAt)))
	e.SetAttr("webhook.event", kind)
	name := string(first(v.UserName, v.Username, v.Object.Title, v.Object.Name, v.Name, v.FullPath, v.GroupPath, v.UserEmail, v.Email))
	e.SetAttr("object", name)
	if strings.HasSuffix(kind, "_team") || strings.HasSuffix(kind, "_group") { // the user is who was added, not who did it
		e.Actor = ""
	}
	e.SetAttr("access", string(first(v.Access, v.GroupAccess)))
	e.SetAttr("group", string(first(v.GroupPath, v.FullPath)))
	e.Title = strings.TrimSpace(strings.ReplaceAll(kind, "_", " ") + ": " + strings.TrimSpace(name+" "+e.Repo))
}
