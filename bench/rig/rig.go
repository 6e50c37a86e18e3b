// Package rig is what the measurements of tocsin as it is shipped have in common: a broker, a warehouse, and the program as a
// process of its own, all on this machine.
package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
)

// Topic is where the records come from, in so many partitions where nothing else is said.
const (
	Topic      = "raw.bench"
	Partitions = 6
)

// Plant is a broker, a warehouse, and tocsin. Close ends all that was started.
type Plant struct {
	Process
	Dir    string // of everything; Rules is the folder in it that tocsin reads rules from
	Rules  string
	Kafka  *embedded.Kafka
	DB     *clickhouse.DB
	Client *kgo.Client // produces to Topic, to the partitions in turns

	server *embedded.ClickHouse
}

// Process is tocsin as it is shipped.
type Process struct {
	Admin  string // host:port of its metrics
	Config string // file

	binary  string
	process *exec.Cmd
	done    chan struct{} // closed: it has ended
}

// Open starts broker and warehouse in a new folder dir. Topic has so many partitions. The rules are those of the folder Rules, with library our own as well;
// extra is configuration beside servers, topic and rules.
func Open(ctx context.Context, binary, dir string, partitions int, library bool, extra string) (_ *Plant, err error) {
	p := &Plant{Dir: dir, Rules: filepath.Join(dir, "rules"), Process: Process{Config: filepath.Join(dir, "tocsin.yaml"), binary: binary}}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close(ctx))
		}
	}()
	if p.Kafka, err = embedded.StartKafka(embedded.KafkaConfig{Dir: filepath.Join(dir, "kafka"), Topics: []embedded.Topic{{Name: Topic, Partitions: int32(partitions)}}}); err != nil {
		return p, err
	}
	if p.server, err = embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{Dir: ClickHouseDir(dir)}); err != nil {
		return p, err
	}
	if p.DB, err = clickhouse.Open(ctx, clickhouse.Config{Addrs: []string{p.server.TCPAddr}}); err != nil {
		return p, err
	}
	if err := p.DB.Migrate(ctx); err != nil {
		return p, err
	}
	if p.Client, err = kgo.NewClient(kgo.SeedBrokers(p.Kafka.Addrs...), kgo.DefaultProduceTopic(Topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.MaxBufferedRecords(1<<20)); err != nil {
		return p, err
	}
	if p.Admin, err = FreeAddr(); err != nil {
		return p, err
	}
	text := fmt.Sprintf("kafka: {brokers: [%q], topics: [%s]}\nclickhouse: {addrs: [%q]}\nadmin: {listen: %q}\nlog: {level: warn}\nrules: {library: %t, dirs: [%q]}\n%s\n",
		p.Kafka.Addrs[0], Topic, p.server.TCPAddr, p.Admin, library, p.Rules, extra)
	return p, errors.Join(os.MkdirAll(p.Rules, 0o755), os.WriteFile(p.Config, []byte(text), 0o600))
}

// Run starts tocsin, in the role all unless arguments say otherwise.
func (p *Process) Run(ctx context.Context, arguments ...string) error {
	process := exec.CommandContext(ctx, p.binary, append([]string{"run", "-c", p.Config}, arguments...)...)
	process.Stderr = os.Stderr
	if err := process.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	p.process, p.done = process, done
	go func() {
		_ = process.Wait() // its state tells the same
		close(done)
	}()
	return nil
}

// Pid is that of tocsin.
func (p *Process) Pid() int { return p.process.Process.Pid }

// Ended reports whether it has ended without a Signal.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return p.process != nil
	default:
		return false
	}
}

// Signal sends tocsin a signal; one that ends it is waited for.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.process.Process.Signal(s); err != nil {
		return err
	}
	if s != syscall.SIGKILL && s != syscall.SIGTERM {
		return nil
	}
	<-p.done
	state := p.process.ProcessState
	p.process = nil
	if s == syscall.SIGTERM && !state.Success() {
		return errors.New(state.String())
	}
	return nil
}

// Close ends tocsin, then the servers: libchdb does not bear connections that are cut.
func (p *Plant) Close(ctx context.Context) (err error) {
	if p.process != nil {
		err = p.Signal(syscall.SIGTERM)
	}
	if p.Client != nil {
		p.Client.Close()
	}
	if p.Kafka != nil {
		p.Kafka.Close()
	}
	if p.DB != nil {
		err = errors.Join(err, p.DB.Close())
	}
	if p.server != nil {
		err = errors.Join(err, p.server.Stop(ctx))
	}
	return err
}

// FreeAddr returns an address of loopback that nobody listens on.
func FreeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Metrics returns what a process tells at its admin address, each metric added up over its labels.
func Metrics(ctx context.Context, admin string) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil, err
	}
	all := map[string]float64{}
	for name, f := range families {
		for _, m := range f.Metric {
			all[name] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return all, nil
}
