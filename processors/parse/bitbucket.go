package parse

import (
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// bitbucket reads the webhooks of Bitbucket Cloud, which names the event in header X-Event-Key only, and of Bitbucket
// Server and Data Center, which name it in eventKey.
// https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/,
// https://confluence.atlassian.com/bitbucketserver/event-payload-938025882.html
var bitbucket = Format{
	Name: "bitbucket-webhook", Title: "Bitbucket webhooks (Cloud and Data Center)", Phase: pipeline.PhaseWriting,
	Types: []string{
		"log", "branch.push", "branch.created", "branch.deleted", "change.created", "change.updated", "change.reviewed",
		"change.merged", "change.abandoned", "approval.created", "approval.closed", "ticket.created", "ticket.updated",
		"ticket.closed", "repository.created", "repository.modified", "repository.deleted", "taskrun.queued", "taskrun.started",
		"taskrun.finished", "heartbeat",
	},
	Known: "JSON object with eventKey, or with actor, repository and push, pullrequest, issue, fork, commit_status or changes",
	Frame: Values,
	Match: func(s *Shape) bool {
		if s.Array || !s.IsObject() {
			return false
		}
		if s.String("eventKey") != "" || s.Has("test") && s.Header("X-Event-Key") != "" {
			return true
		}
		if s.Header("X-Event-Key") != "" && s.Has("repository") {
			return true
		}
		return s.Has("actor", "repository") && (s.Has("push") || s.Has("pullrequest") || s.Has("issue") || s.Has("fork") ||
			s.Has("commit_status") || s.Has("commit", "comment") || s.Raw("repository", "uuid") != nil)
	},
	Parse: parseBitbucket,
}

// bitbucketUser is an account of either product.
type bitbucketUser struct {
	Name     Text `json:"name"`
	Username Text `json:"username"`
	Nickname Text `json:"nickname"`
	Display  Text `json:"display_name"`
	Display2 Text `json:"displayName"`
	Slug     Text `json:"slug"`
}

func (u *bitbucketUser) account() string {
	if u == nil {
		return ""
	}
	return string(first(u.Username, u.Nickname, u.Name, u.Slug, u.Display, u.Display2))
}

type bitbucketRepo struct {
	FullName Text `json:"full_name"`
	Name     Text `json:"name"`
	Slug     Text `json:"slug"`
	Project  struct {
		Key Text `json:"key"`
	} `json:"project"`
}

// repo returns the repository; Cloud has one host, a server's payload does not tell its own.
func (r *bitbucketRepo) repo() string {
	if r.FullName != "" {
		return "bitbucket.org/" + strings.ToLower(string(r.FullName))
	}
	if r.Slug == "" {
		return ""
	}
	return repoOf(string(r.Project.Key) + "/" + string(r.Slug))
}

type bitbucketEvent struct {
	Key        Text           `json:"eventKey"`
	Date       Text           `json:"date"`
	Actor      *bitbucketUser `json:"actor"`
	Repository bitbucketRepo  `json:"repository"`
	Push       struct {
		Changes []bitbucketChange `json:"changes"`
	} `json:"push"`
	Changes  bitbucketRefs  `json:"changes"`
	Commits  []bitbucketC   `json:"commits"`
	ToCommit *bitbucketC    `json:"toCommit"`
	Pull     *bitbucketPull `json:"pullrequest"`
	Server   *bitbucketPull `json:"pullRequest"`
	Approval *struct {
		Date Text           `json:"date"`
		User *bitbucketUser `json:"user"`
	} `json:"approval"`
	ChangesRequest *struct {
		Date Text           `json:"date"`
		User *bitbucketUser `json:"user"`
	} `json:"changes_request"`
	Participant *struct {
		User   *bitbucketUser `json:"user"`
		Status Text           `json:"status"`
		Commit Text           `json:"lastReviewedCommit"`
	} `json:"participant"`
	PreviousStatus Text             `json:"previousStatus"`
	PreviousHash   Text             `json:"previousFromHash"`
	Added          []bitbucketUser  `json:"addedReviewers"`
	Comment        *bitbucketNote   `json:"comment"`
	Issue          *bitbucketTicket `json:"issue"`
	Fork           *bitbucketRepo   `json:"fork"`
	Status         *bitbucketBuild  `json:"commit_status"`
	Commit         *bitbucketC      `json:"commit"`
	Test           Text             `json:"test"`
}

// bitbucketRefs is what changed: of refs, an array, in a server's push; of an issue, an object, in Cloud's.
type bitbucketRefs []struct {
	RefID Text `json:"refId"`
	From  Text `json:"fromHash"`
	To    Text `json:"toHash"`
	Type  Text `json:"type"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *bitbucketRefs) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '[' {
		return nil
	}
	type plain bitbucketRefs
	return decode(b, (*plain)(r))
}

type bitbucketC struct {
	ID      Text         `json:"id"`
	Hash    Text         `json:"hash"`
	Message Text         `json:"message"`
	Date    Text         `json:"date"`
	Time    Text         `json:"committerTimestamp"`
	Author  bitbucketWho `json:"author"`
}

// UnmarshalJSON implements json.Unmarshaler: a server's comments have a commit's hash alone.
func (c *bitbucketC) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		c.ID = Text(textOf(b))
		return nil
	}
	type plain bitbucketC
	return decode(b, (*plain)(c))
}

type bitbucketWho struct {
	Raw  Text           `json:"raw"`
	User *bitbucketUser `json:"user"`
	Name Text           `json:"name"`
}

type bitbucketChange struct {
	New     *bitbucketRef `json:"new"`
	Old     *bitbucketRef `json:"old"`
	Forced  Text          `json:"forced"`
	Commits []bitbucketC  `json:"commits"`
}

type bitbucketRef struct {
	Type   Text       `json:"type"`
	Name   Text       `json:"name"`
	Target bitbucketC `json:"target"`
}

type bitbucketPull struct {
	ID          Text           `json:"id"`
	Title       Text           `json:"title"`
	State       Text           `json:"state"`
	Author      bitbucketActor `json:"author"`
	CreatedOn   Text           `json:"created_on"`
	UpdatedOn   Text           `json:"updated_on"`
	CreatedDate Text           `json:"createdDate"`
	UpdatedDate Text           `json:"updatedDate"`
	ClosedDate  Text           `json:"closedDate"`
	Reason      Text           `json:"reason"`
	Source      bitbucketEnd   `json:"source"`
	Destination bitbucketEnd   `json:"destination"`
	FromRef     bitbucketEnd   `json:"fromRef"`
	ToRef       bitbucketEnd   `json:"toRef"`
	MergeCommit *bitbucketC    `json:"merge_commit"`
	Properties  struct {
		MergeCommit *bitbucketC `json:"mergeCommit"`
	} `json:"properties"`
	Reviewers []struct {
		Status Text `json:"status"`
	} `json:"reviewers"`
	Participants []struct {
		State Text `json:"state"`
	} `json:"participants"`
}

// bitbucketActor is an author: an account in Cloud, an object that holds one on a server.
type bitbucketActor struct {
	bitbucketUser
	User *bitbucketUser `json:"user"`
}

func (a *bitbucketActor) account() string {
	if a.User != nil {
		return a.User.account()
	}
	return a.bitbucketUser.account()
}

type bitbucketEnd struct {
	Branch struct {
		Name Text `json:"name"`
	} `json:"branch"`
	Commit     bitbucketC    `json:"commit"`
	Repository bitbucketRepo `json:"repository"`
	DisplayID  Text          `json:"displayId"`
	Latest     Text          `json:"latestCommit"`
}

type bitbucketNote struct {
	CreatedOn   Text `json:"created_on"`
	UpdatedOn   Text `json:"updated_on"`
	CreatedDate Text `json:"createdDate"`
	UpdatedDate Text `json:"updatedDate"`
}

type bitbucketTicket struct {
	ID        Text           `json:"id"`
	Title     Text           `json:"title"`
	State     Text           `json:"state"`
	Type      Text           `json:"type"`
	Kind      Text           `json:"kind"`
	Priority  Text           `json:"priority"`
	CreatedOn Text           `json:"created_on"`
	UpdatedOn Text           `json:"updated_on"`
	Reporter  *bitbucketUser `json:"reporter"`
	Assignee  *bitbucketUser `json:"assignee"`
}

type bitbucketBuild struct {
	Name      Text `json:"name"`
	Key       Text `json:"key"`
	State     Text `json:"state"`
	URL       Text `json:"url"`
	CreatedOn Text `json:"created_on"`
	UpdatedOn Text `json:"updated_on"`
	Refname   Text `json:"refname"`
	Commit    struct {
		Hash Text `json:"hash"`
	} `json:"commit"`
}

func parseBitbucket(in *Input, out *Out) error {
	var v bitbucketEvent
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	key := strings.ToLower(first(string(v.Key), header(in.Record, "X-Event-Key")))
	switch {
	case len(v.Push.Changes) > 0:
		v.push(out)
	case len(v.Changes) > 0:
		v.refs(out)
	case v.Pull != nil || v.Server != nil:
		v.pull(out, key)
	case v.Issue != nil:
		v.issue(out, key)
	case v.Status != nil:
		v.build(out)
	default:
		v.other(out, key)
	}
	return nil
}

func (v *bitbucketEvent) event(out *Out, typ, key string) *pipeline.Event {
	e := out.Event(typ)
	e.Severity, e.Actor, e.Repo = pipeline.SeverityInfo, v.Actor.account(), v.Repository.repo()
	e.Time = parseTime(string(v.Date))
	e.SetAttr("webhook.event", key)
	return e
}

// push reads Cloud's push, which may move several refs.
func (v *bitbucketEvent) push(out *Out) {
	for i := range v.Push.Changes {
		c := &v.Push.Changes[i]
		p := pushed{repo: v.Repository.repo(), actor: v.Actor.account(), forced: string(c.Forced), created: c.Old == nil, deleted: c.New == nil}
		for _, r := range []*bitbucketRef{c.Old, c.New} {
			if r == nil {
				continue
			}
			p.ref = "refs/heads/" + string(r.Name)
			if r.Type == "tag" || r.Type == "annotated_tag" {
				p.ref = "refs/tags/" + string(r.Name)
			}
			p.time = parseTime(string(r.Target.Date))
		}
		if c.Old != nil {
			p.before = string(c.Old.Target.Hash)
		}
		if c.New != nil {
			p.after = string(c.New.Target.Hash)
		}
		if !p.deleted && !strings.HasPrefix(p.ref, "refs/tags/") {
			p.commits = bitbucketCommits(c.Commits)
		}
		emitPush(out, &p)
	}
}

func bitbucketCommits(list []bitbucketC) []pushedCommit {
	var commits []pushedCommit
	for i := range list {
		c := &list[i]
		author := string(first(c.Author.Name, c.Author.Raw))
		if c.Author.User != nil {
			author = c.Author.User.account()
		}
		commits = append(commits, pushedCommit{
			id: string(first(c.Hash, c.ID)), author: author, message: string(c.Message), time: parseTime(string(first(c.Date, c.Time))),
		})
	}
	return commits
}

// refs reads a server's push.
func (v *bitbucketEvent) refs(out *Out) {
	for i := range v.Changes {
		c := &v.Changes[i]
		p := pushed{
			repo: v.Repository.repo(), ref: string(c.RefID), before: string(c.From), after: string(c.To), actor: v.Actor.account(),
			time: parseTime(string(v.Date)), created: c.Type == "ADD", deleted: c.Type == "DELETE",
		}
		if len(v.Changes) == 1 && !p.deleted {
			p.commits = bitbucketCommits(v.Commits)
			if len(p.commits) == 0 && v.ToCommit != nil && !p.created {
				p.commits = bitbucketCommits([]bitbucketC{*v.ToCommit})
			}
		}
		emitPush(out, &p)
	}
}

// bitbucketPullType converts the event's key; without one, the members and the state tell.
func bitbucketPullType(v *bitbucketEvent, pr *bitbucketPull, key string) (typ, decision string) {
	switch strings.TrimPrefix(strings.TrimPrefix(key, "pullrequest:"), "pr:") {
	case "created", "opened":
		return "change.created", ""
	case "fulfilled", "merged":
		return "change.merged", ""
	case "rejected", "declined", "deleted":
		return "change.abandoned", ""
	case "approved", "reviewer:approved":
		return "approval.closed", decisionApproved
	case "changes_request_created", "reviewer:needs_work", "reviewer:changes_requested":
		return "approval.closed", decisionChanges
	case "unapproved", "changes_request_removed", "reviewer:unapproved":
		return "approval.closed", decisionDismissed
	case "reviewer:updated":
		if len(v.Added) > 0 {
			return "approval.created", ""
		}
	case "":
		state := strings.ToUpper(string(pr.State))
		switch {
		case v.ChangesRequest != nil:
			return "approval.closed", decisionChanges
		case v.Approval != nil:
			return "approval.closed", decisionApproved
		case v.Comment != nil:
			return "change.reviewed", ""
		case state == "MERGED":
			return "change.merged", ""
		case state == "DECLINED" || state == "SUPERSEDED":
			return "change.abandoned", ""
		case state == "OPEN" && atOnce(pr.CreatedOn, pr.UpdatedOn) && pr.CreatedDate == pr.UpdatedDate:
			return "change.created", ""
		}
	}
	if strings.Contains(key, "comment") {
		return "change.reviewed", ""
	}
	return "change.updated", ""
}

// atOnce reports whether something's last change is its making: Bitbucket Cloud dates the two some milliseconds apart.
func atOnce(created, updated Text) bool {
	return created == updated || parseTime(string(updated)).Sub(parseTime(string(created))).Abs() < time.Second
}

func (v *bitbucketEvent) pull(out *Out, key string) {
	pr := v.Pull
	if pr == nil {
		pr = v.Server
	}
	typ, decision := bitbucketPullType(v, pr, key)
	e := v.event(out, typ, key)
	if e.Repo == "" {
		e.Repo = pr.ToRef.Repository.repo()
	}
	e.Change = changeOf(e.Repo, string(pr.ID))
	e.Ref = string(first(pr.Destination.Branch.Name, pr.ToRef.DisplayID))
	head := string(first(pr.Source.Commit.Hash, pr.FromRef.Latest))
	if e.Commit = commitOf(head); e.Commit == "" {
		e.SetAttr("vcs.ref.head.revision", head)
	}
	if e.Time = parseTime(string(v.Date)); e.Time.IsZero() {
		e.Time = parseTime(string(first(pr.UpdatedOn, pr.UpdatedDate, pr.CreatedOn)))
	}
	state := strings.ToLower(string(pr.State))
	e.SetAttr("vcs.change.id", string(pr.ID))
	e.SetAttr("vcs.change.title", string(pr.Title))
	e.SetAttr("vcs.change.state", state)
	e.SetAttr("vcs.ref.head.name", string(first(pr.Source.Branch.Name, pr.FromRef.DisplayID)))
	e.SetAttr("vcs.ref.base.name", e.Ref)
	e.SetAttr("author", pr.Author.account())
	switch typ {
	case "change.merged":
		e.Outcome = pipeline.OutcomeSuccess
		if m := first(pr.MergeCommit, pr.Properties.MergeCommit); m != nil {
			e.SetAttr("vcs.change.merge_commit", string(first(m.Hash, m.ID)))
		}
	case "change.abandoned":
		e.Outcome = pipeline.OutcomeCancel
		e.SetAttr("reason", oneLine(string(pr.Reason), 200))
	case "approval.closed":
		setDecision(e, decision)
		if v.Participant != nil {
			e.SetAttr("reviewer", v.Participant.User.account())
			e.Commit = first(commitOf(string(v.Participant.Commit)), e.Commit)
		}
		e.SetAttr("decision.before", strings.ToLower(string(v.PreviousStatus)))
	case "approval.created":
		e.SetAttr("reviewer", v.Added[0].account())
	case "change.updated":
		v.reformulated(e, pr, key)
	}
	what := first(decision, strings.TrimPrefix(typ, "change."))
	e.Title = e.Change + " " + what + ": " + string(pr.Title)
}

// reformulated marks new commits while a reviewer of the change waits for changes.
func (v *bitbucketEvent) reformulated(e *pipeline.Event, pr *bitbucketPull, key string) {
	e.SetAttr("before", string(v.PreviousHash))
	if !strings.Contains(key, "from_ref_updated") {
		return
	}
	for _, r := range pr.Reviewers {
		if strings.EqualFold(string(r.Status), "NEEDS_WORK") {
			e.SetAttr("reformulated", "true")
		}
	}
}

func (v *bitbucketEvent) issue(out *Out, key string) {
	i := v.Issue
	state := strings.ToLower(string(i.State))
	typ := "ticket.updated"
	closed := false
	switch state {
	case "resolved", "closed", "invalid", "duplicate", "wontfix":
		closed = true
	}
	switch {
	case key == "issue:created" || key == "" && v.Comment == nil && atOnce(i.CreatedOn, i.UpdatedOn) && !closed:
		typ = "ticket.created"
	case closed && !strings.Contains(key, "comment"):
		typ = "ticket.closed"
	}
	e := v.event(out, typ, key)
	e.Phase, e.Time = pipeline.PhaseRequirements, parseTime(string(first(i.UpdatedOn, i.CreatedOn)))
	if typ == "ticket.closed" {
		e.Outcome = pipeline.OutcomeSuccess
		if state != "resolved" && state != "closed" {
			e.Outcome = pipeline.OutcomeCancel
		}
		e.SetAttr("resolution", state)
	}
	e.SetAttr("ticket.id", string(i.ID))
	e.SetAttr("ticket.title", string(i.Title))
	e.SetAttr("ticket.state", state)
	e.SetAttr("ticket.type", string(first(i.Kind, i.Type)))
	e.SetAttr("priority", string(i.Priority))
	e.SetAttr("author", i.Reporter.account())
	e.SetAttr("assignee", i.Assignee.account())
	e.Title = e.Repo + "#" + string(i.ID) + " " + strings.TrimPrefix(typ, "ticket.") + ": " + string(i.Title)
}

// build reads a commit's build status.
func (v *bitbucketEvent) build(out *Out) {
	s := v.Status
	state := "finished"
	if s.State == "INPROGRESS" {
		state = "started"
	}
	e := v.event(out, "taskrun."+state, "commit_status")
	e.Phase, e.Task = pipeline.PhaseTesting, string(first(s.Name, s.Key))
	e.Outcome = runOutcome(string(s.State))
	e.Commit, e.Ref = commitOf(string(s.Commit.Hash)), string(s.Refname)
	e.Time = parseTime(string(first(s.UpdatedOn, s.CreatedOn)))
	e.SetAttr("status", strings.ToLower(string(s.State)))
	e.SetAttr("cicd.pipeline.task.run.url.full", string(s.URL))
	e.Title = runTitle(e, "build "+e.Task, string(s.State), "")
}

func (v *bitbucketEvent) other(out *Out, key string) {
	typ := "log"
	switch {
	case v.Test == "true" || key == "diagnostics:ping":
		typ = "heartbeat"
	case key == "repo:fork" || key == "repo:forked" || v.Fork != nil || key == "repo:created":
		typ = "repository.created"
	case key == "repo:deleted":
		typ = "repository.deleted"
	case key == "repo:updated" || key == "repo:modified" || key == "repo:transfer" || key == "repo:imported" || strings.HasPrefix(key, "mirror:"):
		typ = "repository.modified"
	case v.Comment != nil:
		typ = "change.reviewed"
	}
	e := v.event(out, typ, key)
	if v.Fork != nil {
		e.SetAttr("parent", e.Repo)
		e.Repo = v.Fork.repo()
	}
	if v.Commit != nil {
		e.Commit = commitOf(string(first(v.Commit.Hash, v.Commit.ID)))
	}
	e.Title = strings.TrimSpace(e.Repo + " " + first(strings.ReplaceAll(key, ":", " "), typ))
}
