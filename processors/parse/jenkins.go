package parse

import (
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// jenkinsNotification reads what the Notification plugin of Jenkins posts at each phase of a build, as JSON or XML. Phase
// FINALIZED repeats COMPLETED: both are the same event. Other plugins that post builds are read too, see jenkins_plugins.go.
// https://plugins.jenkins.io/notification/
var jenkinsNotification = Format{
	Name: "jenkins-notification", Title: "Jenkins Notification plugin, and others that post builds", Phase: pipeline.PhaseTesting,
	Types: []string{"pipelinerun.finished", "pipelinerun.started", "pipelinerun.queued"},
	Known: "JSON object with name, url and build that has a phase and a number; XML root job with build; ciUrl and jobName; buildName, projectName and event",
	Frame: Reports,
	Match: func(s *Shape) bool {
		if s.Root == "job" {
			return strings.Contains(alias(s.Data()[:min(len(s.Data()), 4096)]), "<phase>")
		}
		if isJenkinsPlugin(s) {
			return true
		}
		return !s.Array && s.Has("name", "build") && s.String("build", "phase") != "" && s.Raw("build", "number") != nil
	},
	Parse: parseJenkinsNotification,
}

type jenkinsJob struct {
	Name        Text         `json:"name" xml:"name"`
	DisplayName Text         `json:"display_name" xml:"displayName"`
	URL         Text         `json:"url" xml:"url"`
	Build       jenkinsBuild `json:"build" xml:"build"`
}

type jenkinsBuild struct {
	FullURL   Text `json:"full_url" xml:"fullUrl"`
	URL       Text `json:"url" xml:"url"`
	Number    Text `json:"number" xml:"number"`
	QueueID   Text `json:"queue_id" xml:"queueId"`
	Timestamp Text `json:"timestamp" xml:"timestamp"`
	Duration  Text `json:"duration" xml:"duration"`
	Phase     Text `json:"phase" xml:"phase"`
	Status    Text `json:"status" xml:"status"`
	SCM       struct {
		URL    Text `json:"url" xml:"url"`
		Branch Text `json:"branch" xml:"branch"`
		Commit Text `json:"commit" xml:"commit"`
	} `json:"scm" xml:"scm"`
	Tests *struct {
		Total   Text `json:"total" xml:"total"`
		Failed  Text `json:"failed" xml:"failed"`
		Passed  Text `json:"passed" xml:"passed"`
		Skipped Text `json:"skipped" xml:"skipped"`
	} `json:"test_summary" xml:"testSummary"`
}

func parseJenkinsNotification(in *Input, out *Out) error {
	var v jenkinsJob
	if isJSON(in.Data) {
		if member(in.Data, "build") == nil {
			return parseJenkinsPlugin(in, out)
		}
		if err := decode(in.Data, &v); err != nil {
			return err
		}
	} else {
		if err := newXML(in.Data).Decode(&v); err != nil {
			return xmlError(err)
		}
	}
	b := &v.Build
	phase := strings.ToUpper(string(b.Phase))
	typ := "pipelinerun.finished"
	switch phase {
	case "QUEUED":
		typ = "pipelinerun.queued"
	case "STARTED":
		typ = "pipelinerun.started"
	case "COMPLETED", "FINALIZED", "FINISHED":
	default:
		return errors.New("build.phase is none of QUEUED, STARTED, COMPLETED, FINALIZED")
	}
	e := out.Event(typ)
	e.Severity = pipeline.SeverityInfo
	jenkinsRun(e, string(first(b.FullURL, b.URL, v.URL)), string(v.Name), string(b.Number))
	e.Time = parseTime(string(b.Timestamp))
	status := strings.ToLower(string(b.Status))
	if typ == "pipelinerun.finished" {
		e.Outcome = runOutcome(status)
	}
	e.Repo = repoOf(string(b.SCM.URL))
	jenkinsRevision(e, string(b.SCM.Branch), string(b.SCM.Commit))
	e.SetAttr("jenkins.phase", phase)
	e.SetAttr("status", status)
	e.SetAttr("queue_id", string(b.QueueID))
	e.SetAttr("cicd.pipeline.run.url.full", string(b.FullURL))
	e.SetAttr("duration_seconds", millis(string(b.Duration)))
	if t := b.Tests; t != nil {
		e.SetAttr("tests.total", string(t.Total))
		e.SetAttr("tests.failed", string(t.Failed))
		e.SetAttr("tests.passed", string(t.Passed))
		e.SetAttr("tests.skipped", string(t.Skipped))
	}
	e.Title = jenkinsTitle(e, string(b.Number), first(status, strings.ToLower(phase)))
	if e.Run != "" {
		out.ID(e, e.Run, typ, string(b.QueueID))
	}
	return nil
}

// jenkinsRun sets pipeline and run from a build's URL, whose path holds the folders: .../job/<folder>/job/<name>/<number>/.
func jenkinsRun(e *pipeline.Event, link, name, number string) {
	host := "jenkins"
	if u, err := url.Parse(link); err == nil {
		if u.Host != "" {
			host = strings.ToLower(u.Host)
		}
		var parts []string
		segments := strings.Split(strings.Trim(u.Path, "/"), "/")
		for i := 0; i+1 < len(segments); i++ {
			if segments[i] == "job" {
				parts = append(parts, segments[i+1])
				i++
				if number == "" && i+2 == len(segments) && strings.Trim(segments[i+1], "0123456789") == "" {
					number = segments[i+1]
				}
			}
		}
		if len(parts) > 0 {
			name = strings.Join(parts, "/")
		}
	}
	e.Pipeline = name
	if name != "" && number != "" {
		e.Run = host + "/" + name + "/" + number
	}
}

// jenkinsRevision sets branch and commit. What is no hash is a revision of another system than git.
func jenkinsRevision(e *pipeline.Event, branch, commit string) {
	branch = refOf(branch)
	for _, remote := range []string{"remotes/origin/", "origin/"} {
		branch = strings.TrimPrefix(branch, remote)
	}
	e.Ref, e.Commit = branch, commitOf(commit)
	if e.Commit == "" {
		e.SetAttr("vcs.ref.head.revision", commit)
	}
}

func jenkinsTitle(e *pipeline.Event, number, what string) string {
	title := first(e.Pipeline, "build")
	if number != "" {
		title += " #" + number
	}
	title += " " + strings.ReplaceAll(what, "_", " ")
	if e.Ref != "" {
		title += " on " + e.Ref
	}
	return title
}

// millis converts milliseconds into seconds.
func millis(s string) string {
	d, err := time.ParseDuration(s + "ms")
	if err != nil || d <= 0 {
		return ""
	}
	return seconds(time.Unix(0, 0), time.Unix(0, 0).Add(d))
}
