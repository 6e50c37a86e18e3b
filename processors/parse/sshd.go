package parse

import (
	"bytes"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// sshd reads the log of the OpenSSH server as syslog writes it, with PAM's lines in between.
// https://github.com/openssh/openssh-portable/blob/master/auth.c
//
// Several lines tell of one attempt: "Invalid user", PAM's failure, "Failed password", "Connection closed by
// authenticating user". Attribute auth.evidence says which is which. "verdict" is sshd's own verdict, one for each attempt.
// "trace" goes with a verdict where the server logs verdicts for that method, and is all there is where it does not
// (public keys below LogLevel VERBOSE). So attempts are counted over verdicts, and over host and process.pid (one
// connection) where a connection has only traces.
var sshd = Format{
	Name: "sshd-auth", Title: "OpenSSH server log", Phase: pipeline.PhaseOperation,
	Types: []string{"auth.failed", "auth.success", "auth.logout", "detection", "db.statement", "http.request", "log"},
	Known: "syslog lines without <PRI>, most of them of program sshd",
	Frame: Lines, Log: true,
	Sure:  matchSSHD,
	Match: matchSSHD,
	Parse: parseSSHD,
}

func matchSSHD(s *Shape) bool {
	if s.IsObject() || s.Root != "" || !bytes.Contains(s.Data()[:min(len(s.Data()), 4<<10)], []byte("sshd")) {
		return false
	}
	ours, lines := 0, 0
	for rest := s.Data(); len(rest) > 0 && lines < 32; {
		var line []byte
		if line, rest = cutLine(rest); len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		lines++
		if l, err := readSyslog(alias(line), s.Record().Time); err == nil && l.priority < 0 && isSSHD(l.app) {
			ours++
		}
	}
	return ours > 0 && 2*ours >= lines
}

func parseSSHD(in *Input, out *Out) error {
	l, err := readSyslog(in.Text(), in.Time())
	if err != nil {
		return err
	}
	l.event(out)
	return nil
}

// isSSHD reports whether a program is the OpenSSH server or one of the processes that version 9.8 split it into.
func isSSHD(program string) bool {
	switch program {
	case "sshd", "sshd-session", "sshd-auth":
		return true
	}
	return false
}

// sshdMessage reads one message of sshd, without the syslog header, into a new event.
func sshdMessage(out *Out, text string) *pipeline.Event {
	text = strings.TrimSpace(text)
	if rest, ok := strings.CutPrefix(text, "[ID "); ok { // Solaris: "[ID 800047 auth.info] Failed ..."
		if _, rest, ok = strings.Cut(rest, "] "); ok {
			text = rest
		}
	}
	repeated := ""
	inner := text
	if rest, ok := strings.CutPrefix(text, "message repeated "); ok {
		if n, rest, ok := strings.Cut(rest, " times: ["); ok {
			repeated, inner = n, strings.TrimSpace(strings.TrimSuffix(rest, "]"))
		}
	}
	v := readSSHD(strings.TrimSuffix(inner, " [preauth]"))
	e := out.Event(v.event)
	e.Title, e.Service = text, "sshd"
	v.fill(e)
	e.SetAttr("repeated", first(repeated, v.repeated))
	return e
}

// authVerdict is what a message says of a login.
type authVerdict struct {
	event    string // event type
	trace    bool   // it goes with another line's verdict on the same attempt
	method   string
	user     string
	unknown  bool   // the host has no such user
	address  string // of the client: an IP address, or a name
	port     string
	key      string // fingerprint of the client's public key
	repeated string
	reason   string
}

func (v *authVerdict) fill(e *pipeline.Event) {
	e.Actor = v.user
	if e.SrcIP = addrOf(v.address); !e.SrcIP.IsValid() {
		e.SetAttr("source.domain", v.address)
	}
	e.Severity = pipeline.SeverityInfo
	switch e.Type {
	case "auth.failed":
		e.Outcome, e.Severity = pipeline.OutcomeFailure, pipeline.SeverityLow
	case "auth.success", "auth.logout":
		e.Outcome = pipeline.OutcomeSuccess
	case "detection":
		e.Severity, e.Disposition = pipeline.SeverityMedium, pipeline.DispositionDetected
		e.Rule = v.reason
	}
	if e.Class == kinds["auth.failed"].class {
		if e.SetAttr("auth.evidence", "verdict"); v.trace {
			e.SetAttr("auth.evidence", "trace")
		}
	}
	e.SetAttr("auth.method", v.method)
	if v.unknown {
		e.SetAttr("user.unknown", "true")
	}
	e.SetAttr("source.port", v.port)
	e.SetAttr("credential.id", v.key)
	e.SetAttr("auth.reason", v.reason)
}

func readSSHD(s string) authVerdict {
	s = strings.TrimPrefix(s, "error: ")
	s = strings.TrimPrefix(s, "fatal: ")
	word, rest, _ := strings.Cut(s, " ")
	switch word {
	case "Failed", "Postponed", "Partial":
		v := authVerdict{event: "auth.failed"}
		if word != "Failed" {
			v.event = "log" // keyboard-interactive goes on, or another method must follow
		}
		var method string
		if method, rest, _ = strings.Cut(rest, " for "); rest == "" {
			return authVerdict{event: "log"}
		}
		v.method = method
		v.client(endAtPort(rest))
		return v
	case "Accepted":
		v := authVerdict{event: "auth.success"}
		if v.method, rest, _ = strings.Cut(rest, " for "); rest == "" || strings.Contains(v.method, " ") {
			return authVerdict{event: "log"} // "Accepted certificate ID ...": whether it lets in, another line tells
		}
		v.client(rest)
		return v
	case "Invalid", "Illegal":
		if rest, ok := strings.CutPrefix(rest, "user "); ok {
			v := authVerdict{event: "auth.failed", trace: true, unknown: true, reason: "unknown user"}
			v.client(rest)
			return v
		}
	case "Disconnected", "Connection", "Disconnecting":
		return readSSHDEnd(word, rest)
	case "Disconnecting:":
		if user, ok := strings.CutPrefix(rest, "Too many authentication failures"); ok {
			return authVerdict{event: "auth.failed", trace: true, user: strings.TrimPrefix(user, " for "), reason: "too many authentication failures"}
		}
	case "Account":
		if user, ok := strings.CutSuffix(rest, " has expired"); ok {
			return authVerdict{event: "auth.failed", trace: true, user: user, reason: "account has expired"}
		}
	case "Login":
		if rest, ok := strings.CutPrefix(rest, "restricted for "); ok {
			v := authVerdict{event: "auth.failed", trace: true}
			v.user, v.reason, _ = strings.Cut(rest, ": ")
			return v
		}
	case "drop":
		// "drop connection #11 from [192.0.2.1]:333 on [...]:22 past MaxStartups" or, from 9.8 on, "penalty: ..."
		if _, from, ok := strings.Cut(rest, " from ["); ok {
			v := authVerdict{event: "log", reason: "connection refused"}
			var at string
			if v.address, at, ok = strings.Cut(from, "]:"); ok {
				v.port = at[:digits(at)]
			}
			if _, why, ok := strings.Cut(at, "penalty: "); ok {
				v.reason = "penalty: " + why
			} else if strings.Contains(at, "MaxStartups") {
				v.reason = "MaxStartups"
			}
			return v
		}
	case "User":
		if user, reason, ok := strings.Cut(rest, " not allowed because "); ok {
			v := authVerdict{event: "auth.failed", trace: true, reason: reason}
			v.client(user)
			return v
		}
	case "ROOT":
		if at, ok := strings.CutPrefix(rest, "LOGIN REFUSED FROM "); ok {
			v := authVerdict{event: "auth.failed", trace: true, user: "root", reason: "root login refused"}
			v.at(at)
			return v
		}
	case "maximum":
		if rest, ok := strings.CutPrefix(rest, "authentication attempts exceeded for "); ok {
			v := authVerdict{event: "auth.failed", trace: true, reason: "maximum authentication attempts exceeded"}
			v.client(rest)
			return v
		}
	case "Received":
		return readSSHDDisconnect(rest)
	case "Close":
		if rest, ok := strings.CutPrefix(rest, "session: user "); ok {
			v := authVerdict{event: "auth.logout", trace: true}
			v.client(rest)
			return v
		}
	case "reverse":
		if name, ok := strings.CutPrefix(rest, "mapping checking getaddrinfo for "); ok {
			v := authVerdict{event: "detection", reason: "reverse mapping failed"}
			if _, at, ok := strings.Cut(name, "["); ok {
				v.address, _, _ = strings.Cut(at, "]")
			}
			return v
		}
	case "Address":
		if at, _, ok := strings.Cut(rest, " maps to "); ok {
			return authVerdict{event: "detection", reason: "reverse mapping failed", address: at}
		}
	case "Nasty":
		return authVerdict{event: "detection", reason: "nasty PTR record"}
	}
	if strings.Contains(s, "authentication failure") || strings.Contains(s, "uthentication failed") || strings.HasPrefix(word, "pam_") || strings.HasPrefix(word, "(pam_") || word == "session" || word == "PAM" || word == "PAM:" {
		return readPAM(s)
	}
	return readSSHDOther(s)
}

// readSSHDEnd reads how a connection ended: "from authenticating user U A port P", "closed by invalid user U A port P",
// "by A port P", "from user U A port P".
func readSSHDEnd(word, rest string) authVerdict {
	v := authVerdict{event: "log"}
	if word == "Disconnecting" {
		// "Disconnecting authenticating user U A port P: Too many authentication failures"
		if s, ok := strings.CutPrefix(rest, "authenticating user "); ok {
			v.event, v.trace = "auth.failed", true
			s, v.reason, _ = strings.Cut(s, ": ")
			v.userAt(s)
		} else if s, ok := strings.CutPrefix(rest, "invalid user "); ok {
			v.event, v.trace, v.unknown = "auth.failed", true, true
			s, v.reason, _ = strings.Cut(s, ": ")
			v.userAt(s)
		}
		return v
	}
	s := rest
	for _, how := range []string{"from ", "closed by ", "reset by ", "timed out by "} {
		var ok bool
		if s, ok = strings.CutPrefix(rest, how); ok {
			v.reason = "connection " + strings.TrimSuffix(strings.TrimSuffix(how, " "), " by")
			break
		}
	}
	if word == "Disconnected" {
		v.reason = "disconnected"
	}
	switch {
	case strings.HasPrefix(s, "authenticating user "):
		v.event, v.trace = "auth.failed", true
		v.userAt(s[len("authenticating user "):])
	case strings.HasPrefix(s, "invalid user "):
		v.event, v.trace, v.unknown = "auth.failed", true, true
		v.userAt(s[len("invalid user "):])
	case strings.HasPrefix(s, "user "):
		v.event = "auth.logout"
		v.userAt(s[len("user "):])
	default:
		if addrOf(firstWord(s)).IsValid() {
			v.at(s)
		}
	}
	return v
}

// readSSHDDisconnect reads "Received disconnect from A port P:11: disconnected by user".
func readSSHDDisconnect(rest string) authVerdict {
	v := authVerdict{event: "log", reason: "disconnected by client"}
	at, ok := strings.CutPrefix(rest, "disconnect from ")
	if !ok {
		return v
	}
	v.at(at)
	if strings.HasSuffix(at, "disconnected by user") {
		v.event, v.trace = "auth.logout", true
	}
	return v
}

// readSSHDOther finds the client in messages about connections that never came to a login: scanners, wrong protocols,
// refusals.
func readSSHDOther(s string) authVerdict {
	v := authVerdict{event: "log"}
	switch {
	case strings.HasPrefix(s, "refused connect from "):
		v.reason = "connection refused"
		if i, j := strings.LastIndexByte(s, '('), strings.LastIndexByte(s, ')'); i >= 0 && i < j {
			v.address = s[i+1 : j]
		}
		return v
	case strings.HasPrefix(s, "Unable to negotiate with "):
		v.reason = "no common algorithm"
		v.at(s[len("Unable to negotiate with "):])
		return v
	case strings.HasPrefix(s, "Timeout before authentication for "):
		v.reason = "timeout before authentication"
		s = strings.TrimPrefix(s[len("Timeout before authentication for "):], "connection from ")
		v.at(s)
		return v
	case strings.HasPrefix(s, "Bad protocol version"), strings.HasPrefix(s, "Protocol major versions differ"):
		v.reason = "bad protocol version"
	case strings.HasPrefix(s, "Did not receive identification"):
		v.reason = "no identification"
	case strings.HasPrefix(s, "banner exchange: Connection from "), strings.HasPrefix(s, "ssh_dispatch_run_fatal: Connection from "):
		_, at, _ := strings.Cut(s, " from ")
		v.at(at)
		_, v.reason, _ = strings.Cut(at, ": ")
		return v
	case strings.HasPrefix(s, "Magic value check failed"):
		v.reason = "obfuscated handshake"
	case strings.HasPrefix(s, "error: Received disconnect"):
		v.reason = "disconnected by client"
	}
	if i := strings.LastIndex(s, " from "); i >= 0 {
		if at := s[i+len(" from "):]; addrOf(firstWord(at)).IsValid() {
			v.at(at)
		}
	}
	return v
}

// client reads "U from A port P ssh2: KEY FINGERPRINT", where U may be "invalid user U". The name is the client's
// choice and may hold " from " and an address itself, so the last place that fits counts.
func (v *authVerdict) client(s string) {
	for _, prefix := range []string{"invalid user ", "illegal user "} {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			s, v.unknown = rest, true
		}
	}
	for i := len(s); ; {
		if i = strings.LastIndex(s[:i], " from "); i < 0 {
			break
		}
		at := s[i+len(" from "):]
		if a := firstWord(at); strings.IndexByte(a, '@') >= 0 && !addrOf(a).IsValid() {
			continue
		}
		v.user = strings.TrimSpace(s[:i])
		v.at(at)
		return
	}
	if rest, ok := strings.CutPrefix(s, "from "); ok { // the name is empty
		v.at(rest)
		return
	}
	v.user = strings.TrimSpace(s)
}

// endAtPort cuts off what follows a port and looks like another place: protocol 1 ends with a name that the client gives
// itself, "ssh1: ruser U".
func endAtPort(s string) string {
	port := max(strings.LastIndex(s, " port "), 0)
	if i := strings.Index(s[port:], " from "); port > 0 && i >= 0 {
		return s[:port+i]
	}
	return s
}

// userAt reads "U A port P".
func (v *authVerdict) userAt(s string) {
	at := strings.LastIndex(s, " port ")
	if at < 0 {
		at = len(s)
	}
	i := strings.LastIndexByte(s[:at], ' ')
	if v.user = ""; i >= 0 {
		v.user = s[:i]
	}
	v.at(s[i+1:])
}

// at reads "A port P ..." with what follows a port: a colon and a reason, the protocol and the key.
func (v *authVerdict) at(s string) {
	v.address = strings.TrimRight(firstWord(s), ":")
	if rest, ok := strings.CutPrefix(s[len(firstWord(s)):], " port "); ok {
		n := 0
		for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
			n++
		}
		v.port = rest[:n]
		if _, key, ok := strings.Cut(rest[n:], ": "); ok && strings.HasPrefix(rest[n:], " ssh") {
			if _, fp, ok := strings.Cut(key, " "); ok {
				v.key = firstWord(fp)
			}
		}
	}
}

func firstWord(s string) string {
	if i := strings.IndexByte(s, ' '); i >= 0 {
		return s[:i]
	}
	return s
}
