package clickhouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/tocsin-project/tocsin/pipeline"
)

// Load is what Check measures the warehouse against.
type Load struct {
	// Blocks is how many blocks a second reach a table at most.
	Blocks float64
	// Outage is after what time a block may be sent again. Only replicated tables forget tokens by time.
	Outage time.Duration
}

const (
	// blocksTime is for how long a window must remember blocks at full load: a worker that does not know whether its block
	// was stored asks again, after retries of minutes, while its siblings go on storing theirs.
	blocksTime = 10 * time.Minute
	// blocksSpare is by how much the window that is proposed is larger.
	blocksSpare = 2
	// goodSkew is how far clocks that are kept by NTP never are apart.
	goodSkew = 5 * time.Second
)

// Check looks for all that would lose or double rows: the server's version and clock, the user's rights and settings, and the
// deduplication windows of every table that a block reaches, by whatever views, those of others too. It changes nothing.
func (db *DB) Check(ctx context.Context, load Load) ([]pipeline.Flaw, error) {
	var flaws []pipeline.Flaw
	var errs []error
	for _, addr := range db.cfg.Addrs { // each server of a cluster has settings and tables of its own
		cfg := db.cfg
		cfg.Addrs = []string{addr}
		one, err := Open(ctx, cfg)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c := &checker{db: one, at: addr, servers: len(db.cfg.Addrs), load: load, tables: map[string]tableInfo{}}
		for _, look := range []func(context.Context) error{c.server, c.readTables, c.windows, c.rights, c.settings} {
			if err := look(ctx); err != nil {
				errs = append(errs, fmt.Errorf("check clickhouse at %s: %w", addr, err))
				break
			}
		}
		flaws = append(flaws, c.flaws...)
		errs = append(errs, one.Close())
	}
	return flaws, errors.Join(errs...)
}

type checker struct {
	db      *DB // of one server
	at      string
	servers int // in the configuration
	load    Load
	tables  map[string]tableInfo // by quoted name with its database
	flaws   []pipeline.Flaw
}

type tableInfo struct {
	database, name, engine, full, create, id string
	views                                    []string // quoted names of those that are fed by it
}

func (c *checker) flaw(loses bool, mend, format string, args ...any) {
	at := "clickhouse: "
	if c.servers > 1 {
		at = "clickhouse " + c.at + ": "
	}
	c.flaws = append(c.flaws, pipeline.Flaw{Loses: loses, What: at + fmt.Sprintf(format, args...), Mend: mend})
}

// server looks at its version and its clock.
func (c *checker) server(ctx context.Context) error {
	var version string
	var now time.Time
	before := time.Now()
	if err := c.db.server.QueryRow(ctx, "SELECT version(), now64(3, 'UTC')").Scan(&version, &now); err != nil {
		return err
	}
	took := time.Since(before)
	if skew := now.Sub(before.Add(took / 2)); skew.Abs() > goodSkew+took {
		c.flaw(false, "", "its clock is %s this machine's: retention and the views of the last hours are off by as much; let NTP keep both", pipeline.Skew(skew))
	}
	var year, month int
	if _, err := fmt.Sscanf(version, "%d.%d", &year, &month); err != nil {
		return fmt.Errorf("version %q: %w", version, err)
	}
	if year < 24 || year == 24 && month < 7 {
		c.flaw(true, "", "version %s passes a block that a table has already over the views of it: what a view has missed once, it misses for good; want 24.7 or later", version)
	}
	return nil
}

func (c *checker) readTables(ctx context.Context) error {
	rows, err := c.db.server.Query(ctx, `SELECT database, name, engine, engine_full, create_table_query, toString(uuid), dependencies_database, dependencies_table
		FROM system.tables WHERE database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema')`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var t tableInfo
		var databases, names []string
		if err := rows.Scan(&t.database, &t.name, &t.engine, &t.full, &t.create, &t.id, &databases, &names); err != nil {
			return err
		}
		for i := range names {
			t.views = append(t.views, qualified(databases[i], names[i]))
		}
		c.tables[qualified(t.database, t.name)] = t
	}
	return rows.Err()
}

func qualified(database, table string) string { return quote(database) + "." + quote(table) }

// sinkTables are the tables that sinks write to.
var sinkTables = []string{events.name, alerts.name, controls.name, growth.name, deadLetters.name}

// windows follows each block from its table through the views to all that they write to.
func (c *checker) windows(ctx context.Context) error {
	defaults, err := c.defaults(ctx)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	var missing []string
	for _, sink := range sinkTables {
		next := []string{qualified(c.db.cfg.Database, sink)}
		if local := c.db.cluster().Local(sink); local != sink {
			next = append(next, qualified(c.db.cfg.Database, local))
		}
		if _, ok := c.tables[next[0]]; !ok {
			missing = append(missing, sink)
			continue
		}
		for len(next) > 0 {
			name := next[0]
			next = next[1:]
			if seen[name] {
				continue
			}
			seen[name] = true
			t, ok := c.tables[name]
			if !ok {
				c.flaw(true, fmt.Sprintf("GRANT SHOW TABLES, SHOW COLUMNS ON %s TO %s", name, quote(c.db.cfg.User)), "%s gets blocks of %s, and cannot be seen: whether it counts them twice is unknown", name, sink)
				continue
			}
			c.window(name, sink, t, defaults)
			for _, view := range t.views {
				if v, ok := c.tables[view]; !ok {
					next = append(next, view)
				} else if v.engine == "MaterializedView" {
					next = append(next, v.target())
				}
			}
		}
	}
	if len(missing) > 0 {
		c.flaw(false, "tocsin migrate apply -c FILE", "in database %s these tables are not there, or may not be seen, and were not checked: %s", c.db.cfg.Database, strings.Join(missing, ", "))
	}
	return nil
}

// defaults are the server's windows, for tables that say nothing; empty where the user may not ask.
func (c *checker) defaults(ctx context.Context) (map[string]string, error) {
	defaults := map[string]string{}
	rows, err := c.db.server.Query(ctx, `SELECT name, value FROM system.merge_tree_settings WHERE name LIKE '%deduplication_window%'`)
	if code, _ := Code(err); code == int32(proto.ErrAccessDenied) {
		return defaults, nil
	}
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return nil, err
		}
		defaults[name] = value
	}
	return defaults, rows.Err()
}

// toTarget finds where a view writes to. ClickHouse itself has written the statement, names in quotes where they need them.
var toTarget = regexp.MustCompile("^CREATE MATERIALIZED VIEW (?:`(?:[^`\\\\]|\\\\.)+`|[^ ])+ TO ((?:`(?:[^`\\\\]|\\\\.)+`|\\w+)\\.(?:`(?:[^`\\\\]|\\\\.)+`|\\w+))")

// target returns the table that a materialized view writes to.
func (t tableInfo) target() string {
	if m := toTarget.FindStringSubmatch(t.create); m != nil {
		return unify(m[1])
	}
	if strings.Trim(t.id, "0-") != "" {
		return qualified(t.database, ".inner_id."+t.id)
	}
	return qualified(t.database, ".inner."+t.name)
}

var namePart = regexp.MustCompile("`(?:[^`\\\\]|\\\\.)+`|\\w+")

// unify puts both parts of a name into quotes.
func unify(name string) string {
	parts := namePart.FindAllString(name, 2)
	for i, p := range parts {
		if p[0] != '`' {
			parts[i] = quote(p)
		}
	}
	return strings.Join(parts, ".")
}

// window checks what one table remembers of its blocks.
func (c *checker) window(name, sink string, t tableInfo, defaults map[string]string) {
	if !strings.HasSuffix(t.engine, "MergeTree") {
		switch {
		case t.engine == "Null": // keeps nothing, and passes all to its views
		case t.engine == "Distributed" && c.db.cfg.Cluster != "" && t.name == sink: // passes all to the local one
		default:
			c.flaw(true, "", "%s gets blocks of %s, and its engine %s cannot tell one that it has already: a retry counts twice there. Let the view write to a MergeTree table", name, sink, t.engine)
		}
		return
	}
	kind := "non_replicated"
	replicated := strings.HasPrefix(t.engine, "Replicated") || strings.HasPrefix(t.engine, "Shared")
	if replicated {
		kind = "replicated"
	}
	if c.servers > 1 && c.db.cfg.Cluster == "" && !replicated {
		c.flaw(true, "", "clickhouse.addrs names %d servers, and %s is not replicated: a block that is sent again to the other server is stored twice. Name one server, or say clickhouse.cluster", c.servers, name)
	}
	setting := func(key string) (int64, bool) {
		value := cmp.Or(t.setting(key), defaults[key])
		n, err := strconv.ParseInt(value, 10, 64)
		return n, err == nil
	}
	modify := func(key string, value any) string {
		return fmt.Sprintf("ALTER TABLE %s MODIFY SETTING %s = %v", name, key, value)
	}
	key := kind + "_deduplication_window"
	least := int64(math.Ceil(c.load.Blocks * blocksTime.Seconds()))
	switch blocks, ok := setting(key); {
	case !ok:
		c.flaw(true, "GRANT SELECT ON system.merge_tree_settings TO "+quote(c.db.cfg.User), "%s gets blocks of %s, does not say how many it remembers, and the server's default may not be read", name, sink)
	case blocks == 0:
		c.flaw(true, modify(key, max(10_000, blocksSpare*least)), "%s gets blocks of %s and remembers none (%s = 0): a retry counts twice there", name, sink, key)
	case blocks < least:
		c.flaw(true, modify(key, blocksSpare*least), "%s remembers %d blocks (%s), which is %v at %.0f blocks a second: a block that is sent again after that counts twice",
			name, blocks, key, time.Duration(float64(blocks)/c.load.Blocks*float64(time.Second)).Round(time.Second), c.load.Blocks)
	}
	if !replicated {
		return
	}
	key += "_seconds"
	if seconds, ok := setting(key); ok && time.Duration(seconds)*time.Second < c.load.Outage {
		c.flaw(true, modify(key, int64(c.load.Outage.Seconds())), "%s remembers blocks for %v (%s), and records may come again after %v: what is sent again after an outage counts twice",
			name, time.Duration(seconds)*time.Second, key, c.load.Outage)
	}
}

// setting returns what the table's definition says, "" where it says nothing.
func (t tableInfo) setting(key string) string {
	_, settings, _ := strings.Cut(t.full, " SETTINGS ")
	for _, s := range strings.Split(settings, ", ") {
		if name, value, ok := strings.Cut(s, " = "); ok && name == key {
			return value
		}
	}
	return ""
}

// rights asks whether the user may write to and read from the sinks' tables. Servers before 24.10 cannot be asked.
func (c *checker) rights(ctx context.Context) error {
	for _, name := range sinkTables {
		if _, ok := c.tables[qualified(c.db.cfg.Database, name)]; !ok {
			continue
		}
		for _, right := range []string{"INSERT", "SELECT"} {
			what := fmt.Sprintf("%s ON %s", right, qualified(c.db.cfg.Database, name))
			var may uint8
			err := c.db.server.QueryRow(ctx, "CHECK GRANT "+what).Scan(&may)
			if code, _ := Code(err); code == int32(proto.ErrSyntaxError) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("ask for the right to %s: %w", what, err)
			}
			if may == 0 {
				c.flaw(true, fmt.Sprintf("GRANT %s TO %s", what, quote(c.db.cfg.User)), "user %s has no right to %s", c.db.cfg.User, what)
			}
		}
	}
	return nil
}

// settings asks whether the user's profile lets an INSERT say what the guarantee rests on.
func (c *checker) settings(ctx context.Context) error {
	var names []string
	for _, s := range c.db.insertSettings("") {
		names = append(names, s.Key)
	}
	rows, err := c.db.server.Query(ctx, "SELECT name FROM system.settings WHERE readonly AND has($1, name) ORDER BY name", names)
	if err != nil {
		return err
	}
	defer rows.Close()
	var fixed []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		fixed = append(fixed, name)
	}
	if len(fixed) > 0 {
		c.flaw(true, fmt.Sprintf("ALTER USER %s SETTINGS %s", quote(c.db.cfg.User), strings.Join(changeable(fixed), ", ")),
			"the profile of user %s does not let these settings be said, which every INSERT says: %s", c.db.cfg.User, strings.Join(fixed, ", "))
	}
	return rows.Err()
}

func changeable(names []string) []string {
	names = slices.Clone(names)
	for i := range names {
		names[i] += " WRITABLE"
	}
	return names
}
