package parse

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// artifactRepo reads what Nexus and Artifactory emit: webhooks and audit records (JSON), Artifactory's access log and
// request log (text) and its router's request log (JSON lines).
// https://jfrog.com/help/r/jfrog-platform-administration-documentation/webhooks,
// https://help.sonatype.com/en/webhooks.html
var artifactRepo = Format{
	Name: "artifact-repo", Title: "Nexus and Artifactory: webhooks, audit, access and request logs", Phase: pipeline.PhaseRelease,
	Types: []string{
		"artifact.published", "artifact.downloaded", "artifact.deleted", "repository.created", "repository.modified",
		"repository.deleted", "user.modified", "auth.success", "auth.failed", "http.request", "build.finished", "log",
	},
	Known: "JSON object with domain, event_type and data, or nodeId and initiator; log lines [ACCEPTED DEPLOY] or time|trace|address|user",
	Frame: Reports,
	Match: func(s *Shape) bool {
		if s.IsObject() {
			return !s.Array && (s.Has("domain", "event_type", "data") || s.Has("nodeId", "initiator") || s.Has("ClientAddr", "RequestPath", "DownstreamStatus") && !s.Has("ClientHost") && !s.Has("RequestHost")) // Traefik's own has both
		}
		if s.Root != "" {
			return false
		}
		if (strings.Contains(s.Line(), "[ACCEPTED ") || strings.Contains(s.Line(), "[DENIED ")) && strings.Contains(s.Line(), " for client : ") {
			return true
		}
		_, ok := artifactoryRequest(s.Line())
		return ok
	},
	Parse: parseArtifactRepo,
}

type artifactRepoEvent struct {
	// Artifactory.
	Domain    Text `json:"domain"`
	EventType Text `json:"event_type"`
	Origin    Text `json:"jpd_origin"`
	Source    Text `json:"source"`
	Data      struct {
		Repo        Text   `json:"repo_key"`
		Path        Text   `json:"path"`
		Name        Text   `json:"name"`
		SHA256      Text   `json:"sha256"`
		Size        Number `json:"size"`
		Image       Text   `json:"image_name"`
		Tag         Text   `json:"tag"`
		SourcePath  Text   `json:"source_repo_path"`
		TargetPath  Text   `json:"target_repo_path"`
		BuildName   Text   `json:"build_name"`
		BuildNumber Text   `json:"build_number"`
		Bundle      Text   `json:"release_bundle_name"`
		Version     Text   `json:"release_bundle_version"`
		User        Text   `json:"username"`
	} `json:"data"`

	// Nexus.
	Timestamp  Text            `json:"timestamp"`
	NodeID     Text            `json:"nodeId"`
	Initiator  Text            `json:"initiator"`
	Repository nexusNamed      `json:"repository"`
	RepoName   Text            `json:"repositoryName"`
	Action     Text            `json:"action"`
	Component  *nexusPart      `json:"component"`
	Asset      *nexusPart      `json:"asset"`
	Audit      *nexusAudit     `json:"audit"`
	Type       Text            `json:"type"`
	Context    Text            `json:"context"`
	Attributes map[string]Text `json:"attributes"`

	// Artifactory's router.
	ClientAddr Text   `json:"ClientAddr"`
	Status     Text   `json:"DownstreamStatus"`
	Bytes      Number `json:"DownstreamContentSize"`
	Duration   Number `json:"Duration"`
	Method     Text   `json:"RequestMethod"`
	Path       Text   `json:"RequestPath"`
	Service    Text   `json:"ServiceAddr"`
	Time       Text   `json:"time"`
	Trace      Text   `json:"TraceId"`
	Agent      Text   `json:"request_User-Agent"`
}

type nexusNamed struct {
	Name   Text `json:"name"`
	Format Text `json:"format"`
	Type   Text `json:"type"`
}

type nexusPart struct {
	Format  Text `json:"format"`
	Group   Text `json:"group"`
	Name    Text `json:"name"`
	Version Text `json:"version"`
}

// nexusAudit is an audit record: a webhook's member, or a line of audit.log by itself.
type nexusAudit struct {
	Domain     Text            `json:"domain"`
	Type       Text            `json:"type"`
	Context    Text            `json:"context"`
	Attributes map[string]Text `json:"attributes"`
}

func parseArtifactRepo(in *Input, out *Out) error {
	if !isJSON(in.Data) {
		return artifactRepoLog(in, out)
	}
	v := scratch[artifactRepoEvent](out)
	if err := decode(in.Data, v); err != nil {
		return err
	}
	switch {
	case v.Path != "" && v.Status != "":
		v.router(out)
	case v.EventType != "":
		v.artifactory(out)
	case v.Component != nil || v.Asset != nil:
		v.nexusArtifact(out)
	case v.Audit != nil:
		v.audit(out, v.Audit, string(v.Audit.Domain))
	case v.Domain != "" && v.Type != "":
		v.audit(out, &nexusAudit{v.Domain, v.Type, v.Context, v.Attributes}, string(v.Domain))
	case v.NodeID != "":
		v.nexusRepository(out)
	default:
		return errors.New("neither an event of Artifactory nor one of Nexus")
	}
	return nil
}

func (v *artifactRepoEvent) artifactory(out *Out) {
	d := &v.Data
	typ := "log"
	switch domain, what := string(v.Domain), string(v.EventType); {
	case domain == "user" || domain == "user_group" || domain == "permission":
		typ = "user.modified"
	case domain == "build":
		if typ = "build.finished"; what == "deleted" {
			typ = "log"
		}
	case strings.HasPrefix(what, "delet"):
		typ = "artifact.deleted"
	case domain == "artifact_property":
		typ = "repository.modified"
	case what == "cached":
		typ = "artifact.downloaded"
	case domain == "artifact" || domain == "docker" || strings.Contains(domain, "release_bundle") || domain == "distribution" || domain == "destination":
		if typ = "artifact.published"; strings.Contains(what, "failed") || strings.Contains(what, "aborted") || strings.Contains(what, "started") {
			typ = "log"
		}
	}
	e := out.Event(typ)
	e.Severity, e.Outcome = pipeline.SeverityInfo, pipeline.OutcomeSuccess
	if strings.Contains(string(v.EventType), "fail") {
		e.Outcome = pipeline.OutcomeFailure
	}
	e.Host = hostOf(string(v.Origin))
	_, user, _ := strings.Cut(string(v.Source), "/")
	e.Actor = first(user, string(d.User))
	e.Artifact = string(first(d.Image, d.Path, d.Name, d.Bundle, d.BuildName))
	if d.Image != "" && d.Repo != "" {
		e.SetAttr("repository", string(d.Repo))
	}
	if len(d.SHA256) == 64 {
		e.Digest = "sha256:" + strings.ToLower(string(d.SHA256))
	}
	if d.Image != "" {
		e.Purl = ociPurl(e.Artifact, e.Digest)
		e.SetAttr("artifact.type", "oci")
	}
	if n := d.Size.Or(0); n > 0 && n < 1e18 {
		e.Bytes = uint64(n)
	}
	if v.Domain == "build" {
		e.Phase, e.Pipeline = pipeline.PhasePackaging, string(d.BuildName)
		e.Run = "artifactory/" + e.Pipeline + "/" + string(d.BuildNumber)
	}
	e.SetAttr("action", string(v.EventType))
	e.SetAttr("domain", string(v.Domain))
	e.SetAttr("repository", string(d.Repo))
	e.SetAttr("tag", string(d.Tag))
	e.SetAttr("artifact.version", string(d.Version))
	e.SetAttr("from", string(d.SourcePath))
	e.SetAttr("to", string(d.TargetPath))
	e.Title = strings.TrimSpace("Artifactory: " + string(v.Domain) + " " + string(v.EventType) + " " + strings.TrimSuffix(e.Artifact+":"+string(d.Tag), ":"))
}

// initiator splits "admin/127.0.0.1".
func (v *artifactRepoEvent) initiator(e *pipeline.Event) {
	user, ip, _ := strings.Cut(string(v.Initiator), "/")
	e.Actor, e.SrcIP = user, addrOf(ip)
	e.Time = nexusTime(string(v.Timestamp))
	e.SetAttr("node.id", string(v.NodeID))
}

// nexusTime reads "2026-11-23 07:01:12,336+0000", as Nexus' audit log has it, and RFC 3339.
func nexusTime(s string) time.Time { return parseTime(strings.Replace(s, ",", ".", 1)) }

func (v *artifactRepoEvent) nexusArtifact(out *Out) {
	p := first(v.Component, v.Asset)
	typ := "artifact.published"
	switch strings.ToUpper(string(v.Action)) {
	case "DELETED", "PURGED":
		typ = "artifact.deleted"
	}
	e := out.Event(typ)
	e.Severity, e.Outcome = pipeline.SeverityInfo, pipeline.OutcomeSuccess
	v.initiator(e)
	e.Artifact = string(p.Name)
	name := e.Artifact
	if p.Group != "" {
		sep := "/"
		if strings.HasPrefix(string(p.Format), "maven") {
			sep = ":"
		}
		name = strings.TrimPrefix(string(p.Group), "/") + sep + name
	}
	if v.Component != nil {
		e.Purl = purlOf(strings.TrimSuffix(string(p.Format), "2"), name, string(p.Version))
	}
	e.SetAttr("action", strings.ToLower(string(v.Action)))
	e.SetAttr("repository", string(v.RepoName))
	e.SetAttr("artifact.type", string(p.Format))
	e.SetAttr("artifact.version", string(p.Version))
	e.Title = "Nexus: " + name + " " + string(p.Version) + " " + strings.ToLower(string(v.Action)) + " in " + string(v.RepoName)
}

func (v *artifactRepoEvent) nexusRepository(out *Out) {
	typ := "repository.modified"
	switch strings.ToUpper(string(v.Action)) {
	case "CREATED":
		typ = "repository.created"
	case "DELETED":
		typ = "repository.deleted"
	}
	e := out.Event(typ)
	e.Severity = pipeline.SeverityInfo
	v.initiator(e)
	e.SetAttr("action", strings.ToLower(string(v.Action)))
	e.SetAttr("repository", string(first(v.Repository.Name, v.RepoName)))
	e.SetAttr("format", string(v.Repository.Format))
	e.Title = "Nexus: repository " + string(first(v.Repository.Name, v.RepoName)) + " " + strings.ToLower(string(v.Action))
}

// audit reads what somebody changed in Nexus. What it has attributes for differs by domain.
func (v *artifactRepoEvent) audit(out *Out, a *nexusAudit, domain string) {
	typ := "log"
	what := strings.ToLower(string(a.Type))
	switch {
	case strings.HasPrefix(domain, "security"):
		typ = "user.modified"
	case strings.HasPrefix(domain, "repository.asset"), strings.HasPrefix(domain, "repository.component"):
		if typ = "artifact.published"; strings.HasPrefix(what, "delet") || strings.HasPrefix(what, "purg") {
			typ = "artifact.deleted"
		}
	case strings.HasPrefix(domain, "repository"), strings.HasPrefix(domain, "blobstore"), domain == "capability", domain == "tasks":
		typ = "repository.modified"
	}
	e := out.Event(typ)
	e.Severity = pipeline.SeverityInfo
	if typ == "user.modified" {
		e.Phase = pipeline.PhaseOperation
	}
	v.initiator(e)
	if strings.HasPrefix(typ, "artifact") {
		e.Artifact = string(first(a.Attributes["name"], a.Context))
		e.SetAttr("repository", string(a.Attributes["repository.name"]))
	}
	e.SetAttr("action", what)
	e.SetAttr("domain", domain)
	e.SetAttr("object", string(a.Context))
	for _, k := range []string{"status", "roles", "source", "privileges", "format"} {
		e.SetAttr(k, string(a.Attributes[k]))
	}
	e.Title = "Nexus: " + domain + " " + string(a.Context) + " " + what
}

func (v *artifactRepoEvent) router(out *Out) {
	e := out.Event("http.request")
	e.Severity, e.Outcome = pipeline.SeverityInfo, httpOutcome(string(v.Status))
	e.Time, e.SrcIP, e.Host = parseTime(string(v.Time)), addrOf(string(v.ClientAddr)), hostOf(string(v.Service))
	if n := v.Bytes.Or(0); n > 0 && n < 1e18 {
		e.Bytes = uint64(n)
	}
	if ns := v.Duration.Or(-1); ns >= 0 {
		e.SetAttr("duration_seconds", strconv.FormatFloat(ns/1e9, 'f', -1, 64))
	}
	e.SetAttr("http.request.method", string(v.Method))
	e.SetAttr("url.path", string(v.Path))
	e.SetAttr("http.response.status_code", string(v.Status))
	e.SetAttr("user_agent.original", string(v.Agent))
	e.SetAttr("trace.id", string(v.Trace))
	e.Title = string(v.Method) + " " + string(v.Path) + " " + string(v.Status)
}

func artifactRepoLog(in *Input, out *Out) error {
	line := 0
	for rest := in.Data; len(rest) > 0; {
		var l []byte
		l, rest = cutLine(rest)
		line++
		text := alias(l)
		if strings.TrimSpace(text) == "" {
			continue
		}
		if r, ok := artifactoryRequest(text); ok {
			r.emit(out, text)
		} else if !artifactoryAccess(text, out) {
			out.Reject(line, "neither a line of Artifactory's access log nor one of its request log")
		}
	}
	return nil
}

// artifactoryAccess reads "<time> [<trace>] [ACCEPTED DEPLOY] <repo>:<path>  for client : <user> / <address> [token]".
func artifactoryAccess(s string, out *Out) bool {
	i := strings.Index(s, "[ACCEPTED ")
	accepted := i >= 0
	if !accepted {
		if i = strings.Index(s, "[DENIED "); i < 0 {
			return false
		}
	}
	verb, rest, ok := strings.Cut(s[i+1:], "]")
	if !ok {
		return false
	}
	_, verb, _ = strings.Cut(verb, " ")
	what, client, _ := strings.Cut(rest, " for client : ")
	user, ip, _ := strings.Cut(client, " / ")
	ip, _, _ = strings.Cut(strings.TrimSpace(ip), " ")
	what = strings.TrimSuffix(strings.TrimSpace(what), ".")
	typ := "repository.modified"
	switch verb {
	case "DEPLOY", "CREATE":
		typ = "artifact.published"
	case "DOWNLOAD":
		typ = "artifact.downloaded"
	case "DELETE":
		typ = "artifact.deleted"
	case "LOGIN", "TOKEN LOGIN":
		if typ = "auth.success"; !accepted {
			typ = "auth.failed"
		}
	}
	e := out.Event(typ)
	e.Raw, e.Severity, e.Outcome = s, pipeline.SeverityInfo, pipeline.OutcomeSuccess
	at, trace, _ := strings.Cut(s[:i], " [")
	e.Time = nexusTime(at)
	e.Actor, e.SrcIP = strings.TrimSpace(user), addrOf(ip)
	if !accepted {
		e.Outcome, e.Disposition, e.Severity = pipeline.OutcomeFailure, pipeline.DispositionBlocked, pipeline.SeverityLow
	}
	if repo, path, ok := strings.Cut(what, ":"); ok {
		e.Artifact = strings.TrimSuffix(repo+"/"+path, "/")
		e.SetAttr("repository", repo)
	} else {
		e.SetAttr("object", what)
	}
	if strings.HasPrefix(typ, "auth.") {
		e.Phase = pipeline.PhaseOperation
	}
	e.SetAttr("action", strings.ToLower(verb))
	e.SetAttr("trace.id", strings.Trim(trace, "[] "))
	state := "accepted"
	if !accepted {
		state = "denied"
	}
	e.Title = "Artifactory: " + state + " " + strings.ToLower(verb) + " " + first(e.Artifact, what) + " by " + e.Actor
	return true
}

// artifactoryLine is a line of the request log: time|trace|address|user|method|path|status|request bytes|answer
// bytes|milliseconds|agent.
type artifactoryLine struct {
	at                                     time.Time
	trace, ip, user, method, path, status  string
	requestBytes, answerBytes, took, agent string
}

// artifactoryRequest reads the request log, whose older form is time|milliseconds|REQUEST|address|user|method|path|protocol|
// status|bytes.
func artifactoryRequest(s string) (r artifactoryLine, ok bool) {
	if strings.Count(s, "|") < 8 {
		return r, false
	}
	f := strings.SplitN(s, "|", 11)
	if f[2] == "REQUEST" {
		at, _ := time.Parse("20060102150405", f[0])
		if r.at = sane(at); r.at.IsZero() || len(f) < 10 {
			return r, false
		}
		r.took, r.ip, r.user, r.method, r.path, r.status, r.answerBytes = f[1], f[3], f[4], f[5], f[6], f[8], f[9]
		return r, true
	}
	if len(f) < 11 || !addrOf(f[2]).IsValid() {
		return r, false
	}
	if r.at = nexusTime(f[0]); r.at.IsZero() {
		return r, false
	}
	r.trace, r.ip, r.user, r.method, r.path, r.status = f[1], f[2], f[3], f[4], f[5], f[6]
	r.requestBytes, r.answerBytes, r.took, r.agent = f[7], f[8], f[9], f[10]
	return r, true
}

func (r *artifactoryLine) emit(out *Out, raw string) {
	e := out.Event("http.request")
	e.Raw, e.Time, e.Severity, e.Outcome = raw, r.at, pipeline.SeverityInfo, httpOutcome(r.status)
	e.SrcIP = addrOf(r.ip)
	if r.user != "anonymous" && r.user != "non_authenticated_user" {
		e.Actor = r.user
	} else {
		e.SetAttr("user.name", r.user)
	}
	for _, n := range []string{r.requestBytes, r.answerBytes} {
		if v, err := strconv.ParseUint(n, 10, 64); err == nil { // -1 is unknown
			e.Bytes += v
		}
	}
	e.SetAttr("http.request.method", r.method)
	e.SetAttr("url.path", r.path)
	e.SetAttr("http.response.status_code", r.status)
	e.SetAttr("user_agent.original", r.agent)
	e.SetAttr("duration_seconds", millis(r.took))
	e.SetAttr("trace.id", r.trace)
	e.Title = r.method + " " + r.path + " " + r.status
}
