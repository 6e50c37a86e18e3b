package embedded

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// within bounds one test.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// start starts a server that the test's end kills if the test has not stopped it.
func start(t *testing.T, ctx context.Context, cfg ClickHouseConfig) *ClickHouse {
	t.Helper()
	begin := time.Now()
	c, err := StartClickHouse(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("clickhouse up in %v", time.Since(begin).Round(time.Millisecond))
	t.Cleanup(c.Kill)
	return c
}

func stop(t *testing.T, ctx context.Context, c *ClickHouse) {
	t.Helper()
	begin := time.Now()
	if err := c.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("clickhouse stopped in %v", time.Since(begin).Round(time.Millisecond))
}

func connect(t *testing.T, addr string) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func execAll(t *testing.T, ctx context.Context, conn driver.Conn, queries ...string) {
	t.Helper()
	for _, q := range queries {
		if err := conn.Exec(ctx, q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

func count(t *testing.T, ctx context.Context, conn driver.Conn, from string) (n uint64) {
	t.Helper()
	if err := conn.QueryRow(ctx, "SELECT count() FROM "+from).Scan(&n); err != nil {
		t.Fatalf("count %s: %v", from, err)
	}
	return n
}

// tenRows makes the table that the tests look for after a restart.
var tenRows = []string{
	"CREATE DATABASE tocsin",
	"CREATE TABLE tocsin.t (n UInt64) ENGINE = MergeTree ORDER BY n",
	"INSERT INTO tocsin.t SELECT number FROM numbers(10)",
}

func TestClickHouseKeepsItsDataOverARestart(t *testing.T) {
	ctx := within(t, 20*time.Second)
	dir := filepath.Join(t.TempDir(), "new & <odd>", "folder")
	// query_log is what breaks at the second start if system is not on disk;
	// it comes by config.d, so this proves the merge too.
	if err := os.MkdirAll(dir+"/config.d", 0o750); err != nil {
		t.Fatal(err)
	}
	queryLog := "<clickhouse><query_log><database>system</database><table>query_log</table></query_log></clickhouse>"
	if err := os.WriteFile(dir+"/config.d/query_log.xml", []byte(queryLog), 0o640); err != nil {
		t.Fatal(err)
	}

	c := start(t, ctx, ClickHouseConfig{Dir: dir})
	conn := connect(t, c.TCPAddr)
	execAll(t, ctx, conn, tenRows...)
	execAll(t, ctx, conn, "SYSTEM FLUSH LOGS", "BACKUP TABLE tocsin.t TO File('t1')")
	logged := count(t, ctx, conn, "system.query_log")
	if logged == 0 {
		t.Error("query_log is empty: config.d was not read")
	}
	if _, err := os.Stat(dir + "/backups/t1/.backup"); err != nil {
		t.Error(err)
	}
	stop(t, ctx, c)
	if err := c.Err(); err != nil {
		t.Errorf("Err after Stop: %v", err)
	}
	if err := c.Stop(ctx); err != nil {
		t.Errorf("second Stop: %v", err)
	}

	_, port, _ := net.SplitHostPort(c.TCPAddr)
	tcp, err := net.LookupPort("tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	c = start(t, ctx, ClickHouseConfig{Dir: dir, TCPPort: tcp})
	if _, got, _ := net.SplitHostPort(c.TCPAddr); got != port {
		t.Errorf("listens on port %s, want %s", got, port)
	}
	conn = connect(t, c.TCPAddr)
	if n := count(t, ctx, conn, "tocsin.t"); n != 10 {
		t.Errorf("%d rows after the restart, want 10", n)
	}
	execAll(t, ctx, conn, "DROP TABLE tocsin.t", "RESTORE TABLE tocsin.t FROM File('t1')", "SYSTEM FLUSH LOGS")
	if n := count(t, ctx, conn, "tocsin.t"); n != 10 {
		t.Errorf("%d rows after RESTORE, want 10", n)
	}
	if n := count(t, ctx, conn, "system.query_log"); n <= logged {
		t.Errorf("query_log has %d rows after the restart, had %d before", n, logged)
	}
	stop(t, ctx, c)
}

func TestClickHouseAnswersHTTPToItsUsers(t *testing.T) {
	ctx := within(t, 20*time.Second)
	users := strings.Replace(defaultUsers, "</default></users>", `</default>
		<analyst><password>bell</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></analyst></users>`, 1)
	c := start(t, ctx, ClickHouseConfig{Dir: t.TempDir(), Users: users})
	for _, tt := range []struct {
		password string
		status   int
		body     string
	}{
		{"bell", http.StatusOK, "analyst\n"},
		{"wrong", http.StatusForbidden, ""},
	} {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.HTTPAddr, strings.NewReader("SELECT currentUser()"))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("analyst", tt.password)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != tt.status || tt.body != "" && string(body) != tt.body {
			t.Errorf("password %q: %s %q, want %d %q", tt.password, resp.Status, body, tt.status, tt.body)
		}
	}
}

func TestSecondOpenerIsRefused(t *testing.T) {
	ctx := within(t, 20*time.Second)
	dir := t.TempDir()
	c := start(t, ctx, ClickHouseConfig{Dir: dir})
	_, err := StartClickHouse(ctx, ClickHouseConfig{Dir: dir})
	want(t, err, dir, fmt.Sprintf("process %d uses the folder", os.Getpid()), "choose another folder")
	if err := connect(t, c.TCPAddr).Ping(ctx); err != nil {
		t.Errorf("the first server after the second opener: %v", err)
	}
}

func TestStartErrorsSayWhatToDo(t *testing.T) {
	ctx := within(t, 20*time.Second)
	taken, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = StartClickHouse(ctx, ClickHouseConfig{Dir: t.TempDir(), HTTPPort: taken.Addr().(*net.TCPAddr).Port})
	want(t, err, "Address already in use", "choose another port")

	empty := filepath.Join(t.TempDir(), "libchdb.so")
	if err := os.WriteFile(empty, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = StartClickHouse(ctx, ClickHouseConfig{Dir: t.TempDir(), Lib: empty})
	want(t, err, "load libchdb", "make deps", "TOCSIN_CHDB_LIB")

	t.Setenv("TOCSIN_CHDB_LIB", "/nowhere/libchdb.so")
	_, err = StartClickHouse(ctx, ClickHouseConfig{Dir: t.TempDir()})
	want(t, err, "TOCSIN_CHDB_LIB", "/nowhere/libchdb.so")

	t.Setenv("TOCSIN_CHDB_LIB", "")
	t.Setenv("TOCSIN_CACHE", t.TempDir())
	_, err = StartClickHouse(ctx, ClickHouseConfig{Dir: t.TempDir()})
	want(t, err, "libchdb", "make deps", "TOCSIN_CHDB_LIB")

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	t.Setenv("TOCSIN_CACHE", "")
	_, err = StartClickHouse(cancelled, ClickHouseConfig{Dir: t.TempDir()})
	want(t, err, "not up in time", "context canceled")
}

func TestDoneReportsADeadServer(t *testing.T) {
	ctx := within(t, 20*time.Second)
	dir := t.TempDir()
	c := start(t, ctx, ClickHouseConfig{Dir: dir})
	execAll(t, ctx, connect(t, c.TCPAddr), tenRows...)
	select {
	case <-c.Done():
		t.Fatal("done while it runs")
	default:
	}
	if err := syscall.Kill(c.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	awaitDone(t, ctx, c)
	want(t, c.Err(), "signal: killed")
	want(t, c.Stop(ctx), "signal: killed")

	c = start(t, ctx, ClickHouseConfig{Dir: dir})
	if n := count(t, ctx, connect(t, c.TCPAddr), "tocsin.t"); n != 10 {
		t.Errorf("%d rows after SIGKILL, want 10", n)
	}
	// SIGTERM, as an init system sends it to every process, is a clean end, and
	// still one that the parent did not ask for.
	if err := syscall.Kill(c.cmd.Process.Pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	awaitDone(t, ctx, c)
	want(t, c.Err(), "exit status 0")
}

func TestStopKillsWhatDoesNotEnd(t *testing.T) {
	ctx := within(t, 20*time.Second)
	c := start(t, ctx, ClickHouseConfig{Dir: t.TempDir()})
	if err := syscall.Kill(c.cmd.Process.Pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	want(t, c.Stop(short), "killed", "deadline exceeded")
	awaitDone(t, ctx, c)
}

func TestNothingOutlivesAKilledParent(t *testing.T) {
	ctx := within(t, 30*time.Second)
	dir := t.TempDir()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), parentEnv+"="+dir)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var addr addresses
	if err := json.NewDecoder(stdout).Decode(&addr); err != nil {
		t.Fatal(err)
	}
	execAll(t, ctx, connect(t, addr.TCP), tenRows...)
	produceAndCommit(t, ctx, addr.Kafka)

	killed := time.Now()
	cmd.Process.Kill()
	cmd.Wait()
	// The child inherited the lock: as soon as it is free, the child is gone.
	lock, err := lockDir(dir + "/clickhouse")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the child was gone %v after its parent", time.Since(killed).Round(time.Millisecond))
	lock.Close()
	for _, a := range []string{addr.TCP, addr.HTTP} {
		if conn, err := net.DialTimeout("tcp", a, time.Second); err == nil {
			conn.Close()
			t.Errorf("%s still listens", a)
		}
	}

	c := start(t, ctx, ClickHouseConfig{Dir: dir + "/clickhouse"})
	if n := count(t, ctx, connect(t, c.TCPAddr), "tocsin.t"); n != 10 {
		t.Errorf("%d rows after the parent was killed, want 10", n)
	}
	k := startTestKafka(t, KafkaConfig{Dir: dir + "/kafka"})
	checkKept(t, ctx, k.Addrs[0])
}

func awaitDone(t *testing.T, ctx context.Context, c *ClickHouse) {
	t.Helper()
	select {
	case <-c.Done():
	case <-ctx.Done():
		t.Fatal("not done in time")
	}
}

// want fails unless err says every one of parts.
func want(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one with %q", parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error lacks %q:\n%v", part, err)
		}
	}
}
