package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tocsin-project/tocsin/sql"
)

// Plan returns the statements that Migrate would run, in order; none when the database is up to date. A migration that
// was applied and whose file is another one now is an error, and so is a database from a newer tocsin. Where servers have no
// Keeper the plan is that of the first that answers.
func (db *DB) Plan(ctx context.Context) ([]string, error) {
	var plan []string
	if exists, err := db.exists(ctx); err != nil {
		return nil, err
	} else if !exists {
		plan = append(plan, db.create())
	}
	pending, err := db.pending(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range pending {
		statements, err := db.cluster().Statements(m)
		if err != nil {
			return nil, err
		}
		plan = append(plan, statements...)
	}
	aging, err := db.aging(ctx)
	return append(plan, aging...), err
}

// Migrate brings the database up to date, and makes its tables age as the configuration says. Statements say IF NOT EXISTS
// and the like, so a migration that was broken off is run again from its start, and two processes may migrate at the same
// time.
func (db *DB) Migrate(ctx context.Context) error {
	if err := db.checkCluster(ctx); err != nil {
		return err
	}
	if db.cfg.Cluster == "" || db.cfg.Keeper {
		return db.migrate(ctx)
	}
	for _, addr := range db.cfg.Addrs {
		cfg := db.cfg
		cfg.Addrs = []string{addr}
		one, err := Open(ctx, cfg)
		if err != nil {
			return err
		}
		if err := errors.Join(one.migrate(ctx), one.Close()); err != nil {
			return fmt.Errorf("%s: %w", addr, err)
		}
	}
	return nil
}

func (db *DB) migrate(ctx context.Context) error {
	if exists, err := db.exists(ctx); err != nil {
		return err
	} else if !exists {
		if err := db.server.Exec(ctx, db.create()); err != nil {
			return fmt.Errorf("create database %s: %w", db.cfg.Database, err)
		}
	}
	pending, err := db.pending(ctx)
	if err != nil {
		return err
	}
	for _, m := range pending {
		statements, err := db.cluster().Statements(m)
		if err != nil {
			return err
		}
		for i, statement := range statements {
			if err := db.conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("migration %04d_%s, statement %d: %w", m.Version, m.Name, i+1, err)
			}
		}
		if err := db.conn.Exec(ctx, "INSERT INTO schema_migrations (version, name, checksum) SETTINGS async_insert = 0 VALUES (?, ?, ?)",
			m.Version, m.Name, m.Checksum); err != nil {
			return fmt.Errorf("note migration %04d_%s as applied: %w", m.Version, m.Name, err)
		}
	}
	statements, err := db.aging(ctx)
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if err := db.conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

func (db *DB) cluster() sql.Cluster {
	return sql.Cluster{Name: db.cfg.Cluster, Database: db.cfg.Database, Keeper: db.cfg.Keeper}
}

// checkCluster compares the configured cluster with what the server knows of it.
func (db *DB) checkCluster(ctx context.Context) error {
	if db.cfg.Cluster == "" {
		return nil
	}
	var replicates []bool
	var known []string
	if err := db.server.QueryRow(ctx, "SELECT groupArrayIf(toBool(internal_replication), cluster = ?), groupUniqArray(cluster) FROM system.clusters", db.cfg.Cluster).Scan(&replicates, &known); err != nil {
		return fmt.Errorf("look for cluster %s: %w", db.cfg.Cluster, err)
	}
	switch {
	case len(replicates) == 0:
		return fmt.Errorf("cluster %s is not in the server's remote_servers, which has %v", db.cfg.Cluster, known)
	case slices.Contains(replicates, !db.cfg.Keeper):
		return fmt.Errorf("cluster %s: internal_replication must be %t in the server's remote_servers, as clickhouse.cluster.keeper is", db.cfg.Cluster, db.cfg.Keeper)
	}
	return nil
}

// pending returns the migrations that were not applied.
func (db *DB) pending(ctx context.Context) ([]sql.Migration, error) {
	all, err := sql.Migrations()
	if err != nil {
		return nil, err
	}
	applied, err := db.applied(ctx)
	if err != nil {
		return nil, fmt.Errorf("read schema_migrations: %w", err)
	}
	var pending []sql.Migration
	for _, m := range all {
		checksum, ok := applied[uint32(m.Version)]
		switch {
		case !ok:
			pending = append(pending, m)
		case checksum != m.Checksum:
			return nil, fmt.Errorf("migration %04d_%s was applied to %s with checksum %.12s, and its file has %.12s: an applied migration must not change; put the change into a new file",
				m.Version, m.Name, db.cfg.Database, checksum, m.Checksum)
		}
		delete(applied, uint32(m.Version))
	}
	for version := range applied {
		return nil, fmt.Errorf("database %s has migration %04d, this tocsin knows %d only: run the newer one", db.cfg.Database, version, len(all))
	}
	return pending, nil
}

// applied returns the checksums of the applied migrations by version; none when the database or its table is missing.
func (db *DB) applied(ctx context.Context) (map[uint32]string, error) {
	applied := map[uint32]string{}
	var n uint64
	if err := db.server.QueryRow(ctx, "SELECT count() FROM system.tables WHERE database = ? AND name = 'schema_migrations'", db.cfg.Database).Scan(&n); err != nil || n == 0 {
		return applied, err
	}
	rows, err := db.conn.Query(ctx, "SELECT version, checksum FROM schema_migrations FINAL")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var version uint32
		var checksum string
		if err := rows.Scan(&version, &checksum); err != nil {
			return nil, err
		}
		applied[version] = checksum
	}
	return applied, rows.Err()
}

// exists reports whether the server has the database.
func (db *DB) exists(ctx context.Context) (bool, error) {
	var n uint64
	if err := db.server.QueryRow(ctx, "SELECT count() FROM system.databases WHERE name = ?", db.cfg.Database).Scan(&n); err != nil {
		return false, fmt.Errorf("look for database %s: %w", db.cfg.Database, err)
	}
	return n > 0, nil
}

// create is the statement that makes the database. Its engine is the server's default: Atomic.
func (db *DB) create() string {
	return "CREATE DATABASE IF NOT EXISTS " + quote(db.cfg.Database) + db.cluster().On()
}

// quote returns a name as an SQL identifier.
func quote(name string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(name) + "`"
}
