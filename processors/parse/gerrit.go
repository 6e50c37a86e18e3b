package parse

import (
	"strconv"
	"strings"

	"github.com/segmentio/encoding/json"

	"github.com/tocsin-project/tocsin/pipeline"
)

// gerrit reads the events of Gerrit as `gerrit stream-events`, its webhooks and its Kafka plugin give them. A vote of
// Code-Review +2 approves, one of -1 or -2 asks for changes or rejects.
// https://gerrit-review.googlesource.com/Documentation/cmd-stream-events.html
var gerrit = Format{
	Name: "gerrit-events", Title: "Gerrit events (stream, webhooks, Kafka)", Phase: pipeline.PhaseWriting,
	Types: []string{
		"log", "branch.push", "branch.created", "branch.deleted", "change.created", "change.updated", "change.reviewed",
		"change.merged", "change.abandoned", "approval.created", "approval.closed", "repository.created", "repository.modified",
		"repository.deleted",
	},
	Known: "JSON object with type and change, refUpdate or projectName, as Gerrit names its events",
	Frame: Values,
	Match: func(s *Shape) bool {
		if s.Array || s.String("type") == "" {
			return false
		}
		return s.Has("change", "patchSet") || s.Raw("change", "project") != nil || s.Raw("refUpdate", "refName") != nil ||
			s.Has("refUpdates", "submitter") || s.Has("projectName") && strings.HasPrefix(s.String("type"), "project-") ||
			s.Has("eventCreatedOn")
	},
	Parse: parseGerrit,
}

type gerritEvent struct {
	Type        Text             `json:"type"`
	CreatedOn   Text             `json:"eventCreatedOn"`
	Change      *gerritChange    `json:"change"`
	PatchSet    *gerritPatchSet  `json:"patchSet"`
	Approvals   []gerritApproval `json:"approvals"`
	Author      *forgeUser       `json:"author"`
	Uploader    *forgeUser       `json:"uploader"`
	Submitter   *forgeUser       `json:"submitter"`
	Abandoner   *forgeUser       `json:"abandoner"`
	Restorer    *forgeUser       `json:"restorer"`
	Changer     *forgeUser       `json:"changer"`
	Editor      *forgeUser       `json:"editor"`
	Reviewer    *forgeUser       `json:"reviewer"`
	Adder       *forgeUser       `json:"adder"`
	Remover     *forgeUser       `json:"remover"`
	Reason      Text             `json:"reason"`
	Comment     Text             `json:"comment"`
	NewRev      Text             `json:"newRev"`
	RefUpdate   *gerritRef       `json:"refUpdate"`
	RefUpdates  []gerritRef      `json:"refUpdates"`
	ProjectName Text             `json:"projectName"`
	OldTopic    Text             `json:"oldTopic"`
}

type gerritChange struct {
	Project gerritProject `json:"project"`
	Branch  Text          `json:"branch"`
	ID      Text          `json:"id"`
	Number  Text          `json:"number"`
	Subject Text          `json:"subject"`
	Owner   *forgeUser    `json:"owner"`
	URL     Text          `json:"url"`
	Status  Text          `json:"status"`
	WIP     Text          `json:"wip"`
	Created Text          `json:"createdOn"`
	Updated Text          `json:"lastUpdated"`
}

// gerritProject is a project's name, in some events as an object.
type gerritProject string

// UnmarshalJSON implements json.Unmarshaler.
func (p *gerritProject) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var o struct {
			Name Text `json:"name"`
		}
		err := json.Unmarshal(b, &o)
		*p = gerritProject(o.Name)
		return err
	}
	return (*Text)(p).UnmarshalJSON(b)
}

type gerritPatchSet struct {
	Number   Text       `json:"number"`
	Revision Text       `json:"revision"`
	Kind     Text       `json:"kind"`
	Uploader *forgeUser `json:"uploader"`
	Created  Text       `json:"createdOn"`
}

type gerritApproval struct {
	Type  Text `json:"type"`
	Value Text `json:"value"`
	Old   Text `json:"oldValue"`
}

type gerritRef struct {
	Old     Text `json:"oldRev"`
	New     Text `json:"newRev"`
	Name    Text `json:"refName"`
	Project Text `json:"project"`
}

func parseGerrit(in *Input, out *Out) error {
	var v gerritEvent
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	switch v.Type {
	case "ref-updated":
		if v.RefUpdate != nil {
			v.RefUpdates = append(v.RefUpdates, *v.RefUpdate)
		}
		v.refs(out)
	case "batch-ref-updated":
		v.refs(out)
	case "project-created", "project-head-updated", "project-deleted", "repository-renamed":
		v.project(out)
	default:
		v.change(out)
	}
	return nil
}

func (v *gerritEvent) event(out *Out, typ string) *pipeline.Event {
	e := out.Event(typ)
	e.Severity, e.Time = pipeline.SeverityInfo, parseTime(string(v.CreatedOn))
	e.SetAttr("webhook.event", string(v.Type))
	return e
}

// refs gives a push for each ref. A patch set's own ref is told by its change.
func (v *gerritEvent) refs(out *Out) {
	for i := range v.RefUpdates {
		r := &v.RefUpdates[i]
		ref := string(r.Name)
		if strings.HasPrefix(ref, "refs/changes/") || strings.HasPrefix(ref, "refs/meta/") || strings.HasPrefix(ref, "refs/users/") {
			e := v.event(out, "log")
			if ref == "refs/meta/config" { // access rights of the project
				e.Type, e.Class = "repository.modified", kinds["repository.modified"].class
			}
			e.Repo, e.Ref, e.Actor = repoOf(string(r.Project)), ref, v.Submitter.gerrit()
			e.Commit = commitOf(string(r.New))
			e.Title = e.Repo + ": " + ref + " updated"
			continue
		}
		if !strings.HasPrefix(ref, "refs/") {
			ref = "refs/heads/" + ref
		}
		emitPush(out, &pushed{
			repo: repoOf(string(r.Project)), ref: ref, before: string(r.Old), after: string(r.New), actor: v.Submitter.gerrit(),
			time: parseTime(string(v.CreatedOn)), created: commitOf(string(r.Old)) == "", deleted: commitOf(string(r.New)) == "",
		})
	}
	if len(v.RefUpdates) == 0 {
		v.project(out)
	}
}

// gerrit returns the account's name: Gerrit's user names first.
func (u *forgeUser) gerrit() string {
	if u == nil {
		return ""
	}
	return string(first(u.Username, u.Email, u.Name))
}

func (v *gerritEvent) project(out *Out) {
	typ := "log"
	switch v.Type {
	case "project-created":
		typ = "repository.created"
	case "project-deleted":
		typ = "repository.deleted"
	case "project-head-updated", "repository-renamed":
		typ = "repository.modified"
	}
	e := v.event(out, typ)
	e.Repo = repoOf(string(v.ProjectName))
	e.Title = strings.TrimSpace(e.Repo + " " + strings.ReplaceAll(string(v.Type), "-", " "))
}

// gerritType converts a change's event. Votes are approvals; the first patch set is the change's making.
func (v *gerritEvent) gerritType() (typ, decision string) {
	switch v.Type {
	case "patchset-created":
		if v.PatchSet != nil && v.PatchSet.Number == "1" {
			return "change.created", ""
		}
		return "change.updated", ""
	case "change-merged":
		return "change.merged", ""
	case "change-abandoned", "change-deleted":
		return "change.abandoned", ""
	case "reviewer-added":
		return "approval.created", ""
	case "comment-added", "vote-deleted":
		return v.vote()
	case "change-restored", "draft-published", "topic-changed", "hashtags-changed", "wip-state-changed", "private-state-changed",
		"reviewer-deleted", "assignee-changed", "custom-keyed-values-changed", "attention-set-changed", "merge-failed":
		return "change.updated", ""
	}
	return "log", ""
}

// vote reads the vote on Code-Review that this event cast; votes that stood before are repeated without an old value.
func (v *gerritEvent) vote() (typ, decision string) {
	for _, a := range v.Approvals {
		if a.Type != "Code-Review" && a.Type != "CRVW" {
			continue
		}
		if v.Type == "vote-deleted" {
			return "approval.closed", decisionDismissed
		}
		n, _ := strconv.Atoi(strings.TrimPrefix(string(a.Value), "+"))
		if a.Old == "" && v.CreatedOn != "" && !gerritVoted(string(v.Comment), string(a.Type)) || a.Old == a.Value {
			continue
		}
		switch {
		case n >= 2:
			return "approval.closed", decisionApproved
		case n <= -2:
			return "approval.closed", decisionRejected
		case n == -1:
			return "approval.closed", decisionChanges
		case n == 0 && a.Old != "":
			return "approval.closed", decisionDismissed
		}
	}
	return "change.reviewed", ""
}

// gerritVoted reports whether a comment's first line says that it casts a vote: "Patch Set 2: Code-Review+2".
func gerritVoted(comment, label string) bool {
	line := oneLine(comment, 200)
	return strings.Contains(line, label+"+") || strings.Contains(line, label+"-") || label == "CRVW"
}

func (v *gerritEvent) change(out *Out) {
	typ, decision := v.gerritType()
	e := v.event(out, typ)
	actor := first(v.Author, v.Submitter, v.Abandoner, v.Restorer, v.Changer, v.Editor, v.Adder, v.Remover, v.Uploader)
	e.Actor = actor.gerrit()
	number, subject := "", ""
	if c := v.Change; c != nil {
		number, subject = string(c.Number), string(c.Subject)
		e.Repo = repoOf(string(c.Project))
		if base, path, ok := strings.Cut(string(c.URL), "/c/"); ok && strings.HasPrefix(path, string(c.Project)+"/") {
			e.Repo = repoOf(base + "/" + string(c.Project))
		}
		e.Change, e.Ref = changeOf(e.Repo, number), refOf(string(c.Branch))
		e.SetAttr("vcs.change.id", number)
		e.SetAttr("vcs.change.title", subject)
		e.SetAttr("vcs.change.state", strings.ToLower(string(c.Status)))
		e.SetAttr("gerrit.change_id", string(c.ID))
		e.SetAttr("vcs.ref.base.name", e.Ref)
		e.SetAttr("author", c.Owner.gerrit())
		e.SetAttr("url.full", string(c.URL))
		if e.Time.IsZero() && typ == "change.created" {
			e.Time = parseTime(string(c.Created))
		}
	}
	if p := v.PatchSet; p != nil {
		e.Commit = commitOf(string(p.Revision))
		e.Actor = first(e.Actor, p.Uploader.gerrit())
		if e.Time.IsZero() {
			e.Time = parseTime(string(p.Created))
		}
		e.SetAttr("patchset", string(p.Number))
		e.SetAttr("patchset.kind", string(p.Kind))
	}
	switch typ {
	case "change.merged":
		e.Outcome = pipeline.OutcomeSuccess
		e.SetAttr("vcs.change.merge_commit", commitOf(string(v.NewRev)))
	case "change.abandoned":
		e.Outcome = pipeline.OutcomeCancel
		e.SetAttr("reason", oneLine(string(v.Reason), 200))
	case "approval.closed":
		setDecision(e, decision)
	case "approval.created":
		e.SetAttr("reviewer", v.Reviewer.gerrit())
		e.Actor = first(v.Adder.gerrit(), e.Actor)
	}
	for _, a := range v.Approvals {
		e.SetAttr("vote."+strings.ToLower(string(a.Type)), string(a.Value))
	}
	e.Title = strings.TrimSuffix(e.Change+" "+first(decision, strings.ReplaceAll(string(v.Type), "-", " "))+": "+subject, ": ")
}
