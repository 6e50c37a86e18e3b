package parse

import (
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// auditd reads the log of the Linux audit daemon. The records of one id are one event; they are put together when they
// come in one payload, in any order.
// https://github.com/linux-audit/audit-documentation/wiki/SPEC-Audit-Event-Enrichment
var auditd = Format{
	Name: "linux-auditd", Title: "Linux audit daemon log", Phase: pipeline.PhaseOperation,
	Types: []string{"process.exec", "file.changed", "auth.success", "auth.failed", "auth.logout", "user.modified", "detection", "log.cleared", "log"},
	Known: "lines with type=... msg=audit(time:id):",
	Frame: Document, Log: true,
	Match: func(s *Shape) bool {
		return !s.IsObject() && strings.Contains(s.Line(), "msg=audit(") && strings.Contains(s.Line(), "type=")
	},
	Parse: parseAuditd,
}

// auditEvent is what the records of one id say.
type auditEvent struct {
	id, node, kind string // kind is the type of the first record that is not a detail of another
	time           time.Time
	raw            string
	first, last    int // of its lines, as offsets in the piece

	syscall, success, exit                      string
	pid, ppid, auid, uid, euid, tty, session    string
	auidName, uidName, euidName, comm, exe, key string
	args, cwd, path, change, title              string
	op, account, hostname, addr, res, terminal  string
	cmd, signal, reason, permission, target     string
}

// auditLog is the memory of a log's events, by their ids.
type auditLog struct {
	events []auditEvent
	index  map[string]int
}

func parseAuditd(in *Input, out *Out) error {
	log, _ := keep[auditLog](out)
	if log.index == nil {
		log.index = map[string]int{}
	}
	events, index := log.events[:0], log.index
	clear(index)
	text := in.Text()
	line, at := in.Line-1, 0
	for at < len(text) {
		l, _, _ := strings.Cut(text[at:], "\n")
		start := at
		at += len(l) + 1
		line++
		if l = strings.TrimSpace(l); l == "" || l == "----" || strings.HasPrefix(l, "time->") { // ausearch's own lines
			continue
		}
		id, kind, body, err := auditHead(l)
		if err != nil {
			out.reject(line, []byte(l), err.Error())
			continue
		}
		end := min(at, len(text))
		i, known := index[id]
		if !known {
			i = len(events)
			index[id] = i
			events = append(events, auditEvent{id: id, node: auditNode(l), first: start, last: start})
			stamp, _ := cutAuditID(id)
			events[i].time = auditTime(stamp)
		}
		a := &events[i]
		if a.last == start { // its records stand together
			a.raw, a.last = text[a.first:end], end
		} else {
			a.raw = out.join(a.raw, l, "\n")
		}
		a.add(out, kind, body)
	}
	log.events = events
	for i := range events {
		events[i].event(out)
	}
	return nil
}

// auditHead cuts "type=T msg=audit(TIME:SERIAL): " off a record; a node or a syslog header may stand before it.
func auditHead(l string) (id, kind, body string, err error) {
	i := strings.Index(l, "msg=audit(")
	if i < 0 {
		return "", "", "", errors.New("auditd: line without msg=audit(time:id)")
	}
	id, body, ok := strings.Cut(l[i+len("msg=audit("):], ")")
	if stamp, serial := cutAuditID(id); !ok || digits(serial) == 0 || auditTime(stamp).IsZero() {
		return "", "", "", errors.New("auditd: msg=audit(...) holds no time and serial number")
	}
	if j := strings.LastIndex(l[:i], "type="); j >= 0 {
		kind = firstWord(l[j+len("type="):])
	}
	if kind == "" {
		return "", "", "", errors.New("auditd: record without a type")
	}
	return id, kind, strings.TrimPrefix(strings.TrimLeft(body, " "), ":"), nil
}

// cutAuditID cuts "time:serial".
func cutAuditID(id string) (stamp, serial string) {
	i := strings.LastIndexByte(id, ':')
	if i < 0 {
		return id, ""
	}
	return id[:i], id[i+1:]
}

// auditTime reads seconds with a fraction, or the date that ausearch -i makes of them.
func auditTime(s string) time.Time {
	for _, layout := range [...]string{"01/02/2006 15:04:05.000", "01/02/06 15:04:05.000"} {
		if strings.IndexByte(s, '/') == 2 {
			if t, err := time.Parse(layout, s); err == nil {
				return storable(t)
			}
		}
	}
	return parseTime(s)
}

func auditNode(l string) string {
	if rest, ok := strings.CutPrefix(l, "node="); ok {
		return strings.ToLower(firstWord(rest))
	}
	return ""
}

// add takes one record in.
func (a *auditEvent) add(out *Out, kind, body string) {
	switch kind {
	case "EXECVE":
		a.args = auditArgs(out, body)
	case "CWD":
		a.cwd = auditText(auditField(body, "cwd"))
	case "PATH":
		name, change := auditText(auditField(body, "name")), auditField(body, "nametype")
		if a.path == "" || change == "CREATE" || change == "DELETE" {
			a.path, a.change = name, change
		}
	case "PROCTITLE":
		a.title = auditText(auditField(body, "proctitle"))
	case "EOE", "SOCKADDR", "MMAP", "FD_PAIR", "OBJ_PID", "BPRM_FCAPS", "PROCTITLE2":
	default:
		if a.kind == "" || kind == "AVC" || a.kind == "SYSCALL" && kind != "SYSCALL" {
			a.kind = kind
		}
		a.fields(body)
	}
}

// fields takes in the pairs of a record. Programs' own records carry theirs in msg='...', whose pairs have the same form.
func (a *auditEvent) fields(body string) {
	for i := 0; ; {
		n := strings.IndexByte(body[i:], '=')
		if n < 0 {
			break
		}
		at := i + n
		start := at
		for start > i && isAuditKey(body[start-1]) {
			start--
		}
		v := auditValue(body[at+1:])
		if i = at + 1; v != "" && v[0] == '"' {
			i += len(v) // what a program calls itself may look like a pair
		}
		to := a.field(body[start:at])
		if to == nil || *to != "" || v == "(null)" || v == "?" {
			continue
		}
		switch *to = v; to {
		case &a.comm, &a.exe, &a.key, &a.account, &a.cmd, &a.auidName, &a.uidName, &a.euidName:
			*to = auditText(v)
		}
	}
	if _, rest, ok := strings.Cut(body, "denied  { "); ok {
		a.permission, _, _ = strings.Cut(rest, " }")
	}
}

// field returns where the value of that key goes, nil for keys that say nothing. Names in capitals follow the raw values,
// without a separator where that (0x1d) was lost on the way.
func (a *auditEvent) field(key string) *string {
	if n := len(key); n > 3 && key[n-1] == 'D' && key[n-2] == 'I' {
		for n > 0 && key[n-1] >= 'A' && key[n-1] <= 'Z' {
			n--
		}
		key = key[n:]
	}
	switch key {
	case "syscall":
		return &a.syscall
	case "success":
		return &a.success
	case "exit":
		return &a.exit
	case "pid":
		return &a.pid
	case "ppid":
		return &a.ppid
	case "auid":
		return &a.auid
	case "uid":
		return &a.uid
	case "euid":
		return &a.euid
	case "tty":
		return &a.tty
	case "ses":
		return &a.session
	case "comm":
		return &a.comm
	case "exe":
		return &a.exe
	case "key":
		return &a.key
	case "op":
		return &a.op
	case "acct":
		return &a.account
	case "hostname":
		return &a.hostname
	case "addr":
		return &a.addr
	case "res":
		return &a.res
	case "terminal":
		return &a.terminal
	case "cmd":
		return &a.cmd
	case "sig":
		return &a.signal
	case "reason":
		return &a.reason
	case "id":
		return &a.target
	case "AUID":
		return &a.auidName
	case "UID":
		return &a.uidName
	case "EUID":
		return &a.euidName
	}
	return nil
}

// auditField returns the value of key=value with its quotes. Enriched fields, in capitals, follow the raw ones without
// a blank where the separator (0x1d) was lost on the way.
func auditField(s, key string) string {
	for i := 0; ; {
		j := strings.Index(s[i:], key)
		if j < 0 {
			return ""
		}
		i += j
		end := i + len(key)
		if end < len(s) && s[end] == '=' && (i == 0 || !isAuditKey(s[i-1]) || key[0] <= 'Z' && (s[i-1] < 'A' || s[i-1] > 'Z')) {
			return auditValue(s[end+1:])
		}
		i = end
	}
}

// auditValue returns the value that v begins with, with its quotes.
func auditValue(v string) string {
	if v != "" && (v[0] == '"' || v[0] == '\'') {
		if k := strings.IndexByte(v[1:], v[0]); k >= 0 {
			return v[:k+2]
		}
		return v
	}
	for i := range len(v) {
		if c := v[i]; c == ' ' || c == ',' || c == 0x1d || c == '\'' {
			return v[:i]
		}
	}
	return v
}

func isAuditKey(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// auditText undoes auditd's writing of texts: in quotes, or in hex where they hold a quote, a blank or a control character.
func auditText(v string) string {
	if len(v) >= 2 && v[0] == v[len(v)-1] && (v[0] == '"' || v[0] == '\'') {
		return v[1 : len(v)-1]
	}
	if v == "(null)" || v == "?" {
		return ""
	}
	if len(v) >= 4 && len(v)%2 == 0 && strings.Trim(v, "0123456789ABCDEF") == "" && digits(v) != len(v) {
		if b, err := hex.DecodeString(v); err == nil {
			return strings.TrimSpace(strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return v
}

// auditArgs puts a program's arguments together.
func auditArgs(out *Out, body string) string {
	var few [16]string
	args := few[:0]
	for i := 0; i < 256; i++ {
		v := auditField(body, "a"+strconv.Itoa(i))
		if v == "" {
			break
		}
		args = append(args, auditHex(v))
	}
	return out.joinWith(" ", args)
}

// auditHex is auditText for arguments, where digits alone are hex too.
func auditHex(v string) string {
	if len(v) >= 2 && v[0] != '"' && len(v)%2 == 0 && strings.Trim(v, "0123456789ABCDEF") == "" {
		if b, err := hex.DecodeString(v); err == nil {
			return string(b)
		}
	}
	return auditText(v)
}

func (a *auditEvent) event(out *Out) {
	e := out.Event(a.eventType())
	e.Raw, e.Time, e.Host, e.Severity = strings.TrimRight(a.raw, "\r\n"), a.time, a.node, pipeline.SeverityInfo
	e.Actor = first(a.account, a.auidName, a.uidName, userID(a.auid), userID(a.uid))
	e.Rule = a.key
	e.SrcIP = addrOf(a.addr)
	switch first(a.res, a.success) {
	case "success", "yes", "1":
		e.Outcome = pipeline.OutcomeSuccess
	case "failed", "no", "0":
		e.Outcome = pipeline.OutcomeFailure
	}
	command := first(a.args, a.cmd, a.title, a.exe, a.comm)
	switch e.Type {
	case "process.exec":
		e.Title = command
	case "auth.failed", "auth.success", "auth.logout":
		e.Title = strings.ToLower(a.kind) + " of " + first(e.Actor, "nobody")
		if a.addr != "" {
			e.Title += " from " + a.addr
		}
		e.SetAttr("auth.evidence", "trace")
		if a.kind == "USER_LOGIN" {
			e.SetAttr("auth.evidence", "verdict")
		}
		e.SetAttr("auth.reason", a.reason)
		if e.Type == "auth.failed" {
			e.Severity = pipeline.SeverityLow
		}
	case "detection":
		e.Severity, e.Disposition = pipeline.SeverityMedium, pipeline.DispositionDetected
		e.Rule = first(e.Rule, a.kind)
		if e.Title = a.kind + ": " + command; a.permission != "" {
			e.Title = "denied " + a.permission + ": " + command
			e.Disposition = pipeline.DispositionBlocked
		}
	case "file.changed":
		e.Title = strings.ToLower(a.change) + " " + a.path
	case "log.cleared":
		e.Title, e.Severity = strings.TrimSpace(a.kind+" "+a.op), pipeline.SeverityHigh
	case "user.modified":
		e.Title, e.Severity = strings.ToLower(a.kind)+" "+first(a.account, a.target), pipeline.SeverityMedium
		e.SetAttr("user.target", first(a.account, a.target))
		e.Actor = first(a.auidName, userID(a.auid), a.uidName, userID(a.uid))
	default:
		e.Title = strings.TrimSpace(a.kind + " " + command)
	}
	e.Service = first(a.comm, e.Service)
	e.SetAttr("auditd.type", a.kind)
	e.SetAttr("auditd.id", a.id)
	e.SetAttr("auditd.syscall", a.syscall)
	e.SetAttr("auditd.op", a.op)
	e.SetAttr("process.command_line", first(a.args, a.cmd, a.title))
	e.SetAttr("process.executable.path", a.exe)
	e.SetAttr("process.executable.name", a.comm)
	e.SetAttr("process.pid", a.pid)
	e.SetAttr("process.parent_pid", a.ppid)
	e.SetAttr("process.working_directory", a.cwd)
	e.SetAttr("process.exit", a.exit)
	e.SetAttr("file.path", a.path)
	e.SetAttr("user.id", a.auid)
	e.SetAttr("user.effective", first(a.euidName, a.euid))
	e.SetAttr("process.tty", first(a.tty, a.terminal))
	e.SetAttr("session.id", a.session)
	if !e.SrcIP.IsValid() {
		e.SetAttr("source.domain", first(a.hostname, a.addr))
	}
	e.SetAttr("process.signal", a.signal)
}

// userID returns a user's number; 4294967295 is the kernel's "none".
func userID(s string) string {
	if s == "4294967295" || s == "-1" || s == "unset" {
		return ""
	}
	return s
}

func (a *auditEvent) eventType() string {
	failed := a.res == "failed" || a.res == "0"
	switch a.kind {
	case "USER_LOGIN", "USER_AUTH", "USER_ERR", "USER_MGMT_AUTH", "GRP_AUTH":
		if failed {
			return "auth.failed"
		}
		return "auth.success"
	case "USER_ACCT", "USER_START", "CRED_ACQ":
		if failed {
			return "auth.failed"
		}
		return "log"
	case "USER_LOGOUT", "USER_END":
		return "auth.logout"
	case "USER_CMD":
		return "process.exec"
	case "ADD_USER", "DEL_USER", "ADD_GROUP", "DEL_GROUP", "USER_MGMT", "GRP_MGMT", "USER_CHAUTHTOK", "GRP_CHAUTHTOK", "ACCT_LOCK", "ACCT_UNLOCK", "ROLE_ASSIGN":
		return "user.modified"
	case "AVC", "USER_AVC", "SECCOMP":
		return "detection"
	case "DAEMON_END", "DAEMON_ABORT":
		return "log.cleared"
	}
	switch {
	case strings.HasPrefix(a.kind, "ANOM_"):
		return "detection"
	case a.kind == "CONFIG_CHANGE" && (a.op == "set" && strings.Contains(a.raw, "audit_enabled=0") || strings.Contains(a.op, "remove")):
		return "log.cleared"
	case a.args != "" || isExec(a.syscall):
		return "process.exec"
	case a.change == "CREATE" || a.change == "DELETE":
		return "file.changed"
	}
	return "log"
}

// isExec knows execve and execveat by name and by number on x86-64, i386 and arm64.
func isExec(syscall string) bool {
	switch syscall {
	case "execve", "execveat", "59", "322", "11", "221":
		return true
	}
	return false
}
