package parse

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// dbAudit reads what databases log: PostgreSQL (stderr, csvlog, jsonlog) with pgaudit, MariaDB's server_audit, the error,
// general and slow logs of MySQL and MariaDB, audit logs of MySQL Enterprise and Percona in JSON, MongoDB's log and audit log.
// A record may span lines.
// https://github.com/pgaudit/pgaudit#format https://mariadb.com/kb/en/mariadb-audit-plugin-log-format/
var dbAudit = Format{
	Name: "db-audit", Title: "database logs and audit (PostgreSQL, pgaudit, MySQL, MariaDB, MongoDB)", Phase: pipeline.PhaseOperation,
	Types: []string{"db.statement", "auth.failed", "auth.success", "auth.logout", "log"},
	Known: "PostgreSQL's severity behind a date, csvlog, jsonlog with error_severity; server_audit rows; MySQL's [Note], Connect or # Time lines; MongoDB's t, s, c, ctx and msg",
	Frame: Reports, Log: true,
	Match: func(s *Shape) bool {
		if s.IsObject() {
			return s.Has("error_severity") || s.Has("audit_record") || s.Has("class", "event", "connection_id") || isMongo(s) ||
				member(s.Raw("record"), "error_severity") != nil
		}
		if isPostgresCSV(alias(s.Data())) {
			return true
		}
		for rest, n := s.Data(), 0; len(rest) > 0 && n < 6; n++ {
			var line []byte
			line, rest = cutLine(rest)
			if isDBLine(alias(line)) {
				return true
			}
		}
		return false
	},
	Parse: parseDBAudit,
}

// isDBLine reports whether a line opens a record of one of the text logs.
func isDBLine(l string) bool {
	if len(l) < 20 {
		return false
	}
	_, at, pg := postgresLevel(l)
	if pg {
		_, behind, _ := strings.Cut(l[:at], " ") // the client may stand before the date
		pg = digits(l) == 4 || addrOf(firstWord(l)).IsValid() && digits(behind) == 4
	}
	return pg || isServerAudit(l) || isMySQLError(l) || isMySQLGeneral(l) || isMySQLSlow(l)
}

func parseDBAudit(in *Input, out *Out) error {
	if isJSON(in.Data) {
		if in.Data[0] == '[' {
			return eachElement(in, out, in.Data, func(b []byte) error { return dbAuditJSON(b, out) })
		}
		return dbAuditJSON(in.Data, out)
	}
	if isPostgresCSV(in.Text()) {
		return parsePostgresCSV(in, out)
	}
	// Records begin at lines that look so; the lines between belong to the record before.
	text, line := in.Text(), in.Line-1
	start, first := -1, 0
	flush := func(end int) {
		if start >= 0 {
			if err := dbRecord(out, strings.TrimRight(text[start:end], "\r\n")); err != nil {
				out.reject(first, []byte(text[start:end]), err.Error())
			}
		}
		start = -1
	}
	for at := 0; at < len(text); {
		l, _, _ := strings.Cut(text[at:], "\n")
		here := at
		at += len(l) + 1
		line++
		l = strings.TrimRight(l, "\r")
		switch {
		case strings.TrimSpace(l) == "" || isMySQLBanner(l):
			continue
		case isMySQLSlow(l):
			// "# Time:" and "# User@Host:" open a record of the slow log, its other "#" lines and the statement follow.
			if start < 0 || !isSlowHead(text[start:here]) {
				flush(here)
			}
		case isDBLine(l):
			if level, _, ok := postgresLevel(l); start >= 0 && ok && isPostgresDetail(level) {
				continue
			}
			flush(here)
		case start >= 0:
			continue
		case out.seq == 0 && len(out.batch.Events) == out.first && at < len(text):
			out.reject(line, []byte(l), "db-audit: line before the first record")
			continue
		}
		if start < 0 {
			start, first = here, line
		}
	}
	flush(len(text))
	return nil
}

func dbRecord(out *Out, r string) error {
	switch {
	case isMySQLSlow(r):
		return mysqlSlow(out, r)
	case isServerAudit(r):
		return serverAudit(out, r)
	case isMySQLError(r):
		mysqlError(out, r)
		return nil
	case isMySQLGeneral(r):
		mysqlGeneral(out, r)
		return nil
	}
	v, ok := readPostgres(r)
	if !ok {
		return errors.New("db-audit: line is of no log that is known")
	}
	v.event(out, r)
	return nil
}

func dbAuditJSON(b []byte, out *Out) error {
	switch {
	case member(b, "error_severity") != nil, member(member(b, "record"), "error_severity") != nil:
		return postgresJSON(b, out)
	case member(b, "t") != nil, member(b, "atype") != nil:
		return mongoJSON(b, out)
	}
	return mysqlJSON(b, out)
}

// dbEvent is what any database says of what was done.
type dbEvent struct {
	typ                                   string
	time                                  time.Time
	user, database, object, host, address string
	statement, command, class, session    string
	title, code, reason                   string
	severity                              uint8
	outcome                               string
	denied                                bool
}

func (v *dbEvent) event(out *Out, raw, system string) *pipeline.Event {
	e := out.Event(v.typ)
	e.Raw, e.Title, e.Severity = raw, first(v.title, v.statement, v.command), max(v.severity, pipeline.SeverityInfo)
	if i := strings.IndexByte(e.Title, '\n'); i > 0 {
		e.Title = e.Title[:i]
	}
	if t := storable(v.time); !v.time.IsZero() && !t.IsZero() {
		e.Time = t
	}
	e.Actor, e.DBName, e.DBObject = v.user, v.database, v.object
	e.Host = strings.ToLower(v.host)
	if e.SrcIP = addrOf(v.address); !e.SrcIP.IsValid() {
		e.SetAttr("source.domain", v.address)
	}
	e.Outcome = v.outcome
	if v.denied {
		e.Disposition, e.Severity = pipeline.DispositionUnauthorized, max(e.Severity, pipeline.SeverityMedium)
		e.Outcome = pipeline.OutcomeFailure
	}
	switch v.typ {
	case "auth.failed":
		e.Outcome, e.Severity = pipeline.OutcomeFailure, max(e.Severity, pipeline.SeverityLow)
		e.SetAttr("auth.evidence", "verdict")
	case "auth.success":
		e.Outcome = pipeline.OutcomeSuccess
		e.SetAttr("auth.evidence", "verdict")
	case "auth.logout":
		e.Outcome = pipeline.OutcomeSuccess
	}
	e.SetAttr("db.system.name", system)
	e.SetAttr("db.query.text", v.statement)
	e.SetAttr("db.operation.name", v.command)
	e.SetAttr("target.user", granteeOf(v.statement))
	e.SetAttr("db.statement.class", v.class)
	e.SetAttr("db.session.id", v.session)
	e.SetAttr("db.response.status_code", v.code)
	e.SetAttr("auth.reason", v.reason)
	return e
}

// granteeOf returns the account that a statement gives rights to or makes: that of GRANT ... TO, of CREATE and ALTER USER or
// ROLE. It is empty for other statements.
func granteeOf(statement string) string {
	verb, rest, _ := strings.Cut(statement, " ")
	marks := []string{"USER", "ROLE"}
	switch {
	case strings.EqualFold(verb, "GRANT"):
		marks = []string{"TO"}
	case !strings.EqualFold(verb, "CREATE") && !strings.EqualFold(verb, "ALTER"):
		return ""
	}
	words := strings.Fields(rest)
	for i, word := range words {
		if !slices.ContainsFunc(marks, func(m string) bool { return strings.EqualFold(m, word) }) {
			if marks[0] == "TO" {
				continue
			}
			return "" // CREATE TABLE and the like
		}
		words = words[i+1:]
		for len(words) > 1 && slices.ContainsFunc([]string{"IF", "NOT", "EXISTS"}, func(m string) bool { return strings.EqualFold(m, words[0]) }) {
			words = words[1:]
		}
		if len(words) == 0 {
			return ""
		}
		name, _, _ := strings.Cut(words[0], "@")
		return strings.Trim(name, "'\"`;,")
	}
	return ""
}
