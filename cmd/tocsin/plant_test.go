package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/embedded/embeddedtest"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
	"github.com/tocsin-project/tocsin/processors/correlate"
	"github.com/tocsin-project/tocsin/processors/parse"
)

// plant is one pipeline under test: its servers, its configuration, what is sent to it, and its processes.
type plant struct {
	t      *testing.T
	cfg    Config // with the servers' addresses
	topic  string
	dir    string
	db     *clickhouse.DB
	client *kgo.Client

	brokers []string // what the configuration names, where it is not what the test speaks to
	secure  string   // further keys of kafka in it
	env     []string // further variables of its processes

	patience time.Duration // how long nothing may come out while something is awaited; who waits for a dead process's transaction takes 30 s
	once     sync.Once
	stop     chan struct{} // closed: no more records
	sent     chan struct{} // closed: all are with the broker
	load     *load
}

// embeddedServers starts kfake and libchdb.
func embeddedServers(t *testing.T) Config {
	t.Helper()
	cfg := DefaultConfig()
	servers, err := startServers(t.Context(), t.TempDir(), &cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(servers.stop)
	cfg.ClickHouse.Addrs = []string{embeddedtest.Relay(t, cfg.ClickHouse.Addrs[0])}
	return cfg
}

// newPlant prepares a pipeline that reads one raw topic of three partitions into a database of its own.
func newPlant(t *testing.T, cfg Config, topic string) *plant {
	t.Helper()
	cfg.Kafka.Group, cfg.Kafka.Topics, cfg.Kafka.Partitions = topic, []string{topic}, 3
	cfg.ClickHouse.Database = topic
	p := &plant{t: t, cfg: cfg, topic: topic, dir: t.TempDir(), patience: 40 * time.Second, stop: make(chan struct{}), sent: make(chan struct{}), load: newLoad()}
	var err error
	if p.client, err = kgo.NewClient(kgo.SeedBrokers(cfg.Kafka.Brokers...), kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(5*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.client.Close)
	if _, err := kadm.NewClient(p.client).CreateTopic(t.Context(), 3, cfg.Kafka.Replicas, nil, topic); err != nil {
		t.Fatal(err)
	}
	if p.db, err = clickhouse.Open(t.Context(), cfg.clickhouse()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.db.Close() })
	if err := p.db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// config writes the configuration file of an instance and returns its path.
func (p *plant) config(instance string) string {
	p.t.Helper()
	rules, err := filepath.Abs("testdata/crash")
	if err != nil {
		p.t.Fatal(err)
	}
	brokers := p.brokers
	if brokers == nil {
		brokers = p.cfg.Kafka.Brokers
	}
	addrs, err := json.Marshal(brokers)
	if err != nil {
		p.t.Fatal(err)
	}
	path := filepath.Join(p.dir, instance+".yaml")
	text := fmt.Sprintf(`instance: %s
kafka: {brokers: %s, group: %s, topics: [%s], partitions: 3, replicas: %d%s}
clickhouse: {addrs: ["%s"], database: %s}
rules: {library: false, dirs: ["%s"]}
alerts: {per_minute: 10000}
flush: {rows: 500, interval: 100ms}
admin: {listen: "127.0.0.1:0"}
`, instance, addrs, p.cfg.Kafka.Group, p.topic, p.cfg.Kafka.Replicas, p.secure, p.cfg.ClickHouse.Addrs[0], p.cfg.ClickHouse.Database, rules)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// load makes the records: people who log in, addresses that guess until they get in, and now and then rubbish. Its clock
// is ahead of the wall's, so that no partition can follow that one: what comes out depends on the records alone.
type load struct {
	rng     *rand.Rand
	at      time.Time
	records []*kgo.Record
}

const (
	perSecond = 1000                 // records a second of the wall
	eachAfter = 2 * time.Millisecond // in event time: twice as fast as the wall
	attackOf  = 250                  // records that an address guesses for
)

func newLoad() *load {
	return &load{rng: rand.New(rand.NewPCG(7, 7)), at: time.Now().UTC().Add(time.Minute).Truncate(time.Second)}
}

func (l *load) next() *kgo.Record {
	i := len(l.records)
	l.at = l.at.Add(eachAfter)
	ip := fmt.Sprintf("192.0.2.%d", l.rng.IntN(100))
	result := "Accepted"
	switch attacker := fmt.Sprintf("203.0.113.%d", i/attackOf%50); {
	case l.rng.IntN(10) < 6:
		ip, result = attacker, "Failed"
		if i%attackOf > attackOf-5 {
			result = "Accepted"
		}
	case l.rng.IntN(20) == 0:
		result = "Failed"
	}
	value := fmt.Sprintf("%s web-1 sshd[%d]: %s password for root from %s port %d ssh2", l.at.Format(time.Stamp), i, result, ip, 1024+i%60000)
	if i%199 == 0 {
		value = fmt.Sprintf(`{"broken": %d`, i)
	}
	return l.add(ip, value)
}

func (l *load) add(key, value string) *kgo.Record {
	r := &kgo.Record{Key: []byte(key), Value: []byte(value), Timestamp: l.at, Partition: -1}
	l.records = append(l.records, r)
	return r
}

// produce sends records until finish is called.
func (p *plant) produce() {
	promise := func(_ *kgo.Record, err error) {
		if err != nil {
			p.t.Errorf("produce: %v", err)
		}
	}
	p.t.Cleanup(p.end)
	go func() {
		defer close(p.sent)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for running := true; running; {
			select {
			case <-p.stop:
				running = false
			case <-tick.C:
				for range perSecond / 100 {
					p.client.Produce(context.Background(), p.load.next(), promise)
				}
			}
		}
		// Much later a last login on every partition: it ends every window and every alert.
		p.load.at = p.load.at.Add(30 * time.Minute)
		for n := range 100 {
			ip := fmt.Sprintf("192.0.2.%d", n)
			value := fmt.Sprintf("%s web-1 sshd[1]: Accepted password for root from %s port %d ssh2", p.load.at.Format(time.Stamp), ip, n)
			p.client.Produce(context.Background(), p.load.add(ip, value), promise)
		}
		if err := p.client.Flush(context.Background()); err != nil {
			p.t.Errorf("produce: %v", err)
		}
	}()
}

// end ends the load.
func (p *plant) end() {
	p.once.Do(func() { close(p.stop) })
	<-p.sent
}

// finish ends the load and waits until the pipeline has stored everything and closed every alert.
func (p *plant) finish(process *process) {
	p.t.Helper()
	p.end()
	want := uint64(len(p.load.records))
	p.await(fmt.Sprintf("the last of %d records and the end of every alert", want), fmt.Sprintf(`SELECT
		(SELECT sum(n) FROM events_1m) + (SELECT count() FROM v_dead_letters) >= %d
		AND (SELECT countIf(status != 'resolved') = 0 AND count() > 0 FROM v_alerts)`, want), process)
}

// await waits until a query gives 1, as long as rows or versions of alerts keep coming: a busy machine is slow, not wrong. A
// process that ends meanwhile ends the test.
func (p *plant) await(what string, query string, process *process) {
	p.t.Helper()
	var before uint64
	for deadline := time.Now().Add(p.patience); ; time.Sleep(100 * time.Millisecond) {
		var yes uint8
		var stored uint64
		query := fmt.Sprintf("SELECT (%s), (SELECT sum(n) FROM events_1m) + (SELECT count() FROM alerts) + (SELECT count() FROM dead_letters)", query)
		if err := p.db.QueryRow(p.t.Context(), query).Scan(&yes, &stored); err != nil {
			p.t.Fatal(err)
		}
		if yes == 1 {
			return
		}
		if stored != before {
			before, deadline = stored, time.Now().Add(p.patience)
		}
		select {
		case <-process.done:
			p.t.Fatalf("the pipeline ended by itself\n%s", process.log())
		default:
		}
		if time.Now().After(deadline) {
			p.t.Errorf("nothing came for %v, and not %s", p.patience, what)
			return
		}
	}
}

// check compares what came out with what the records hold.
func (p *plant) check(ctx context.Context) {
	p.t.Helper()
	events, refused, alerts := p.oracle(ctx)
	for query, want := range map[string]uint64{
		"SELECT count() FROM events": events,
		"SELECT uniqExact(kafka_topic, kafka_partition, kafka_offset) FROM events": events,
		"SELECT sum(n) FROM events_1m":                                             events,
		"SELECT sum(rows) FROM ledger":                                             events,
		"SELECT count() FROM v_dead_letters":                                       refused,
	} {
		var got uint64
		if err := p.db.QueryRow(ctx, query).Scan(&got); err != nil {
			p.t.Fatalf("%s: %v", query, err)
		}
		if got != want {
			p.t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	got := map[string]bool{}
	rows, err := p.db.Query(ctx, "SELECT concat(toString(alert_id), ' ', rule_id, ' ', toString(team), ' ', dedup_key, ' ', toString(event_count)) FROM v_alerts")
	if err != nil {
		p.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var alert string
		if err := rows.Scan(&alert); err != nil {
			p.t.Fatal(err)
		}
		got[alert] = true
		if !alerts[alert] {
			p.t.Errorf("alert %s should not be there", alert)
		}
	}
	for alert := range alerts {
		if !got[alert] {
			p.t.Errorf("alert %s is missing", alert)
		}
	}
	if events == 0 || refused == 0 || len(alerts) < 3 {
		p.t.Errorf("%d events, %d dead letters, %d alerts: the load shows nothing", events, refused, len(alerts))
	}
	versions := p.versionsOnce(ctx)
	p.t.Logf("%d events, %d dead letters, %d alerts in %d versions", events, refused, len(alerts), versions)
}

// oracle reads the records with the same parser, rules and engine, one after the other in this process.
func (p *plant) oracle(ctx context.Context) (events, refused uint64, alerts map[string]bool) {
	p.t.Helper()
	fail := func(err error) {
		if err != nil {
			p.t.Fatal(err)
		}
	}
	rules, err := RulesConfig{Dirs: []string{"testdata/crash"}}.load()
	fail(err)
	parser, err := parse.New(parse.Config{})
	fail(err)
	matcher, engine := rules.NewMatcher(), correlate.New(rules, correlate.Config{Lateness: p.cfg.Rules.Lateness})
	alerts = map[string]bool{}
	last := map[string]*pipeline.Alert{}
	var out pipeline.Output
	for i, r := range p.load.records {
		b := &pipeline.Batch{TopicPartition: pipeline.TopicPartition{Topic: p.topic}, Records: []pipeline.Record{{Offset: int64(i), Time: r.Timestamp, Value: r.Value}}}
		fail(parser.Process(ctx, b))
		fail(matcher.Process(ctx, b))
		events += uint64(len(b.Events))
		refused += uint64(len(b.Failures))
		for j := range b.Signals {
			s := b.Signals[j].Clone()
			out.Reset(s.Time)
			engine.Process(&s, &out)
			for _, a := range out.Alerts {
				last[a.ID.String()] = a
			}
		}
		out.Reset(r.Timestamp)
		engine.Process(&pipeline.Signal{Kind: pipeline.SignalWatermark, Origin: b.TopicPartition, Offset: int64(i), Time: r.Timestamp}, &out)
		for _, a := range out.Alerts {
			last[a.ID.String()] = a
		}
		engine.Commit()
	}
	for id, a := range last {
		alerts[fmt.Sprint(id, " ", a.Rule, " ", a.Team, " ", a.DedupKey, " ", a.EventCount)] = true
	}
	return events, refused, alerts
}

// versionsOnce reads the alerts' topics as a subscriber does, and complains of a version of an alert that is there twice.
func (p *plant) versionsOnce(ctx context.Context) int {
	p.t.Helper()
	seen := map[string]int{}
	for _, topic := range []string{kafka.AlertsPrefix + "sec", kafka.AlertsPrefix + "ops", kafka.AlertsStateTopic} {
		readCommitted(p.t, ctx, p.cfg, topic, func(r *kgo.Record) {
			a, err := pipeline.DecodeAlert(r.Value)
			if err != nil {
				p.t.Fatal(err)
			}
			seen[fmt.Sprint(topic, ": ", a.ID, " version ", a.Version)]++
		})
	}
	for alert, n := range seen {
		if n != 1 {
			p.t.Errorf("%s was sent %d times", alert, n)
		}
	}
	return len(seen)
}

// readCommitted reads what a topic holds by now.
func readCommitted(t *testing.T, ctx context.Context, cfg Config, topic string, f func(*kgo.Record)) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cfg.Kafka.Brokers...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("read %s: %v", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				f(r)
			}
			if end, ok := left[r.Partition]; ok && r.Offset >= end-1 {
				delete(left, r.Partition)
			}
		})
	}
}

// process is a child of the test.
type process struct {
	*exec.Cmd
	t    *testing.T
	path string // of its log
	done chan struct{}
}

// start runs one of the commands of TestMain in a process of its own.
func (p *plant) start(name string, args ...string) *process {
	p.t.Helper()
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Args[0] = name
	return p.spawn(cmd)
}

// spawn starts any program for the time of the test.
func (p *plant) spawn(cmd *exec.Cmd) *process {
	p.t.Helper()
	log, err := os.CreateTemp(p.dir, "log")
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	proc := &process{Cmd: cmd, t: p.t, path: log.Name(), done: make(chan struct{})}
	proc.Stdout, proc.Stderr, proc.Env = log, log, append(os.Environ(), p.env...)
	if err := proc.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(proc.done)
		_ = proc.Wait() // ProcessState tells
	}()
	p.t.Cleanup(proc.kill)
	return proc
}

func (p *process) signal(s syscall.Signal) { _ = p.Process.Signal(s) } // it fails on one that has ended

// kill ends the process as a crash would, and waits for it.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// wait waits for the process to end.
func (p *process) wait(bound time.Duration) {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(bound):
		p.t.Fatalf("the process does not end\n%s", p.log())
	}
}

// killed reports whether a signal that cannot be caught ended the process.
func (p *process) killed() bool {
	status, ok := p.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// log returns the end of what the process said.
func (p *process) log() string {
	text, err := os.ReadFile(p.path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}
