package parse

import (
	"errors"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// jenkinsPost is a build as other plugins than Notification post it: Statistics Gatherer at its start and end, with times in
// seconds or milliseconds, and Outbound WebHook, whose event is its outcome.
// https://plugins.jenkins.io/statistics-gatherer/ https://plugins.jenkins.io/outbound-webhook/
type jenkinsPost struct {
	Job      Text   `json:"jobName"`
	FullJob  Text   `json:"fullJobName"`
	Number   Text   `json:"number"`
	CI       Text   `json:"ciUrl"`
	URL      Text   `json:"buildUrl"`
	Result   Text   `json:"result"`
	Start    Text   `json:"startTime"`
	End      Text   `json:"endTime"`
	Duration Number `json:"duration"`
	User     Text   `json:"startedUserId"`
	Cause    Text   `json:"buildCause"`
	SCM      struct {
		URL    Text `json:"url"`
		Branch Text `json:"branch"`
		Commit Text `json:"commit"`
	} `json:"scmInfo"`

	Project Text `json:"projectName"`
	Name    Text `json:"buildName"`
	Event   Text `json:"event"`
}

// isJenkinsPlugin reports whether an object is a build of one of them.
func isJenkinsPlugin(s *Shape) bool {
	return !s.Array && (s.Has("ciUrl", "jobName", "buildUrl") || s.Has("buildName", "buildUrl", "projectName", "event"))
}

func parseJenkinsPlugin(in *Input, out *Out) error {
	var v jenkinsPost
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	status, typ := strings.ToLower(string(first(v.Result, v.Event))), "pipelinerun.finished"
	switch status {
	case "":
		return errors.New("build has neither result nor event")
	case "inprogress", "start", "started":
		status, typ = "started", "pipelinerun.started"
	}
	e := out.Event(typ)
	e.Severity, e.Actor = pipeline.SeverityInfo, string(v.User)
	link := string(v.URL)
	if !strings.Contains(link, "://") {
		link = strings.TrimRight(string(v.CI), "/") + "/" + strings.TrimLeft(link, "/")
	}
	number := first(string(v.Number), strings.TrimPrefix(string(v.Name), "#"))
	jenkinsRun(e, link, string(first(v.FullJob, v.Job, v.Project)), number)
	e.Time = parseTime(string(first(v.End, v.Start)))
	if typ == "pipelinerun.finished" {
		e.Outcome = runOutcome(status)
	}
	e.Repo = repoOf(string(v.SCM.URL))
	jenkinsRevision(e, string(v.SCM.Branch), string(v.SCM.Commit))
	e.SetAttr("status", status)
	e.SetAttr("cause", string(v.Cause))
	e.SetAttr("cicd.pipeline.run.url.full", link)
	if v.Duration > 0 {
		e.SetAttr("duration_seconds", v.Duration.ms())
	}
	e.Title = jenkinsTitle(e, number, status)
	if e.Run != "" {
		out.ID(e, e.Run, typ, status)
	}
	return nil
}
