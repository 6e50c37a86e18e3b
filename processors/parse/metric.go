package parse

import (
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// dbSize turns a metric's event into db.size where its name says that it is the size of a database or table: names of
// postgres_exporter, mysqld_exporter, mongodb_exporter, Telegraf and the OpenTelemetry receivers, and what people call
// theirs after them. Labels must be attributes of the event already.
func dbSize(e *pipeline.Event) {
	switch e.Metric {
	case "mysql_info_schema_table_size", "mysql.table.size", "mysql_table_size_bytes":
		// One sample for each of data_length, index_length and data_free. The last is no size, and the first two are
		// series of their own.
		part := first(e.Attr("component"), e.Attr("kind"))
		if part == "data_free" {
			return
		}
		db, table := e.Attr("schema"), e.Attr("table")
		if strings.HasPrefix(part, "index") {
			table += " (index)"
		}
		e.DBName, e.DBObject = db, table
	case "mongodb_dbstats_dataSize", "mongodb_dbstats_storageSize", "mongodb.data.size", "mongodb.storage.size":
		e.DBName = labelDatabase(e)
		e.DBObject = strings.TrimPrefix(strings.TrimPrefix(e.Metric, "mongodb_dbstats_"), "mongodb.")
	case "mysql_table_schema.data_length": // Telegraf
		e.DBName, e.DBObject = e.Attr("schema"), e.Attr("table")
	case "mysql_table_schema.index_length":
		e.DBName, e.DBObject = e.Attr("schema"), e.Attr("table")+" (index)"
	default:
		if !sizeName(e.Metric) {
			return
		}
		e.DBName, e.DBObject = labelDatabase(e), labelTable(e)
		if strings.Contains(e.Metric, "index_size") && e.DBObject != "" {
			e.DBObject += " (index)"
		}
	}
	if e.DBName == "" && e.DBObject == "" {
		return
	}
	e.Type, e.Class = "db.size", kinds["db.size"].class
	e.Title = "size of " + first(e.DBName, "database")
	if e.DBObject != "" {
		e.Title += " " + e.DBObject
	}
	e.SetAttr("metric.name", e.Metric)
	e.Metric = "db.size_bytes"
	if e.Host == "" {
		e.Host = hostOf(first(e.Attr("server"), e.Attr("host"), e.Attr("hostname"), e.Attr("host.name"), e.Attr("server.address")))
	}
}

// sizeName reports whether a metric's name is that of a database's or table's size, in the spelling of Prometheus
// (pg_database_size_bytes) or OpenTelemetry (postgresql.db_size).
func sizeName(name string) bool {
	i := strings.Index(name, "size")
	if i < 1 || strings.Contains(name, "size_ratio") || strings.Contains(name, "max_size") {
		return false
	}
	before := name[:i-1]
	for _, what := range [...]string{"database", "db", "table", "index", "relation"} {
		if strings.HasSuffix(before, what) {
			return !strings.HasPrefix(name, "pg_settings") && !strings.HasPrefix(name, "mysql_global")
		}
	}
	return name == "pg_stat_user_tables_size_bytes" || name == "postgresql_size" || name == "oracledb_tablespace_bytes"
}

func labelDatabase(e *pipeline.Event) string {
	for _, key := range [...]string{
		"datname", "database", "db", "dbname", "db_name", "database_name", "postgresql.database.name", "postgresql_database_name",
		"db.namespace", "db.name", "sqlserver.database.name", "tablespace", "schema",
	} {
		if v := e.Attr(key); v != "" {
			return v
		}
	}
	return ""
}

func labelTable(e *pipeline.Event) string {
	table := first(e.Attr("relname"), e.Attr("table"), e.Attr("table_name"), e.Attr("postgresql.table.name"), e.Attr("postgresql_table_name"), e.Attr("db.collection.name"))
	schema := first(e.Attr("schemaname"), e.Attr("nspname"), e.Attr("postgresql.schema.name"), e.Attr("schema"))
	if table == "" || schema == "" || schema == e.DBName || strings.Contains(table, ".") {
		return table
	}
	return schema + "." + table
}

// hostOf returns the host of "host:port" or a URL in lower case.
func hostOf(s string) string {
	if _, rest, ok := strings.Cut(s, "://"); ok {
		s, _, _ = strings.Cut(rest, "/")
		s = s[strings.LastIndexByte(s, '@')+1:]
	}
	if strings.HasPrefix(s, "[") {
		s, _, _ = strings.Cut(s[1:], "]")
	} else if i := strings.LastIndexByte(s, ':'); i >= 0 && strings.IndexByte(s, ':') == i {
		s = s[:i]
	}
	return strings.ToLower(s)
}

// takeBack removes the event that Event returned last: its record turned out broken half way.
func (o *Out) takeBack() {
	o.batch.Events = o.batch.Events[:len(o.batch.Events)-1]
	o.named = o.named[:len(o.named)-1]
}
