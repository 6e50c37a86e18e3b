package rig

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tocsin-project/tocsin/pipeline/embedded"
	"github.com/tocsin-project/tocsin/pipeline/embedded/embeddedtest"
)

// ClickHouseDir is where a plant in a folder has its ClickHouse.
func ClickHouseDir(dir string) string { return filepath.Join(dir, "clickhouse") }

// Relay lets tocsin reach ClickHouse through a relay, so that a process may be killed: libchdb aborts on connections that are reset. Close
// the listener after the plant.
func (p *Plant) Relay() (net.Listener, error) {
	relay, err := embeddedtest.NewRelay(p.server.TCPAddr)
	if err != nil {
		return nil, err
	}
	return relay, p.reconfigure(p.Config, p.server.TCPAddr, relay.Addr().String())
}

// Another prepares a further process of the plant, of that name.
func (p *Plant) Another(instance string) (*Process, error) {
	admin, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	other := &Process{Admin: admin, Config: filepath.Join(p.Dir, instance+".yaml"), binary: p.binary}
	if err := p.reconfigure(other.Config, p.Admin, admin); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(other.Config)
	if err != nil {
		return nil, err
	}
	return other, os.WriteFile(other.Config, fmt.Appendf(text, "instance: %s\n", instance), 0o600)
}

// reconfigure writes the plant's configuration to a file, with one address in the place of another.
func (p *Plant) reconfigure(path, before, after string) error {
	text, err := os.ReadFile(p.Config)
	if err != nil {
		return err
	}
	return os.WriteFile(path, bytes.ReplaceAll(text, []byte(before), []byte(after)), 0o600)
}

// RestartKafka ends the broker, and starts it again on its data and its port when it has been away for so long.
func (p *Plant) RestartKafka(away time.Duration) error {
	port, err := portOf(p.Kafka.Addrs[0])
	if err != nil {
		return err
	}
	p.Kafka.Close()
	time.Sleep(away)
	p.Kafka, err = embedded.StartKafka(embedded.KafkaConfig{Dir: filepath.Join(p.Dir, "kafka"), Port: port})
	return err
}

// CrashClickHouse kills the server, and starts it again on its data and its ports when it has been away for so long.
func (p *Plant) CrashClickHouse(ctx context.Context, away time.Duration) error {
	tcp, err := portOf(p.server.TCPAddr)
	if err != nil {
		return err
	}
	p.server.Kill()
	time.Sleep(away)
	p.server, err = embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{Dir: ClickHouseDir(p.Dir), TCPPort: tcp})
	return err
}

func portOf(addr string) (int, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}
