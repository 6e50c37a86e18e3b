package parse

import (
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/segmentio/encoding/json"

	"github.com/tocsin-project/tocsin/pipeline"
)

// dbSizes reads rows of database and table sizes as SQL clients print them: psql --csv and -A, mysql --batch and --xml,
// the tables that both draw for people, JSON rows (json_agg, Kafka Connect's JDBC source, Airbyte). Columns are known by
// their names, in any order; those that are not known become attributes. Sizes may be numbers or pg_size_pretty's text.
// https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-DBSIZE
// https://dev.mysql.com/doc/refman/8.4/en/information-schema-tables-table.html
var dbSizes = Format{
	Name: "db-size", Title: "database and table sizes as SQL rows (CSV, TSV, JSON, XML, text)", Phase: pipeline.PhaseMonitoring,
	Types: []string{"db.size"},
	Known: "a header line, or keys, that name a size in bytes and a database or table; XML root resultset",
	Frame: Reports, Log: true,
	Match: matchDBSize,
	Parse: parseDBSize,
}

func matchDBSize(s *Shape) bool {
	switch {
	case s.Root != "":
		return s.Root == "resultset"
	case s.IsObject():
		object := s.Object()
		if payload := s.Raw("payload"); len(payload) > 0 && payload[0] == '{' { // Kafka Connect with schemas
			object = payload
		}
		end, err := valueEnd(object)
		if err != nil {
			return false
		}
		var row sqlRow
		flat := true // a repository has a name, an owner and a size too, but not as columns
		err = eachMember(object[:end], func(key string, value []byte) {
			row.add(key, textOf(value))
			flat = flat && value[0] != '{'
		})
		return err == nil && flat && row.isSize()
	}
	sep, names := sqlHeader(s.Data())
	if sep == 0 {
		return false
	}
	var row sqlRow
	for _, name := range names {
		row.add(name, "1")
	}
	return row.isSize()
}

func parseDBSize(in *Input, out *Out) error {
	switch b := in.Data[skipSpace(in.Data):]; {
	case len(b) > 0 && b[0] == '[':
		return eachElement(in, out, b, func(b []byte) error { return parseDBSizeJSON(b, out) })
	case len(b) > 0 && b[0] == '{':
		return parseDBSizeJSON(b, out)
	case len(b) > 0 && b[0] == '<':
		return parseDBSizeXML(b, out)
	}
	return parseDBSizeText(in, out)
}

func parseDBSizeJSON(b []byte, out *Out) error {
	if !json.Valid(b) {
		return errors.New("not well-formed JSON")
	}
	if payload := member(b, "payload"); payload != nil && member(b, "schema") != nil {
		b = payload
	}
	var row sqlRow
	if err := eachMember(b, func(key string, value []byte) { row.add(key, textOf(value)) }); err != nil {
		return err
	}
	return row.event(out, alias(b))
}

// parseDBSizeXML reads mysql --xml: <resultset><row><field name="bytes">212992</field>.
func parseDBSizeXML(b []byte, out *Out) error {
	x := newXML(b)
	found := false
	for {
		from := x.InputOffset()
		t, err := x.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return xmlError(err)
		}
		start, ok := t.(xml.StartElement)
		if !ok || start.Name.Local != "row" {
			continue
		}
		var r struct {
			Fields []struct {
				Name  string `xml:"name,attr"`
				Value string `xml:",chardata"`
			} `xml:"field"`
		}
		if err := x.DecodeElement(&r, &start); err != nil {
			return xmlError(err)
		}
		var row sqlRow
		for _, f := range r.Fields {
			row.add(f.Name, f.Value)
		}
		if err := row.event(out, alias(b[from:x.InputOffset()])); err != nil {
			return err
		}
		found = true
	}
	if !found {
		return errors.New("db-size: the result set has no row")
	}
	return nil
}

func parseDBSizeText(in *Input, out *Out) error {
	sep, names := sqlHeader(in.Data)
	if sep == 0 {
		return errors.New("db-size: no header line that names the columns")
	}
	header := false
	line := in.Line - 1
	for rest := in.Data; len(rest) > 0; {
		var l []byte
		l, rest = cutLine(rest)
		line++
		text := alias(l)
		if isRule(text) {
			continue
		}
		if !header {
			header = true
			continue
		}
		var row sqlRow
		cells := sqlCells(text, sep)
		if len(cells) != len(names) {
			out.reject(line, l, "db-size: row has "+strconv.Itoa(len(cells))+" columns, its header has "+strconv.Itoa(len(names)))
			continue
		}
		for i, c := range cells {
			row.add(names[i], c)
		}
		if err := row.event(out, text); err != nil {
			out.reject(line, l, err.Error())
		}
	}
	return nil
}

// sqlHeader finds the separator and the names of the columns in the first line that is no rule. 0: it has none.
func sqlHeader(b []byte) (sep byte, names []string) {
	for n := 0; n < 4 && len(b) > 0; n++ {
		var l []byte
		l, b = cutLine(b)
		text := alias(l)
		if isRule(text) {
			continue
		}
		for _, c := range []byte{'\t', '|', ',', ';'} {
			if strings.IndexByte(text, c) >= 0 {
				return c, sqlCells(text, c)
			}
		}
		return 0, nil
	}
	return 0, nil
}

// isRule reports whether a line is drawn, empty or a footer: "----+----", "+-----+", "(4 rows)".
func isRule(l string) bool {
	l = strings.TrimSpace(l)
	return strings.Trim(l, "+-|=─┼│") == "" || strings.HasPrefix(l, "(") && (strings.HasSuffix(l, " rows)") || strings.HasSuffix(l, " row)")) ||
		strings.Contains(l, " rows in set")
}

func sqlCells(l string, sep byte) []string {
	var cells []string
	switch sep {
	case '|':
		l = strings.TrimSpace(l)
		if strings.HasPrefix(l, "|") {
			l = strings.TrimSuffix(l[1:], "|")
		}
		cells = strings.Split(l, "|")
	case '\t':
		cells = strings.Split(l, "\t")
	default:
		r := csv.NewReader(strings.NewReader(l))
		r.Comma, r.LazyQuotes, r.FieldsPerRecord = rune(sep), true, -1
		cells, _ = r.Read()
	}
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

// sqlRow is one row, its columns sorted by what they mean.
type sqlRow struct {
	time, host, catalog, database, schema, table string
	tableSchema, name                            string  // MySQL's database or PostgreSQL's schema; a name of what the other columns say
	size                                         float64 // of the column that is the size; NaN until one was seen
	parts                                        float64 // data_length + index_length
	hasParts                                     bool
	rest                                         []pipeline.Attr
	seen                                         bool
}

func (r *sqlRow) add(name, value string) {
	if !r.seen {
		r.seen, r.size = true, math.NaN()
	}
	value = strings.TrimSpace(value)
	key := strings.ToLower(strings.Trim(strings.TrimSpace(name), "\"`'"))
	key = strings.ReplaceAll(strings.TrimSpace(strings.ReplaceAll(key, " ", "_")), "-", "_")
	if strings.EqualFold(value, "null") || value == `\N` {
		value = ""
	}
	switch key {
	case "ts", "time", "timestamp", "now", "at", "date", "sampled_at", "collected_at", "measured_at", "captured_at", "created_at",
		"@timestamp", "clock_timestamp", "current_timestamp", "now()", "event_time", "snapshot_time", "sample_time", "collection_time":
		r.time = value
		return
	case "host", "hostname", "host_name", "server", "server_name", "instance", "node", "@@hostname":
		r.host = value
		return
	case "datname", "database", "database_name", "db", "db_name", "dbname", "current_database", "current_database()":
		r.database = value
		return
	case "table_catalog":
		r.catalog = value
		return
	case "schema", "schemaname", "schema_name", "nspname", "owner":
		r.schema = value
		return
	case "table_schema":
		r.tableSchema = value
		return
	case "name":
		r.name = value
		return
	case "table", "tablename", "table_name", "relname", "relation", "rel", "oid::regclass", "object", "object_name", "segment_name", "index_name", "indexrelname", "tablespace_name", "collection":
		r.table = value
		return
	case "data_length", "index_length":
		if v, ok := sizeText(value, 1); ok {
			r.parts, r.hasParts = r.parts+v, true
		}
	case "last_autovacuum", "n_live_tup", "n_dead_tup", "table_rows", "rows", "reltuples":
	default:
		if unit := sizeUnit(key); unit > 0 {
			if v, ok := sizeText(value, unit); ok && (math.IsNaN(r.size) || strings.Contains(key, "total") || key == "bytes") {
				r.size = v
			}
		}
	}
	if value != "" {
		r.rest = append(r.rest, pipeline.Attr{Key: key, Value: value})
	}
}

// sizeUnit returns the bytes of one unit of a column that is a size, 0 where it is none.
func sizeUnit(key string) float64 {
	if strings.Contains(key, "free") || strings.Contains(key, "max") || strings.Contains(key, "avg") || strings.Contains(key, "limit") || strings.Contains(key, "capacity") ||
		strings.HasPrefix(key, "index_") || strings.HasPrefix(key, "toast_") {
		return 0
	}
	unit := 1.0
	for _, u := range [...]struct {
		suffix string
		bytes  float64
	}{{"kb", 1 << 10}, {"kib", 1 << 10}, {"mb", 1 << 20}, {"mib", 1 << 20}, {"gb", 1 << 30}, {"gib", 1 << 30}} {
		if rest, ok := strings.CutSuffix(strings.Trim(key, "()"), u.suffix); ok && strings.HasSuffix(rest, "_") || strings.HasSuffix(rest, "(") {
			unit = u.bytes
			break
		}
	}
	if unit > 1 || strings.Contains(key, "bytes") || strings.Contains(key, "size") || key == "total" || key == "used" {
		return unit
	}
	return 0
}

// sizeText reads a size: a number, or a number and a unit as pg_size_pretty writes it ("7456 kB").
func sizeText(s string, unit float64) (float64, bool) {
	s = strings.TrimSpace(s)
	n := 0
	for n < len(s) && (s[n] >= '0' && s[n] <= '9' || strings.IndexByte(".+-eE", s[n]) >= 0) {
		n++
	}
	v, err := strconv.ParseFloat(s[:n], 64)
	if err != nil || v < 0 {
		return 0, false
	}
	switch strings.ToLower(strings.TrimSpace(s[n:])) {
	case "":
	case "b", "byte", "bytes":
		unit = 1
	case "k", "kb", "kib":
		unit = 1 << 10
	case "m", "mb", "mib":
		unit = 1 << 20
	case "g", "gb", "gib":
		unit = 1 << 30
	case "t", "tb", "tib":
		unit = 1 << 40
	default:
		return 0, false
	}
	return v * unit, true
}

func (r *sqlRow) isSize() bool {
	return (r.hasParts || r.seen && !math.IsNaN(r.size)) && first(r.database, r.schema, r.tableSchema, r.table) != ""
}

var errNoSize = errors.New("db-size: the row has no size of a database or table")

// event emits the row. MySQL's schemas are its databases; PostgreSQL's lie within one, which its rows need not name.
func (r *sqlRow) event(out *Out, raw string) error {
	if !r.isSize() {
		return errNoSize
	}
	e := out.Event("db.size")
	e.Raw, e.Host, e.Severity = raw, hostOf(r.host), pipeline.SeverityInfo
	if t := parseTime(r.time); !t.IsZero() {
		e.Time = t
	}
	if r.catalog != "" && r.catalog != "def" { // "def" is MySQL's only catalog
		r.database = first(r.database, r.catalog)
	}
	if r.database == "" {
		r.database = r.tableSchema
	} else {
		r.schema = first(r.schema, r.tableSchema)
	}
	table := r.table
	if table == "" && r.database != "" {
		table = r.name
	}
	e.DBName, e.DBObject = first(r.database, r.name), table
	switch {
	case r.schema == "" || r.schema == r.database:
	case table != "":
		e.DBObject = r.schema + "." + table
	case r.database == "":
		e.DBName = r.schema
	default:
		e.DBObject = r.schema
	}
	e.Metric, e.Value = "db.size_bytes", r.size
	if math.IsNaN(r.size) {
		e.Value = r.parts
	}
	e.Title = "size of " + strings.TrimSpace(e.DBName+" "+e.DBObject)
	for _, a := range r.rest {
		e.SetAttr(a.Key, a.Value)
	}
	return nil
}
