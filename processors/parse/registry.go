package parse

import (
	"errors"
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// registryEvents reads notifications of the Docker registry (distribution) and of Azure's, the JSON log of distribution,
// and the webhooks of Docker Hub, Quay, Amazon ECR and Google.
// https://distribution.github.io/distribution/about/notifications/
var registryEvents = Format{
	Name: "registry-events", Title: "Container registry notifications", Phase: pipeline.PhaseRelease,
	Types: []string{"artifact.published", "artifact.downloaded", "artifact.deleted", "http.request", "log"},
	Known: "JSON object with events that have action and target; push_data (Docker Hub); docker_url (Quay); aws.ecr; registry log",
	Frame: Values,
	Match: func(s *Shape) bool {
		if s.Array || !s.IsObject() {
			return false
		}
		if list := s.Raw("events"); len(list) > 0 && list[0] == '[' {
			first := list[1+skipSpace(list[1:]):]
			return member(first, "target") != nil && member(first, "action") != nil || string(first[:min(1, len(first))]) == "]" && !s.Has("config")
		}
		return s.Has("action", "target") && s.Raw("target", "repository") != nil || s.Has("push_data", "repository") ||
			s.Has("docker_url", "updated_tags") || s.String("source") == "aws.ecr" || s.Has("action", "digest") && s.Has("tag") && len(s.Object()) < 2000 ||
			s.Has("http.request.uri", "go.version") || s.Has("instance.id", "go.version")
	},
	Parse: parseRegistry,
}

type registryPayload struct {
	Events []part[registryEvent] `json:"events"`
	registryEvent

	// Docker Hub, Quay.
	PushData *struct {
		Tag      Text `json:"tag"`
		Pusher   Text `json:"pusher"`
		PushedAt Text `json:"pushed_at"`
	} `json:"push_data"`
	Repository registryRepo `json:"repository"`
	DockerURL  Text         `json:"docker_url"`
	Tags       Strings      `json:"updated_tags"`

	// Amazon ECR, Google.
	Time   Text `json:"time"`
	Detail *struct {
		Action Text `json:"action-type"`
		Result Text `json:"result"`
		Repo   Text `json:"repository-name"`
		Tag    Text `json:"image-tag"`
		Digest Text `json:"image-digest"`
	} `json:"detail"`
	Digest Text `json:"digest"`
	Tag    Text `json:"tag"`

	// Log of distribution.
	Level    Text `json:"level"`
	Msg      Text `json:"msg"`
	Host     Text `json:"http.request.host"`
	Method   Text `json:"http.request.method"`
	Remote   Text `json:"http.request.remoteaddr"`
	URI      Text `json:"http.request.uri"`
	Agent    Text `json:"http.request.useragent"`
	Status   Text `json:"http.response.status"`
	Written  Text `json:"http.response.written"`
	Duration Text `json:"http.response.duration"`
	ErrCode  Text `json:"err.code"`
	ErrText  Text `json:"err.message"`
	User     Text `json:"auth.user.name"`
	VarName  Text `json:"vars.name"`
	VarHash  Text `json:"vars.digest"`
	VarRef   Text `json:"vars.reference"`
}

// registryRepo is an object at Docker Hub and a name at Quay.
type registryRepo struct {
	RepoName Text `json:"repo_name"`
	Name     Text `json:"name"`
	URL      Text `json:"repo_url"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *registryRepo) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return r.RepoName.UnmarshalJSON(b)
	}
	type plain registryRepo
	return decode(b, (*plain)(r))
}

type registryEvent struct {
	ID        Text `json:"id"`
	Timestamp Text `json:"timestamp"`
	Action    Text `json:"action"`
	Target    struct {
		MediaType  Text   `json:"mediaType"`
		Size       Number `json:"size"`
		Digest     Text   `json:"digest"`
		Repository Text   `json:"repository"`
		From       Text   `json:"fromRepository"`
		Tag        Text   `json:"tag"`
		URL        Text   `json:"url"`
	} `json:"target"`
	Request struct {
		Addr      Text `json:"addr"`
		Host      Text `json:"host"`
		Method    Text `json:"method"`
		UserAgent Text `json:"useragent"`
	} `json:"request"`
	Actor struct {
		Name Text `json:"name"`
	} `json:"actor"`
}

func parseRegistry(in *Input, out *Out) error {
	var v registryPayload
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	switch {
	case len(v.Events) > 0:
		for i := range v.Events {
			v.Events[i].Value.emit(out, v.Events[i].Raw)
		}
	case v.Target.Repository != "":
		v.registryEvent.emit(out, in.Text())
	case v.PushData != nil || v.DockerURL != "" || v.Detail != nil || v.Digest != "":
		v.hook(out)
	case v.Msg != "" || v.Level != "":
		v.log(out)
	case v.Action != "" || member(in.Data, "events") == nil:
		return errors.New("registry: neither an event with a target, nor a push, nor a log line")
	default:
		e := out.Event("log") // an empty list of events
		e.Severity, e.Title = pipeline.SeverityInfo, "registry: no event"
	}
	return nil
}

// registryType converts an action of any registry.
func registryType(action string) string {
	switch strings.ToLower(action) {
	case "push", "mount", "insert", "chart_push", "import":
		return "artifact.published"
	case "pull":
		return "artifact.downloaded"
	case "delete", "untag", "chart_delete":
		return "artifact.deleted"
	}
	return "log"
}

func (v *registryEvent) emit(out *Out, raw string) {
	e := out.Event(registryType(string(v.Action)))
	e.Raw, e.Severity, e.Outcome = raw, pipeline.SeverityInfo, pipeline.OutcomeSuccess
	t := &v.Target
	e.Time, e.Actor = parseTime(string(v.Timestamp)), string(v.Actor.Name)
	e.Artifact, e.Digest = string(t.Repository), string(t.Digest)
	e.SrcIP, e.Host = addrOf(string(v.Request.Addr)), hostOf(string(v.Request.Host))
	if size := t.Size.Or(0); size > 0 && size < 1e18 {
		e.Bytes = uint64(size)
	}
	if strings.Contains(string(t.MediaType), "manifest") || strings.Contains(string(t.MediaType), "index") || t.Tag != "" {
		e.Purl = ociPurl(e.Artifact, e.Digest)
		e.SetAttr("artifact.type", "oci")
	} else if t.MediaType != "" {
		e.SetAttr("artifact.type", "blob")
	}
	e.SetAttr("action", string(v.Action))
	e.SetAttr("tag", string(t.Tag))
	e.SetAttr("media_type", string(t.MediaType))
	e.SetAttr("from", string(t.From))
	e.SetAttr("user_agent.original", string(v.Request.UserAgent))
	e.SetAttr("http.request.method", string(v.Request.Method))
	e.Title = registryTitle(string(v.Action), e.Artifact, string(t.Tag), e.Digest)
	if v.ID != "" {
		out.ID(e, string(v.ID))
	}
}

// registryTitle names an image as people do.
func registryTitle(action, image, tag, digest string) string {
	title := action + " " + image
	if tag != "" && !strings.HasPrefix(tag, "sha256:") {
		return title + ":" + tag
	}
	if digest != "" {
		title += "@" + digest[:min(len(digest), 19)]
	}
	return title
}

// hook reads Docker Hub, Quay, ECR and Google.
func (v *registryPayload) hook(out *Out) {
	switch {
	case v.PushData != nil:
		e := out.Event("artifact.published")
		e.Severity, e.Outcome = pipeline.SeverityInfo, pipeline.OutcomeSuccess
		e.Artifact, e.Actor = string(first(v.Repository.RepoName, v.Repository.Name)), string(v.PushData.Pusher)
		e.Time = parseTime(decimal(string(v.PushData.PushedAt)))
		e.SetAttr("artifact.type", "oci")
		e.SetAttr("action", "push")
		e.SetAttr("tag", string(v.PushData.Tag))
		e.Host = "docker.io"
		e.Title = registryTitle("push", e.Artifact, string(v.PushData.Tag), "")
	case v.DockerURL != "":
		tags := v.Tags
		if len(tags) == 0 {
			tags = Strings{""}
		}
		for _, tag := range tags {
			e := out.Event("artifact.published")
			e.Severity, e.Outcome, e.Artifact = pipeline.SeverityInfo, pipeline.OutcomeSuccess, string(v.Repository.RepoName)
			host, _, _ := strings.Cut(string(v.DockerURL), "/")
			e.Host = hostOf(host)
			e.SetAttr("artifact.type", "oci")
			e.SetAttr("tag", tag)
			e.Title = registryTitle("push", e.Artifact, tag, "")
		}
	case v.Detail != nil:
		d := v.Detail
		e := out.Event(registryType(string(d.Action)))
		e.Severity, e.Outcome = pipeline.SeverityInfo, runOutcome(string(d.Result))
		e.Artifact, e.Digest, e.Time = string(d.Repo), string(d.Digest), parseTime(string(v.Time))
		e.Purl = ociPurl(e.Artifact, e.Digest)
		e.SetAttr("artifact.type", "oci")
		e.SetAttr("tag", string(d.Tag))
		e.Title = registryTitle(strings.ToLower(string(d.Action)), e.Artifact, string(d.Tag), e.Digest)
	default:
		image, digest, _ := strings.Cut(string(v.Digest), "@")
		tag := string(v.Tag)
		if i := strings.LastIndexByte(tag, ':'); i >= 0 {
			image, tag = first(image, tag[:i]), tag[i+1:]
		}
		e := out.Event(registryType(string(v.Action)))
		e.Severity, e.Outcome, e.Artifact, e.Digest = pipeline.SeverityInfo, pipeline.OutcomeSuccess, image, digest
		e.Purl = ociPurl(image, digest)
		e.SetAttr("artifact.type", "oci")
		e.SetAttr("tag", tag)
		e.Title = registryTitle(strings.ToLower(string(v.Action)), image, tag, digest)
	}
}

// decimal returns a number that may be written with an exponent in plain digits.
func decimal(s string) string {
	if v, err := strconv.ParseFloat(s, 64); err == nil && v > 0 && v < 1e18 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return s
}

// log reads a line of distribution's own log.
func (v *registryPayload) log(out *Out) {
	typ := "log"
	if v.Status != "" {
		typ = "http.request"
	}
	e := out.Event(typ)
	e.Time, e.Severity, e.Actor = parseTime(string(v.Time)), severityLog(string(v.Level)), string(v.User)
	e.SrcIP, e.Host = addrOf(string(v.Remote)), hostOf(string(v.Host))
	e.Artifact, e.Digest = string(v.VarName), string(v.VarHash)
	if typ == "http.request" {
		e.Outcome = httpOutcome(string(v.Status))
		e.Severity = pipeline.SeverityInfo
		if n, err := strconv.ParseUint(string(v.Written), 10, 64); err == nil {
			e.Bytes = n
		}
		e.Title = string(v.Method) + " " + string(v.URI) + " " + string(v.Status)
	} else {
		e.Title = oneLine(string(v.Msg), 200)
	}
	e.SetAttr("http.request.method", string(v.Method))
	e.SetAttr("url.path", string(v.URI))
	e.SetAttr("http.response.status_code", string(v.Status))
	e.SetAttr("user_agent.original", string(v.Agent))
	e.SetAttr("error.type", string(v.ErrCode))
	e.SetAttr("error.message", string(v.ErrText))
	e.SetAttr("log.level", string(v.Level))
	e.SetAttr("tag", string(v.VarRef))
}

// severityLog converts the levels of logs, where an error is worth a look and no alarm.
func severityLog(level string) uint8 {
	switch strings.ToLower(level) {
	case "warn", "warning", "w":
		return pipeline.SeverityLow
	case "error", "err", "e":
		return pipeline.SeverityMedium
	case "fatal", "panic", "critical", "f", "c":
		return pipeline.SeverityHigh
	}
	return pipeline.SeverityInfo
}
