//go:build e2e

package clickhouse

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/tocsin-project/tocsin/pipeline/embedded"
)

// TestE2EClusterWithKeeper executes what makes the tables of a cluster on two servers with Debian's ZooKeeper, as far as libchdb
// goes: it has no interserver port, so ON CLUSTER is left out and each server is given the statements for itself; the tables
// come to be, both servers register as replicas of each, the views exist. The replicas stay read-only and refuse ALTER: that
// one fetches from the other only a full server shows.
func TestE2EClusterWithKeeper(t *testing.T) {
	keeper := zookeeper(t)
	var dbs []*DB
	readOnly := 0
	for n := range 2 {
		server, err := embedded.StartClickHouse(t.Context(), embedded.ClickHouseConfig{Dir: t.TempDir(), More: withKeeper(keeper, n)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Stop(t.Context()) })
		db := open(t, Config{Addrs: []string{server.TCPAddr}, Cluster: "pair", Keeper: true, Database: "c"})
		if err := db.checkCluster(t.Context()); err != nil {
			t.Fatal(err)
		}
		plan, err := db.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i, statement := range plan {
			conn := db.conn
			if i == 0 {
				conn = db.server // makes the database
			}
			err := conn.Exec(t.Context(), strings.ReplaceAll(statement, db.cluster().On(), ""))
			if code, _ := Code(err); code == int32(proto.ErrTableIsReadOnly) && strings.Contains(statement, "ALTER TABLE") && strings.Contains(statement, "_local") {
				readOnly++ // as far as it goes
			} else if err != nil {
				t.Fatalf("%v\n%s", err, statement)
			}
		}
		dbs = append(dbs, db)
	}
	if readOnly == 0 {
		t.Error("no ALTER was refused: libchdb replicates by now, and this test can ask for more")
	}
	tables := number(t, dbs[0], "SELECT count() FROM system.tables WHERE database = 'c' AND engine LIKE 'Replicated%'")
	if tables < 12 {
		t.Errorf("%d Replicated tables, want all", tables)
	}
	for n, db := range dbs {
		for query, want := range map[string]uint64{
			"SELECT count() FROM system.replicas WHERE database = 'c' AND total_replicas = 2 AND replica_name != ''":                                                                                         tables,
			"SELECT count() FROM system.tables WHERE database = 'c' AND engine = 'Distributed'":                                                                                                              tables - 1,
			"SELECT count() FROM system.tables WHERE database = 'c' AND engine LIKE 'Replicated%' AND engine_full LIKE '%/clickhouse/tables/%'":                                                              tables,
			"SELECT count() FROM system.tables WHERE database = 'c' AND name != 'schema_migrations' AND engine LIKE 'Replicated%' AND engine_full LIKE '%replicated_deduplication_window_seconds = 604800%'": tables - 1,
			"SELECT count() FROM events_local": 0,
			"SELECT count() FROM system.tables WHERE database = 'c' AND engine = 'View' AND name IN ('v_events', 'v_alerts', 'v_findings', 'v_entity_links')": 4,
		} {
			if got := number(t, db, query); got != want {
				t.Errorf("server %d: %s: %d, want %d", n+1, query, got, want)
			}
		}
	}
}

// zookeeper starts Debian's and returns its port.
func zookeeper(t *testing.T) (port int) {
	t.Helper()
	const jar = "/usr/share/java/zookeeper.jar"
	if _, err := os.Stat(jar); err != nil {
		t.Fatalf("%v: install the package zookeeper", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "zoo.cfg")
	text := fmt.Sprintf("tickTime=1000\ndataDir=%s/data\nclientPortAddress=127.0.0.1\nclientPort=%d\nadmin.enableServer=false\n", dir, port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("java", "-Xmx128m", "-cp", jar, "org.apache.zookeeper.server.ZooKeeperServerMain", config)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port)); err == nil {
			_, _ = conn.Write([]byte("srvr"))
			answer, _ := io.ReadAll(conn)
			conn.Close()
			if strings.Contains(string(answer), "Mode: ") { // it serves, and does not only listen
				return port
			}
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("ZooKeeper does not answer\n%s", text)
		}
	}
}

// withKeeper is the configuration of the n-th of two replicas. Servers from libchdb all have the same id, so their sessions need
// places of their own.
func withKeeper(port, n int) string {
	return fmt.Sprintf(`<clickhouse>
	<zookeeper><node><host>127.0.0.1</host><port>%d</port></node><sessions_path>/clickhouse/sessions_%d</sessions_path></zookeeper>
	<macros><shard>1</shard><replica>%[2]d</replica></macros>
	<remote_servers><pair><shard><internal_replication>true</internal_replication><replica><host>127.0.0.1</host><port>9000</port></replica></shard></pair></remote_servers>
</clickhouse>`, port, n)
}
