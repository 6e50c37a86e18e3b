//go:build e2e

package sample

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tests of this file need the servers themselves: Debian's postgresql and mariadb-server. `make e2e` runs them.

// as returns a command that runs as the user of Debian's package where the tests run as root: neither server will.
func as(t *testing.T, name, path string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Stderr = os.Stderr
	if os.Getuid() == 0 {
		u, err := user.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	return cmd
}

// folder is one that the server's user may write to.
func folder(t *testing.T, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "tocsin-e2e")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if os.Getuid() == 0 {
		u, err := user.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// binary returns the newest of the paths that a pattern matches.
func binary(t *testing.T, patterns ...string) string {
	t.Helper()
	for _, p := range patterns {
		if found, _ := filepath.Glob(p); len(found) > 0 {
			return found[len(found)-1]
		}
	}
	t.Fatalf("no %s; install Debian's postgresql and mariadb-server", strings.Join(patterns, ", "))
	return ""
}

// serve starts a server and stops it in the end.
func serve(t *testing.T, cmd *exec.Cmd, stop syscall.Signal) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(stop)
		_ = cmd.Wait()
	})
}

// connect waits for a server.
func connect(t *testing.T, db *sql.DB) {
	t.Helper()
	var err error
	for range 100 {
		if err = db.PingContext(t.Context()); err == nil {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Fatal(err)
}

func run(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// sizes samples a server and returns what the pipeline makes of it, by database and object.
func sizes(t *testing.T, s *Sampler) map[string]float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	value, err := s.Sample(ctx, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, e := range events(t, value) {
		if e.Type != "db.size" || e.Host != "db-1" {
			t.Errorf("%+v", e)
		}
		out[e.DBName+"/"+e.DBObject] = e.Value
	}
	return out
}

func TestPostgres(t *testing.T) {
	dir, port := folder(t, "postgres"), freePort(t)
	data := filepath.Join(dir, "data")
	if out, err := as(t, "postgres", binary(t, "/usr/lib/postgresql/*/bin/initdb"), "-D", data, "-A", "trust", "-U", "postgres", "--no-sync").Output(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	serve(t, as(t, "postgres", binary(t, "/usr/lib/postgresql/*/bin/postgres"), "-D", data, "-p", fmt.Sprint(port), "-k", dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"), syscall.SIGINT)
	dsn := func(user, db string) string { return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s", user, port, db) }
	admin, err := sql.Open("pgx", dsn("postgres", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	connect(t, admin)
	run(t, admin, "CREATE ROLE watcher LOGIN", "CREATE DATABASE shop", "CREATE DATABASE secret", "REVOKE CONNECT ON DATABASE secret FROM PUBLIC")
	shop, err := sql.Open("pgx", dsn("postgres", "shop"))
	if err != nil {
		t.Fatal(err)
	}
	defer shop.Close()
	run(t, shop, `CREATE TABLE "odd ""name" (a text)`, "CREATE TABLE orders (a text)", "INSERT INTO orders SELECT repeat('x', 100) FROM generate_series(1, 1000)")

	s, err := Open(Database{Driver: "postgres", DSN: dsn("watcher", "shop"), Host: "db-1", Tables: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	before := sizes(t, s)
	if before["shop/"] < 1<<20 || before["shop/public.orders"] < 100_000 {
		t.Errorf("%v: want shop and its orders", before)
	}
	if _, there := before["shop/public.odd \"name"]; !there {
		t.Errorf("%v: the table with the odd name is missing", before)
	}
	if _, there := before["secret/"]; there {
		t.Errorf("%v: a database that the role may not connect to", before)
	}
	run(t, shop, "INSERT INTO orders SELECT repeat('x', 100) FROM generate_series(1, 100000)")
	after := sizes(t, s)
	if grown := after["shop/public.orders"] - before["shop/public.orders"]; grown < 10<<20 || after["shop/"]-before["shop/"] < 10<<20 {
		t.Errorf("from %v to %v: want 10 MiB more", before, after)
	}
	if _, err := s.db.ExecContext(t.Context(), "CREATE TABLE public.mine ()"); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("%v: want the session read-only", err)
	}
	s.limit = 1
	if got := sizes(t, s); got["shop/public.orders"] == 0 || len(got) != len(before)-1 {
		t.Errorf("%v: want the largest table only", got)
	}
}

func TestMariaDB(t *testing.T) {
	dir, port := folder(t, "mysql"), freePort(t)
	data := filepath.Join(dir, "data")
	if out, err := as(t, "mysql", binary(t, "/usr/bin/mariadb-install-db"), "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db").Output(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	serve(t, as(t, "mysql", binary(t, "/usr/sbin/mariadbd"), "--no-defaults", "--datadir="+data, "--bind-address=127.0.0.1", fmt.Sprintf("--port=%d", port),
		"--socket="+filepath.Join(dir, "sock"), "--pid-file="+filepath.Join(dir, "pid"), "--skip-name-resolve"), syscall.SIGTERM)
	admin, err := sql.Open("mysql", fmt.Sprintf("root@tcp(127.0.0.1:%d)/", port))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	connect(t, admin)
	run(t, admin, "CREATE DATABASE shop", "CREATE DATABASE secret", "CREATE TABLE secret.a (a INT)", "CREATE TABLE shop.orders (a TEXT)",
		"CREATE USER watcher@'%' IDENTIFIED BY 'hunter2-hunter2'", "GRANT SELECT ON shop.* TO watcher@'%'")
	s, err := Open(Database{Driver: "mysql", DSN: fmt.Sprintf("watcher:hunter2-hunter2@tcp(127.0.0.1:%d)/", port), Host: "db-1", Tables: 10, Capacity: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	before := sizes(t, s)
	if _, there := before["shop/orders"]; !there || before["shop/"] == 0 {
		t.Errorf("%v: want shop and its orders", before)
	}
	if _, there := before["secret/"]; there {
		t.Errorf("%v: a database that the user may not see", before)
	}
	run(t, admin, "INSERT INTO shop.orders SELECT repeat('x', 100) FROM shop.seq_1_to_100000")
	// InnoDB counts again in the background, within seconds of a tenth of the rows having changed.
	deadline := time.Now().Add(30 * time.Second)
	for after := sizes(t, s); after["shop/orders"] < 10<<20 || after["shop/"] < 10<<20; after = sizes(t, s) {
		if time.Now().After(deadline) {
			t.Fatalf("from %v to %v: want 10 MiB more", before, after)
		}
		time.Sleep(500 * time.Millisecond)
	}
}
