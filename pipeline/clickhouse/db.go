package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"reflect"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	driver "github.com/ClickHouse/clickhouse-go/v2"
	chdriver "github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/tocsin-project/tocsin/pipeline"
)

// Config says which ClickHouse and how to speak to it. The zero value of each field stands for its default.
type Config struct {
	// Addrs are host:port of the native protocol; default 127.0.0.1:9000. The first that answers is used. Several must be
	// servers of one Cluster: the memory of tokens is theirs in common then, and nowhere else.
	Addrs    []string
	Database string // default tocsin
	User     string // default default
	Password string
	TLS      pipeline.TLS
	// Pipeline is the first part of each block's token; default tocsin. Two pipelines that read the same topics into the
	// same database must differ in it.
	Pipeline string
	// Cluster is what remote_servers calls the servers, where the warehouse lies on several; empty is one server. Addrs may name
	// any of them then, as all hand on what they are given.
	Cluster string
	// Keeper says that the cluster's servers have a Keeper: then ClickHouse replicates. Without one, Addrs must name every
	// server, and an INSERT waits until all replicas of its shard have it.
	Keeper bool
	// KeepDays is how long rows are kept, by table; those that are not named keep them as sql.Agings says.
	KeepDays map[string]int
	Tier     Tier
	// InsertTimeout bounds one INSERT, here and, in whole seconds, as max_execution_time on the server; default 60 s, 1 s at
	// least. It is also how long a worker that lost its partition may still write: the deduplication window must outlast
	// it by far.
	InsertTimeout time.Duration
	// Conns is how many INSERTs run at the same time, from all sinks; default 2. Each keeps a block's bytes, encoded and
	// compressed, as its buffer.
	Conns int
}

func (c Config) withDefaults() Config {
	if len(c.Addrs) == 0 {
		c.Addrs = []string{"127.0.0.1:9000"}
	}
	if c.Database == "" {
		c.Database = "tocsin"
	}
	if c.User == "" {
		c.User = "default"
	}
	if c.Pipeline == "" {
		c.Pipeline = "tocsin"
	}
	if c.InsertTimeout == 0 {
		c.InsertTimeout = time.Minute
	}
	if c.Conns == 0 {
		c.Conns = 2
	}
	return c
}

// DB is one database of one ClickHouse. Its methods may be called from any goroutine; the sinks that it makes serve one
// worker each.
type DB struct {
	cfg     Config
	server  chdriver.Conn // in no database: a session in one that does not exist is refused
	conn    chdriver.Conn // in the database
	inserts *pool
}

// Open returns the database that cfg names once its server answers. The database itself need not exist yet: Migrate makes
// it. The caller closes the DB after the last sink.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	cfg = cfg.withDefaults()
	if cfg.InsertTimeout < time.Second {
		return nil, fmt.Errorf("open clickhouse: insert timeout %v, want 1s at least", cfg.InsertTimeout)
	}
	if err := cfg.TLS.Check(); err != nil {
		return nil, fmt.Errorf("open clickhouse: %w", err)
	}
	db := &DB{cfg: cfg, inserts: newPool(cfg)}
	var err error
	if db.server, err = connect(cfg, ""); err == nil {
		err = db.server.Ping(ctx)
	}
	if err == nil {
		db.conn, err = connect(cfg, cfg.Database)
	}
	if err != nil {
		return nil, fmt.Errorf("open clickhouse at %v: %w", cfg.Addrs, err)
	}
	return db, nil
}

func connect(cfg Config, database string) (chdriver.Conn, error) {
	settings := driver.Settings{}
	if cfg.Cluster != "" {
		settings["distributed_product_mode"] = "global" // a subquery on a table of all servers is run once, not once a server
	}
	return driver.Open(&driver.Options{
		Settings:    settings,
		Addr:        cfg.Addrs,
		Auth:        driver.Auth{Database: database, Username: cfg.User, Password: cfg.Password},
		DialContext: func(ctx context.Context, addr string) (net.Conn, error) { return cfg.TLS.Dial(ctx, "tcp", addr) },
		Compression: &driver.Compression{Method: driver.CompressionLZ4},
		ClientInfo:  driver.ClientInfo{Products: []struct{ Name, Version string }{{Name: "tocsin"}}},
	})
}

// Close ends all connections. Inserts under way fail.
func (db *DB) Close() error {
	return errors.Join(db.server.Close(), db.conn.Close(), db.inserts.close())
}

// Ping returns nil when the server answers: what /readyz asks. It returns when ctx ends, which the client does not do while it shakes
// hands with a server that hangs.
func (db *DB) Ping(ctx context.Context) error {
	answer := make(chan error, 1)
	go func() { answer <- db.server.Ping(ctx) }()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("no answer: %w", ctx.Err())
	}
}

// Exec runs a statement that returns no rows. Args are bound to {name:Type} by driver.Named, or to ? in order.
func (db *DB) Exec(ctx context.Context, sql string, args ...any) error {
	return db.conn.Exec(ctx, sql, args...)
}

// Query runs a statement that returns rows; the caller closes them.
func (db *DB) Query(ctx context.Context, sql string, args ...any) (chdriver.Rows, error) {
	return db.conn.Query(ctx, sql, args...)
}

// QueryRow runs a statement that returns one row.
func (db *DB) QueryRow(ctx context.Context, sql string, args ...any) chdriver.Row {
	return db.conn.QueryRow(ctx, sql, args...)
}

// Limits bound a query that came from outside.
type Limits struct {
	Rows int           // result rows; a query that gives more fails
	Time time.Duration // run time, in whole seconds on the server
}

// Column is a column of a query's result.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"` // as ClickHouse writes it
}

// QueryJSON runs a query that may only read, within limits, and returns its result in values that encoding/json takes:
// what JSON has no number for (NaN, infinities) is nil. The parameters are bound to {name:Type} in the query by the
// server, so they need no quoting.
func (db *DB) QueryJSON(ctx context.Context, sql string, params map[string]any, limits Limits) ([]Column, [][]any, error) {
	// The server ends what takes too long, and tells so; a client that hangs up first gets no reason. The context has no
	// deadline for that: clickhouse-go would send it as another max_execution_time, 5 s later than asked for.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	const grace = 5 * time.Second
	defer time.AfterFunc(limits.Time+grace, cancel).Stop()
	ctx = driver.Context(ctx, driver.WithSettings(driver.Settings{
		"readonly":             1,
		"max_result_rows":      limits.Rows,
		"result_overflow_mode": "throw",
		"max_execution_time":   max(1, int(limits.Time.Seconds())),
	}))
	var args []any
	for name, value := range params {
		args = append(args, driver.Named(name, value))
	}
	rows, err := db.conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()

	var columns []Column
	var scanned []any // pointers to one row's values
	for _, t := range rows.ColumnTypes() {
		columns = append(columns, Column{t.Name(), t.DatabaseTypeName()})
		scanned = append(scanned, reflect.New(t.ScanType()).Interface())
	}
	result := [][]any{} // [] in JSON, where nil would be null
	for rows.Next() {
		if err := rows.Scan(scanned...); err != nil {
			return nil, nil, err
		}
		row := make([]any, len(scanned))
		for i, p := range scanned {
			row[i] = jsonValue(reflect.ValueOf(p).Elem())
		}
		result = append(result, row)
	}
	return columns, result, rows.Err()
}

// jsonValue copies v, for the next row is scanned into it again, with everything that JSON cannot say made nil.
func jsonValue(v reflect.Value) any {
	if ip, ok := v.Interface().(net.IP); ok {
		return ip.String()
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return jsonValue(v.Elem())
	case reflect.Float32, reflect.Float64:
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return nil
		}
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = jsonValue(v.Index(i))
		}
		return list
	case reflect.Map:
		m := make(map[string]any, v.Len())
		for key, value := range v.Seq2() {
			m[fmt.Sprint(key)] = jsonValue(value)
		}
		return m
	}
	return v.Interface()
}

// State is how a server is.
type State struct {
	Skew     time.Duration // of its clock against ours
	Delay    time.Duration // of the replica that is furthest behind
	ReadOnly uint64        // tables that cannot be written to
}

// State asks the server how it is. Who may not see its replicas has none.
func (db *DB) State(ctx context.Context) (State, error) {
	var s State
	var now time.Time
	before := time.Now()
	if err := db.server.QueryRow(ctx, "SELECT now64(3, 'UTC')").Scan(&now); err != nil {
		return s, err
	}
	s.Skew = now.Sub(before.Add(time.Since(before) / 2))
	var delay uint64
	err := db.server.QueryRow(ctx, "SELECT max(absolute_delay), countIf(is_readonly) FROM system.replicas WHERE database = $1", db.cfg.Database).Scan(&delay, &s.ReadOnly)
	s.Delay = time.Duration(delay) * time.Second
	if code, _ := Code(err); code == int32(proto.ErrAccessDenied) {
		err = nil
	}
	return s, err
}

// LastBackup returns when the last good backup of the warehouse within 30 days began; zero where there was none.
func (db *DB) LastBackup(ctx context.Context) (time.Time, error) {
	var n uint64
	var last time.Time
	err := db.QueryRow(ctx, `SELECT count(), max(event_time) FROM events
		WHERE phase = 'monitoring' AND event_type = 'backup.finished' AND service = 'tocsin' AND outcome = 'success' AND event_time > now() - INTERVAL 30 DAY`).Scan(&n, &last)
	if err != nil || n == 0 {
		return time.Time{}, err
	}
	return last, nil
}
