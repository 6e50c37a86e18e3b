// Package sample measures databases: how large they and their largest tables are, as rows that the parser of db-size reads.
// Growth is only seen in time if somebody asks often, and few exporters do.
package sample

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// Source is the format of what Sample returns.
const Source = "db-size"

// Config says what is measured, and where it goes.
type Config struct {
	Topic string `yaml:"topic"` // of Kafka
	// Interval is the time between two samples of a server, 1s to 1h.
	Interval  time.Duration `yaml:"interval"`
	Databases []Database    `yaml:"databases"`
}

// Database is one server, and of PostgreSQL one of its databases, whose tables are listed.
type Database struct {
	Driver string `yaml:"driver"` // postgres or mysql (MariaDB too)
	// DSN says how it is reached and as whom: a URL or key=value for postgres, user:password@tcp(host:port)/ for mysql.
	DSN string `yaml:"dsn"`
	// Host names the server in events; the DSN's host when empty.
	Host string `yaml:"host"`
	// Capacity is the size of the disk in bytes; with it alerts can say when it is full. 0 is unknown.
	Capacity int64 `yaml:"capacity"`
	// Tables is how many of the largest tables are measured as well, 0 to 10000.
	Tables int `yaml:"tables"`
}

// DefaultConfig has no databases. Growth that doubles within minutes is seen after a few samples.
func DefaultConfig() Config { return Config{Topic: "db-sizes", Interval: 30 * time.Second} }

// Check returns everything that is wrong with the configuration. It connects to nothing, and repeats nothing of a DSN.
func (c *Config) Check() error {
	var errs []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("sample."+format, args...))
		}
	}
	want(c.Topic != "", "topic: empty")
	want(c.Interval >= time.Second && c.Interval <= time.Hour, "interval: %v, want 1s to 1h", c.Interval)
	for i, d := range c.Databases {
		want(d.Tables >= 0 && d.Tables <= 10_000, "databases[%d].tables: %d, want 0 to 10000", i, d.Tables)
		want(d.Capacity >= 0, "databases[%d].capacity: %d bytes", i, d.Capacity)
		if d.Driver != "postgres" && d.Driver != "mysql" {
			want(false, "databases[%d].driver: %q is none of postgres, mysql", i, d.Driver)
			continue
		}
		s, err := Open(d)
		want(err == nil, "databases[%d].dsn: %v", i, err)
		if err == nil {
			s.Close()
		}
	}
	return errors.Join(errs...)
}

// Sampler measures one server. It is for one goroutine.
type Sampler struct {
	db        *sql.DB
	databases string // the query for databases
	tables    string // and for tables, with their number as its argument
	prepare   string // a statement that a server may not know; empty for none
	host      string
	capacity  int64
	limit     int
}

// Open prepares to measure the server. It connects when it is asked the first time.
func Open(d Database) (*Sampler, error) {
	s := &Sampler{host: d.Host, capacity: d.Capacity, limit: d.Tables}
	switch d.Driver {
	case "postgres":
		conf, err := pgx.ParseConfig(d.DSN)
		if err != nil { // its text may repeat the DSN
			return nil, errors.New("not of the form postgres://user:password@host:5432/database")
		}
		conf.RuntimeParams["application_name"] = "tocsin"
		conf.RuntimeParams["default_transaction_read_only"] = "on"
		s.db, s.databases, s.tables = stdlib.OpenDB(*conf), postgresDatabases, postgresTables
		s.name(conf.Host)
	case "mysql":
		conf, err := mysql.ParseDSN(d.DSN)
		if err != nil {
			return nil, errors.New("not of the form user:password@tcp(host:3306)/")
		}
		connector, err := mysql.NewConnector(conf)
		if err != nil {
			return nil, errors.New("not of the form user:password@tcp(host:3306)/")
		}
		s.db, s.databases, s.tables, s.prepare = sql.OpenDB(connector), mysqlDatabases, mysqlTables, mysqlFresh
		host := conf.Addr
		if h, _, err := net.SplitHostPort(conf.Addr); err == nil {
			host = h
		}
		s.name(host)
	default:
		return nil, fmt.Errorf("driver %q is none of postgres, mysql", d.Driver)
	}
	s.db.SetMaxOpenConns(1) // what it costs a server that is in trouble is one connection
	return s, nil
}

// name names the server where the configuration does not. A socket's folder is no name.
func (s *Sampler) name(host string) {
	if s.host == "" && !strings.HasPrefix(host, "/") {
		s.host = host
	}
}

// Host returns what events call the server.
func (s *Sampler) Host() string { return s.host }

// Close ends the connection.
func (s *Sampler) Close() { _ = s.db.Close() } // it only reads: nothing can be lost

// Sample returns the sizes at the given time: a JSON object a line, the databases first, then their largest tables. The
// error does not repeat the password.
func (s *Sampler) Sample(ctx context.Context, now time.Time) ([]byte, error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", s.host, err)
	}
	defer conn.Close()
	if s.prepare != "" {
		_, _ = conn.ExecContext(ctx, s.prepare) // MariaDB does not know it, nor need it
	}
	var out bytes.Buffer
	if err := s.query(ctx, conn, now, &out, s.databases); err != nil {
		return nil, fmt.Errorf("sizes of the databases on %s: %w", s.host, err)
	}
	if s.limit > 0 {
		if err := s.query(ctx, conn, now, &out, s.tables, s.limit); err != nil {
			return nil, fmt.Errorf("sizes of the tables on %s: %w", s.host, err)
		}
	}
	return out.Bytes(), nil
}

// query appends its rows, with the names of its columns as keys.
func (s *Sampler) query(ctx context.Context, conn *sql.Conn, now time.Time, out *bytes.Buffer, text string, args ...any) error {
	rows, err := conn.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values := make([]sql.NullString, len(columns))
	places := make([]any, len(columns))
	for i := range values {
		places[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			return err
		}
		s.line(out, now, columns, values)
	}
	return rows.Err()
}

// line appends one row.
func (s *Sampler) line(out *bytes.Buffer, now time.Time, columns []string, values []sql.NullString) {
	out.WriteString(`{"ts":` + strconv.Quote(now.UTC().Format(time.RFC3339Nano)))
	add := func(key, value string) {
		if b, err := json.Marshal(value); err == nil { // a string always is
			out.WriteString(`,"` + key + `":`)
			out.Write(b)
		}
	}
	if s.host != "" {
		add("host", s.host)
	}
	for i, v := range values {
		if v.Valid {
			add(columns[i], v.String)
		}
	}
	if s.capacity > 0 {
		add("capacity_bytes", strconv.FormatInt(s.capacity, 10))
	}
	out.WriteString("}\n")
}
