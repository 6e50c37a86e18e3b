package parse

import (
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// scmAppLog reads the application logs of forges: GitLab's JSON logs (production_json, api_json, application_json, auth_json,
// audit_json) and its application.log, and the logs of Gitea, Forgejo and Gogs. What they are read for are logins.
// https://docs.gitlab.com/administration/logs/, https://docs.gitea.com/administration/logging-config
var scmAppLog = Format{
	Name: "scm-app-log", Title: "Application logs of GitLab, Gitea and Gogs", Phase: pipeline.PhaseOperation,
	Types: []string{"log", "auth.success", "auth.failed", "auth.logout", "http.request", "user.modified", "detection"},
	Known: "JSON lines with controller and action, or route and remote_ip, or severity, time and message of GitLab; Gitea's log lines",
	Frame: Reports,
	Match: func(s *Shape) bool {
		if s.IsObject() {
			return !s.Array && (s.Has("controller", "action", "method", "path") || s.Has("meta.caller_id") || s.Has("route", "remote_ip", "params") ||
				s.Has("severity", "correlation_id", "message") || s.Has("author_name", "entity_type", "target_type") ||
				s.Has("severity", "time", "message") && (strings.Contains(s.String("message"), "Failed Login:") || s.String("message") == "Rack_Attack"))
		}
		if s.Root != "" {
			return false
		}
		if _, ok := giteaLine(s.Line()); ok {
			return true
		}
		_, message, ok := gitlabLine(s.Line())
		return ok && gitlabMessage(message) != "log"
	},
	Parse: parseSCMAppLog,
}

type gitlabLog struct {
	Method     Text `json:"method"`
	Path       Text `json:"path"`
	Route      Text `json:"route"`
	Controller Text `json:"controller"`
	Action     Text `json:"action"`
	Status     Text `json:"status"`
	Time       Text `json:"time"`
	Location   Text `json:"location"`
	Params     []struct {
		Key   Text `json:"key"`
		Value Text `json:"value"`
	} `json:"params"`
	RemoteIP    Text `json:"remote_ip"`
	MetaIP      Text `json:"meta.remote_ip"`
	UserAgent   Text `json:"ua"`
	Username    Text `json:"username"`
	MetaUser    Text `json:"meta.user"`
	Correlation Text `json:"correlation_id"`
	Project     Text `json:"meta.project"`
	Exception   Text `json:"exception.class"`
	ExcText     Text `json:"exception.message"`

	Severity   Text `json:"severity"`
	Message    Text `json:"message"`
	Env        Text `json:"env"`
	Matched    Text `json:"matched"`
	ReqMethod  Text `json:"request_method"`
	Author     Text `json:"author_name"`
	EntityType Text `json:"entity_type"`
	EntityPath Text `json:"entity_path"`
	Target     Text `json:"target_details"`
	Custom     Text `json:"custom_message"`
	Change     Text `json:"change"`
	With       Text `json:"with"`
	FailedWith Text `json:"failed_login"`
	IP         Text `json:"ip_address"`
}

func parseSCMAppLog(in *Input, out *Out) error {
	if !isJSON(in.Data) {
		return scmText(in, out)
	}
	var v gitlabLog
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	switch {
	case v.Method != "" || v.Path != "" && v.Status != "":
		v.request(out)
	case v.EntityType != "" || v.Author != "":
		v.audit(out)
	default:
		v.message(out)
	}
	return nil
}

// login returns the name that a login form was sent with.
func (v *gitlabLog) login() string {
	for i := range v.Params {
		p := &v.Params[i]
		switch p.Key {
		case "user":
			if name := textOf(member([]byte(p.Value), "login")); name != "" {
				return name
			}
		case "username", "login":
			return string(p.Value)
		}
	}
	return ""
}

// gitlabLogin tells what a request to sign in came to. Devise answers a failure outside of its controller (status 0, or
// 401 and 422), asks again with 200, and sends who may enter on with 302, to the page of origin and not to that of login.
func gitlabLogin(v *gitlabLog) string {
	controller, action, status := string(v.Controller), string(v.Action), string(v.Status)
	again := strings.Contains(string(v.Location), "/users/sign_in")
	switch {
	case strings.HasSuffix(controller, "SessionsController") && action == "destroy":
		return "auth.logout"
	case strings.HasSuffix(controller, "SessionsController") && action == "create":
		if (status == "302" || status == "303") && !again {
			return "auth.success"
		}
		return "auth.failed"
	case strings.Contains(controller, "OmniauthCallbacksController"):
		if action == "failure" || again || status == "401" || status == "422" {
			return "auth.failed"
		}
		return "auth.success"
	case (strings.Contains(string(v.Path), "/oauth/token") || strings.HasSuffix(controller, "JwtController")) && status == "401":
		return "auth.failed"
	}
	return "http.request"
}

func (v *gitlabLog) request(out *Out) {
	typ := gitlabLogin(v)
	e := out.Event(typ)
	e.Severity, e.Time = pipeline.SeverityInfo, parseTime(string(v.Time))
	e.SrcIP = addrOf(string(first(v.RemoteIP, v.MetaIP)))
	e.Actor = first(string(v.Username), string(v.MetaUser), v.login())
	e.SetAttr("http.request.method", string(v.Method))
	e.SetAttr("url.path", string(v.Path))
	e.SetAttr("http.response.status_code", string(v.Status))
	e.SetAttr("user_agent.original", string(v.UserAgent))
	e.SetAttr("controller", strings.TrimSuffix(string(v.Controller)+"#"+string(v.Action), "#"))
	e.SetAttr("correlation_id", string(v.Correlation))
	e.SetAttr("project.path", string(v.Project))
	e.SetAttr("error.type", string(v.Exception))
	e.SetAttr("error.message", oneLine(string(v.ExcText), 300))
	switch typ {
	case "auth.failed":
		e.Outcome, e.Severity = pipeline.OutcomeFailure, pipeline.SeverityLow
		e.Title = "GitLab: failed login of " + first(e.Actor, "somebody")
	case "auth.success", "auth.logout":
		e.Outcome = pipeline.OutcomeSuccess
		e.Title = "GitLab: login of " + first(e.Actor, "somebody")
	default:
		e.Outcome = httpOutcome(string(v.Status))
		e.Title = string(v.Method) + " " + string(v.Path) + " " + string(v.Status)
	}
}

func (v *gitlabLog) audit(out *Out) {
	typ := "user.modified"
	text := strings.ToLower(string(first(v.Custom, v.Message, v.Change)))
	if v.FailedWith != "" || strings.Contains(text, "failed to login") {
		typ = "auth.failed"
	} else if v.With != "" || strings.Contains(text, "signed in") {
		typ = "auth.success"
	}
	e := out.Event(typ)
	e.Severity, e.Time, e.Actor = pipeline.SeverityInfo, parseTime(string(v.Time)), string(v.Author)
	e.SrcIP = addrOf(string(first(v.IP, v.RemoteIP, v.MetaIP)))
	if typ == "auth.failed" {
		e.Outcome, e.Severity = pipeline.OutcomeFailure, pipeline.SeverityLow
	}
	e.SetAttr("object", string(v.Target))
	e.SetAttr("entity", strings.Trim(string(v.EntityType)+" "+string(v.EntityPath), " "))
	e.SetAttr("change", string(v.Change))
	e.Title = "GitLab: " + strings.TrimSpace(e.Actor+" "+oneLine(string(first(v.Custom, v.Message, v.Change)), 160)+" "+string(v.Target))
}

// message reads application_json and auth_json.
func (v *gitlabLog) message(out *Out) {
	text := string(v.Message)
	typ := gitlabMessage(text)
	if text == "Rack_Attack" {
		typ = "detection"
	}
	e := out.Event(typ)
	e.Severity, e.Time = severityLog(string(v.Severity)), parseTime(string(v.Time))
	e.SrcIP, e.Actor = addrOf(string(first(v.RemoteIP, v.MetaIP))), string(first(v.Username, v.MetaUser))
	finishGitLabMessage(e, text)
	e.SetAttr("correlation_id", string(v.Correlation))
	if typ == "detection" {
		e.Severity, e.Disposition, e.Rule = pipeline.SeverityMedium, pipeline.DispositionBlocked, string(first(v.Matched, v.Env))
		e.SetAttr("http.request.method", string(v.ReqMethod))
		e.SetAttr("url.path", string(v.Path))
		e.Title = "GitLab: requests of " + string(v.RemoteIP) + " held back by " + e.Rule
	}
}

func gitlabMessage(text string) string {
	switch {
	case strings.Contains(text, "Failed Login:"):
		return "auth.failed"
	case strings.Contains(text, "Successful Login:"):
		return "auth.success"
	case strings.Contains(text, "User Logout:"):
		return "auth.logout"
	case strings.HasPrefix(text, "User ") && (strings.Contains(text, " was created") || strings.Contains(text, " was removed")):
		return "user.modified"
	}
	return "log"
}

// finishGitLabMessage reads "... username=sally ip=10.0.0.1".
func finishGitLabMessage(e *pipeline.Event, text string) {
	word := func(key string) string {
		_, rest, ok := strings.Cut(text, key+"=")
		if !ok {
			return ""
		}
		value, _, _ := strings.Cut(rest, " ")
		return value
	}
	e.Actor = first(e.Actor, word("username"))
	if !e.SrcIP.IsValid() {
		e.SrcIP = addrOf(word("ip"))
	}
	e.Title = "GitLab: " + oneLine(text, 200)
	switch e.Type {
	case "auth.failed":
		e.Outcome, e.Severity = pipeline.OutcomeFailure, pipeline.SeverityLow
		e.Title = "GitLab: failed login of " + e.Actor
	case "auth.success", "auth.logout":
		e.Outcome = pipeline.OutcomeSuccess
	}
}

func scmText(in *Input, out *Out) error {
	line := 0
	for rest := in.Data; len(rest) > 0; {
		var l []byte
		l, rest = cutLine(rest)
		line++
		text := plain(alias(l))
		if strings.TrimSpace(text) == "" {
			continue
		}
		if m, ok := giteaLine(text); ok {
			m.emit(out, text)
			continue
		}
		if at, message, ok := gitlabLine(text); ok {
			e := out.Event(gitlabMessage(message))
			e.Raw, e.Time, e.Severity = text, at, pipeline.SeverityInfo
			finishGitLabMessage(e, message)
			continue
		}
		out.Reject(line, "neither a line of Gitea's log nor one of GitLab's application.log")
	}
	return nil
}

// gitlabLine reads a line of GitLab's application.log, "October 06, 2014 11:56: Failed Login: username=sally ip=10.0.0.1",
// later with a date as in JSON.
func gitlabLine(s string) (at time.Time, message string, ok bool) {
	stamp, message, ok := strings.Cut(s, ": ")
	if !ok || stamp == "" || strings.IndexByte(`])}"'`, stamp[len(stamp)-1]) >= 0 { // "sshd[7]: " and the like are no times, which is dear to find out
		return at, "", false
	}
	at, err := time.Parse("January 02, 2006 15:04", stamp)
	if err != nil {
		at = parseTime(stamp)
	}
	return sane(at), message, !at.IsZero()
}

// giteaMessage is a line of Gitea's log: "2022/04/15 12:59:36 [id] .../auth.go:143:SignInPost() [I] message", where the id
// and the place may be missing.
type giteaMessage struct {
	at           time.Time
	level, place string
	text         string
}

func giteaLine(s string) (m giteaMessage, ok bool) {
	if len(s) < 24 || s[4] != '/' || s[7] != '/' || s[10] != ' ' || s[13] != ':' {
		return m, false
	}
	at, err := time.Parse("2006/01/02 15:04:05", s[:19])
	if err != nil {
		return m, false
	}
	m.at = sane(at)
	s = s[19:]
	for {
		i := strings.IndexByte(s, '[')
		if i < 0 || i+2 >= len(s) {
			return m, false
		}
		level, rest, found := strings.Cut(s[i+1:], "]")
		if !found {
			return m, false
		}
		switch level {
		case "I", "W", "E", "D", "T", "F", "C", "INFO", "WARN", "ERROR", "TRACE", "DEBUG", "FATAL", "CRITICAL", " INFO", " WARN":
			m.level = strings.TrimSpace(level)
			m.place = strings.TrimSpace(m.place + s[:i])
			m.text = strings.TrimSpace(rest)
			return m, true
		}
		if len(level) > 12 || i > 80 { // no id of a request
			return m, false
		}
		s = rest
	}
}

func (m *giteaMessage) emit(out *Out, raw string) {
	typ, user, ip := "log", "", ""
	switch {
	case strings.Contains(m.text, "ailed authentication attempt for "):
		typ = "auth.failed"
		_, rest, _ := strings.Cut(m.text, "ailed authentication attempt for ")
		user, rest, _ = strings.Cut(rest, " from ")
		ip, _, _ = strings.Cut(rest, " ")
	case strings.Contains(m.text, "ailed authentication attempt from "), strings.Contains(m.text, "nvalid credentials from "):
		typ = "auth.failed"
		ip = m.text[strings.LastIndex(m.text, " from ")+len(" from "):]
		ip, _, _ = strings.Cut(ip, " ")
	case strings.HasPrefix(m.text, "router: completed "), strings.HasPrefix(m.text, "Completed "), strings.HasPrefix(m.text, "Started "):
		typ = "http.request"
	}
	e := out.Event(typ)
	e.Raw, e.Time, e.Severity = raw, m.at, severityLog(m.level)
	e.SetAttr("log.level", strings.ToLower(m.level))
	e.SetAttr("code.function.name", m.place)
	e.Title = oneLine(m.text, 200)
	switch typ {
	case "auth.failed":
		e.Outcome, e.Severity = pipeline.OutcomeFailure, pipeline.SeverityLow
		e.Actor, e.SrcIP = user, addrOf(strings.TrimRight(ip, ":,;."))
		e.Title = "Gitea: failed login of " + first(user, "somebody")
	case "http.request": // "router: completed POST /user/login for 10.0.0.1:0, 303 See Other in 12.3ms @ auth/auth.go:1(...)"
		f := strings.Fields(strings.TrimPrefix(strings.TrimPrefix(m.text, "router: "), "completed "))
		if len(f) < 5 || f[2] != "for" {
			break
		}
		e.SrcIP = addrOf(strings.TrimSuffix(f[3], ","))
		e.Outcome = httpOutcome(f[4])
		e.SetAttr("http.request.method", f[0])
		e.SetAttr("url.path", f[1])
		e.SetAttr("http.response.status_code", f[4])
	}
}
