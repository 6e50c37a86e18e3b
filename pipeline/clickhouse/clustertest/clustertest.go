// Package clustertest starts several real ClickHouse servers on this machine that know each other.
//
// They have no Keeper: libchdb, which they run on, opens no port for replication. What they show of a cluster is what
// Distributed does, and what a server that dies costs.
package clustertest

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/tocsin-project/tocsin/pipeline/embedded"
	"github.com/tocsin-project/tocsin/pipeline/embedded/embeddedtest"
)

// Names of clusters that the servers know.
const (
	Mirror = "mirror" // one shard, of which each server is a replica
	Shards = "shards" // each server is a shard of its own
)

// Node is one server.
type Node struct {
	Addr   string // of the native protocol; the same after a restart
	t      testing.TB
	config embedded.ClickHouseConfig
	server *embedded.ClickHouse
}

// Start starts n servers. They end with the test.
func Start(t testing.TB, n int) (nodes []*Node, addrs []string) {
	t.Helper()
	var listeners []net.Listener
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l) // all ports are taken before any is given up
		node := &Node{Addr: l.Addr().String(), t: t}
		node.config = embedded.ClickHouseConfig{Dir: t.TempDir(), TCPPort: l.Addr().(*net.TCPAddr).Port}
		nodes, addrs = append(nodes, node), append(addrs, node.Addr)
	}
	for _, l := range listeners {
		_ = l.Close()
	}
	more := remoteServers(t, nodes)
	for _, node := range nodes {
		node.config.More = more
		node.Start()
		t.Cleanup(func() { _ = node.server.Stop(context.Background()) })
	}
	return nodes, addrs
}

// Start starts a server that was killed, on the data that it had.
func (n *Node) Start() {
	n.t.Helper()
	var err error
	if n.server, err = embedded.StartClickHouse(n.t.Context(), n.config); err != nil {
		n.t.Fatal(err)
	}
}

// Kill ends the server as a crash would.
func (n *Node) Kill() { n.server.Kill() }

// remoteServers is the part of the configuration that names the servers to each other. They speak through relays: libchdb, other
// than ClickHouse's own server, does not outlive a connection that the other side's death resets.
func remoteServers(t testing.TB, nodes []*Node) string {
	var replicas []string
	for _, n := range nodes {
		host, port, _ := net.SplitHostPort(embeddedtest.Relay(t, n.Addr))
		replicas = append(replicas, fmt.Sprintf("<replica><host>%s</host><port>%s</port></replica>", host, port))
	}
	shard := func(replicas string) string {
		return "<shard><internal_replication>false</internal_replication>" + replicas + "</shard>"
	}
	var shards []string
	for _, r := range replicas {
		shards = append(shards, shard(r))
	}
	return fmt.Sprintf("<clickhouse><remote_servers><%[1]s>%[2]s</%[1]s><%[3]s>%[4]s</%[3]s></remote_servers></clickhouse>",
		Mirror, shard(strings.Join(replicas, "")), Shards, strings.Join(shards, ""))
}
