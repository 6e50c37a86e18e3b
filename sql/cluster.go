package sql

import (
	"fmt"
	"regexp"
	"strings"
)

// Cluster says on which servers the schema lies. The zero value is one server.
//
// On a cluster the table x becomes two: x_local holds the rows that its server has, and x, of engine Distributed, is all of
// them. Views, queries and INSERTs name x and so need no word about the cluster; views that ClickHouse fills (_mv) read and write
// what is local.
type Cluster struct {
	Name     string // of remote_servers in the servers' configuration
	Database string
	// Keeper says that the servers have a Keeper: tables are Replicated ones and every statement goes ON CLUSTER, from one server.
	// Without one each server is given the statements for itself, and Distributed writes each row to all replicas of its shard
	// (internal_replication must be false).
	Keeper bool
}

// shardBy is the row's shard, in SQL, for each table that something but a view writes to. It depends on the row alone, so
// a block that is sent again comes to the servers that know its token; a chunk of events is of one partition, and so goes to
// one shard as one block. What falls together by ReplacingMergeTree is on the same shard: versions of an alert by their key.
var shardBy = map[string]string{
	"events":               "cityHash64(kafka_topic, kafka_partition)",
	"dead_letters":         "cityHash64(kafka_topic, kafka_partition)",
	"dead_letters_settled": "cityHash64(kafka_topic, kafka_partition)",
	"alerts":               "cityHash64(dedup_key)",
	"alert_controls":       "cityHash64(control_id)",
	"db_growth":            "cityHash64(host, db_name, db_object)",
}

// everywhere is the one table that every server has in full: which migrations were applied.
const everywhere = "schema_migrations"

var (
	statementHead = regexp.MustCompile(`(?s)^((?:--[^\n]*\n|\s)*)(CREATE TABLE IF NOT EXISTS|CREATE MATERIALIZED VIEW IF NOT EXISTS|CREATE VIEW IF NOT EXISTS|CREATE OR REPLACE VIEW|ALTER TABLE) (\w+)(.*)$`)
	engine        = regexp.MustCompile(`ENGINE = (\w*MergeTree)(?:\(([^)]*)\))?`)
	fromTable     = regexp.MustCompile(`\bFROM (\w+)`)
	toTable       = regexp.MustCompile(`^ TO (\w+)`)
	asTable       = regexp.MustCompile(`^ AS (\w+)\n`)
)

const window = "non_replicated_deduplication_window = 10000"

// Local is the name of the table that holds a server's own rows.
func (c Cluster) Local(table string) string {
	if c.Name == "" || table == everywhere {
		return table
	}
	return table + "_local"
}

// On is the clause that carries a statement to all servers, with a space before it; empty where there is no Keeper to do so.
func (c Cluster) On() string {
	if c.Name == "" || !c.Keeper {
		return ""
	}
	return " ON CLUSTER '" + c.Name + "'"
}

// Statements returns a migration's statements as the cluster needs them; on one server as they are.
func (c Cluster) Statements(m Migration) ([]string, error) {
	if c.Name == "" {
		return m.Statements, nil
	}
	var all []string
	for i, statement := range m.Statements {
		part := statementHead.FindStringSubmatch(statement)
		if part == nil {
			return nil, fmt.Errorf("migration %04d_%s, statement %d: neither CREATE nor ALTER: not known on a cluster", m.Version, m.Name, i+1)
		}
		comment, verb, name, rest := part[1], part[2], part[3], part[4]
		switch verb {
		case "CREATE TABLE IF NOT EXISTS":
			rest = asTable.ReplaceAllString(rest, " AS ${1}_local\n")
			all = append(all, comment+verb+" "+c.Local(name)+c.On()+c.replicated(name, rest))
			if name != everywhere {
				all = append(all, fmt.Sprintf("%s %s%s AS %s\nENGINE = Distributed(%s)", verb, name, c.On(), c.Local(name), c.distributed(name)))
			}
		case "CREATE MATERIALIZED VIEW IF NOT EXISTS":
			rest = toTable.ReplaceAllString(rest, " TO ${1}_local")
			rest = fromTable.ReplaceAllString(rest, "FROM ${1}_local")
			all = append(all, comment+verb+" "+name+c.On()+rest)
		case "ALTER TABLE":
			all = append(all, comment+verb+" "+c.Local(name)+c.On()+rest)
			if strings.Contains(rest, "ADD COLUMN") {
				all = append(all, verb+" "+name+c.On()+rest)
			}
		default:
			all = append(all, comment+verb+" "+name+c.On()+rest)
		}
	}
	return all, nil
}

// replicated makes a table's engine the replicated one, where there is a Keeper. Its memory of tokens is by time as well, an
// hour where nothing is said: too short for a retry after an outage.
func (c Cluster) replicated(name, rest string) string {
	if !c.Keeper {
		return rest
	}
	place := fmt.Sprintf("'/clickhouse/tables/{shard}/%s/%s', '{replica}'", c.Database, name)
	if name == everywhere {
		place = fmt.Sprintf("'/clickhouse/tables/all/%s/%s', '{shard}-{replica}'", c.Database, name)
	}
	rest = engine.ReplaceAllStringFunc(rest, func(text string) string {
		part := engine.FindStringSubmatch(text)
		args := []string{place}
		if part[2] != "" {
			args = append(args, part[2])
		}
		return "ENGINE = Replicated" + part[1] + "(" + strings.Join(args, ", ") + ")"
	})
	return strings.Replace(rest, window, "replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800", 1)
}

func (c Cluster) distributed(name string) string {
	args := []string{"'" + c.Name + "'", "'" + c.Database + "'", "'" + c.Local(name) + "'"}
	if by := shardBy[name]; by != "" {
		args = append(args, by)
	}
	return strings.Join(args, ", ")
}
