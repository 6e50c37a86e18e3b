package parse

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/segmentio/encoding/json"

	"github.com/tocsin-project/tocsin/pipeline"
)

// github reads all webhooks of GitHub, and its audit log. Header X-GitHub-Event names the event; without it the payload's members tell.
// https://docs.github.com/en/webhooks/webhook-events-and-payloads
var github = Format{
	Name: "github", Title: "GitHub webhooks and audit log", Phase: pipeline.PhaseWriting,
	Types: githubTypes,
	Known: "header X-GitHub-Event, JSON object whose sender or repository is GitHub's (node_id, gravatar_id), or a record of the audit log",
	Frame: Values,
	Match: func(s *Shape) bool {
		// Gitea and its kin send X-GitHub-Event too, beside their own.
		if isGitHubAlerts(s) {
			return true
		}
		if s.Array || isGitee(s) || s.Header("X-Gitea-Event") != "" || s.Header("X-Gogs-Event") != "" || s.Header("X-Forgejo-Event") != "" {
			return false
		}
		if s.Header("X-GitHub-Event") != "" {
			return s.IsObject()
		}
		for _, who := range []string{"sender", "repository", "organization", "pusher"} {
			if !s.Has(who) {
				continue
			}
			for _, key := range []string{"node_id", "gravatar_id", "site_admin", "archive_url"} {
				if s.Raw(who, key) != nil {
					return true
				}
			}
		}
		return bytes.HasPrefix(s.Raw("repository", "html_url"), []byte(`"https://github.com/`)) || matchGitHubAudit(s) || s.Has("zen", "hook_id") || s.Has("action", "security_advisory") && s.Raw("security_advisory", "ghsa_id") != nil ||
			s.Has("action") && s.Raw("alert", "affected_package_name") != nil
	},
	Parse: parseGitHub,
}

// githubTypes are the event types that GitHub's webhooks and those of its likes give.
var githubTypes = []string{
	"log", "branch.push", "branch.created", "branch.deleted", "change.created", "change.updated", "change.reviewed",
	"change.merged", "change.abandoned", "approval.created", "approval.closed", "ticket.created", "ticket.updated",
	"ticket.closed", "repository.created", "repository.modified", "repository.deleted", "user.modified",
	"credential.revoked", "pipelinerun.queued", "pipelinerun.started", "pipelinerun.finished", "taskrun.queued",
	"taskrun.started", "taskrun.finished", "build.started", "build.finished", "artifact.packaged", "artifact.published",
	"artifact.deleted", "service.deployed", "environment.modified", "secret.detected", "vulnerability.found",
	"finding.corrected", "finding.accepted", "finding.suppressed", "finding.reopened", "scan.completed", "heartbeat", "api.call", "auth.success", "auth.failed", "auth.logout",
}

// githubEvent holds the members of all events; each event has some of them.
type githubEvent struct {
	Action       Text          `json:"action"`
	HookName     Text          `json:"hook_name"`   // Gitee's kind of an event
	ActionDesc   Text          `json:"action_desc"` // and what an update changed
	Number       Text          `json:"number"`
	Repository   githubRepo    `json:"repository"`
	Organization forgeUser     `json:"organization"`
	Sender       *forgeUser    `json:"sender"`
	Pusher       *forgeUser    `json:"pusher"`
	Installation *githubObject `json:"installation"`

	Ref        Text           `json:"ref"`
	RefType    Text           `json:"ref_type"`
	PusherType Text           `json:"pusher_type"`
	Before     Text           `json:"before"`
	After      Text           `json:"after"`
	Created    bool           `json:"created"`
	Deleted    bool           `json:"deleted"`
	Forced     Text           `json:"forced"`
	Commits    []githubCommit `json:"commits"`
	HeadCommit *githubCommit  `json:"head_commit"`

	PullRequest *githubPull    `json:"pull_request"`
	Review      *githubReview  `json:"review"`
	Thread      *githubObject  `json:"thread"`
	Comment     *githubComment `json:"comment"`
	Reviewer    *forgeUser     `json:"requested_reviewer"`
	Team        *githubObject  `json:"requested_team"`
	Label       *githubObject  `json:"label"`
	Assignee    *forgeUser     `json:"assignee"`
	Issue       *githubIssue   `json:"issue"`
	MergeGroup  *githubObject  `json:"merge_group"`

	CheckRun      *githubCheckRun      `json:"check_run"`
	CheckSuite    *githubCheckSuite    `json:"check_suite"`
	Workflow      *githubObject        `json:"workflow"`
	WorkflowRun   *githubWorkflowRun   `json:"workflow_run"`
	WorkflowJob   *githubWorkflowJob   `json:"workflow_job"`
	JobRun        *githubObject        `json:"workflow_job_run"`
	JobRuns       []githubObject       `json:"workflow_job_runs"`
	Deployment    *githubDeployment    `json:"deployment"`
	DeployStatus  *githubDeployStatus  `json:"deployment_status"`
	CallbackURL   Text                 `json:"deployment_callback_url"`
	Environment   Text                 `json:"environment"`
	Approver      *forgeUser           `json:"approver"`
	Requestor     *forgeUser           `json:"requestor"`
	Release       *githubRelease       `json:"release"`
	Package       *githubPackage       `json:"package"`
	Registry      *githubPackage       `json:"registry_package"`
	Build         *githubPageBuild     `json:"build"`
	State         Text                 `json:"state"`
	Context       Text                 `json:"context"`
	SHA           Text                 `json:"sha"`
	Description   Text                 `json:"description"`
	TargetURL     Text                 `json:"target_url"`
	CreatedAt     Text                 `json:"created_at"`
	UpdatedAt     Text                 `json:"updated_at"`
	CommitOID     Text                 `json:"commit_oid"`
	Alert         *githubAlert         `json:"alert"`
	AlertLocation *githubAlertLocation `json:"location"`
	Advisory      *githubAdvisory      `json:"security_advisory"`
	RepoAdvisory  *githubAdvisory      `json:"repository_advisory"`

	ScanType      Text `json:"type"`
	ScanStarted   Text `json:"started_at"`
	ScanCompleted Text `json:"completed_at"`

	Zen        Text          `json:"zen"`
	Hook       *githubObject `json:"hook"`
	HookID     Text          `json:"hook_id"`
	Member     *forgeUser    `json:"member"`
	Membership *githubMember `json:"membership"`
	Scope      Text          `json:"scope"`
	OrgTeam    *githubObject `json:"team"`
	Forkee     *githubRepo   `json:"forkee"`
	Rule       *githubObject `json:"rule"`
	Ruleset    *githubObject `json:"repository_ruleset"`
	Key        *githubObject `json:"key"`
	Pages      []struct {
		Name   Text `json:"page_name"`
		Action Text `json:"action"`
	} `json:"pages"`
	Master  Text            `json:"master_branch"`
	Starred json.RawMessage `json:"starred_at"`
	Blocked *forgeUser      `json:"blocked_user"`
}

type githubRepo struct {
	Name          Text `json:"name"`
	FullName      Text `json:"full_name"`
	HTMLURL       Text `json:"html_url"`
	DefaultBranch Text `json:"default_branch"`
	PushedAt      Text `json:"pushed_at"`
	CreatedAt     Text `json:"created_at"`
	UpdatedAt     Text `json:"updated_at"`
	Visibility    Text `json:"visibility"`
}

func (r *githubRepo) repo() string { return repoOf(first(string(r.HTMLURL), string(r.FullName))) }

// githubObject is a member of which only the name matters: an object, or text in its place.
type githubObject struct {
	ID    Text `json:"id"`
	Name  Text `json:"name"`
	Title Text `json:"title"`
	Slug  Text `json:"slug"`
	Path  Text `json:"path"`

	Environment Text `json:"environment"` // of a job's run
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *githubObject) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		type plain githubObject
		return json.Unmarshal(b, (*plain)(o))
	}
	return o.Name.UnmarshalJSON(b)
}

func (o *githubObject) name() string {
	if o == nil {
		return ""
	}
	return first(string(o.Name), string(o.Title), string(o.Slug), string(o.ID))
}

type githubMember struct {
	User  *forgeUser `json:"user"`
	Role  Text       `json:"role"`
	State Text       `json:"state"`
}

type githubCommit struct {
	ID        Text       `json:"id"`
	SHA       Text       `json:"sha"` // until 2015
	Message   Text       `json:"message"`
	Timestamp Text       `json:"timestamp"`
	Author    *forgeUser `json:"author"`
	Added     Strings    `json:"added"`
	Removed   Strings    `json:"removed"`
	Modified  Strings    `json:"modified"`
}

func parseGitHub(in *Input, out *Out) error {
	if in.Data[0] == '[' || isGitHubAlerts(shapeOf(in.Data)) {
		return parseGitHubAlerts(in, out)
	}
	if kind := header(in.Record, "X-GitHub-Event"); kind == "" && matchGitHubAudit(shapeOf(in.Data)) {
		return parseGitHubAudit(in, out)
	}
	var v githubEvent
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	kind := header(in.Record, "X-GitHub-Event")
	if kind == "" {
		kind = v.kind(in.Data)
	}
	v.emit(out, kind)
	return nil
}

// header returns a header of the record, whatever the case of its name.
func header(r *pipeline.Record, name string) string {
	return (&Shape{record: r}).Header(name)
}

// kind tells from the members of a payload which event it is of. Those that carry others' members stand first: a job may
// hold its deployment, a deployment its workflow run.
func (v *githubEvent) kind(data []byte) string {
	switch {
	case v.Zen != "" && v.HookID != "":
		return "ping"
	case v.Before != "" && v.After != "" && v.Ref != "" && v.PullRequest == nil:
		return "push"
	case v.DeployStatus != nil:
		return "deployment_status"
	case v.CallbackURL != "":
		return "deployment_protection_rule"
	case v.JobRun != nil || v.JobRuns != nil || v.Approver != nil || v.Requestor != nil:
		return "deployment_review"
	case v.WorkflowJob != nil:
		return "workflow_job"
	case v.Deployment != nil:
		return "deployment"
	case v.CheckRun != nil:
		return "check_run"
	case v.CheckSuite != nil:
		return "check_suite"
	case v.WorkflowRun != nil:
		return "workflow_run"
	case v.PullRequest != nil:
		return v.pullKind()
	case v.Issue != nil && v.Comment != nil:
		return "issue_comment"
	case v.Issue != nil:
		return "issues"
	case v.Release != nil:
		return "release"
	case v.Alert != nil:
		return v.alertKind()
	case v.Advisory != nil:
		return "security_advisory"
	case v.RepoAdvisory != nil:
		return "repository_advisory"
	case v.Package != nil:
		return "package"
	case v.Registry != nil:
		return "registry_package"
	case v.RefType != "" && (v.Master != "" || v.SHA != "" || member(data, "description") != nil || member(data, "default_branch") != nil):
		return "create"
	case v.RefType != "":
		return "delete"
	case v.Context != "" && v.SHA != "":
		return "status"
	case v.MergeGroup != nil:
		return "merge_group"
	}
	return v.settingsKind(data)
}

func (v *githubEvent) pullKind() string {
	switch {
	case v.Review != nil:
		return "pull_request_review"
	case v.Comment != nil:
		return "pull_request_review_comment"
	case v.Thread != nil:
		return "pull_request_review_thread"
	}
	return "pull_request"
}

func (v *githubEvent) settingsKind(data []byte) string {
	switch {
	case v.Forkee != nil:
		return "fork"
	case v.Member != nil && v.Scope != "":
		return "membership"
	case v.Member != nil:
		return "member"
	case v.Membership != nil:
		return "organization"
	case v.Rule != nil:
		return "branch_protection_rule"
	case v.Ruleset != nil:
		return "repository_ruleset"
	case v.Key != nil:
		return "deploy_key"
	case v.Hook != nil:
		return "meta"
	case v.Pages != nil:
		return "gollum"
	case v.Build != nil:
		return "page_build"
	case v.Blocked != nil:
		return "org_block"
	case v.Comment != nil && member(data, "discussion") == nil:
		return "commit_comment"
	case v.Label != nil:
		return "label"
	case v.OrgTeam != nil && v.Action == "":
		return "team_add"
	case v.OrgTeam != nil:
		return "team"
	case v.Workflow != nil:
		return "workflow_dispatch"
	case v.Starred != nil:
		return "star"
	case v.Action == "started" && v.Repository.Name != "":
		return "watch"
	}
	for _, k := range []string{"discussion", "milestone", "project", "project_card", "project_column", "projects_v2",
		"projects_v2_item", "sponsorship", "marketplace_purchase", "client_payload", "personal_access_token_request"} {
		if member(data, k) != nil {
			return strings.Replace(k, "client_payload", "repository_dispatch", 1)
		}
	}
	switch {
	case v.Installation != nil && v.Repository.Name == "":
		return "installation"
	case v.Action == "" && v.Repository.Name != "":
		return "public"
	case v.Repository.Name != "":
		return "repository"
	}
	return ""
}

func (v *githubEvent) emit(out *Out, kind string) {
	switch kind {
	case "push":
		v.push(out)
	case "pull_request", "pull_request_target":
		v.pullRequest(out)
	case "pull_request_review":
		v.review(out)
	case "pull_request_review_comment", "pull_request_review_thread", "commit_comment":
		v.comment(out, kind)
	case "issues", "issue_comment", "sub_issues", "issue_dependencies":
		v.issue(out, kind)
	case "check_run":
		v.checkRun(out)
	case "check_suite":
		v.checkSuite(out)
	case "workflow_run":
		v.workflowRun(out)
	case "workflow_job":
		v.workflowJob(out)
	case "status":
		v.commitStatus(out)
	case "deployment", "deployment_status":
		v.deployment(out)
	case "deployment_review", "deployment_protection_rule":
		v.deploymentReview(out)
	case "release":
		v.release(out)
	case "package", "registry_package":
		v.packageEvent(out)
	case "page_build":
		v.pageBuild(out)
	case "code_scanning_alert", "dependabot_alert", "repository_vulnerability_alert", "secret_scanning_alert",
		"secret_scanning_alert_location":
		v.alert(out, kind)
	case "security_advisory", "repository_advisory":
		v.advisory(out, kind)
	case "secret_scanning_scan":
		v.secretScan(out)
	default:
		v.other(out, kind)
	}
}

// event appends an event with what all of GitHub's webhooks say.
func (v *githubEvent) event(out *Out, typ, kind string) *pipeline.Event {
	e := out.Event(typ)
	e.Severity = pipeline.SeverityInfo
	e.Repo = v.Repository.repo()
	e.Actor = v.Sender.account()
	e.SetAttr("webhook.event", kind)
	e.SetAttr("action", string(v.Action))
	return e
}

func (v *githubEvent) push(out *Out) {
	p := pushed{
		repo: v.Repository.repo(), ref: string(v.Ref), before: string(v.Before), after: string(v.After),
		actor: first(v.Sender.account(), v.Pusher.account()), time: parseTime(string(v.Repository.PushedAt)),
		forced: string(v.Forced), created: v.Created, deleted: v.Deleted,
	}
	if len(v.Commits) == 0 && v.HeadCommit != nil && !v.Created && !v.Deleted {
		v.Commits = []githubCommit{*v.HeadCommit} // a branch moved onto a commit that is known already
	}
	for i := range v.Commits {
		c := &v.Commits[i]
		p.commits = append(p.commits, pushedCommit{
			id: first(string(c.ID), string(c.SHA)), author: c.Author.account(), message: string(c.Message),
			time: parseTime(string(c.Timestamp)), files: len(c.Added) + len(c.Removed) + len(c.Modified),
		})
	}
	emitPush(out, &p)
}

// other gives the events about a repository's refs, settings and members, about accounts, and what has no better name.
func (v *githubEvent) other(out *Out, kind string) {
	e := v.event(out, githubOther(kind, string(v.Action)), kind)
	what := ""
	switch kind {
	case "create", "delete":
		if v.RefType == "repository" {
			break
		}
		e.Ref, what = refOf(string(v.Ref)), string(v.Ref)
		e.Commit = commitOf(string(v.SHA))
		e.SetAttr("vcs.ref.type", string(v.RefType))
	case "ping":
		what = string(v.Zen)
		e.Phase = pipeline.PhaseMonitoring
	case "fork":
		if v.Forkee != nil {
			what = string(v.Forkee.FullName)
			e.SetAttr("parent", e.Repo)
			e.Repo, e.Time = v.Forkee.repo(), parseTime(string(v.Forkee.CreatedAt))
		}
	case "member", "membership":
		what = v.Member.account()
	case "organization":
		if v.Membership != nil {
			what = v.Membership.User.account()
			e.SetAttr("role", string(v.Membership.Role))
		}
	case "org_block":
		what = v.Blocked.account()
	case "repository":
		e.Time = parseTime(string(v.Repository.UpdatedAt))
		e.SetAttr("visibility", string(v.Repository.Visibility))
	case "workflow_dispatch", "repository_dispatch":
		e.Phase, e.Pipeline, e.Ref = pipeline.PhaseTesting, v.Workflow.name(), refOf(string(v.Ref))
	case "merge_group":
		e.Phase = pipeline.PhaseTesting
	default:
		for _, o := range []*githubObject{v.Rule, v.Ruleset, v.Key, v.OrgTeam, v.Label, v.Hook} {
			what = first(what, o.name())
		}
	}
	e.SetAttr("object", what)
	e.SetAttr("team", v.OrgTeam.name())
	e.Title = strings.Join(strings.Fields(first(string(v.Repository.FullName), string(v.Organization.Login))+" "+
		strings.ReplaceAll(kind, "_", " ")+" "+string(v.Action)+" "+what), " ")
}

// githubOther gives the type of an event that is about a repository, its settings or accounts.
func githubOther(kind, action string) string {
	switch kind {
	case "create":
		return "branch.created"
	case "delete":
		return "branch.deleted"
	case "fork":
		return "repository.created"
	case "ping":
		return "heartbeat"
	case "repository":
		switch action {
		case "created":
			return "repository.created"
		case "deleted":
			return "repository.deleted"
		}
		return "repository.modified"
	case "branch_protection_rule", "branch_protection_configuration", "repository_ruleset", "member", "team_add", "public",
		"meta", "deploy_key", "label", "milestone", "gollum", "custom_property", "custom_property_values",
		"custom_property_promoted_to_enterprise", "security_and_analysis", "repository_import", "installation_repositories",
		"exemption_request_push_ruleset", "bypass_request_push_ruleset", "exemption_request_secret_scanning",
		"bypass_request_secret_scanning":
		return "repository.modified"
	case "membership", "organization", "org_block", "team", "installation", "installation_target",
		"personal_access_token_request":
		return "user.modified"
	case "github_app_authorization":
		return "credential.revoked"
	case "workflow_dispatch", "repository_dispatch":
		return "pipelinerun.queued"
	case "merge_group":
		if action == "checks_requested" {
			return "pipelinerun.queued"
		}
	}
	return "log"
}

// githubRun names a run: host/owner/name/id.
func githubRun(repo, id string) string {
	if repo == "" || id == "" {
		return ""
	}
	return repo + "/" + id
}

// runInURL finds the run's id in a URL of GitHub Actions (.../actions/runs/<id>/...).
func runInURL(url string) string {
	_, rest, ok := strings.Cut(url, "/actions/runs/")
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, "/")
	if _, err := strconv.ParseUint(id, 10, 64); err != nil {
		return ""
	}
	return id
}
