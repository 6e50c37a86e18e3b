package parse

import (
	"strconv"
	"strings"
	"time"

	packageurl "github.com/package-url/packageurl-go"

	"github.com/tocsin-project/tocsin/pipeline"
)

// What forges, CI servers and registries share: people, changes, reviews, and how runs end.

// forgeUser is a person or robot as forges write one. Which of the names is there differs by forge and by place.
type forgeUser struct {
	Login    Text `json:"login"`
	Username Text `json:"username"`
	Name     Text `json:"name"`
	Email    Text `json:"email"`
}

// account returns the user's login where there is one.
func (u *forgeUser) account() string {
	if u == nil {
		return ""
	}
	return first(string(u.Login), string(u.Username), string(u.Name), string(u.Email))
}

// changeOf returns the canonical id of a change (pull or merge request): repo!number.
func changeOf(repo, number string) string {
	if number == "" {
		return ""
	}
	return repo + "!" + number
}

// Decisions of a review, in the words of CDEvents' approval.closed.
const (
	decisionApproved  = "approved"
	decisionRejected  = "rejected"
	decisionChanges   = "requestChanges"
	decisionDismissed = "dismissed"
)

// setDecision completes an approval.closed event. A dismissed review decides nothing any more.
func setDecision(e *pipeline.Event, decision string) {
	e.SetAttr("decision", decision)
	switch decision {
	case decisionApproved:
		e.Disposition, e.Outcome = pipeline.DispositionApproved, pipeline.OutcomeSuccess
	case decisionRejected, decisionChanges:
		e.Disposition, e.Outcome = pipeline.DispositionRejected, pipeline.OutcomeFailure
	case decisionDismissed:
		e.Outcome = pipeline.OutcomeCancel
	}
}

// runOutcome converts the words in which CI servers and forges say how a run, job or test ended. A run that has not ended
// has none. TAP and node:test call a test "todo" that is not expected to pass yet: it does not count.
func runOutcome(s string) string {
	switch strings.ToLower(s) {
	case "success", "successful", "succeeded", "passed", "pass", "ok", "neutral", "fixed", "partiallysucceeded", "warning", "finished":
		return pipeline.OutcomeSuccess
	case "failure", "failed", "fail", "unstable", "timed_out", "timedout", "still failing", "action_required", "ko":
		return pipeline.OutcomeFailure
	case "error", "errored", "startup_failure", "broken":
		return pipeline.OutcomeError
	case "cancelled", "canceled", "cancel", "aborted", "stopped", "stale", "killed", "interrupted":
		return pipeline.OutcomeCancel
	case "skipped", "not_built", "notbuilt", "disabled", "pending", "todo", "ignored", "notrun", "not run":
		return pipeline.OutcomeSkipped
	}
	return pipeline.OutcomeUnknown
}

// seconds returns how long something took, "" where start or end is missing.
func seconds(start, end time.Time) string {
	if start.IsZero() || end.IsZero() || end.Before(start) {
		return ""
	}
	return strconv.FormatFloat(end.Sub(start).Seconds(), 'f', -1, 64)
}

// commitOf returns a commit's hash in its canonical form, 40 or 64 lower-case hex digits; "" for what is none. Forges write
// zeros for "no commit"; abbreviated hashes and revision numbers name nothing outside of their repository.
func commitOf(s string) string {
	if len(s) != 40 && len(s) != 64 || strings.Trim(s, "0") == "" || strings.Trim(s, "0123456789abcdefABCDEF") != "" {
		return ""
	}
	return strings.ToLower(s)
}

// refType tells a tag from a branch by the full name of a ref.
func refType(ref string) string {
	if strings.HasPrefix(ref, "refs/tags/") {
		return "tag"
	}
	return "branch"
}

// pushed is what every forge says of a push.
type pushed struct {
	repo, ref, before, after string
	actor                    string
	time                     time.Time // of the push itself, for forges that tell
	forced                   string    // "true", "false" or "" for forges that do not tell
	created, deleted         bool
	commits                  []pushedCommit
}

type pushedCommit struct {
	id, author, message string
	time                time.Time
	files               int
}

// emitPush gives one branch.push event for each commit of a push, or for a push without commits what happened to the
// branch or tag. A commit's identity is repository, ref and hash: the same commit that reaches another branch is news.
func emitPush(out *Out, p *pushed) {
	before, after := commitOf(p.before), commitOf(p.after)
	common := func(typ string) *pipeline.Event {
		e := out.Event(typ)
		e.Phase, e.Severity = pipeline.PhaseWriting, pipeline.SeverityInfo
		e.Repo, e.Ref, e.Actor = p.repo, refOf(p.ref), p.actor
		e.Time = p.time
		e.SetAttr("vcs.ref.type", refType(p.ref))
		e.SetAttr("forced", p.forced)
		e.SetAttr("before", p.before)
		e.SetAttr("after", p.after)
		return e
	}
	for i := range p.commits {
		c := &p.commits[i]
		if c.id == "" {
			continue
		}
		e := common("branch.push")
		e.Commit = commitOf(c.id)
		if e.Commit == "" {
			e.SetAttr("vcs.ref.head.revision", c.id)
		}
		if !c.time.IsZero() {
			e.Time = c.time
		}
		e.Title = e.Repo + " " + e.Ref + ": " + oneLine(c.message, 120)
		e.SetAttr("author", c.author)
		e.SetAttr("files", positive(c.files))
		out.ID(e, "push", e.Repo, p.ref, c.id)
	}
	if len(p.commits) > 0 {
		return
	}
	switch {
	case p.deleted || after == "" && before != "":
		e := common("branch.deleted")
		e.Commit = before
		e.Title = e.Repo + ": " + refType(p.ref) + " " + e.Ref + " deleted"
	case p.created || before == "":
		e := common("branch.created")
		e.Commit = after
		e.Title = e.Repo + ": " + refType(p.ref) + " " + e.Ref + " created"
	default: // moved without a commit that the forge counts as new: a reset, or a fast-forward
		e := common("branch.push")
		e.Commit = after
		e.Title = e.Repo + " " + e.Ref + " moved to " + short(after)
		out.ID(e, "push", e.Repo, p.ref, before, after)
	}
}

// short returns a commit id as people read it.
func short(commit string) string { return commit[:min(len(commit), 10)] }

// ociPurl returns the package URL of an image: its last name and its digest.
func ociPurl(image, digest string) string {
	if image == "" || digest == "" {
		return ""
	}
	name := image[strings.LastIndexByte(image, '/')+1:]
	return packageurl.NewPackageURL("oci", "", strings.ToLower(name), digest, nil, "").ToString()
}
