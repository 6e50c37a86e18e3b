package parse

import (
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// gitea reads the webhooks of Gitea, Forgejo, Gogs and Gitee. They are shaped after GitHub's, so GitHub's reader reads them;
// what differs are the names of some events, with Gitee of their actions too, and the state of a review.
// https://docs.gitea.com/usage/webhooks
// https://help.gitee.com/webhook/gitee-webhook-push-data-format
var gitea = Format{
	Name: "gitea-webhook", Title: "Gitea, Forgejo, Gogs and Gitee webhooks", Phase: pipeline.PhaseWriting,
	Types: githubTypes,
	Known: "header X-Gitea-Event, X-Forgejo-Event, X-Gogs-Event or X-Gitee-Event, or JSON object like GitHub's without its node_id or with hook_name",
	Frame: Values,
	Match: func(s *Shape) bool {
		if s.Array || !s.IsObject() {
			return false
		}
		if isGitee(s) || s.Header("X-Gitea-Event") != "" || s.Header("X-Gogs-Event") != "" || s.Header("X-Forgejo-Event") != "" {
			return true
		}
		if s.Has("object_kind") || s.Has("eventKey") || s.Has("eventType") || s.Raw("repository", "full_name") == nil {
			return false
		}
		return s.Raw("sender", "login") != nil || s.Raw("pusher", "login") != nil || s.Raw("pusher", "username") != nil ||
			s.Has("action", "pull_request") || s.Has("ref", "commits", "after") || s.Has("ref", "ref_type") ||
			s.Has("action", "issue") || s.Has("action", "release")
	},
	Parse: parseGitea,
}

func parseGitea(in *Input, out *Out) error {
	var v githubEvent
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	if v.HookName != "" {
		v.emit(out, v.fromGitee(in.Data))
		return nil
	}
	kind := first(header(in.Record, "X-Gitea-Event"), header(in.Record, "X-Forgejo-Event"), header(in.Record, "X-Gogs-Event"))
	switch {
	case strings.HasPrefix(kind, "pull_request_review_") || kind == "pull_request_approved" || kind == "pull_request_rejected" ||
		kind == "pull_request_comment":
		if kind = "pull_request_review"; v.Review == nil {
			kind = v.kind(in.Data)
		}
	case strings.HasPrefix(kind, "pull_request"):
		kind = "pull_request"
		if v.Review != nil {
			kind = "pull_request_review"
		}
	case kind == "issue_comment":
	case strings.HasPrefix(kind, "issue"):
		kind = "issues"
	case kind == "wiki":
		kind = "gollum"
	case kind == "":
		kind = v.kind(in.Data)
	}
	v.emit(out, kind)
	return nil
}

// isGitee reports whether it is one of Gitee's, whose accounts have GitHub's site_admin.
func isGitee(s *Shape) bool { return s.Has("hook_name", "hook_id") && s.Has("repository") }

// fromGitee puts Gitee's actions into GitHub's words, and returns the kind of the event.
func (v *githubEvent) fromGitee(data []byte) string {
	switch string(v.HookName) {
	case "merge_request_hooks":
		switch v.Action {
		case "open":
			v.Action = "opened"
		case "close", "merge":
			v.Action = "closed"
		case "update":
			if v.Action = "edited"; v.ActionDesc == "source_branch_changed" {
				v.Action = "synchronize"
			}
		case "approved":
			v.Review = &githubReview{State: v.Action, User: v.Sender}
			return "pull_request_review"
		}
		return "pull_request"
	case "issue_hooks":
		switch {
		case v.Action == "open":
			v.Action = "opened"
		case v.Action == "delete":
			v.Action = "deleted"
		case v.Action == "state_change" && v.Issue != nil && (v.Issue.State == "closed" || v.Issue.State == "rejected"):
			if v.Action = "closed"; v.Issue.State == "rejected" {
				v.Issue.StateReason = v.Issue.State
			}
		}
		if v.Issue != nil && v.Issue.State == "progressing" {
			v.Issue.State = "open"
		}
		return "issues"
	case "note_hooks":
		if v.Action == "comment" {
			v.Action = "created"
		}
	}
	return v.kind(data)
}
