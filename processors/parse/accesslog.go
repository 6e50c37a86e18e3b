package parse

import (
	"errors"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// accessLog reads the logs of web servers and proxies: common and combined with and without a virtual host before it,
// Traefik's, Envoy's and Nginx Proxy Manager's text, the error logs of nginx and Apache, and JSON of nginx, Apache, Traefik, Caddy and Envoy. A
// request that is no HTTP is kept as it was printed.
// https://httpd.apache.org/docs/2.4/logs.html https://nginx.org/en/docs/http/ngx_http_log_module.html
var accessLog = Format{
	Name: "access-log", Title: "web server logs (nginx, Apache, Traefik, Caddy, Envoy)", Phase: pipeline.PhaseOperation,
	Types: []string{"http.request", "log", "auth.failed", "detection"},
	Known: "lines with [time] \"request\" status, error logs' [level], JSON with remote_addr, RequestMethod or such keys",
	Frame: Reports, Log: true,
	Sure:  sureAccessLog,
	Match: matchAccessLog,
	Parse: parseAccessLog,
}

// sureAccessLog tells lines that begin with the client's address: its name could be anything, such as a file that a scanner found.
func sureAccessLog(s *Shape) bool {
	var r accessRecord
	return s.line != "" && s.line[0] != '[' && r.read(s.line) == nil && r.vhost == "" && addrOf(r.client).IsValid()
}

func matchAccessLog(s *Shape) bool {
	if s.IsObject() {
		return matchAccessJSON(s)
	}
	for rest, n := s.Data(), 0; len(rest) > 0 && n < 8; n++ {
		var line []byte
		line, rest = cutLine(rest)
		l := strings.TrimSpace(alias(line))
		if l == "" {
			continue
		}
		var r accessRecord
		if r.read(l) == nil || isNginxError(l) || isApacheError(l) {
			return true
		}
	}
	return false
}

func parseAccessLog(in *Input, out *Out) error {
	if isJSON(in.Data) {
		return parseAccessJSON(in, out)
	}
	eachLine(in, out, func(l string) error { return accessLine(out, strings.TrimSpace(l)) })
	return nil
}

// isWebServer reports whether a program's messages in syslog are lines of this format.
func isWebServer(program string) bool {
	switch program {
	case "nginx", "apache", "apache2", "httpd", "traefik", "caddy", "envoy":
		return true
	}
	return false
}

// accessLine emits the event of one line.
func accessLine(out *Out, l string) error {
	switch {
	case isNginxError(l):
		nginxError(out, l)
		return nil
	case isApacheError(l):
		return apacheError(out, l)
	}
	var r accessRecord
	if err := r.read(l); err != nil {
		return err
	}
	e := r.event(out)
	e.Raw = l
	return nil
}

// accessRecord is one request, as any of the formats tells it.
type accessRecord struct {
	vhost, client, user, request string
	method, target, protocol     string
	status, bytes                string
	referer, agent               string
	title                        string
	duration, upstream           string
	time                         time.Time
}

var errAccess = errors.New(`access-log: line is not 'client - user [time] "request" status bytes'`)

// read takes "[vhost[:port]] client ident user [time] "request" status bytes ["referer" "agent"] ..." apart. Envoy's
// default format begins with the time.
func (r *accessRecord) read(l string) error {
	open := strings.IndexByte(l, '[')
	if open < 0 {
		return errAccess
	}
	close := strings.IndexByte(l[open:], ']')
	if close < 0 {
		return errAccess
	}
	close += open
	stamp := l[open+1 : close]
	var ok bool
	if r.time, ok = clfTime(stamp); !ok {
		if r.time, ok = isoTime(stamp); !ok {
			return errAccess
		}
	}
	if open == 0 && strings.Contains(l, " [Client ") {
		return r.readProxyManager(l[close+1:])
	}
	quote := strings.IndexByte(l[close:], '"')
	if quote < 0 {
		return errAccess
	}
	quote += close
	if between := strings.TrimSpace(l[close+1 : quote]); between != "" && (open > 0 || !r.readBetween(between)) {
		return errAccess
	}
	end := quotedEnd(l, quote)
	if end < 0 {
		return errors.New("access-log: the request's quotes are not closed")
	}
	r.request = l[quote+1 : end]
	rest := strings.TrimLeft(l[end+1:], " ")
	r.status, rest, _ = strings.Cut(rest, " ")
	if r.status == "-" { // Traefik, of a request that nobody waited for
		r.status = ""
	} else if len(r.status) != 3 || digits(r.status) != 3 {
		return errors.New("access-log: no status behind the request")
	}
	r.title = strings.TrimRight(l[quote:len(l)-len(rest)], " ")
	if open == 0 && r.client == "" {
		return r.readEnvoy(rest)
	}
	r.bytes, rest, _ = strings.Cut(rest, " ")
	if strings.HasPrefix(rest, `"`) {
		if end := quotedEnd(rest, 0); end > 0 {
			r.referer, rest = rest[1:end], strings.TrimLeft(rest[end+1:], " ")
		}
		if strings.HasPrefix(rest, `"`) {
			if end := quotedEnd(rest, 0); end > 0 {
				r.agent, rest = rest[1:end], strings.TrimLeft(rest[end+1:], " ")
			}
		}
	}
	if open == 0 {
		return nil
	}
	if ms, found := strings.CutSuffix(rest, "ms"); found { // Traefik: count "router" "server" duration
		r.duration = lastWord(ms)
	}
	return r.readClient(strings.TrimSpace(l[:open]))
}

// readBetween reads "vhost client seconds", which stands between time and request in logs that begin with the time.
func (r *accessRecord) readBetween(s string) bool {
	vhost, rest, _ := strings.Cut(s, " ")
	client, _, _ := strings.Cut(rest, " ")
	r.vhost, r.client = vhost, client
	return addrOf(client).IsValid()
}

// readClient reads "[vhost] client ident user". The user may hold blanks; ident is always "-" today.
func (r *accessRecord) readClient(s string) error {
	word, rest, _ := strings.Cut(s, " ")
	if next, after, _ := strings.Cut(rest, " "); !addrOf(word).IsValid() && addrOf(strings.TrimSuffix(next, ",")).IsValid() {
		r.vhost, word, rest = word, next, after
	}
	if word == "" {
		return errAccess
	}
	r.client = word
	if strings.HasSuffix(word, ",") { // $proxy_add_x_forwarded_for: "client, proxy"
		r.client = strings.TrimSuffix(word, ",")
		return nil
	}
	if _, user, ok := strings.Cut(rest, " "); ok {
		r.user = strings.TrimSpace(user)
	}
	return nil
}

// readProxyManager reads what follows the time in the format of Nginx Proxy Manager:
// [cache upstream_status] status - METHOD scheme host "target" [Client address] [Length n] ... "agent" "referer".
// https://github.com/NginxProxyManager/nginx-proxy-manager/blob/develop/docker/rootfs/etc/nginx/conf.d/include/log-proxy.conf
func (r *accessRecord) readProxyManager(l string) error {
	head, rest, _ := strings.Cut(l, `"`)
	words := strings.Fields(head)
	n := len(words)
	if n < 5 || words[n-4] != "-" || digits(words[n-5]) != 3 {
		return errAccess
	}
	r.status, r.method, r.vhost = words[n-5], words[n-3], words[n-1]
	r.target, rest, _ = strings.Cut(rest, `" [Client `)
	r.client, rest, _ = strings.Cut(rest, "]")
	if _, length, ok := strings.Cut(rest, "[Length "); ok {
		r.bytes, _, _ = strings.Cut(length, "]")
	}
	if _, upstream, ok := strings.Cut(rest, "[Sent-to "); ok {
		r.upstream, _, _ = strings.Cut(upstream, "]")
	}
	if i := strings.LastIndex(rest, `] "`); i >= 0 {
		r.agent, rest, _ = strings.Cut(rest[i+3:], `" "`)
		r.referer = strings.TrimSuffix(rest, `"`)
	}
	r.title = r.method + " " + r.vhost + r.target + " " + r.status
	return nil
}

// readEnvoy reads what follows the status in Envoy's default format: flags bytes_received bytes_sent duration upstream_time
// "forwarded" "agent" "id" "authority" "upstream".
func (r *accessRecord) readEnvoy(s string) error {
	var plain, quoted [8]string
	p, q := 0, 0
	for s = strings.TrimLeft(s, " "); s != ""; s = strings.TrimLeft(s, " ") {
		if s[0] == '"' {
			end := quotedEnd(s, 0)
			if end < 0 {
				return errAccess
			}
			if q < len(quoted) {
				quoted[q] = s[1:end]
				q++
			}
			s = s[end+1:]
			continue
		}
		word := firstWord(s)
		if p < len(plain) {
			plain[p] = word
			p++
		}
		s = s[len(word):]
	}
	if n := p - 4; n >= 0 { // newer versions have more flags before the counts
		r.bytes, r.duration = plain[n+1], plain[n+2]
	}
	r.client, _, _ = strings.Cut(quoted[0], ",")
	r.agent, r.vhost, r.upstream = quoted[1], quoted[3], quoted[4]
	return nil
}

// quotedEnd returns the index of the quote that closes the one at s[i], -1 where none does.
func quotedEnd(s string, i int) int {
	for j := i + 1; j < len(s); j++ {
		switch s[j] {
		case '\\':
			j++
		case '"':
			return j
		}
	}
	return -1
}

// clfTime reads "04/Jan/2020:07:25:02 +0000".
func clfTime(s string) (time.Time, bool) {
	if len(s) < 20 || s[2] != '/' || s[6] != '/' || s[11] != ':' {
		return time.Time{}, false
	}
	m := monthName(s[3:6])
	day, r1 := number(s[:2])
	year, r2 := number(s[7:11])
	hour, r3 := number(s[12:14])
	minute, r4 := number(s[15:17])
	second, r5 := number(s[18:20])
	if m == 0 || r1+r2+r3+r4+r5 != "" || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 || year < 1970 || year > 2261 {
		return time.Time{}, false
	}
	t := dateOf(year, int(m), day, hour, minute, second, 0)
	if zone := strings.TrimSpace(s[20:]); len(zone) == 5 && digits(zone[1:]) == 4 {
		h, _ := number(zone[1:3])
		min, _ := number(zone[3:])
		shift := time.Duration(h)*time.Hour + time.Duration(min)*time.Minute
		if zone[0] == '-' {
			shift = -shift
		}
		t = t.Add(-shift)
	}
	return t, true
}

func (r *accessRecord) event(out *Out) *pipeline.Event {
	e := out.Event("http.request")
	if !r.time.IsZero() {
		e.Time = r.time
	}
	if r.method == "" && r.request != "" {
		var ok bool
		if r.method, r.target, ok = strings.Cut(r.request, " "); ok {
			if i := strings.LastIndex(r.target, " HTTP/"); i >= 0 {
				r.target, r.protocol = r.target[:i], r.target[i+1:]
			}
		}
		if !isMethod(r.method) {
			r.method, r.target, r.protocol = "", "", ""
			e.SetAttr("http.request.malformed", "true")
		}
	}
	e.Title, e.Severity = r.title, pipeline.SeverityInfo
	client, _, _ := strings.Cut(r.client, ",") // a proxy's list begins with the client
	if e.SrcIP = addrOf(client); !e.SrcIP.IsValid() {
		e.SetAttr("source.domain", dash(client))
	}
	e.Actor = dash(r.user)
	e.DstDomain = hostOf(dash(r.vhost))
	e.Outcome, e.Bytes = httpOutcome(r.status), count(r.bytes)
	e.SetAttr("http.request.method", r.method)
	e.SetAttr("url.path", r.target)
	e.SetAttr("network.protocol.version", r.protocol)
	e.SetAttr("http.response.status_code", r.status)
	e.SetAttr("http.request.header.referer", dash(r.referer))
	e.SetAttr("user_agent.original", dash(r.agent))
	e.SetAttr("http.duration_ms", dash(r.duration))
	e.SetAttr("upstream.address", dash(r.upstream))
	return e
}

// dash returns s, or "" where it says that there is nothing.
func dash(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

// isMethod reports whether s could be an HTTP method.
func isMethod(s string) bool {
	if len(s) < 3 || len(s) > 20 {
		return false
	}
	for i := range len(s) {
		if (s[i] < 'A' || s[i] > 'Z') && s[i] != '-' && s[i] != '_' {
			return false
		}
	}
	return true
}

// statusText returns a status as text from a number that JSON may write as 200 or 200.0.
func statusText(t Text) string {
	s, _, _ := strings.Cut(string(t), ".")
	if n, rest := number(s); n == 0 || rest != "" {
		return ""
	}
	return s
}
