package parse

import (
	"encoding/csv"
	"errors"
	"io"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// postgresRecord is one message of the server, from any of its log formats. In JSON its members are named as jsonlog does,
// or as the table does into which the documentation loads csvlog.
type postgresRecord struct {
	Timestamp string `json:"timestamp"`
	User      string `json:"user"`
	Database  string `json:"dbname"`
	PID       Text   `json:"pid"`
	Remote    string `json:"remote_host"`
	Port      Text   `json:"remote_port"`
	Session   string `json:"session_id"`
	Level     string `json:"error_severity"`
	State     string `json:"state_code"`
	Message   string `json:"message"`
	Detail    string `json:"detail"`
	Hint      string `json:"hint"`
	Statement string `json:"statement"`
	App       string `json:"application_name"`
	Backend   string `json:"backend_type"`

	postgresRow
}

// postgresRow is a row of csvlog by the names of its columns.
// https://www.postgresql.org/docs/current/runtime-config-logging.html#RUNTIME-CONFIG-LOGGING-CSVLOG
type postgresRow struct {
	LogTime        string `json:"log_time"`
	UserName       string `json:"user_name"`
	DatabaseName   string `json:"database_name"`
	ProcessID      Text   `json:"process_id"`
	ConnectionFrom string `json:"connection_from"`
	SQLState       string `json:"sql_state_code"`
	Query          string `json:"query"`
}

func postgresJSON(b []byte, out *Out) error {
	log := scratch[struct {
		postgresRecord
		Record postgresRecord `json:"record"` // CloudNativePG's wrapper
	}](out)
	if err := decode(b, log); err != nil {
		return err
	}
	v := &log.postgresRecord
	if log.Record.Level != "" {
		v = &log.Record
	}
	if row := v.postgresRow; row.LogTime != "" {
		v.Timestamp, v.User, v.Database, v.PID, v.State = row.LogTime, row.UserName, row.DatabaseName, row.ProcessID, row.SQLState
		v.Remote, v.Statement = hostOf(row.ConnectionFrom), row.Query
	}
	if v.Message == "" && v.Level == "" {
		return errors.New("db-audit: record without message")
	}
	v.event(out, alias(b))
	return nil
}

var postgresLevels = [...]string{
	"LOG", "ERROR", "FATAL", "WARNING", "NOTICE", "PANIC", "INFO", "DEBUG", "DEBUG1", "DEBUG2", "DEBUG3", "DEBUG4", "DEBUG5",
	"DETAIL", "HINT", "STATEMENT", "CONTEXT", "QUERY", "LOCATION",
}

// postgresLevel finds the severity that ends log_line_prefix: "LOG:  ".
func postgresLevel(l string) (level string, at int, ok bool) {
	l, _, _ = strings.Cut(l, "\n")
	for i := 0; i < len(l) && i < 300; {
		j := strings.Index(l[i:], ":  ")
		if j < 0 || i+j > 300 {
			return "", 0, false
		}
		end := i + j
		start := end
		for start > 0 && (l[start-1] >= 'A' && l[start-1] <= 'Z' || l[start-1] >= '0' && l[start-1] <= '9') {
			start--
		}
		for _, w := range postgresLevels {
			if l[start:end] == w {
				return w, start, true
			}
		}
		i = end + 1
	}
	return "", 0, false
}

// readPostgres takes a record of the stderr log apart. DETAIL, STATEMENT and the like are lines of their own behind the
// message that they go with, with the same prefix.
func readPostgres(r string) (v postgresRecord, ok bool) {
	level, at, ok := postgresLevel(r)
	if !ok {
		return v, false
	}
	v.Level = level
	v.readPrefix(r[:at])
	to := &v.Message
	from := at + len(level) + 1
	for i := from; i < len(r); {
		end := strings.IndexByte(r[i:], '\n')
		if end < 0 {
			break
		}
		i += end + 1
		level, at, ok := postgresLevel(r[i:])
		if !ok || !isPostgresDetail(level) {
			continue
		}
		*to = strings.TrimSpace(r[from:i])
		switch level {
		case "DETAIL":
			to = &v.Detail
		case "HINT":
			to = &v.Hint
		case "STATEMENT":
			to = &v.Statement
		default:
			to = new(string)
		}
		from = i + at + len(level) + 1
	}
	*to = strings.TrimSpace(r[from:])
	return v, true
}

// isPostgresDetail reports whether a line goes with the message before it.
func isPostgresDetail(level string) bool {
	switch level {
	case "DETAIL", "HINT", "STATEMENT", "CONTEXT", "QUERY", "LOCATION":
		return true
	}
	return false
}

// postgresSyslog reads a message that PostgreSQL sent to syslog: "[5-1] LOG:  ...".
func postgresSyslog(out *Out, text string) *pipeline.Event {
	rest := text
	if strings.HasPrefix(rest, "[") && digits(rest[1:]) > 0 {
		_, rest, _ = strings.Cut(rest, "] ")
	}
	v, ok := readPostgres(rest)
	if !ok {
		v.Message = text
	}
	return v.event(out, text)
}

// readPrefix reads what log_line_prefix is usually made of: a date, [pid], user@database, client address, key=value.
func (v *postgresRecord) readPrefix(p string) {
	if client, rest, ok := strings.Cut(p, " "); ok && digits(rest) == 4 && digits(p) != 4 { // %h before the date
		v.readPrefixWord(client)
		p = rest
	}
	if t, rest, ok := postgresTime(p); ok {
		v.Timestamp, p = t, rest
	}
	for word := range strings.FieldsFuncSeq(p, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' }) {
		v.readPrefixWord(strings.Trim(word, ":"))
	}
}

func (v *postgresRecord) readPrefixWord(word string) {
	if key, value, ok := strings.Cut(word, "="); ok {
		switch key {
		case "user", "u":
			v.User = value
		case "db", "database", "d":
			v.Database = value
		case "client", "host", "h":
			v.Remote = value
		case "app":
			v.App = value
		case "pid":
			v.PID = Text(value)
		}
		return
	}
	for part := range strings.SplitSeq(word, ":") { // RDS: "10.0.0.5(39792):postgres@shop:[12505]"
		switch {
		case strings.HasPrefix(part, "[") && digits(part[1:]) > 0:
			v.PID = Text(strings.Trim(part, "[]"))
		case strings.IndexByte(part, '@') > 0:
			v.User, v.Database, _ = strings.Cut(part, "@")
		case strings.IndexByte(part, '(') > 0:
			v.Remote, _, _ = strings.Cut(part, "(")
		}
	}
	if addrOf(word).IsValid() && digits(word) != len(word) {
		v.Remote = word
	}
}

// postgresTime cuts "2026-11-23 07:01:17.280 UTC " with its zone.
func postgresTime(p string) (stamp, rest string, ok bool) {
	if len(p) < 19 || digits(p) != 4 || p[4] != '-' {
		return "", p, false
	}
	end := 19
	for end < len(p) && (p[end] == '.' || p[end] >= '0' && p[end] <= '9') {
		end++
	}
	if zone, _, _ := strings.Cut(strings.TrimLeft(p[end:], " "), " "); zone != "" && zone[0] >= 'A' && zone[0] <= 'Z' && len(zone) < 30 {
		zone, _, _ = strings.Cut(zone, ":")
		end = end + strings.Index(p[end:], zone) + len(zone)
	}
	return p[:end], p[end:], true
}

// isPostgresCSV reports whether a log is csvlog: its 12th column is a severity.
func isPostgresCSV(s string) bool {
	if digits(strings.TrimPrefix(s, `"`)) != 4 || strings.Count(s[:min(len(s), 400)], ",") < 11 {
		return false
	}
	r := csv.NewReader(strings.NewReader(s))
	r.FieldsPerRecord = -1
	row, err := r.Read()
	return err == nil && len(row) >= 23 && isPostgresLevel(row[11])
}

func isPostgresLevel(s string) bool {
	for _, l := range postgresLevels {
		if s == l {
			return true
		}
	}
	return false
}

func parsePostgresCSV(in *Input, out *Out) error {
	text := in.Text()
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord, r.ReuseRecord = -1, true
	for {
		from := r.InputOffset()
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		line, _ := r.FieldPos(0)
		if err != nil || len(row) < 23 || !isPostgresLevel(row[11]) {
			out.reject(in.Line+max(line, 1)-1, []byte(text[from:r.InputOffset()]), "db-audit: row is not of PostgreSQL's csvlog")
			if err != nil { // quotes are open: what follows cannot be told apart
				return nil
			}
			continue
		}
		v := postgresRecord{
			Timestamp: row[0], User: row[1], Database: row[2], PID: Text(row[3]), Remote: row[4], Session: row[5],
			Level: row[11], State: row[12], Message: row[13], Detail: row[14], Hint: row[15], Statement: row[19], App: row[22],
		}
		if i := strings.LastIndexByte(v.Remote, ':'); i > 0 {
			v.Remote = v.Remote[:i]
		}
		v.event(out, strings.TrimSpace(text[from:r.InputOffset()]))
	}
}

func (v *postgresRecord) event(out *Out, raw string) *pipeline.Event {
	d := dbEvent{
		typ: "log", time: parseTime(v.Timestamp), title: v.Message, session: v.Session, code: v.State, statement: v.Statement,
		user: known(v.User), database: known(v.Database), address: v.Remote, severity: postgresSeverity(v.Level),
	}
	if d.address == "[local]" {
		d.address = ""
	}
	if d.time.IsZero() { // a zone such as CET
		t, _, _ := strings.Cut(strings.TrimSpace(v.Timestamp), " ")
		if len(v.Timestamp) > 23 {
			t = v.Timestamp[:23]
		}
		d.time = parseTime(strings.TrimSpace(t))
	}
	v.read(&d)
	e := d.event(out, raw, "postgresql")
	e.SetAttr("process.pid", string(v.PID))
	e.SetAttr("log.level", v.Level)
	e.SetAttr("db.detail", v.Detail)
	e.SetAttr("db.hint", v.Hint)
	e.SetAttr("db.application", v.App)
	return e
}

// known drops PostgreSQL's word for what it does not know yet.
func known(s string) string {
	if s == "[unknown]" {
		return ""
	}
	return s
}

// read finds out what a message tells.
func (v *postgresRecord) read(d *dbEvent) {
	m := v.Message
	switch {
	case strings.HasPrefix(m, "AUDIT: "):
		readPgAudit(strings.TrimPrefix(m, "AUDIT: "), d)
	case strings.HasPrefix(m, "connection authorized: "):
		d.typ = "auth.success"
		d.user, d.database = first(pgField(m, "user="), d.user), first(pgField(m, "database="), d.database)
	case strings.HasPrefix(m, "disconnection: "):
		d.typ = "auth.logout"
		d.user, d.database = first(pgField(m, "user="), d.user), first(pgField(m, "database="), d.database)
		d.address = first(pgField(m, "host="), d.address)
	case strings.HasPrefix(m, "connection received: "):
		d.address = first(pgField(m, "host="), d.address)
	case postgresAuthFailure(m):
		d.typ, d.reason = "auth.failed", v.Detail
		d.user = first(between(m, `user "`, `"`), between(m, `role "`, `"`), d.user)
		d.database = first(between(m, `database "`, `"`), d.database)
		d.address = first(between(m, `host "`, `"`), d.address)
		d.severity = pipeline.SeverityLow
	case strings.HasPrefix(m, "permission denied"), strings.HasPrefix(m, "must be "):
		d.typ, d.denied = "db.statement", true
		d.object = lastWord(m)
	case strings.HasPrefix(m, "statement: "):
		d.typ, d.statement = "db.statement", strings.TrimPrefix(m, "statement: ")
	case strings.HasPrefix(m, "execute "), strings.HasPrefix(m, "duration: "):
		if _, rest, ok := strings.Cut(m, "statement: "); ok {
			d.typ, d.statement = "db.statement", rest
		} else if _, rest, ok := strings.Cut(m, ": "); ok && strings.Contains(m, "execute ") {
			if strings.HasPrefix(m, "duration: ") {
				_, rest, _ = strings.Cut(rest, ": ")
			}
			d.typ, d.statement = "db.statement", rest
		}
	case v.Level == "STATEMENT":
		d.typ, d.statement = "log", m
	case v.Level == "ERROR" && v.Backend != "autovacuum worker":
		d.typ, d.outcome = "db.statement", pipeline.OutcomeError
	}
	if d.typ == "db.statement" && d.outcome == "" {
		d.outcome = pipeline.OutcomeSuccess
	}
	if d.typ == "log" {
		d.outcome = pipeline.OutcomeUnknown
	}
}

func postgresAuthFailure(m string) bool {
	for _, phrase := range [...]string{
		"authentication failed for user", "no pg_hba.conf entry for", "pg_hba.conf rejects connection", "authentication failed for role",
		"is not permitted to log in",
	} {
		if strings.Contains(m, phrase) {
			return true
		}
	}
	return strings.HasPrefix(m, `role "`) && strings.HasSuffix(m, "does not exist") || strings.HasPrefix(m, "password authentication failed")
}

// readPgAudit reads "SESSION,1,1,DDL,CREATE TABLE,TABLE,public.t,statement,<not logged>[,rows]".
func readPgAudit(m string, d *dbEvent) {
	var cells [8]string
	n := 0
	for rest, more := strings.ReplaceAll(m, "\n\t", "\n"), true; more && n < len(cells); n++ {
		cells[n], rest, more = cutCell(rest)
	}
	d.typ = "db.statement"
	if n < len(cells) {
		return
	}
	d.class, d.command, d.object, d.statement = cells[3], cells[4], cells[6], cells[7]
	if d.statement == "<previously logged>" || d.statement == "<not logged>" {
		d.statement = ""
	}
	d.title = first(d.statement, d.command+" "+d.object)
	if d.class == "ROLE" || d.class == "DDL" {
		d.severity = pipeline.SeverityLow
	}
}

func pgField(m, key string) string {
	i := strings.Index(m, key)
	if i < 0 {
		return ""
	}
	return firstWord(m[i+len(key):])
}

// between returns the text between two marks, "" where they are not there.
func between(s, from, to string) string {
	_, rest, ok := strings.Cut(s, from)
	if !ok {
		return ""
	}
	v, _, ok := strings.Cut(rest, to)
	if !ok {
		return ""
	}
	return v
}

func postgresSeverity(level string) uint8 {
	switch level {
	case "PANIC":
		return pipeline.SeverityCritical
	case "FATAL":
		return pipeline.SeverityHigh
	case "ERROR", "WARNING":
		return pipeline.SeverityMedium
	}
	return pipeline.SeverityInfo
}
