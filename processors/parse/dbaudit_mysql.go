package parse

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// isServerAudit reports whether l is "20261123 07:02:15,vm,root,localhost,3,0,CONNECT,,,0".
func isServerAudit(l string) bool {
	return digits(l) == 8 && len(l) > 20 && l[8] == ' ' && l[11] == ':' && l[17] == ','
}

// serverAudit reads a row of MariaDB's audit plugin: time,serverhost,user,host,connection,query,operation,database,object,code.
// The object of a statement is quoted with ' and backslashes.
func serverAudit(out *Out, l string) error {
	var f [9]string
	rest := l
	for i := range 8 {
		var ok bool
		if f[i], rest, ok = strings.Cut(rest, ","); !ok {
			return errors.New("db-audit: row of server_audit has too few columns")
		}
	}
	code := ""
	if strings.HasPrefix(rest, "'") {
		end := 1
		for end < len(rest) && rest[end] != '\'' {
			if rest[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(rest) {
			return errors.New("db-audit: row of server_audit whose statement is not closed")
		}
		f[8] = sqlUnescape(rest[1:end])
		code = strings.TrimPrefix(rest[end+1:], ",")
	} else {
		f[8], code, _ = strings.Cut(rest, ",")
	}
	t, err := time.Parse("20060102 15:04:05", f[0])
	if err != nil {
		return errors.New("db-audit: row of server_audit without a date")
	}
	code, _, _ = strings.Cut(code, ",")
	d := dbEvent{typ: "db.statement", time: t, host: f[1], user: f[2], address: mysqlHost(f[3]), session: f[4], command: f[6], database: f[7], code: code,
		outcome: pipeline.OutcomeSuccess}
	if code != "" && code != "0" {
		d.outcome = pipeline.OutcomeFailure
		d.denied = mysqlDenied(code)
	}
	switch op := f[6]; {
	case op == "CONNECT":
		d.typ = "auth.success"
	case op == "FAILED_CONNECT":
		d.typ, d.denied = "auth.failed", false
	case op == "DISCONNECT":
		d.typ = "auth.logout"
	case op == "CHANGEUSER":
		d.typ = "auth.success"
	case strings.HasPrefix(op, "QUERY") || op == "PREPARE" || op == "EXECUTE":
		d.statement = f[8]
	default: // READ, WRITE, CREATE, DROP ...: which tables a statement touched
		d.object = f[8]
	}
	if d.typ != "db.statement" {
		d.title = out.join(out.lower(f[6]), " ", f[2], "@", f[3])
	} else if d.object != "" {
		d.title = out.join(f[6], " ", f[7], ".", d.object)
	}
	e := d.event(out, l, "mariadb")
	if f[5] != "0" {
		e.SetAttr("db.query.id", f[5])
	}
	return nil
}

// mysqlDenied knows the codes of errors about rights.
func mysqlDenied(code string) bool {
	switch code {
	case "1044", "1045", "1142", "1143", "1227", "1370", "1410", "1698":
		return true
	}
	return false
}

var sqlEscapes = strings.NewReplacer(`\'`, `'`, `\\`, `\`, `\n`, "\n", `\r`, "\r", `\t`, "\t")

func sqlUnescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	return sqlEscapes.Replace(s)
}

// mysqlHost drops the name of the own host, which is no address.
func mysqlHost(s string) string {
	if s == "localhost" {
		return ""
	}
	return s
}

// mysqlTime cuts the date of MySQL's logs: RFC 3339, "2026-11-23  7:02:10" or "261123  7:02:10".
func mysqlTime(l string) (time.Time, string, bool) {
	if n := digits(l); n == 6 && len(l) > 16 && l[6] == ' ' {
		clock := strings.TrimLeft(l[6:], " ")
		t, err := time.Parse("060102 15:04:05", l[:6]+" "+padHour(firstWord(clock)))
		return t, strings.TrimLeft(clock[len(firstWord(clock)):], " \t"), err == nil
	} else if n != 4 || len(l) < 19 || l[4] != '-' {
		return time.Time{}, l, false
	}
	if l[10] == 'T' {
		stamp, rest, _ := strings.Cut(l, " ")
		if tab := strings.IndexByte(stamp, '\t'); tab > 0 {
			stamp, rest = l[:tab], l[tab:]
		}
		t, ok := isoTime(stamp)
		return t, strings.TrimLeft(rest, " \t"), ok
	}
	clock := strings.TrimLeft(l[10:], " ")
	t, ok := isoTime(l[:10] + " " + padHour(firstWord(clock)))
	return t, strings.TrimLeft(clock[len(firstWord(clock)):], " \t"), ok
}

func padHour(clock string) string {
	if len(clock) > 1 && clock[1] == ':' {
		return "0" + clock
	}
	return clock
}

// isMySQLError reports whether l is "date [thread] [Level] text", or a line of a plugin with an old date.
func isMySQLError(l string) bool {
	_, rest, ok := mysqlTime(l)
	if !ok {
		return false
	}
	if digits(l) == 6 && strings.HasPrefix(rest, "server_audit: ") {
		return true
	}
	rest = strings.TrimLeft(rest[digits(rest):], " ")
	level, _, ok := strings.Cut(strings.TrimPrefix(rest, "["), "]")
	if !ok || !strings.HasPrefix(rest, "[") {
		return false
	}
	for _, word := range [...]string{"note", "warning", "error", "system", "information"} {
		if strings.EqualFold(level, word) {
			return true
		}
	}
	return false
}

func mysqlError(out *Out, l string) *pipeline.Event {
	t, rest, _ := mysqlTime(l)
	thread := rest[:digits(rest)]
	rest = strings.TrimLeft(rest[len(thread):], " ")
	level := ""
	if strings.HasPrefix(rest, "[") {
		level, rest, _ = strings.Cut(rest[1:], "]")
	}
	d := dbEvent{typ: "log", time: t, session: thread, outcome: pipeline.OutcomeUnknown}
	for n := 0; n < 2; n++ { // [MY-010926] [Server]
		if rest = strings.TrimLeft(rest, " "); strings.HasPrefix(rest, "[") {
			var word string
			word, rest, _ = strings.Cut(rest[1:], "]")
			if strings.HasPrefix(word, "MY-") {
				d.code = word
			}
		}
	}
	d.title = strings.TrimSpace(rest)
	switch {
	case strings.EqualFold(level, "error"):
		d.severity = pipeline.SeverityHigh
	case strings.EqualFold(level, "warning"):
		d.severity = pipeline.SeverityMedium
	}
	mysqlAccess(d.title, &d)
	e := d.event(out, l, "mysql")
	e.SetAttr("log.level", level)
	return e
}

// isMySQLServer reports whether a program is MySQL's or MariaDB's server.
func isMySQLServer(program string) bool {
	switch program {
	case "mysqld", "mysql", "mariadbd", "mariadb", "mysqld_safe":
		return true
	}
	return false
}

// mysqlSyslog reads a message that the server sent to syslog: a line of its error log, or only the text of one.
func mysqlSyslog(out *Out, text string) *pipeline.Event {
	if isMySQLError(text) {
		return mysqlError(out, text)
	}
	d := dbEvent{typ: "log", title: text, outcome: pipeline.OutcomeUnknown}
	mysqlAccess(text, &d)
	return d.event(out, text, "mysql")
}

// mysqlAccess reads "Access denied for user 'root'@'192.0.2.1' (using password: YES)".
func mysqlAccess(text string, d *dbEvent) {
	i := strings.Index(text, "Access denied for user '")
	if i < 0 {
		return
	}
	rest := text[i+len("Access denied for user '"):]
	d.user, rest, _ = strings.Cut(rest, "'")
	d.address = mysqlHost(between(rest, "@'", "'"))
	if strings.Contains(rest, " to database '") { // authenticated, but without rights on it
		d.database = between(rest, "to database '", "'")
	}
	d.typ, d.severity = "auth.failed", pipeline.SeverityLow
	d.reason = between(rest, "(", ")")
}

// isMySQLGeneral reports whether l is "date id Command argument" of the general log.
func isMySQLGeneral(l string) bool {
	_, rest, ok := mysqlTime(l)
	if !ok || digits(rest) == 0 {
		return false
	}
	command, _ := mysqlCommand(strings.TrimLeft(rest[digits(rest):], " \t"))
	return command != ""
}

func mysqlCommand(s string) (command, argument string) {
	for _, c := range [...]string{"Connect", "Query", "Quit", "Init DB", "Execute", "Prepare", "Close stmt", "Field List", "Statistics", "Change user",
		"Binlog Dump", "Ping", "Reset stmt", "Shutdown", "Kill", "Daemon"} {
		if rest, ok := strings.CutPrefix(s, c); ok && (rest == "" || rest[0] == ' ' || rest[0] == '\t') {
			return c, strings.TrimLeft(rest, " \t")
		}
	}
	return "", ""
}

func mysqlGeneral(out *Out, r string) {
	t, rest, _ := mysqlTime(r)
	id := rest[:digits(rest)]
	command, argument := mysqlCommand(strings.TrimLeft(rest[len(id):], " \t"))
	d := dbEvent{typ: "log", time: t, session: id, command: command, title: strings.TrimSpace(command + " " + argument), outcome: pipeline.OutcomeUnknown}
	switch command {
	case "Connect", "Change user":
		if strings.HasPrefix(argument, "Access denied") {
			mysqlAccess(argument, &d)
			break
		}
		d.typ = "auth.success"
		user, host, _ := strings.Cut(firstWord(argument), "@")
		d.user, d.address = user, mysqlHost(host)
		d.database = between(argument, " on ", " using")
	case "Quit":
		d.typ = "auth.logout"
	case "Query", "Execute", "Prepare":
		d.typ, d.statement, d.title = "db.statement", argument, argument
	}
	d.event(out, r, "mysql")
}

func isMySQLSlow(l string) bool {
	return strings.HasPrefix(l, "# Time: ") || strings.HasPrefix(l, "# User@Host: ")
}

// isSlowHead reports whether a record of the slow log has only "# Time:" so far.
func isSlowHead(r string) bool {
	return strings.HasPrefix(r, "# Time: ") && strings.Count(strings.TrimRight(r, "\r\n"), "\n") == 0
}

// isMySQLBanner knows the lines that a server writes when it opens a log.
func isMySQLBanner(l string) bool {
	return strings.HasPrefix(l, "Tcp port: ") || strings.HasPrefix(l, "Time\t") || strings.HasPrefix(l, "Time  ") || strings.Contains(l, ", Version: ") && strings.HasSuffix(l, "started with:")
}

func mysqlSlow(out *Out, r string) error {
	d := dbEvent{typ: "db.statement", outcome: pipeline.OutcomeSuccess, severity: pipeline.SeverityLow, class: "slow"}
	seconds, rows := "", ""
	var statement []string
	for l := range strings.Lines(r) {
		l = strings.TrimSpace(l)
		switch {
		case strings.HasPrefix(l, "# Time: "):
			d.time, _, _ = mysqlTime(strings.TrimPrefix(l, "# Time: "))
			if d.time.IsZero() {
				d.time = parseTime(strings.TrimPrefix(l, "# Time: "))
			}
		case strings.HasPrefix(l, "# User@Host: "):
			who := strings.TrimPrefix(l, "# User@Host: ")
			d.user, _, _ = strings.Cut(who, "[")
			_, at, _ := strings.Cut(who, " @ ")
			d.address = first(between(at, "[", "]"), mysqlHost(firstWord(strings.TrimSpace(at))))
			d.session = first(pgField(l, "Id:"), strings.TrimSpace(between(l+" ", "Id: ", " ")))
		case strings.HasPrefix(l, "#"):
			d.database = first(d.database, slowField(l, "Schema: "))
			d.session = first(d.session, slowField(l, "Thread_id: "))
			seconds, rows = first(seconds, slowField(l, "Query_time: ")), first(rows, slowField(l, "Rows_examined: "))
		case strings.HasPrefix(l, "use ") && strings.HasSuffix(l, ";") && len(statement) == 0:
			d.database = first(d.database, strings.Trim(l[4:len(l)-1], "`"))
		case strings.HasPrefix(l, "SET timestamp="):
			if n, err := strconv.ParseInt(strings.Trim(l[len("SET timestamp="):], "; "), 10, 64); err == nil && n > 0 {
				d.time = storable(time.Unix(n, 0).UTC())
			}
		default:
			statement = append(statement, l)
		}
	}
	if d.user == "" && len(statement) == 0 {
		return errors.New("db-audit: record of the slow log without user and statement")
	}
	d.statement = strings.TrimSuffix(strings.Join(statement, "\n"), ";")
	d.title = "slow: " + first(d.statement, "statement")
	e := d.event(out, r, "mysql")
	e.SetAttr("db.duration_seconds", seconds)
	e.SetAttr("db.rows_examined", rows)
	return nil
}

func slowField(l, key string) string {
	if _, rest, ok := strings.Cut(l, key); ok {
		return firstWord(rest)
	}
	return ""
}

// mysqlAudit is a record of MySQL Enterprise Audit or of Percona's plugin.
type mysqlAudit struct {
	Timestamp Text   `json:"timestamp"`
	Class     string `json:"class"`
	Event     string `json:"event"`
	ID        Text   `json:"connection_id"`
	Account   struct {
		User string `json:"user"`
		Host string `json:"host"`
	} `json:"account"`
	Login struct {
		User string `json:"user"`
		IP   string `json:"ip"`
	} `json:"login"`
	General struct {
		Command string `json:"command"`
		SQL     string `json:"sql_command"`
		Query   string `json:"query"`
		Status  Text   `json:"status"`
	} `json:"general_data"`
	Connection struct {
		Type   string `json:"connection_type"`
		Status Text   `json:"status"`
		DB     string `json:"db"`
	} `json:"connection_data"`
	Table struct {
		DB    string `json:"db"`
		Table string `json:"table"`
		Query string `json:"query"`
		SQL   string `json:"sql_command"`
	} `json:"table_access_data"`
	Percona *struct {
		Name      string `json:"name"`
		Timestamp string `json:"timestamp"`
		Class     string `json:"command_class"`
		ID        Text   `json:"connection_id"`
		Status    Text   `json:"status"`
		SQL       string `json:"sqltext"`
		User      string `json:"user"`
		Host      string `json:"host"`
		IP        string `json:"ip"`
		DB        string `json:"db"`
	} `json:"audit_record"`
}

func mysqlJSON(b []byte, out *Out) error {
	v := scratch[mysqlAudit](out)
	if err := decode(b, v); err != nil {
		return err
	}
	d := dbEvent{typ: "log", outcome: pipeline.OutcomeSuccess}
	status := ""
	if p := v.Percona; p != nil {
		status, _, _ = strings.Cut(string(p.Status), ".")
		user, _, _ := strings.Cut(p.User, "[")
		d.time, d.user, d.address, d.database, d.session = parseTime(p.Timestamp), user, first(p.IP, mysqlHost(p.Host)), p.DB, string(p.ID)
		d.command, d.statement, d.title = first(p.Class, p.Name), p.SQL, first(p.SQL, p.Name)
		switch p.Name {
		case "Connect", "Change user":
			d.typ = "auth.success"
		case "Quit":
			d.typ = "auth.logout"
		case "Query", "Execute", "Prepare":
			d.typ = "db.statement"
		}
	} else {
		status = first(string(v.General.Status), string(v.Connection.Status))
		d.time, d.user, d.address, d.session = parseTime(string(v.Timestamp)), first(v.Account.User, v.Login.User), first(v.Login.IP, mysqlHost(v.Account.Host)), string(v.ID)
		d.database, d.object = first(v.Connection.DB, v.Table.DB), v.Table.Table
		d.statement, d.command = first(v.General.Query, v.Table.Query), first(v.General.SQL, v.Table.SQL, v.Event)
		d.title = first(d.statement, v.Class+" "+v.Event)
		switch {
		case v.Class == "connection" && v.Event == "connect":
			d.typ = "auth.success"
		case v.Class == "connection" && v.Event == "disconnect":
			d.typ = "auth.logout"
		case v.Class == "general" || v.Class == "table_access":
			d.typ = "db.statement"
		case v.Class == "" && v.Event == "":
			return errors.New("db-audit: JSON is of no audit log that is known")
		}
	}
	d.code = status
	if status != "" && status != "0" {
		d.outcome = pipeline.OutcomeFailure
		if d.typ == "auth.success" {
			d.typ = "auth.failed"
		} else {
			d.denied = mysqlDenied(status)
		}
	}
	d.event(out, alias(b), "mysql")
	return nil
}
