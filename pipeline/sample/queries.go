package sample

// The queries ask for what any user may see who may connect, so that the sampler needs no more than that: of databases
// it may not connect to and tables it may not see it knows nothing. With pg_monitor, or PROCESS and SELECT, it sees all.

// https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-DBSIZE
// https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-DATABASE-VIEW: rows since the statistics began
const postgresDatabases = `
SELECT db.datname, pg_database_size(db.oid) AS total_bytes, stat.xact_commit AS xact_commit,
  CASE WHEN stat.tup_inserted >= stat.tup_deleted THEN stat.tup_inserted - stat.tup_deleted END AS rows
FROM pg_catalog.pg_database db LEFT JOIN pg_catalog.pg_stat_database stat ON stat.datid = db.oid
WHERE db.datallowconn AND NOT db.datistemplate
  AND (has_database_privilege(db.oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'MEMBER'))
ORDER BY db.datname`

// A table that is dropped meanwhile has no size.
const postgresTables = `
SELECT * FROM (
  SELECT current_database() AS datname, schemaname, relname, pg_total_relation_size(relid) AS total_bytes, n_live_tup
  FROM pg_catalog.pg_stat_user_tables
) sizes
WHERE total_bytes IS NOT NULL
ORDER BY total_bytes DESC, schemaname, relname
LIMIT $1`

// https://dev.mysql.com/doc/refman/8.4/en/information-schema-tables-table.html
const mysqlDatabases = `
SELECT table_schema AS database_name, CAST(COALESCE(SUM(data_length + index_length), 0) AS UNSIGNED) AS total_bytes
FROM information_schema.tables
WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')
GROUP BY table_schema
ORDER BY table_schema`

const mysqlTables = `
SELECT table_schema AS database_name, table_name AS table_name, data_length + index_length AS total_bytes, table_rows AS table_rows
FROM information_schema.tables
WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')
  AND data_length IS NOT NULL
ORDER BY total_bytes DESC, table_schema, table_name
LIMIT ?`

// MySQL 8 otherwise answers what was true up to a day ago.
const mysqlFresh = `SET SESSION information_schema_stats_expiry = 0`
