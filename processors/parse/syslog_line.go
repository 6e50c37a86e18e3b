package parse

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// syslogLine is a syslog record taken apart. Its texts lie within the record.
type syslogLine struct {
	priority int // facility*8 + severity, below zero where the record has none
	time     time.Time
	host     string
	app      string // program
	pid      string
	msgID    string
	data     string // structured data of RFC 5424 with its brackets
	text     string
	raw      string
}

// readSyslog takes a line apart: RFC 5424, RFC 3164 as the network sends it and as files keep it (no <PRI>), with the
// dates that rsyslog, syslog-ng and appliances write in place of RFC 3164's. A date without a year is the latest such
// day that is not after now.
// https://www.rfc-editor.org/rfc/rfc5424 https://www.rfc-editor.org/rfc/rfc3164
func readSyslog(s string, now time.Time) (syslogLine, error) {
	l := syslogLine{priority: -1, raw: s}
	if len(s) > 0 && s[0] == '<' {
		end := strings.IndexByte(s[:min(len(s), 5)], '>')
		if end < 2 {
			return l, errors.New("syslog: <PRI> is not a number of one to three digits in <>")
		}
		pri, err := strconv.Atoi(s[1:end])
		if err != nil || pri < 0 || pri > 191 {
			return l, errors.New("syslog: <PRI> is not a number from 0 to 191")
		}
		l.priority, s = pri, s[end+1:]
		if rest, ok := cutVersion(s); ok {
			return l, l.read5424(rest)
		}
	}
	return l, l.read3164(s, now)
}

// cutVersion cuts RFC 5424's version and the blank behind it; what follows must be a date or "-".
func cutVersion(s string) (string, bool) {
	n := digits(s)
	if n == 0 || n > 3 || len(s) < n+2 || s[n] != ' ' {
		return s, false
	}
	rest := s[n+1:]
	return rest, rest[0] == '-' || digits(rest) >= 4 && len(rest) > 4 && rest[4] == '-'
}

func (l *syslogLine) read5424(s string) error {
	var fields [5]string
	for i := range fields {
		var ok bool
		if fields[i], s, ok = strings.Cut(s, " "); !ok {
			return errors.New("syslog: RFC 5424 header ends before its structured data")
		}
		if fields[i] == "-" {
			fields[i] = ""
		}
	}
	if fields[0] != "" {
		if l.time = parseTime(fields[0]); l.time.IsZero() {
			return errors.New("syslog: RFC 5424 header without a valid date")
		}
	}
	l.host, l.app, l.pid, l.msgID = fields[1], fields[2], fields[3], fields[4]
	if strings.HasPrefix(s, "[") {
		n := dataEnd(s)
		if n < 0 {
			return errors.New("syslog: structured data is not closed")
		}
		l.data, s = s[:n], s[n:]
	} else {
		s = strings.TrimPrefix(s, "-")
	}
	l.text = strings.TrimPrefix(strings.TrimPrefix(s, " "), "\ufeff")
	return nil
}

// dataEnd returns where the structured data that opens s ends, -1 where it does not.
func dataEnd(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && c == ']':
			if i+1 == len(s) || s[i+1] != '[' {
				return i + 1
			}
		}
	}
	return -1
}

// eachData calls f with every parameter of structured data.
func eachData(data string, f func(id, name, value string)) {
	for len(data) > 0 && data[0] == '[' {
		data = data[1:]
		n := strings.IndexAny(data, " ]")
		if n < 0 {
			return
		}
		id := data[:n]
		for data = data[n:]; len(data) > 0 && data[0] == ' '; {
			name, rest, ok := strings.Cut(data[1:], `="`)
			if !ok {
				return
			}
			end := 0
			for end < len(rest) && rest[end] != '"' {
				if rest[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(rest) {
				return
			}
			f(id, name, unescapeData(rest[:end]))
			data = rest[end+1:]
		}
		data = strings.TrimPrefix(data, "]")
	}
}

var dataEscapes = strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\]`, `]`)

func unescapeData(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	return dataEscapes.Replace(s)
}

func (l *syslogLine) read3164(s string, now time.Time) error {
	if n := digits(s); l.priority >= 0 && n > 0 && strings.HasPrefix(s[n:], ": ") { // Cisco's sequence number
		s = s[n+2:]
	}
	t, rest, ok := cutSyslogTime(s, now)
	switch {
	case ok:
		l.time, s = t, rest
	case l.priority < 0:
		return errors.New("syslog: line begins with neither <PRI> nor a date")
	default: // RFC 3164, 4.3.3: what follows is the text, and the collector knows the rest
		l.tag(s)
		return nil
	}
	host, rest, more := strings.Cut(s, " ")
	if !more && host == "" {
		return errors.New("syslog: line ends behind its date")
	}
	if i := strings.IndexAny(host, ":["); i < 0 || isHost(host) && !strings.HasSuffix(host, "]:") {
		l.host = host
		if s = strings.TrimLeft(rest, " "); !more {
			return errors.New("syslog: line ends behind its host")
		}
	}
	if l.host == "" { // metalog writes no host, and the program in brackets
		if app, text, ok := strings.Cut(strings.TrimPrefix(s, "["), "]"); ok && s[0] == '[' && isSSHD(app) {
			l.app, l.text = app, strings.TrimLeft(strings.TrimPrefix(text, ":"), " ")
			return nil
		}
	}
	l.tag(s)
	return nil
}

// isHost tells an IPv6 address from a tag: both have colons.
func isHost(s string) bool { return strings.Count(s, ":") > 1 && addrOf(s).IsValid() }

// tag cuts "program[pid]: " off a text, which may have none.
func (l *syslogLine) tag(s string) {
	n := strings.IndexAny(s, ":[ ")
	switch {
	case n <= 0:
	case s[n] == ':' && (n+1 == len(s) || s[n+1] == ' '):
		l.app, l.text = s[:n], strings.TrimLeft(s[n+1:], " ")
		return
	case s[n] == '[':
		if pid, rest, ok := strings.Cut(s[n+1:], "]"); ok && (rest == "" || rest[0] == ':' || rest[0] == ' ') && !strings.Contains(pid, " ") {
			l.app, l.pid, l.text = s[:n], pid, strings.TrimLeft(strings.TrimPrefix(rest, ":"), " ")
			return
		}
	}
	l.text = s
}

// program is the name of the tag's program: without its folder and without what PAM and OpenWrt add to it.
func program(tag string) string {
	if i := strings.LastIndexByte(tag, '/'); i >= 0 && strings.HasPrefix(tag, "/") {
		tag = tag[i+1:]
	}
	tag, _, _ = strings.Cut(tag, "(")
	return tag
}

// cutSyslogTime cuts the date that opens s and the blank behind it.
func cutSyslogTime(s string, now time.Time) (time.Time, string, bool) {
	s = strings.TrimLeft(s, "*. ") // Cisco marks an unsure clock
	if len(s) < 15 {
		return time.Time{}, s, false
	}
	year := 0
	if n := digits(s); n == 4 && s[4] == ' ' && month(s[5:]) > 0 { // "2026 Nov 23 07:07:57"
		year, _ = strconv.Atoi(s[:4])
		s = s[5:]
	} else if n == 4 && s[4] == '-' {
		word, rest, _ := strings.Cut(s, " ")
		if len(word) == len("2006-01-02") {
			clock, after, _ := strings.Cut(rest, " ")
			word, rest = s[:len(word)+1+len(clock)], after
		}
		t := parseTime(word)
		return t, strings.TrimLeft(rest, " "), !t.IsZero()
	}
	m := month(s)
	if m == 0 {
		return time.Time{}, s, false
	}
	day, rest := number(strings.TrimLeft(s[3:], " "))
	if day < 1 || day > 31 || len(rest) == 0 || rest[0] != ' ' {
		return time.Time{}, s, false
	}
	rest = strings.TrimLeft(rest, " ")
	if digits(rest) == 4 && len(rest) > 4 && rest[4] == ' ' && year == 0 { // "Nov 23 2026 07:07:57"
		year, rest = number(rest)
		rest = rest[1:]
	}
	if len(rest) < 8 || rest[2] != ':' || rest[5] != ':' {
		return time.Time{}, s, false
	}
	hour, r1 := number(rest[:2])
	minute, r2 := number(rest[3:5])
	second, r3 := number(rest[6:8])
	if r1+r2+r3 != "" || hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, s, false
	}
	rest = rest[8:]
	nanos := 0
	if len(rest) > 1 && (rest[0] == '.' || rest[0] == ',') {
		n := digits(rest[1:])
		unit := int(time.Second)
		for i := 1; i <= min(n, 9); i++ {
			unit /= 10
			nanos += int(rest[i]-'0') * unit
		}
		rest = rest[1+n:]
	}
	rest = strings.TrimPrefix(rest, ":")
	rest = strings.TrimLeft(rest, " ")
	if r, ok := strings.CutPrefix(rest, "UTC: "); ok {
		rest = r
	}
	if year == 0 && digits(rest) == 4 && (len(rest) == 4 || rest[4] == ' ' || rest[4] == ']') { // "Nov 23 07:07:57 2026"
		year, rest = number(rest)
		rest = strings.TrimPrefix(rest, " ")
	}
	at := func(year int) time.Time { return dateOf(year, int(m), day, hour, minute, second, nanos) }
	if year > 0 {
		return at(year), rest, at(year).Day() == day && !storable(at(year)).IsZero()
	}
	// The sender's clock may run in a zone ahead of ours: within a day it is now, not last year.
	for year = now.Year() + 1; year > now.Year()-8; year-- {
		if t := at(year); t.Day() == day && t.Sub(now) < 24*time.Hour {
			if t.After(now) {
				t = now
			}
			return t, rest, true
		}
	}
	return time.Time{}, s, false // 30 February
}

func month(s string) time.Month {
	if len(s) < 4 || s[3] != ' ' {
		return 0
	}
	return monthName(s[:3])
}

func monthName(s string) time.Month {
	switch s {
	case "Jan":
		return time.January
	case "Feb":
		return time.February
	case "Mar":
		return time.March
	case "Apr":
		return time.April
	case "May":
		return time.May
	case "Jun":
		return time.June
	case "Jul":
		return time.July
	case "Aug":
		return time.August
	case "Sep":
		return time.September
	case "Oct":
		return time.October
	case "Nov":
		return time.November
	case "Dec":
		return time.December
	}
	return 0
}

// digits returns how many decimal digits s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// number reads the decimal number that s begins with, of at most nine digits; 0 where there is none.
func number(s string) (int, string) {
	v, n := 0, min(digits(s), 9)
	for i := 0; i < n; i++ {
		v = v*10 + int(s[i]-'0')
	}
	return v, s[n:]
}

// event emits the line's event: of the program's own format where there is one.
func (l *syslogLine) event(out *Out) *pipeline.Event {
	app := program(l.app)
	var e *pipeline.Event
	switch {
	case isSSHD(app):
		e = sshdMessage(out, l.text)
	case app == "postgres" || app == "postgresql":
		e = postgresSyslog(out, l.text)
	case isWebServer(app) && accessLine(out, l.text) == nil:
		e = &out.batch.Events[len(out.batch.Events)-1]
	case app == "falco" && falcoLog(out, l.text):
		e = &out.batch.Events[len(out.batch.Events)-1]
	case isMySQLServer(app) && (isMySQLError(l.text) || strings.HasPrefix(l.text, "Access denied for user '")):
		e = mysqlSyslog(out, l.text)
	case (strings.HasPrefix(l.text, "pam_") || strings.HasPrefix(l.text, "(pam_") || strings.Contains(l.app, "(pam_")) && app != "CRON" && app != "cron" && app != "crond":
		v := readPAM(l.text)
		e = out.Event(v.event)
		e.Title = l.text
		v.fill(e)
		e.SetAttr("repeated", v.repeated)
	default:
		e = out.Event("log")
		e.Title = l.text
	}
	if !l.time.IsZero() {
		e.Time = l.time
	}
	e.Host, e.Service, e.Raw = strings.ToLower(l.host), first(e.Service, app), l.raw
	e.SetAttr("process.pid", l.pid)
	e.SetAttr("syslog.msgid", l.msgID)
	if l.priority >= 0 {
		if e.Type == "log" {
			e.Severity = severitySyslog(l.priority & 7)
		}
		e.SetAttr("syslog.facility", syslogFacilities[l.priority>>3])
		e.SetAttr("syslog.severity", syslogSeverities[l.priority&7])
	}
	eachData(l.data, func(id, name, value string) { e.SetAttr(out.join(id, ".", name), value) })
	return e
}

var syslogFacilities = [...]string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
	"ntp", "security", "console", "solaris-cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}

var syslogSeverities = [...]string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}

// severitySyslog converts syslog's severities, 0 emergency to 7 debug, as MODEL does Falco's, which are the same words.
func severitySyslog(n int) uint8 {
	switch n {
	case 0:
		return pipeline.SeverityFatal
	case 1, 2:
		return pipeline.SeverityCritical
	case 3:
		return pipeline.SeverityHigh
	case 4:
		return pipeline.SeverityMedium
	case 5:
		return pipeline.SeverityLow
	}
	return pipeline.SeverityInfo
}
