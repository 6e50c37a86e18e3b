package parse

import (
	"strings"

	"github.com/segmentio/encoding/json"

	"github.com/tocsin-project/tocsin/pipeline"
)

// GitHub's pull requests, reviews and issues.

type githubPull struct {
	Number    Text       `json:"number"`
	Title     Text       `json:"title"`
	State     Text       `json:"state"`
	Draft     Text       `json:"draft"`
	Additions Text       `json:"additions"`
	Merged    Text       `json:"merged"`
	MergedAt  Text       `json:"merged_at"`
	MergedBy  *forgeUser `json:"merged_by"`
	MergeSHA  Text       `json:"merge_commit_sha"`
	CreatedAt Text       `json:"created_at"`
	UpdatedAt Text       `json:"updated_at"`
	ClosedAt  Text       `json:"closed_at"`
	User      *forgeUser `json:"user"`
	Head      githubEnd  `json:"head"`
	Base      githubEnd  `json:"base"`
	HTMLURL   Text       `json:"html_url"`
	Commits   Text       `json:"commits"`
	Files     Text       `json:"changed_files"`
}

// githubEnd is one end of a pull request.
type githubEnd struct {
	Ref  Text `json:"ref"`
	SHA  Text `json:"sha"`
	Repo *struct {
		FullName Text `json:"full_name"`
	} `json:"repo"`
}

type githubReview struct {
	ID          Text       `json:"id"`
	State       Text       `json:"state"`
	User        *forgeUser `json:"user"`
	CommitID    Text       `json:"commit_id"`
	SubmittedAt Text       `json:"submitted_at"`
	UpdatedAt   Text       `json:"updated_at"`
	Type        Text       `json:"type"` // Gitea has this one only
}

type githubComment struct {
	ID        Text       `json:"id"`
	User      *forgeUser `json:"user"`
	CommitID  Text       `json:"commit_id"`
	Path      Text       `json:"path"`
	CreatedAt Text       `json:"created_at"`
	UpdatedAt Text       `json:"updated_at"`
}

// UnmarshalJSON implements json.Unmarshaler. In a deployment's review the comment is a text, which nothing reads.
func (c *githubComment) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '{' {
		return nil
	}
	type plain githubComment
	return json.Unmarshal(b, (*plain)(c))
}

type githubIssue struct {
	Number      Text            `json:"number"`
	Title       Text            `json:"title"`
	State       Text            `json:"state"`
	StateReason Text            `json:"state_reason"`
	User        *forgeUser      `json:"user"`
	Assignee    *forgeUser      `json:"assignee"`
	HTMLURL     Text            `json:"html_url"`
	CreatedAt   Text            `json:"created_at"`
	UpdatedAt   Text            `json:"updated_at"`
	ClosedAt    Text            `json:"closed_at"`
	PullRequest json.RawMessage `json:"pull_request"`
	Type        *githubObject   `json:"type"`
	Labels      []githubObject  `json:"labels"`
}

// change appends an event about the payload's pull request.
func (v *githubEvent) change(out *Out, typ, kind string) *pipeline.Event {
	e := v.event(out, typ, kind)
	pr := v.PullRequest
	if pr == nil {
		return e
	}
	number := first(string(pr.Number), string(v.Number))
	e.Change = changeOf(e.Repo, number)
	e.Ref, e.Commit = refOf(string(pr.Base.Ref)), commitOf(string(pr.Head.SHA))
	e.Time = parseTime(string(pr.UpdatedAt))
	e.Title = first(string(v.Repository.FullName), e.Repo) + "#" + number
	e.SetAttr("vcs.change.id", number)
	e.SetAttr("vcs.change.title", string(pr.Title))
	e.SetAttr("vcs.change.state", githubChangeState(pr))
	e.SetAttr("vcs.ref.head.name", refOf(string(pr.Head.Ref)))
	e.SetAttr("vcs.ref.base.name", refOf(string(pr.Base.Ref)))
	e.SetAttr("author", pr.User.account())
	e.Actor = first(e.Actor, pr.User.account())
	e.SetAttr("change.additions", string(pr.Additions)) // not in reviews' payloads
	if string(pr.Draft) == "true" {
		e.SetAttr("draft", "true")
	}
	if pr.Head.Repo != nil && pr.Head.Repo.FullName != v.Repository.FullName {
		e.SetAttr("fork", string(pr.Head.Repo.FullName))
	}
	return e
}

// githubChangeState gives a pull request's state in OpenTelemetry's words.
func githubChangeState(pr *githubPull) string {
	switch {
	case githubMerged(pr):
		return "merged"
	case pr.State == "closed":
		return "closed"
	case pr.Draft == "true":
		return "wip"
	}
	return string(pr.State)
}

func githubMerged(pr *githubPull) bool { return pr.Merged == "true" || pr.MergedAt != "" }

func (v *githubEvent) pullRequest(out *Out) {
	pr := v.PullRequest
	if pr == nil {
		v.other(out, "pull_request")
		return
	}
	action := string(v.Action)
	typ, verb := "change.updated", strings.ReplaceAll(action, "_", " ")
	switch {
	case action == "opened":
		typ = "change.created"
	case action == "closed" && githubMerged(pr):
		typ, verb = "change.merged", "merged"
	case action == "closed":
		typ, verb = "change.abandoned", "closed without merge"
	case action == "review_requested":
		typ = "approval.created"
	case action == "synchronize" || action == "synchronized":
		verb = "got new commits"
	}
	e := v.change(out, typ, "pull_request")
	switch typ {
	case "change.created":
		e.Time = parseTime(first(string(pr.CreatedAt), string(pr.UpdatedAt)))
	case "change.merged":
		e.Outcome = pipeline.OutcomeSuccess
		e.Time = parseTime(first(string(pr.MergedAt), string(pr.ClosedAt), string(pr.UpdatedAt)))
		e.SetAttr("vcs.change.merge_commit", commitOf(string(pr.MergeSHA)))
		e.SetAttr("merged_by", pr.MergedBy.account())
	case "change.abandoned":
		e.Outcome = pipeline.OutcomeCancel
		e.Time = parseTime(first(string(pr.ClosedAt), string(pr.UpdatedAt)))
	case "approval.created":
		e.SetAttr("reviewer", first(v.Reviewer.account(), v.Team.name()))
	}
	e.SetAttr("before", commitOf(string(v.Before)))
	e.SetAttr("after", commitOf(string(v.After)))
	e.SetAttr("label", v.Label.name())
	e.SetAttr("assignee", v.Assignee.account())
	e.Title += " " + verb + ": " + string(pr.Title)
}

func (v *githubEvent) review(out *Out) {
	r := v.Review
	if r == nil {
		v.other(out, "pull_request_review")
		return
	}
	state := strings.ToLower(string(r.State))
	if state == "" {
		state = strings.TrimPrefix(strings.TrimPrefix(string(r.Type), "pull_request_"), "review_")
	}
	typ, decision := "change.reviewed", ""
	switch {
	case v.Action == "dismissed" || state == "dismissed":
		typ, decision = "approval.closed", decisionDismissed
	case v.Action == "edited": // only its text
	case state == "approved":
		typ, decision = "approval.closed", decisionApproved
	case state == "changes_requested" || state == "request_changes" || state == "rejected":
		typ, decision = "approval.closed", decisionChanges
	}
	e := v.change(out, typ, "pull_request_review")
	if decision != "" {
		setDecision(e, decision)
	}
	e.Actor = first(v.Sender.account(), r.User.account())
	e.Commit = first(commitOf(string(r.CommitID)), e.Commit)
	if t := parseTime(string(r.SubmittedAt)); !t.IsZero() && v.Action == "submitted" {
		e.Time = t
	}
	e.SetAttr("review.state", state)
	e.SetAttr("reviewer", r.User.account())
	e.Title += " review " + strings.ReplaceAll(first(state, string(v.Action)), "_", " ") + " by " + e.Actor
}

func (v *githubEvent) comment(out *Out, kind string) {
	e := v.change(out, "change.reviewed", kind)
	if c := v.Comment; c != nil {
		e.Time = parseTime(first(string(c.UpdatedAt), string(c.CreatedAt)))
		e.Commit = first(commitOf(string(c.CommitID)), e.Commit)
		e.SetAttr("code.file.path", string(c.Path))
	}
	if v.PullRequest == nil {
		e.Title = string(v.Repository.FullName) + "@" + short(e.Commit)
	}
	e.Title += " " + strings.TrimPrefix(strings.ReplaceAll(kind, "_", " "), "pull request ") + " " + string(v.Action) + " by " + e.Actor
}

// issue gives tickets. A comment on a pull request reaches us as an issue's comment.
func (v *githubEvent) issue(out *Out, kind string) {
	i := v.Issue
	if i == nil {
		v.other(out, kind)
		return
	}
	e := v.event(out, githubTicket(v, kind), kind)
	e.Time = parseTime(first(string(i.UpdatedAt), string(i.CreatedAt)))
	number := string(i.Number)
	if e.Type == "change.reviewed" {
		e.Change = changeOf(e.Repo, number)
	} else {
		e.Phase = pipeline.PhaseRequirements
	}
	switch e.Type {
	case "ticket.created":
		e.Time = parseTime(string(i.CreatedAt))
	case "ticket.closed":
		if t := parseTime(string(i.ClosedAt)); !t.IsZero() {
			e.Time = t
		}
		e.Outcome = pipeline.OutcomeSuccess
		resolution := first(string(i.StateReason), "completed")
		if v.Action != "closed" {
			resolution = string(v.Action)
		}
		if resolution != "completed" {
			e.Outcome = pipeline.OutcomeCancel
		}
		e.SetAttr("resolution", resolution)
	}
	e.SetAttr("ticket.id", number)
	e.SetAttr("ticket.title", string(i.Title))
	e.SetAttr("ticket.state", string(i.State))
	e.SetAttr("ticket.type", i.Type.name())
	e.SetAttr("author", i.User.account())
	e.SetAttr("assignee", first(v.Assignee.account(), i.Assignee.account()))
	e.SetAttr("label", v.Label.name())
	var labels []string
	for j := range i.Labels {
		labels = append(labels, i.Labels[j].name())
	}
	e.SetAttr("ticket.labels", strings.Join(labels, ","))
	if v.Comment != nil {
		e.SetAttr("comment.author", v.Comment.User.account())
		if t := parseTime(first(string(v.Comment.UpdatedAt), string(v.Comment.CreatedAt))); !t.IsZero() {
			e.Time = t
		}
	}
	what := strings.ReplaceAll(string(v.Action), "_", " ")
	if kind == "issue_comment" {
		what = "comment " + what
	}
	e.Title = string(v.Repository.FullName) + "#" + number + " " + what + ": " + string(i.Title)
}

// githubTicket gives the type of an issue's event. An issue that is deleted or moved away while open is closed by that.
func githubTicket(v *githubEvent, kind string) string {
	isPull := len(v.Issue.PullRequest) > 0 && string(v.Issue.PullRequest) != "null"
	switch {
	case kind == "issue_comment" && isPull:
		return "change.reviewed"
	case kind != "issues":
		return "ticket.updated"
	case v.Action == "opened":
		return "ticket.created"
	case v.Action == "closed", (v.Action == "deleted" || v.Action == "transferred") && v.Issue.State == "open":
		return "ticket.closed"
	}
	return "ticket.updated"
}
