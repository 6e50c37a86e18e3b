package parse

import (
	"errors"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// isNginxError reports whether l is "2021/12/01 13:53:33 [error] 31#31: *46 text, client: ...".
func isNginxError(l string) bool {
	return len(l) > 24 && l[4] == '/' && l[7] == '/' && l[10] == ' ' && l[13] == ':' && l[19] == ' ' && l[20] == '[' && l[21] >= 'a' && l[21] <= 'z' && digits(l) == 4
}

func nginxError(out *Out, l string) {
	level, text, _ := strings.Cut(l[21:], "] ")
	if pid, rest, ok := strings.Cut(text, ": "); ok && strings.IndexByte(pid, '#') > 0 {
		text = rest
		if digits(strings.TrimPrefix(firstWord(text), "*")) > 0 && strings.HasPrefix(text, "*") {
			_, text, _ = strings.Cut(text, " ")
		}
	}
	message, fields, _ := strings.Cut(text, ", client: ")
	e := webError(out, message, level)
	e.Raw, e.Service = l, first(e.Service, "nginx")
	if t := parseTime(l[:19]); !t.IsZero() {
		e.Time = t
	}
	client, _, _ := strings.Cut(fields, ",")
	e.SrcIP = addrOf(client)
	e.DstDomain = hostOf(first(nginxField(fields, "host: "), dash(nginxField(fields, "server: "))))
	request := nginxField(fields, "request: ")
	if method, target, ok := strings.Cut(request, " "); ok && isMethod(method) {
		e.SetAttr("http.request.method", method)
		e.SetAttr("url.path", firstWord(target))
	}
	e.SetAttr("upstream.address", nginxField(fields, "upstream: "))
	e.SetAttr("http.request.header.referer", nginxField(fields, "referrer: "))
}

// nginxField returns a field's value, quoted or up to the next comma.
func nginxField(s, key string) string {
	i := strings.Index(s, ", "+key)
	if i < 0 {
		return ""
	}
	v := s[i+2+len(key):]
	if strings.HasPrefix(v, `"`) {
		if end := quotedEnd(v, 0); end > 0 {
			return v[1:end]
		}
	}
	v, _, _ = strings.Cut(v, ",")
	return v
}

// isApacheError reports whether l is "[Sun Dec 04 04:47:44 2005] [error] text".
func isApacheError(l string) bool {
	return len(l) > 26 && l[0] == '[' && l[4] == ' ' && month(l[5:]) > 0 && (l[14] == ':' || l[13] == ':') && strings.IndexByte(l, ']') > 20
}

func apacheError(out *Out, l string) error {
	t, rest, ok := cutSyslogTime(l[5:], out.piece.Time())
	if !ok || !strings.HasPrefix(rest, "]") {
		return errors.New("access-log: error line without a valid date")
	}
	var level, client, pid string
	text := strings.TrimSpace(rest[1:])
	for n := 0; n < 4 && strings.HasPrefix(text, "["); n++ {
		word, after, ok := strings.Cut(text[1:], "]")
		if !ok {
			break
		}
		switch {
		case strings.HasPrefix(word, "client ") || strings.HasPrefix(word, "remote "):
			client = word[len("client "):]
		case strings.HasPrefix(word, "pid "):
			pid, _, _ = strings.Cut(word[len("pid "):], ":")
		case level == "":
			level = word[strings.LastIndexByte(word, ':')+1:] // 2.4 writes module:level
		default:
			after = "" // not one of Apache's own: it belongs to the text
		}
		if after == "" {
			break
		}
		text = strings.TrimSpace(after)
	}
	e := webError(out, text, level)
	e.Raw, e.Time, e.Service = l, t, first(e.Service, "apache")
	e.SrcIP = addrOf(client)
	e.SetAttr("process.pid", pid)
	return nil
}

// webError emits the event of an error log's text: a failed login, ModSecurity's verdict, or a log line.
func webError(out *Out, text, level string) *pipeline.Event {
	typ, user, reason := "log", "", ""
	switch {
	case strings.Contains(text, "ModSecurity: "):
		typ = "detection"
	case strings.HasPrefix(text, `user "`): // nginx: user "x": password mismatch; user "x" was not found in "/etc/..."
		user, reason, _ = strings.Cut(text[len(`user "`):], `"`)
		if reason = strings.TrimLeft(reason, ": "); strings.Contains(reason, "mismatch") || strings.Contains(reason, "not found") {
			typ = "auth.failed"
		}
	case strings.Contains(text, "authentication failure for ") || strings.Contains(text, " not found: ") && strings.Contains(text, "user "):
		if _, rest, ok := strings.Cut(text, "user "); ok { // Apache: AH01617: user x: authentication failure for "/": Password Mismatch
			typ, user = "auth.failed", strings.TrimRight(firstWord(rest), ":")
		}
	}
	e := out.Event(typ)
	e.Title, e.Actor, e.Severity = text, user, severitySyslog(max(severityIndex(level), 0))
	if level == "" || severityIndex(level) < 0 {
		e.Severity = pipeline.SeverityInfo
	}
	switch typ {
	case "auth.failed":
		e.Outcome, e.Severity = pipeline.OutcomeFailure, pipeline.SeverityLow
		e.SetAttr("auth.evidence", "verdict")
		e.SetAttr("auth.method", "http")
		e.SetAttr("auth.reason", reason)
	case "detection":
		e.Severity, e.Disposition = pipeline.SeverityHigh, pipeline.DispositionDetected
		if strings.Contains(text, "Access denied") {
			e.Disposition = pipeline.DispositionBlocked
		}
		if _, rest, ok := strings.Cut(text, `[id "`); ok {
			e.Rule, _, _ = strings.Cut(rest, `"`)
		}
		if _, rest, ok := strings.Cut(text, `[msg "`); ok {
			e.Title, _, _ = strings.Cut(rest, `"`)
		}
	}
	e.SetAttr("log.level", level)
	return e
}
