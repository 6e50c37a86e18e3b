//go:build synctests

package kafka

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/pipelinetest"
	"github.com/tocsin-project/tocsin/processors/correlate"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// model is one run of the model checker: brokers, a warehouse and up to three processes, each with the consumer, workers,
// matcher, detector and producer that tocsin runs, on a clock and a network that exist in this test only. What is not
// tocsin's is modelled: the brokers by kfake, ClickHouse by pipelinetest.Warehouse.
type model struct {
	without   mutation
	network   kfake.VirtualNetwork
	cluster   *kfake.Cluster
	warehouse *pipelinetest.Warehouse
	server    sync.WaitGroup // what the warehouse has yet to do
	rules     *rule.Set
	began     time.Time
	producer  *kgo.Client
	sent      []*kgo.Record // what the topic was given, in that order
	clock     time.Time     // of the records: ahead of the wall's, so that what comes out depends on the records alone

	mu        sync.Mutex
	said      []string // what happened, for a person
	running   map[string]*process
	all       []*process
	moods     []mood // of the warehouse, for its next blocks
	alerts    map[string]int
	last      map[string]*pipeline.Alert
	compacted bool
	finishing bool // nothing more is to happen
	closing   bool // processes that end stay ended
}

func (m *model) say(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said = append(m.said, fmt.Sprintf("%7.3fs  ", time.Since(m.began).Seconds())+fmt.Sprintf(format, args...))
}

const (
	modelPartitions = 2
	modelSession    = 6 * time.Second
)

// modelRules are two kinds of state, a window and a sequence, and a rule that takes the alerts of both.
var modelRules = []rule.File{{Name: "guessing.yaml", Data: []byte(`
id: guessing
title: One address fails often
why: A window.
kind: threshold
key: ip(ev.SrcIP)
when: ev.Type == "auth.failed"
window: 20s
aggregates: {failed: count}
having: failed >= 4
dedup: 1m
subscriptions: [{team: sec, severity: 3}, {team: ops, severity: 2}]
alert: {title: "{src_ip} fails", summary: "{failed} times"}
`)}, {Name: "guessed.yaml", Data: []byte(`
id: guessed
title: An address gets in after many failures
why: A sequence.
kind: sequence
key: ip(ev.SrcIP)
steps:
  - {id: failed, when: ev.Type == "auth.failed", count: 3, within: 30s}
  - {id: success, when: ev.Type == "auth.success"}
dedup: 1m
subscriptions: [{team: sec, severity: 5}]
alert: {title: "{success.src_ip} gets in", summary: "after failures"}
`)}, {Name: "chain.yaml", Data: []byte(`
id: chain
title: An address is told of twice
why: A rule over alerts.
kind: threshold
key: ip(ev.SrcIP)
alerts: [guessing, guessed]
window: 2m
aggregates: {rules: distinct ev.Rule}
having: rules >= 2
dedup: 1m
subscriptions: [{team: sec, severity: 6}]
alert: {title: "{src_ip}", summary: s}
`)}}

// modelLateness is little, so that windows end while things happen.
const modelLateness = 15 * time.Second

func (m *model) engine() *correlate.Engine {
	// Partitions that fall silent are waited for: that the watermark goes on without them after a minute is a choice, and
	// what comes after that is late.
	return correlate.New(m.rules, correlate.Config{Lateness: modelLateness, Idle: time.Hour})
}

// process is one run of tocsin. Its only ways out are its connections and its blocks, so that one that is dead or frozen
// does nothing any more that others could see.
type process struct {
	name   string
	cancel context.CancelFunc
	ended  chan struct{}

	mu    sync.Mutex
	dead  bool
	conns map[net.Conn]struct{}
	thaw  chan struct{} // closed but for a process that is frozen
}

// errDead has the form of what the system says of a broken connection: such the client tries again after a while, others at once,
// without end.
var errDead = &net.OpError{Op: "write", Err: errors.New("the process is dead")}

// pass waits while the process is frozen.
func (p *process) pass() error {
	p.mu.Lock()
	thaw := p.thaw
	p.mu.Unlock()
	<-thaw
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return errDead
	}
	return nil
}

func (p *process) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.thaw:
		p.thaw = make(chan struct{})
	default: // it is frozen
	}
}

func (p *process) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.thaw:
	default:
		close(p.thaw)
	}
}

// crash ends the process for all others at once; its goroutines end in their own time.
func (p *process) crash() {
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	p.disconnect()
	p.wake()
	p.cancel()
}

func (p *process) disconnect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close() // it may be closed
	}
	clear(p.conns)
}

// wire is a connection of a process.
type wire struct {
	net.Conn
	p *process
}

func (w wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	return n, errors.Join(w.p.pass(), err)
}

func (w wire) Write(b []byte) (int, error) {
	if err := w.p.pass(); err != nil {
		return 0, err
	}
	return w.Conn.Write(b)
}

func (w wire) Close() error {
	w.p.mu.Lock()
	delete(w.p.conns, w.Conn)
	w.p.mu.Unlock()
	return w.Conn.Close()
}

func (p *process) dial(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if p.pass() != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: errDead.Err}
		}
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.dead {
			c.Close()
			return nil, &net.OpError{Op: "dial", Net: network, Err: errDead.Err}
		}
		p.conns[c] = struct{}{}
		return wire{c, p}, nil
	}
}

// config is that of a process or of the test.
func (m *model) config(dial func(context.Context, string, string) (net.Conn, error)) Config {
	cfg := DefaultConfig()
	cfg.Brokers, cfg.Topics, cfg.Partitions = m.cluster.ListenAddrs(), []string{"raw"}, modelPartitions
	cfg.more = []kgo.Opt{kgo.Dialer(dial), kgo.WithDecompressor(unbubbled{}), kgo.SessionTimeout(modelSession), kgo.HeartbeatInterval(time.Second),
		// Short, for the simulated group puts the end of a rebalance off with each member that asks again.
		kgo.RebalanceTimeout(modelSession / 2)}
	return cfg
}

// log is what a process says, for a person who goes through one schedule.
func (m *model) log(p *process) *zap.Logger {
	if *modelSeeds > 1 {
		return zap.NewNop()
	}
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(zapcore.EncoderConfig{MessageKey: "m", NameKey: "n"}), zapcore.AddSync(teller(func(text string) { m.say("    %s: %s", p.name, text) })), zap.DebugLevel))
}

type teller func(text string)

func (t teller) Write(b []byte) (int, error) {
	t(strings.TrimSpace(string(b)))
	return len(b), nil
}

// unbubbled decompresses with what was made before any test: the client's own decoders of zstd are ended by finalizers, and
// those must not touch what belongs to a test's clock.
type unbubbled struct{}

var (
	unzstd, _ = zstd.NewReader(nil) // fails by its options only
	unpack    = kgo.DefaultDecompressor()
)

func (unbubbled) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	if codec == kgo.CodecZstd {
		return unzstd.DecodeAll(src, nil)
	}
	return unpack.Decompress(src, codec)
}

// start starts a process of that name, and another when it ends by itself, as an orchestrator does. One of the same name
// that is there already is no longer looked after.
func (m *model) start(name string) {
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{name: name, cancel: cancel, ended: make(chan struct{}), conns: map[net.Conn]struct{}{}, thaw: make(chan struct{})}
	close(p.thaw)
	m.mu.Lock()
	m.running[name] = p
	m.all = append(m.all, p)
	m.mu.Unlock()
	go func() {
		defer close(p.ended)
		err := m.run(ctx, p)
		m.say("%s ended: %v", name, err)
		if ctx.Err() != nil {
			return
		}
		cancel()
		time.Sleep(200 * time.Millisecond)
		m.mu.Lock()
		again := m.running[name] == p && !m.closing
		m.mu.Unlock()
		if again {
			m.start(name)
		}
	}()
}

// run is what `tocsin run` does, with other ends.
func (m *model) run(ctx context.Context, p *process) error {
	cfg, log := m.config(p.dial(m.network.DialContext)), m.log(p)
	producer, err := NewProducer(ctx, cfg, log)
	if err != nil {
		return err
	}
	metrics := pipeline.NewMetrics(prometheus.NewRegistry())
	consumer, err := NewConsumer(cfg, p.name, nil, func(tp pipeline.TopicPartition) (*pipeline.Worker, error) {
		publisher := producer.Worker()
		w := &pipeline.Worker{
			Publisher: publisher, Limits: pipeline.Limits{Rows: 8, Bytes: 1 << 20, Interval: 700 * time.Millisecond},
			Now: time.Now, Log: log, Metrics: metrics, NewSink: (&pipelinetest.Sink{Warehouse: pipelinetest.NewWarehouse()}).Copy,
		}
		if tp.Topic == "raw" {
			w.Processors = []pipeline.Processor{loginEach{}, m.rules.NewMatcher()}
			w.NewSink = (&pipelinetest.Sink{Insert: m.inserter(p)}).Copy
			w.Watermark = publisher.Watermark
		}
		if m.without.worker != nil {
			m.without.worker(w)
		}
		return w, nil
	}, log)
	if err != nil {
		return err
	}
	detect, err := NewDetect(ctx, cfg, p.name, func(partition, partitions int) pipeline.Correlator {
		engine := m.engine()
		engine.Among(partition, partitions)
		if m.without.state != nil {
			return m.without.state(engine)
		}
		return engine
	}, time.Now, log)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return consumer.Run(ctx) })
	g.Go(func() error { return detect.Run(ctx) })
	err = g.Wait()
	consumer.client.AllowRebalance() // the client's Close polls what is left, and leaves a goroutine behind that waits for this
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(err, producer.Close(ctx))
}

// loginEach makes an event of each record: the address is the key's, up to the '#'.
type loginEach struct{}

func (loginEach) Process(_ context.Context, b *pipeline.Batch) error {
	for i := range b.Records {
		r := &b.Records[i]
		addr, _, _ := strings.Cut(string(r.Key), "#")
		e := b.Next(i)
		e.ID = pipeline.NewID(b.Topic, fmt.Sprint(b.Partition), fmt.Sprint(r.Offset))
		e.SrcIP, _ = netip.ParseAddr(addr)
		e.Type = string(r.Value)
	}
	return nil
}

// mood is what becomes of a block on its way to the warehouse.
type mood struct {
	what string
	wait time.Duration
	then func(*model, *process) // is done with its process afterwards; nil for nothing
}

const (
	stored  = "stored"
	refused = "refused"           // the server is away
	lost    = "not acknowledged"  // it is stored
	late    = "stored later"      // the connection breaks, and the server goes on with it after a while
	half    = "stored by half"    // the server ends between the table and its view
	slow    = "stored after long" // and acknowledged then
)

// inserter sends the blocks of a process to the warehouse, which goes on with a block whatever becomes of its sender.
func (m *model) inserter(p *process) func(context.Context, pipeline.Chunk, []pipelinetest.Row) error {
	return func(ctx context.Context, c pipeline.Chunk, rows []pipelinetest.Row) error {
		if err := p.pass(); err != nil {
			return err
		}
		token := clickhouse.Token("tocsin", "events", c)
		if m.without.token != nil {
			token = m.without.token(token, c, rows)
		}
		m.mu.Lock()
		now := mood{what: stored, wait: 5 * time.Millisecond}
		if len(m.moods) > 0 {
			now, m.moods = m.moods[0], m.moods[1:]
		}
		m.mu.Unlock()
		if now.what != stored || *modelSeeds == 1 {
			m.say("%s: raw/%d [%d,%d) is %s", p.name, c.Partition, c.From, c.To, now.what)
		}
		answer := make(chan error, 1)
		m.server.Go(func() {
			if now.what == late {
				answer <- errors.New("connection reset")
			}
			time.Sleep(now.wait)
			if now.then != nil {
				defer now.then(m, p)
			}
			switch now.what {
			case refused:
				answer <- errors.New("connection refused")
			case half:
				m.warehouse.InsertHalf(token, rows)
				answer <- errors.New("connection reset")
			case lost:
				m.warehouse.Insert(token, rows)
				answer <- errors.New("timeout")
			case late:
				m.warehouse.Insert(token, rows)
			default:
				m.warehouse.Insert(token, rows)
				answer <- nil
			}
		})
		select {
		case err := <-answer:
			return errors.Join(p.pass(), err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// produce gives the topic its records, over about so long. Two addresses guess and get in at last, then the next two, all of
// them within a window; between them come records of a few keys again and again, which compaction takes out.
func (m *model) produce(rng *rand.Rand, records int, over time.Duration) {
	const attack = 16
	for i := range records {
		time.Sleep(time.Duration(rng.Int64N(2 * int64(over) / int64(records))))
		m.clock = m.clock.Add(time.Duration(rng.IntN(1000)) * time.Millisecond)
		if i%attack == 0 {
			m.clock = m.clock.Add(20 * time.Second)
		}
		addr := fmt.Sprintf("203.0.113.%d", 1+i/attack*2+rng.IntN(2))
		switch n := rng.IntN(10); {
		case n < 3:
			addr = fmt.Sprintf("192.0.2.%d", rng.IntN(4))
			m.send(addr, addr, "auth.logout")
		case n < 9:
			m.send(addr, fmt.Sprint(addr, "#", i), "auth.failed")
		default:
			m.send(addr, fmt.Sprint(addr, "#", i), "auth.success")
		}
	}
}

// conclude sends something of much later on every partition: it ends every window and every alert.
func (m *model) conclude() {
	m.clock = m.clock.Add(30 * time.Minute)
	for n := range modelPartitions {
		addr := fmt.Sprintf("198.51.100.%d", n)
		m.send(addr, fmt.Sprint(addr, "#", len(m.sent)), "auth.logout")
	}
}

func (m *model) send(addr, key, value string) {
	r := &kgo.Record{Topic: "raw", Partition: int32(addr[len(addr)-1]) % modelPartitions, Key: []byte(key), Value: []byte(value), Timestamp: m.clock}
	m.sent = append(m.sent, r)
	m.producer.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
		if err != nil {
			m.say("BUG: a record was not sent: %v", err)
		}
	})
}

// read notes the alerts that readers of committed records see.
func (m *model) read(ctx context.Context, client *kgo.Client) {
	for ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			a, err := pipeline.DecodeFound(r.Value)
			if err != nil {
				panic(err)
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			m.alerts[fmt.Sprintf("%s of %s, version %d (%s)", a.Rule, a.DedupKey, a.Version, a.ID)]++
			if before := m.last[a.ID.String()]; before == nil || before.Version < a.Version {
				m.last[a.ID.String()] = a
			}
		})
	}
}

func describe(last map[string]*pipeline.Alert) []string {
	var all []string
	for id, a := range last {
		all = append(all, fmt.Sprintf("%s for %s, key %s, %d events, %s (%s)", a.Rule, a.Team, a.DedupKey, a.EventCount, a.Status, id))
	}
	slices.Sort(all)
	return all
}

// oracle says what alerts the records lead to, one after the other in one engine.
func (m *model) oracle() []string {
	matcher, engine, last := m.rules.NewMatcher(), m.engine(), map[string]*pipeline.Alert{}
	var out pipeline.Output
	take := func() {
		for _, a := range out.Alerts {
			last[a.ID.String()] = a
		}
	}
	for i, r := range m.sent {
		b := &pipeline.Batch{TopicPartition: pipeline.TopicPartition{Topic: "raw", Partition: r.Partition}}
		b.Records = []pipeline.Record{{Offset: r.Offset, Time: r.Timestamp, Key: r.Key, Value: r.Value}}
		err := errors.Join(loginEach{}.Process(context.Background(), b), matcher.Process(context.Background(), b))
		if err != nil {
			panic(err)
		}
		out.Reset(r.Timestamp)
		one := pipeline.TopicPartition{Topic: "raw"}
		for j := range b.Signals {
			s := b.Signals[j].Clone()
			s.Origin, s.Offset = one, int64(i)
			engine.Process(&s, &out)
			engine.Feed(&out)
		}
		engine.Process(&pipeline.Signal{Kind: pipeline.SignalWatermark, Origin: one, Offset: int64(i), Time: r.Timestamp}, &out)
		engine.Feed(&out)
		take()
		engine.Commit()
	}
	return describe(last)
}

// stored says what is wrong with the rows: each record must be one, and count once.
func (m *model) stored() (wrong []string) {
	rows, total := m.warehouse.Rows(), 0
	for _, r := range m.sent {
		row := pipelinetest.Row{Topic: "raw", Partition: r.Partition, Offset: r.Offset}
		n := rows[row]
		total += n
		delete(rows, row)
		if n == 0 && m.compacted && !strings.Contains(string(r.Key), "#") {
			continue // compaction took it out before anybody read it
		}
		if n != 1 {
			wrong = append(wrong, fmt.Sprintf("raw/%d offset %d is stored %d times", r.Partition, r.Offset, n))
		}
	}
	if len(rows) > 0 {
		wrong = append(wrong, fmt.Sprintf("%d rows are of no record", len(rows)))
	}
	if n := m.warehouse.Counted(); n != total {
		wrong = append(wrong, fmt.Sprintf("the view counts %d rows, the table has %d", n, total))
	}
	return wrong
}

func (m *model) found() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return describe(m.last)
}

// expire has members out whose process is dead. Kafka does so when their session is over; the simulated group never does where
// the connection broke while they were waiting for others to join.
func (m *model) expire() {
	for _, group := range []string{"tocsin-ingest", "tocsin-detect"} {
		info := m.cluster.GroupInfo(group)
		if info == nil {
			continue
		}
		req := kmsg.NewPtrLeaveGroupRequest()
		req.Group = group
		for _, member := range info.Members {
			if m.alive(*member.InstanceID) {
				continue
			}
			gone := kmsg.NewLeaveGroupRequestMember()
			gone.MemberID = member.MemberID
			req.Members = append(req.Members, gone)
		}
		if len(req.Members) == 0 {
			continue
		}
		if _, err := req.RequestWith(context.Background(), m.producer); err != nil {
			m.say("members of %s are not out yet: %v", group, err) // a fault that is left over; settle comes again
		}
	}
}

func (m *model) alive(name string) bool {
	m.mu.Lock()
	p := m.running[name]
	m.mu.Unlock()
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.dead
}

// settle waits until all is as it should be, for longer than anything may take: the group waits for a session's end, and
// for that of a transaction that a crash left open.
func (m *model) settle() {
	// A worker says where event time is once a second. One that ends before leaves that to the next record, or to the wall's
	// clock, which is no help here.
	for range 30 {
		m.conclude()
		if err := m.producer.Flush(context.Background()); err != nil {
			panic(err)
		}
		want := m.oracle()
		m.expire()
		for range 20 {
			if len(m.stored()) == 0 && slices.Equal(m.found(), want) {
				time.Sleep(3 * time.Second) // for what comes twice
				return
			}
			time.Sleep(500 * time.Millisecond)
		}
	}
	for group, topic := range map[string]string{"tocsin-ingest": "raw", "tocsin-detect": SignalsTopic} {
		for n := range int32(modelPartitions) {
			info := m.cluster.PartitionInfo(topic, n)
			g := m.cluster.GroupInfo(group)
			m.say("%s is at %d of %s/%d, which is stable up to %d and ends at %d; %d members, %s", group, g.Commits[topic][n].Offset, topic, n, info.LastStableOffset, info.HighWatermark, len(g.Members), g.State)
		}
	}
}

// judge says what is wrong at the end.
func (m *model) judge() []string {
	wrong, got, want := m.stored(), m.found(), m.oracle()
	if len(want) == 0 {
		wrong = append(wrong, "the records lead to no alert: they prove nothing")
	}
	for _, a := range want {
		if !slices.Contains(got, a) {
			wrong = append(wrong, "missing: "+a)
		}
	}
	for _, a := range got {
		if !slices.Contains(want, a) {
			wrong = append(wrong, "should not be there: "+a)
		}
	}
	for a, n := range m.alerts {
		if n != 1 {
			wrong = append(wrong, fmt.Sprintf("%s was sent %d times", a, n))
		}
	}
	return wrong
}

func newModel(t *testing.T, rules *rule.Set, without mutation) *model {
	m := &model{
		without: without, warehouse: pipelinetest.NewWarehouse(), rules: rules, began: time.Now(),
		running: map[string]*process{}, alerts: map[string]int{}, last: map[string]*pipeline.Alert{},
	}
	m.clock = m.began.Add(10 * time.Minute)
	var names []string
	for name := range OwnTopics() {
		names = append(names, name)
	}
	slices.Sort(names)
	var err error
	m.cluster, err = kfake.NewCluster(kfake.NumBrokers(2), kfake.Ports(9001, 9002), kfake.ListenFn(m.network.Listen), kfake.SeedTopics(modelPartitions, names...))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.cluster.CreateTopic("raw", modelPartitions, map[string]string{"cleanup.policy": "compact"}); err != nil {
		t.Fatal(err)
	}
	if without.broker != nil {
		without.broker(m.cluster)
	}
	if without.warehouse != nil {
		without.warehouse(m.warehouse)
	}
	return m
}
