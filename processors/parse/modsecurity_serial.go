package parse

import (
	"errors"
	"strconv"
	"strings"
)

// parseModSecuritySerial reads transactions in parts, each behind a line with the transaction's boundary and the part's letter.
// Bodies are passed over.
// https://github.com/owasp-modsecurity/ModSecurity/wiki/ModSecurity-2-Data-Formats
func parseModSecuritySerial(in *Input, out *Out) error {
	var t *modSecurityTransaction
	var part byte
	id, started, begins := "", 0, false
	text := in.Text()
	from := 0
	finish := func(to int) {
		switch {
		case t == nil:
		case t.ClientIP == "":
			out.Reject(started, "modsecurity: transaction without the client's address in its part A")
		default:
			t.emit(out, strings.TrimSpace(text[from:to]))
		}
		t = nil
	}
	for pos, n := 0, 1; pos < len(text); n++ {
		line, _, _ := strings.Cut(text[pos:], "\n")
		begin := pos
		pos += len(line) + 1
		line = strings.TrimSuffix(line, "\r")
		if boundary, letter := auditBoundary(line); letter != 0 && (t == nil || boundary == id || letter == 'A') {
			if letter == 'A' {
				finish(begin)
				t, id, from, started = &modSecurityTransaction{}, boundary, begin, n
			}
			if part, begins = letter, true; letter == 'Z' {
				finish(min(pos, len(text)))
			}
			continue
		}
		if t != nil && line != "" {
			t.line(part, line, begins)
			begins = false
		}
	}
	finish(len(text))
	if len(out.named) == 0 && started == 0 {
		return errors.New("modsecurity: neither JSON nor parts behind boundaries")
	}
	return nil
}

// auditBoundary takes a line such as "--c7036611-A--" or "---AbCd1234---A--" apart; part is 0 for what is none.
func auditBoundary(l string) (id string, part byte) {
	if len(l) < 8 || len(l) > 80 || !strings.HasPrefix(l, "--") || !strings.HasSuffix(l, "--") {
		return "", 0
	}
	l = strings.Trim(l, "-")
	n := len(l)
	if n < 3 || l[n-1] < 'A' || l[n-1] > 'Z' || l[n-2] != '-' {
		return "", 0
	}
	id = strings.TrimRight(l[:n-1], "-")
	return id, l[n-1]
}

// line takes a line of one part; begins says that it is the part's first.
func (t *modSecurityTransaction) line(part byte, l string, begins bool) {
	switch part {
	case 'A': // [time] id client port server port
		stamp, rest, _ := strings.Cut(strings.TrimPrefix(l, "["), "] ")
		if head, fraction, ok := strings.Cut(stamp, "."); ok { // newer versions have microseconds
			_, zone, _ := strings.Cut(fraction, " ")
			stamp = head + " " + zone
		}
		if at, ok := clfTime(stamp); ok {
			t.Time = Text(strconv.FormatInt(at.Unix(), 10))
		}
		if w := strings.Fields(rest); len(w) >= 5 {
			t.ID, t.ClientIP, t.ClientPort, t.HostIP, t.HostPort = Text(w[0]), Text(w[1]), Text(w[2]), Text(w[3]), Text(w[4])
		}
	case 'B':
		if begins {
			method, rest, _ := strings.Cut(l, " ")
			if i := strings.LastIndex(rest, " HTTP/"); i >= 0 {
				rest = rest[:i]
			}
			t.Request.Method, t.Request.URI = Text(method), Text(rest)
			return
		}
		name, value, _ := strings.Cut(l, ":")
		h, v := &t.Request.Headers, Strings{strings.TrimSpace(value)}
		switch strings.ToLower(name) {
		case "host":
			h.Host = v
		case "user-agent":
			h.Agent = v
		case "cookie":
			h.Cookie = v
		case "authorization":
			h.Authorization = v
		}
	case 'F':
		if begins {
			if w := strings.Fields(l); len(w) > 1 {
				t.Response.Code = Text(w[1])
			}
		} else if name, value, _ := strings.Cut(l, ":"); strings.EqualFold(name, "set-cookie") {
			t.Response.Headers.Cookie = append(t.Response.Headers.Cookie, strings.TrimSpace(value))
		}
	case 'H':
		name, value, _ := strings.Cut(l, ": ")
		switch name {
		case "Message", "ModSecurity":
			t.messages = append(t.messages, modSecurityNote(value))
			if strings.HasPrefix(value, "Access denied") {
				t.Interrupted = "true"
			}
		case "Action":
			if strings.HasPrefix(value, "Intercepted") {
				t.Interrupted = "true"
			}
		case "Producer":
			t.Producer.Version = Text(value)
		case "Engine-Mode":
			t.Producer.Engine = Text(strings.Trim(value, `"`))
		}
	}
}

// modSecurityNote reads "Warning. Matched ... [file "..."] [id "950001"] [msg "..."] [severity "CRITICAL"] [tag "..."]".
func modSecurityNote(l string) modSecurityMessage {
	m := modSecurityMessage{text: Text(l)}
	for rest := l; ; {
		_, after, ok := strings.Cut(rest, " [")
		if !ok {
			break
		}
		name, value, ok := strings.Cut(after, ` "`)
		if rest = after; !ok || strings.Contains(name, " ") {
			continue
		}
		end := quotedEnd(`"`+value, 0) - 1
		if end < 0 {
			break
		}
		switch v := Text(value[:end]); name {
		case "file":
			m.File = v
		case "id":
			m.Rule = v
		case "msg":
			m.text = v
		case "data":
			m.Data = v
		case "severity":
			if m.Severity = v; digits(string(v)) != len(v) {
				m.Severity = Text(strconv.Itoa(max(severityIndex(strings.ToLower(string(v))), 0)))
			}
		case "ver":
			m.Version = v
		case "tag":
			m.Tags = append(m.Tags, string(v))
		}
		rest = value[end:]
	}
	return m
}
