package parse

import (
	"errors"
	"strings"
	"time"

	"github.com/segmentio/encoding/json"

	"github.com/tocsin-project/tocsin/pipeline"
)

// jenkinsBuildJSON reads builds from Jenkins' remote API (<build>/api/json), alone, in an array or in their job, whole or
// cut down by ?tree=, and the stages of the Pipeline REST API (<build>/wfapi/describe).
// https://www.jenkins.io/doc/book/using/remote-access-api/
var jenkinsBuildJSON = Format{
	Name: "jenkins-build-json", Title: "Jenkins build, remote API (JSON)", Phase: pipeline.PhaseTesting,
	Types: []string{"pipelinerun.finished", "pipelinerun.started", "pipelinerun.queued", "taskrun.finished", "taskrun.started"},
	Known: "JSON object whose _class is Jenkins', or with result, duration and timestamp, or with stages and startTimeMillis",
	Frame: Values,
	Match: func(s *Shape) bool {
		class := s.String("_class")
		for _, prefix := range []string{"hudson.", "jenkins.", "org.jenkinsci.", "org.jenkins-ci.", "com.cloudbees.", "io.jenkins."} {
			if strings.HasPrefix(class, prefix) {
				return true
			}
		}
		if s.Has("result", "timestamp") && (s.Has("duration") || s.Has("building") || s.Has("number")) {
			switch s.String("result") {
			case "SUCCESS", "FAILURE", "UNSTABLE", "ABORTED", "NOT_BUILT":
				return true
			}
			return s.Has("building")
		}
		return s.Has("stages", "startTimeMillis")
	},
	Parse: parseJenkinsBuild,
}

type jenkinsAPI struct {
	Class       Text   `json:"_class"`
	Name        Text   `json:"name"`
	FullName    Text   `json:"fullName"`
	FullDisplay Text   `json:"fullDisplayName"`
	DisplayName Text   `json:"displayName"`
	ID          Text   `json:"id"`
	Number      Text   `json:"number"`
	URL         Text   `json:"url"`
	Building    Text   `json:"building"`
	InProgress  Text   `json:"inProgress"`
	Result      Text   `json:"result"`
	Timestamp   Text   `json:"timestamp"`
	Duration    Number `json:"duration"`
	QueueID     Text   `json:"queueId"`
	BuiltOn     Text   `json:"builtOn"`
	Color       Text   `json:"color"`
	Actions     []struct {
		Causes []struct {
			Short    Text `json:"shortDescription"`
			UserID   Text `json:"userId"`
			UserName Text `json:"userName"`
		} `json:"causes"`
		Last    *jenkinsGitBuild `json:"lastBuiltRevision"`
		Remotes Strings          `json:"remoteUrls"`
		Fail    Number           `json:"failCount"`
		Skip    Number           `json:"skipCount"`
		Total   Number           `json:"totalCount"`
	} `json:"actions"`
	Artifacts []json.RawMessage  `json:"artifacts"`
	Changes   jenkinsChanges     `json:"changeSet"`
	ChangeSet []jenkinsChanges   `json:"changeSets"`
	Builds    []part[jenkinsAPI] `json:"builds"`
	Last      *part[jenkinsAPI]  `json:"lastBuild"`
	Jobs      []part[jenkinsAPI] `json:"jobs"`

	// Pipeline REST API.
	Status      Text   `json:"status"`
	StartMillis Text   `json:"startTimeMillis"`
	Millis      Number `json:"durationMillis"`
	Stages      []struct {
		ID          Text   `json:"id"`
		Name        Text   `json:"name"`
		Status      Text   `json:"status"`
		StartMillis Text   `json:"startTimeMillis"`
		Millis      Number `json:"durationMillis"`
		Error       struct {
			Message Text `json:"message"`
		} `json:"error"`
	} `json:"stages"`
	Links struct {
		Self struct {
			Href Text `json:"href"`
		} `json:"self"`
	} `json:"_links"`
}

type jenkinsGitBuild struct {
	SHA1   Text `json:"SHA1"`
	Branch []struct {
		Name Text `json:"name"`
	} `json:"branch"`
}

type jenkinsChanges struct {
	Kind  Text              `json:"kind"`
	Items []json.RawMessage `json:"items"`
}

func parseJenkinsBuild(in *Input, out *Out) error {
	var list []part[jenkinsAPI]
	if in.Data[0] == '[' {
		if err := decode(in.Data, &list); err != nil {
			return err
		}
	} else {
		list = make([]part[jenkinsAPI], 1)
		if err := list[0].UnmarshalJSON(in.Data); err != nil {
			return err
		}
	}
	for i := range list {
		if emitJenkins(out, &list[i], "") == 0 {
			return errors.New("tells of no build: neither result nor timestamp nor number, nor builds that have them")
		}
	}
	return nil
}

// emitJenkins gives the events of a build, or of the builds of a job or folder, and returns how many they are.
func emitJenkins(out *Out, p *part[jenkinsAPI], job string) int {
	v := &p.Value
	n := 0
	switch {
	case v.StartMillis != "":
		return emitStages(out, p)
	case len(v.Builds) > 0:
		for i := range v.Builds {
			n += emitJenkins(out, &v.Builds[i], string(first(v.FullName, v.Name, v.FullDisplay)))
		}
		return n
	case v.Last != nil:
		return emitJenkins(out, v.Last, string(first(v.FullName, v.Name, v.FullDisplay)))
	case len(v.Jobs) > 0:
		for i := range v.Jobs {
			n += emitJenkins(out, &v.Jobs[i], string(first(v.Jobs[i].Value.FullName, v.Jobs[i].Value.Name)))
		}
		return n
	case v.Result == "" && v.Timestamp == "" && v.Number == "" && v.Color == "":
		return 0
	}
	emitJenkinsBuild(out, p, job)
	return 1
}

func emitJenkinsBuild(out *Out, p *part[jenkinsAPI], job string) {
	v := &p.Value
	result := string(v.Result)
	running := v.Building == "true" || v.InProgress == "true" || result == "" && v.Building == "" && v.Color == ""
	if v.Color != "" && result == "" { // a job in a folder tells of its last build by a colour
		running = strings.HasSuffix(string(v.Color), "_anime")
		result = jenkinsColor(strings.TrimSuffix(string(v.Color), "_anime"))
	}
	typ := "pipelinerun.finished"
	if running {
		typ, result = "pipelinerun.started", ""
	}
	e := out.Event(typ)
	e.Raw = p.Raw
	e.Severity = pipeline.SeverityInfo
	e.Outcome = runOutcome(result)
	if display := string(v.FullDisplay); display != "" && job == "" {
		job, _, _ = strings.Cut(display, " #")
		job = strings.ReplaceAll(job, " » ", "/")
	}
	number := string(v.Number)
	jenkinsRun(e, string(v.URL), job, number)
	e.Time = parseTime(string(v.Timestamp))
	if d := v.Duration.Or(0); !running && d > 0 && d < 1e12 && !e.Time.IsZero() {
		took := time.Duration(d) * time.Millisecond
		e.Time = sane(e.Time.Add(took))
		e.SetAttr("duration_seconds", seconds(e.Time.Add(-took), e.Time))
	}
	for i := range v.Actions {
		a := &v.Actions[i]
		if len(a.Causes) > 0 {
			e.Actor = string(first(a.Causes[0].UserID, a.Causes[0].UserName))
			e.SetAttr("trigger", string(a.Causes[0].Short))
		}
		if a.Last != nil {
			branch := ""
			if len(a.Last.Branch) > 0 {
				branch = string(a.Last.Branch[0].Name)
			}
			jenkinsRevision(e, branch, string(a.Last.SHA1))
		}
		if len(a.Remotes) > 0 {
			e.Repo = repoOf(a.Remotes[0])
		}
		if total := a.Total.Or(0); total > 0 {
			e.SetAttr("tests.total", positive(int(total)))
			e.SetAttr("tests.failed", positive(int(a.Fail.Or(0))))
			e.SetAttr("tests.skipped", positive(int(a.Skip.Or(0))))
		}
	}
	changes := len(v.Changes.Items)
	for i := range v.ChangeSet {
		changes += len(v.ChangeSet[i].Items)
	}
	e.SetAttr("changes", positive(changes))
	e.SetAttr("artifacts", positive(len(v.Artifacts)))
	e.SetAttr("status", strings.ToLower(result))
	e.SetAttr("queue_id", string(v.QueueID))
	e.SetAttr("jenkins.class", string(v.Class))
	e.SetAttr("cicd.worker.name", string(v.BuiltOn))
	e.SetAttr("cicd.pipeline.run.url.full", string(v.URL))
	e.Title = jenkinsTitle(e, number, first(strings.ToLower(result), "running"))
	if e.Run != "" {
		out.ID(e, e.Run, typ, string(v.Timestamp))
	}
}

// jenkinsColor converts the colour of a job's ball.
func jenkinsColor(color string) string {
	switch color {
	case "blue", "green":
		return "SUCCESS"
	case "red":
		return "FAILURE"
	case "yellow":
		return "UNSTABLE"
	case "aborted":
		return "ABORTED"
	case "notbuilt", "disabled", "grey":
		return "NOT_BUILT"
	}
	return ""
}

// emitStages gives a run of the Pipeline REST API and its stages.
func emitStages(out *Out, p *part[jenkinsAPI]) int {
	v := &p.Value
	link := strings.TrimSuffix(string(v.Links.Self.Href), "wfapi/describe")
	add := func(kind, status, start string, took float64) *pipeline.Event {
		status = strings.ToLower(status)
		state := ".finished"
		if status == "in_progress" || status == "paused_pending_input" {
			state = ".started"
		}
		e := out.Event(kind + state)
		e.Raw, e.Severity = p.Raw, pipeline.SeverityInfo
		jenkinsRun(e, link, "", string(v.ID))
		e.Time = parseTime(start)
		if state == ".finished" {
			e.Outcome = runOutcome(status)
			if took > 0 && took < 1e12 && !e.Time.IsZero() {
				e.Time = sane(e.Time.Add(time.Duration(took) * time.Millisecond))
			}
		}
		e.SetAttr("status", status)
		return e
	}
	e := add("pipelinerun", string(v.Status), string(v.StartMillis), v.Millis.Or(0))
	e.Title = jenkinsTitle(e, string(v.ID), strings.ToLower(string(v.Status)))
	for i := range v.Stages {
		s := &v.Stages[i]
		e := add("taskrun", string(s.Status), string(s.StartMillis), s.Millis.Or(0))
		e.Task = string(s.Name)
		e.SetAttr("error.message", string(s.Error.Message))
		e.Title = jenkinsTitle(e, string(v.ID), "stage "+e.Task+" "+strings.ToLower(string(s.Status)))
	}
	return 1 + len(v.Stages)
}
