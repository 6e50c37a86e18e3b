package parse

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// syslog reads syslog of RFC 3164 and RFC 5424, a record a line or octet-counted (RFC 6587), and the JSON that
// rsyslog, syslog-ng, Fluent Bit, Logstash, Vector and journald make of it. Records of programs that have a format of
// their own (sshd, PAM) give that format's events.
var syslog = Format{
	Name: "syslog", Title: "syslog (RFC 3164, RFC 5424, JSON of collectors)", Phase: pipeline.PhaseOperation,
	Types: []string{"log", "auth.failed", "auth.success", "auth.logout", "detection", "db.statement", "http.request"},
	Known: "lines that begin with <PRI>, a length and <PRI>, or a date, host and tag; JSON with syslogtag, SYSLOG_IDENTIFIER or facility",
	Frame: Reports, Log: true,
	Match: matchSyslog,
	Parse: parseSyslog,
}

func matchSyslog(s *Shape) bool {
	switch {
	case s.Root != "" && s.Root[0] > '9', s.Array:
		return false
	case s.IsObject():
		return s.Has("syslogtag") || s.Has("rawmsg", "hostname") || s.Has("SYSLOG_IDENTIFIER") || s.Has("PROGRAM", "MESSAGE") ||
			(s.Has("facility") || s.Has("facility_label") || s.Has("pri")) && (s.Has("message") || s.Has("msg")) &&
				(s.Has("appname") || s.Has("program") || s.Has("ident") || s.Has("programname") || s.Has("app-name"))
	}
	if n, body := octetCount(s.Data()); n > 0 && len(body) > 0 {
		return true
	}
	l, err := readSyslog(s.Line(), s.Record().Time)
	return err == nil && (l.priority >= 0 || l.host != "" && l.app != "" || month(s.Line()) > 0)
}

func parseSyslog(in *Input, out *Out) error {
	if in.Data[0] == '{' {
		return parseSyslogJSON(in, out)
	}
	line := in.Line
	for rest := in.Data; len(rest) > 0; {
		if n, body := octetCount(rest); n > 0 {
			rest = rest[len(rest)-len(body):]
			if n > len(body) {
				out.reject(line, rest, "syslog: record ends before its octet count")
				return nil
			}
			record := body[:n]
			rest = body[n:]
			parseSyslogLine(out, bytes.TrimRight(record, "\r\n"), line, in)
			line += bytes.Count(record, newline)
			continue
		}
		var l []byte
		l, rest = cutLine(rest)
		if len(bytes.TrimSpace(l)) > 0 {
			parseSyslogLine(out, l, line, in)
		}
		line++
	}
	return nil
}

func parseSyslogLine(out *Out, line []byte, at int, in *Input) {
	l, err := readSyslog(alias(line), in.Time())
	if err != nil {
		out.reject(at, line, err.Error())
		return
	}
	l.event(out)
}

// octetCount reads RFC 6587's frame, a length and a blank before "<": 0 where there is none.
func octetCount(b []byte) (int, []byte) {
	n := digits(alias(b[:min(len(b), 8)]))
	if n == 0 || n > 7 || b[0] == '0' || len(b) < n+2 || b[n] != ' ' || b[n+1] != '<' {
		return 0, nil
	}
	v, err := strconv.Atoi(alias(b[:n]))
	if err != nil {
		return 0, nil
	}
	return v, b[n+1:]
}

// syslogRecord is a syslog record as collectors write it in JSON.
type syslogRecord struct {
	// rsyslog: %jsonmesg% and templates; Fluent Bit; Vector.
	Msg           Text `json:"msg"`
	Message       Text `json:"message"`
	Timestamp     Text `json:"@timestamp"`
	TimeReported  Text `json:"timereported"`
	TimeGenerated Text `json:"timegenerated"`
	Time          Text `json:"time"`
	Stamp         Text `json:"timestamp"`
	Host          Text `json:"host"`
	Hostname      Text `json:"hostname"`
	FromHost      Text `json:"fromhost"`
	Tag           Text `json:"syslogtag"`
	App           Text `json:"app-name"`
	AppName       Text `json:"appname"`
	ProgramName   Text `json:"programname"`
	Ident         Text `json:"ident"`
	PID           Text `json:"pid"`
	ProcID        Text `json:"procid"`
	MsgID         Text `json:"msgid"`
	Data          Text `json:"structured-data"`
	Pri           Text `json:"pri"`
	Facility      Text `json:"facility"`
	Severity      Text `json:"severity"`
	FacilityNo    Text `json:"syslogfacility"`
	SeverityNo    Text `json:"syslogseverity"`
	FacilityText  Text `json:"syslogfacility-text"`
	SeverityText  Text `json:"syslogseverity-text"`

	// Logstash.
	Program       Text `json:"program"`
	LogSource     Text `json:"logsource"`
	FacilityLabel Text `json:"facility_label"`
	SeverityLabel Text `json:"severity_label"`
	Priority      Text `json:"priority"`

	// syslog-ng and journald.
	NGMessage  Text `json:"MESSAGE"`
	NGProgram  Text `json:"PROGRAM"`
	NGHost     Text `json:"HOST"`
	NGPID      Text `json:"PID"`
	NGDate     Text `json:"DATE"`
	NGISODate  Text `json:"ISODATE"`
	NGFacility Text `json:"FACILITY"`
	NGPriority Text `json:"PRIORITY"`
	Identifier Text `json:"SYSLOG_IDENTIFIER"`
	JFacility  Text `json:"SYSLOG_FACILITY"`
	JHost      Text `json:"_HOSTNAME"`
	JPID       Text `json:"_PID"`
	JTime      Text `json:"__REALTIME_TIMESTAMP"`
	JSource    Text `json:"_SOURCE_REALTIME_TIMESTAMP"`
	JUnit      Text `json:"_SYSTEMD_UNIT"`
	JComm      Text `json:"_COMM"`
}

func parseSyslogJSON(in *Input, out *Out) error {
	v := scratch[syslogRecord](out)
	if err := decode(in.Data, v); err != nil {
		return err
	}
	l := syslogLine{raw: in.Text(), priority: -1}
	l.text = strings.TrimLeft(said(v.Message, v.Msg, v.NGMessage), " ")
	l.host = said(v.Hostname, v.Host, v.LogSource, v.NGHost, v.JHost, v.FromHost)
	l.app = said(v.App, v.ProgramName, v.AppName, v.Program, v.Ident, v.NGProgram, v.Identifier, v.JComm)
	l.pid = said(v.ProcID, v.PID, v.NGPID, v.JPID)
	if tag := said(v.Tag); tag != "" {
		var t syslogLine
		if t.tag(tag); t.app == "" {
			t.app = tag
		}
		l.app, l.pid = first(l.app, t.app), first(l.pid, t.pid)
	}
	l.msgID, l.data = said(v.MsgID), said(v.Data)
	if l.text == "" && l.app == "" {
		return errors.New("syslog: JSON has neither a message nor a program")
	}
	for _, t := range []Text{v.TimeReported, v.Timestamp, v.JSource, v.JTime, v.NGISODate, v.Stamp, v.Time, v.NGDate, v.TimeGenerated} {
		if t == "" {
			continue
		}
		if month(string(t)) > 0 {
			l.time, _, _ = cutSyslogTime(string(t), in.Time())
		}
		if l.time.IsZero() {
			l.time = parseTime(string(t))
		}
		if !l.time.IsZero() {
			break
		}
	}
	facility := wordIndex(syslogFacilities[:], said(v.FacilityText, v.FacilityLabel, v.Facility, v.FacilityNo, v.NGFacility, v.JFacility))
	severity := severityIndex(said(v.SeverityText, v.SeverityLabel, v.Severity, v.SeverityNo, v.NGPriority))
	if text := said(v.Pri, v.Priority); text != "" && digits(text) == len(text) && len(text) <= 3 && count(text) <= 191 {
		l.priority = int(count(text))
	} else if severity >= 0 {
		l.priority = max(facility, 1)<<3 | severity // user: what RFC 3164 takes where none is said
	}
	e := l.event(out)
	e.SetAttr("systemd.unit", string(v.JUnit))
	if facility < 0 && said(v.Pri, v.Priority) == "" {
		e.SetAttr("syslog.facility", first(said(v.Facility), e.Attr("syslog.facility")))
	}
	return nil
}

// said returns the first text that says something: "-" is RFC 5424's nothing.
func said(s ...Text) string {
	for _, t := range s {
		if t != "" && t != "-" {
			return string(t)
		}
	}
	return ""
}

// wordIndex returns the index of a word, or of its number, in a table of words; -1 where it is none.
func wordIndex(words []string, s string) int {
	s = strings.ToLower(s)
	if n, rest := number(s); rest == "" && s != "" && n < len(words) {
		return n
	}
	for i, w := range words {
		if s == w {
			return i
		}
	}
	return -1
}

// severityIndex also knows the longer names of syslog's severities.
func severityIndex(s string) int {
	switch s = strings.ToLower(s); s {
	case "emergency", "panic":
		s = "emerg"
	case "critical":
		s = "crit"
	case "error":
		s = "err"
	case "warn":
		s = "warning"
	case "informational":
		s = "info"
	}
	return wordIndex(syslogSeverities[:], s)
}
