// Command latency measures the time from a record's arrival in Kafka to its alert on the team's topic, as a subscriber sees
// it, at half of the load that tocsin can bear: `make build && go run ./bench/latency` from the top of the repository.
//
// It lets `tocsin run` with the library's rules catch up with a full topic, which is the most that it can do, and then sends
// half as many records a second. One in a while is of a type that a rule of its own fires on. Broker and ClickHouse are on
// the same machine, so the most is that of all three together.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tocsin-project/tocsin/bench/corpus"
	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
)

var (
	binary  = flag.String("tocsin", "bin/tocsin", "the program that is measured")
	events  = flag.Int("events", 300_000, "records of which the most is measured")
	lasts   = flag.Duration("lasts", 30*time.Second, "how long records are sent at half of that")
	alerts  = flag.Int("alerts", 100, "alerts a second")
	share   = flag.Float64("share", 0.5, "of the most that is sent")
	warming = flag.Duration("warming", 5*time.Second, "alerts of the first time are not counted")
)

const topic, partitions = "raw.bench", 6

// latencyRule fires on each event of its type, whose host is the event's number.
const latencyRule = `
id: L
title: a probe
kind: match
why: the time from a record to its alert
when: ev.Type == "training.completed"
key: ev.Host
subscriptions: [{team: sec, severity: 5}]
alert: {title: "probe {host}", summary: s}
`

func main() {
	embedded.MaybeChild()
	flag.Parse()
	if err := measure(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "latency:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "tocsin-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	most, err := catchUp(ctx, filepath.Join(dir, "most"))
	if err != nil {
		return fmt.Errorf("the most: %w", err)
	}
	fmt.Printf("the most: %.0f events/s (%d records of six formats, the library's rules, broker and ClickHouse beside)\n", most, *events)
	took, rate, err := probe(ctx, filepath.Join(dir, "half"), *share*most)
	if err != nil {
		return fmt.Errorf("at %.0f events/s: %w", *share*most, err)
	}
	slices.Sort(took)
	at := func(q float64) time.Duration {
		return took[min(int(q*float64(len(took))), len(took)-1)].Round(time.Millisecond)
	}
	fmt.Printf("at %.0f events/s, %d alerts: p50 %v, p95 %v, p99 %v, at most %v\n", rate, len(took), at(0.5), at(0.95), at(0.99), at(1))
	return nil
}

// plant is a broker, a warehouse, and tocsin.
type plant struct {
	kafka   *embedded.Kafka
	server  *embedded.ClickHouse
	db      *clickhouse.DB
	client  *kgo.Client
	process *exec.Cmd
}

// open starts broker and warehouse, and run tocsin.
func open(ctx context.Context, dir string) (p *plant, err error) {
	p = &plant{}
	if p.kafka, err = embedded.StartKafka(embedded.KafkaConfig{Dir: filepath.Join(dir, "kafka"), Topics: []embedded.Topic{{Name: topic, Partitions: partitions}}}); err != nil {
		return nil, err
	}
	if p.server, err = embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{Dir: filepath.Join(dir, "clickhouse")}); err != nil {
		return nil, err
	}
	if p.db, err = clickhouse.Open(ctx, clickhouse.Config{Addrs: []string{p.server.TCPAddr}}); err != nil {
		return nil, err
	}
	if err := p.db.Migrate(ctx); err != nil {
		return nil, err
	}
	p.client, err = kgo.NewClient(kgo.SeedBrokers(p.kafka.Addrs...), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.MaxBufferedRecords(1<<20))
	return p, err
}

func (p *plant) run(ctx context.Context, dir string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	admin := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return err
	}
	rules := filepath.Join(dir, "rules")
	config := filepath.Join(dir, "tocsin.yaml")
	text := fmt.Sprintf("kafka: {brokers: [%q], topics: [%s]}\nclickhouse: {addrs: [%q]}\nadmin: {listen: %q}\nlog: {level: warn}\nrules: {dirs: [%q]}\nalerts: {per_minute: 10000}\n",
		p.kafka.Addrs[0], topic, p.server.TCPAddr, admin, rules)
	if err := errors.Join(os.MkdirAll(rules, 0o755), os.WriteFile(filepath.Join(rules, "L.yaml"), []byte(latencyRule), 0o644), os.WriteFile(config, []byte(text), 0o600)); err != nil {
		return err
	}
	p.process = exec.CommandContext(ctx, *binary, "run", "-c", config)
	p.process.Stderr = os.Stderr
	return p.process.Start()
}

func (p *plant) close(ctx context.Context) error {
	if p.process != nil {
		_ = p.process.Process.Signal(syscall.SIGTERM) // in order: libchdb does not bear connections that are cut
		_ = p.process.Wait()
	}
	p.client.Close()
	p.kafka.Close()
	return errors.Join(p.db.Close(), p.server.Stop(ctx))
}

// catchUp returns how many events a second are stored and judged of a topic that is full.
func catchUp(ctx context.Context, dir string) (rate float64, err error) {
	p, err := open(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.close(ctx)) }()
	began := time.Now().UTC().Add(-time.Hour)
	for i := range *events {
		t := began.Add(time.Duration(i) * time.Hour / time.Duration(*events))
		p.client.Produce(ctx, &kgo.Record{Value: corpus.Record(i, t), Timestamp: t}, nil)
	}
	if err := p.client.Flush(ctx); err != nil {
		return 0, err
	}
	if err := p.run(ctx, dir); err != nil {
		return 0, err
	}
	var first time.Time
	var before uint64
	for deadline := time.Now().Add(10 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		var rows uint64
		if err := p.db.QueryRow(ctx, "SELECT count() FROM events").Scan(&rows); err != nil {
			return 0, err
		}
		if rows > 0 && first.IsZero() { // what it takes to start does not count
			first, before = time.Now(), rows
		}
		if rows >= uint64(*events) && rows > before {
			return float64(rows-before) / time.Since(first).Seconds(), nil
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("%d of %d events after ten minutes", rows, *events)
		}
	}
}

// probe sends records at a rate, and returns how long each alert took, and the rate that was reached.
func probe(ctx context.Context, dir string, rate float64) (took []time.Duration, reached float64, err error) {
	p, err := open(ctx, dir)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, p.close(ctx)) }()
	if err := p.run(ctx, dir); err != nil {
		return nil, 0, err
	}
	number := 0
	send := func() {
		t := time.Now().UTC()
		p.client.Produce(ctx, &kgo.Record{Timestamp: t, Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/cloudevents+json")}},
			Value: fmt.Appendf(nil, `{"specversion":"1.0","type":"dev.tocsin.training.completed","id":"%d","source":"/bench","time":%q,"datacontenttype":"application/json","data":{"host":"probe-%d"}}`,
				number, t.Format(time.RFC3339Nano), t.UnixNano())}, nil)
		number++
	}
	came := make(chan time.Duration, 1<<20)
	reader, err := kgo.NewClient(kgo.SeedBrokers(p.kafka.Addrs...), kgo.ConsumeTopics("tocsin.alerts.sec"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond), kgo.MetadataMinAge(time.Second))
	if err != nil {
		return nil, 0, err
	}
	defer reader.Close()
	go func() {
		for {
			fetches := reader.PollFetches(ctx)
			if fetches.IsClientClosed() || ctx.Err() != nil {
				return
			}
			now := time.Now()
			fetches.EachRecord(func(r *kgo.Record) {
				a, err := pipeline.DecodeAlert(r.Value)
				if err != nil || a.Rule != "L" || a.Status != pipeline.StatusFiring {
					return
				}
				var sent int64
				if _, err := fmt.Sscanf(strings.TrimPrefix(a.DedupKey, "L|probe-"), "%d", &sent); err == nil {
					came <- now.Sub(time.Unix(0, sent))
				}
			})
		}
	}()
	send()
	select { // it runs
	case <-came:
	case <-time.After(2 * time.Minute):
		return nil, 0, errors.New("no alert in two minutes")
	}
	began := time.Now()
	sent, probes, counted := 0, 0, 0
	for now := began; now.Sub(began) < *warming+*lasts; now = time.Now() {
		for ; float64(sent) < rate*now.Sub(began).Seconds(); sent++ {
			p.client.Produce(ctx, &kgo.Record{Value: corpus.Record(sent, now.UTC()), Timestamp: now.UTC()}, nil)
		}
		for ; float64(probes) < float64(*alerts)*now.Sub(began).Seconds(); probes++ {
			send()
			if now.Sub(began) >= *warming {
				counted++
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	reached = float64(sent) / time.Since(began).Seconds()
	early := probes - counted
	for i := range probes {
		select {
		case d := <-came:
			if i >= early {
				took = append(took, d)
			}
		case <-time.After(time.Minute):
			return nil, 0, fmt.Errorf("%d of %d alerts never came", probes-i, probes)
		}
	}
	return took, reached, nil
}
