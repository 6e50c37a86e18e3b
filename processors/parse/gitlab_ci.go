package parse

import (
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// gitlabCI reads GitLab's webhooks about pipelines and jobs.
// https://docs.gitlab.com/user/project/integrations/webhook_events/#pipeline-events
var gitlabCI = Format{
	Name: "gitlab-ci", Title: "GitLab webhooks: pipelines and jobs", Phase: pipeline.PhaseTesting,
	Types: []string{
		"pipelinerun.finished", "pipelinerun.started", "pipelinerun.queued", "taskrun.finished", "taskrun.started", "taskrun.queued",
	},
	Known: "JSON object with object_kind pipeline, build or job",
	Frame: Values,
	Match: func(s *Shape) bool {
		switch s.String("object_kind") {
		case "pipeline", "build", "job":
			return !s.Array
		}
		return false
	},
	Parse: parseGitLabCI,
}

func parseGitLabCI(in *Input, out *Out) error {
	var v gitlabEvent
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	if v.Kind == "pipeline" {
		v.pipeline(out)
	} else {
		v.job(out)
	}
	return nil
}

// gitlabState gives the last part of a run's event type.
func gitlabState(status string) string {
	switch status {
	case "running", "canceling":
		return "started"
	case "success", "failed", "canceled", "skipped":
		return "finished"
	}
	return "queued" // created, waiting_for_resource, preparing, pending, manual, scheduled
}

func (v *gitlabEvent) pipeline(out *Out) {
	o := &v.Object
	state := gitlabState(string(o.Status))
	e := v.event(out, "pipelinerun."+state)
	if state == "finished" {
		e.Outcome = runOutcome(string(o.Status))
	}
	e.Ref, e.Commit = refOf(string(o.Ref)), commitOf(string(o.SHA))
	e.Pipeline = first(string(o.Name), string(v.Project.Path), e.Repo)
	e.Run = githubRun(e.Repo, string(o.ID))
	e.Time = parseTime(string(first(o.FinishedAt, o.CreatedAt)))
	if v.MergeRequest != nil {
		e.Change = changeOf(e.Repo, string(v.MergeRequest.IID))
	}
	var failed []string
	for _, b := range v.Builds {
		if b.Status == "failed" && b.AllowFailure != "true" {
			failed = append(failed, string(b.Name))
		}
	}
	e.SetAttr("status", string(o.Status))
	e.SetAttr("trigger", string(o.Source))
	e.SetAttr("duration_seconds", duration(string(o.Duration)))
	e.SetAttr("jobs", positive(len(v.Builds)))
	e.SetAttr("jobs.failed", strings.Join(failed, ","))
	e.SetAttr("cicd.pipeline.run.url.full", string(o.URL))
	e.Title = e.Repo + ": pipeline " + string(o.ID) + " " + string(o.Status) + " on " + e.Ref
	if len(failed) > 0 {
		e.Title += ", failed: " + strings.Join(failed, ", ")
	}
}

func (v *gitlabEvent) job(out *Out) {
	state := gitlabState(string(v.BuildStatus))
	e := v.event(out, "taskrun."+state)
	if state == "finished" {
		e.Outcome = runOutcome(string(v.BuildStatus))
	}
	e.Ref, e.Task, e.Pipeline = refOf(string(v.Ref)), string(v.BuildName), string(first(v.Project.Path, v.ProjectName))
	e.Commit = commitOf(string(v.SHA))
	run := string(v.PipelineID)
	if run == "" && v.Commit != nil && strings.Trim(string(v.Commit.ID), "0123456789") == "" { // in a job, the commit's id is the pipeline's
		run = string(v.Commit.ID)
	}
	e.Run = githubRun(e.Repo, run)
	e.Time = parseTime(string(first(v.BuildFinished, v.BuildStarted, v.BuildCreated)))
	e.SetAttr("cicd.pipeline.task.run.id", string(v.BuildID))
	e.SetAttr("stage", string(v.BuildStage))
	e.SetAttr("status", string(v.BuildStatus))
	e.SetAttr("duration_seconds", duration(string(v.BuildDuration)))
	if v.BuildStatus == "failed" {
		e.SetAttr("reason", string(v.BuildReason))
	}
	if allowed, _ := strconv.ParseBool(string(v.AllowFailure)); allowed {
		e.SetAttr("allow_failure", "true")
	}
	if v.Runner != nil {
		e.SetAttr("cicd.worker.name", string(v.Runner.Description))
	}
	e.Title = e.Repo + ": job " + e.Task + " " + string(v.BuildStatus) + " on " + e.Ref
}
