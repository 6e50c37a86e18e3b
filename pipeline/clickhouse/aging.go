package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tocsin-project/tocsin/sql"
)

// Tier is where old rows go, on the same server: another, slower and cheaper volume of its storage policy. The zero value
// leaves them where they are.
type Tier struct {
	Policy string         // storage policy of the server's configuration; it must have the disks that tables lie on
	Volume string         // volume of that policy
	Days   map[string]int // table to the age in days at which its parts go there
}

// Check returns all that is wrong with the names and days of a configuration, by its keys, before any server is asked.
func (c Config) Check() error {
	c = c.withDefaults()
	var errs []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("clickhouse."+format, args...))
		}
	}
	if c.Cluster != "" {
		want(plainName.MatchString(c.Cluster), "cluster.name: %q, want letters, digits and _ only", c.Cluster)
		want(plainName.MatchString(c.Database), "database: %q, want letters, digits and _ only on a cluster", c.Database)
	}
	aging := map[string]sql.Aging{}
	var tables []string
	for _, a := range sql.Agings {
		aging[a.Table] = a
		tables = append(tables, a.Table)
	}
	for key, days := range map[string]map[string]int{"keep_days": c.KeepDays, "tier.after_days": c.Tier.Days} {
		for table, n := range days {
			a, ok := aging[table]
			want(ok, "%s: no table is named %q; there are %s", key, table, strings.Join(tables, ", "))
			want(n >= 1 && n <= 36500, "%s.%s: %d, want 1 to 36500", key, table, n)
			want(!ok || key == "keep_days" || n < c.keep(a), "%s.%s: %d, which is no less than the %d days that its rows are kept", key, table, n, c.keep(a))
		}
	}
	if len(c.Tier.Days) > 0 {
		want(plainName.MatchString(c.Tier.Policy) && plainName.MatchString(c.Tier.Volume),
			"tier: policy %q and volume %q, want the names of the server's storage_configuration", c.Tier.Policy, c.Tier.Volume)
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// plainName is a name that needs no quoting in SQL.
var plainName = regexp.MustCompile(`^\w+$`)

// keep is how many days a table's rows are kept.
func (c Config) keep(a sql.Aging) int {
	if days := c.KeepDays[a.Table]; days > 0 {
		return days
	}
	return a.Days
}

var ttlClause = regexp.MustCompile(` TTL (.+?)(?: SETTINGS |$)`)

// aging returns the statements that make the tables age as the configuration says; none where they do. A table that is not
// made yet will age as its migration says.
//
// https://clickhouse.com/docs/engines/table-engines/mergetree-family/mergetree#table_engine-mergetree-ttl
func (db *DB) aging(ctx context.Context) (statements []string, err error) {
	cluster := db.cluster()
	rows, err := db.server.Query(ctx, "SELECT name, engine_full, storage_policy FROM system.tables WHERE database = ? AND engine LIKE '%MergeTree'", db.cfg.Database)
	if err != nil {
		return nil, fmt.Errorf("read how tables age: %w", err)
	}
	defer rows.Close()
	type state struct{ ttl, policy string }
	now := map[string]state{}
	for rows.Next() {
		var name, engine, policy string
		if err := rows.Scan(&name, &engine, &policy); err != nil {
			return nil, err
		}
		ttl := ""
		if m := ttlClause.FindStringSubmatch(engine); m != nil {
			ttl = m[1]
		}
		now[name] = state{ttl, policy}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for _, a := range sql.Agings {
		table := cluster.Local(a.Table)
		is, ok := now[table]
		if !ok {
			is = state{a.TTL(a.Days, "", 0), ""}
		}
		volume, moveDays := "", db.cfg.Tier.Days[a.Table]
		alter := "ALTER TABLE " + table + cluster.On()
		if moveDays > 0 {
			volume = db.cfg.Tier.Volume
			if is.policy != db.cfg.Tier.Policy {
				statements = append(statements, alter+" MODIFY SETTING storage_policy = '"+db.cfg.Tier.Policy+"'")
			}
		}
		if ttl := a.TTL(db.cfg.keep(a), volume, moveDays); is.ttl != ttl {
			statements = append(statements, alter+" MODIFY TTL "+ttl)
		}
	}
	return statements, nil
}
