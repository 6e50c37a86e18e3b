package parse

import (
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// gitea reads the webhooks of Gitea, Forgejo and Gogs. They are shaped after GitHub's, so GitHub's reader reads them; what
// differs are the names of some events and the state of a review.
// https://docs.gitea.com/usage/webhooks
var gitea = Format{
	Name: "gitea-webhook", Title: "Gitea, Forgejo and Gogs webhooks", Phase: pipeline.PhaseWriting,
	Types: githubTypes,
	Known: "header X-Gitea-Event, X-Forgejo-Event or X-Gogs-Event, or JSON object like GitHub's without its node_id",
	Frame: Values,
	Match: func(s *Shape) bool {
		if s.Array || !s.IsObject() {
			return false
		}
		if s.Header("X-Gitea-Event") != "" || s.Header("X-Gogs-Event") != "" || s.Header("X-Forgejo-Event") != "" {
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
