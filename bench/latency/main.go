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
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tocsin-project/tocsin/bench/corpus"
	"github.com/tocsin-project/tocsin/bench/rig"
	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
)

var (
	binary     = flag.String("tocsin", "bin/tocsin", "the program that is measured")
	events     = flag.Int("events", 300_000, "records of which the most is measured")
	partitions = flag.String("partitions", strconv.Itoa(rig.Partitions), "that the records are in; several numbers, joined by commas, are measured one after the other")
	library    = flag.Bool("library", true, "judge by the library's rules, not only by that of the alerts that are timed")
	lasts      = flag.Duration("lasts", 30*time.Second, "how long records are sent at half of that")
	alerts     = flag.Int("alerts", 100, "alerts a second")
	share      = flag.Float64("share", 0.5, "of the most that is sent")
	warming    = flag.Duration("warming", 5*time.Second, "alerts of the first time are not counted")
)

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
	fmt.Printf("%d records of six formats, broker and ClickHouse beside; the library's rules: %t\n\n%-12s%-22s%-18s%-8s%-10s%-10s%-10s%s\n",
		*events, *library, "partitions", "the most, events/s", "sent, events/s", "alerts", "p50", "p95", "p99", "at most")
	for number := range strings.SplitSeq(*partitions, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(number))
		if err == nil {
			err = measure(context.Background(), n)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "latency: %s partitions: %v\n", number, err)
			os.Exit(1)
		}
	}
}

// measure prints what so many partitions come to.
func measure(ctx context.Context, partitions int) error {
	dir, err := os.MkdirTemp("", "tocsin-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	most, err := catchUp(ctx, filepath.Join(dir, "most"), partitions)
	if err != nil {
		return fmt.Errorf("the most: %w", err)
	}
	took, rate, err := probe(ctx, filepath.Join(dir, "half"), partitions, *share*most)
	if err != nil {
		return fmt.Errorf("at %.0f events/s: %w", *share*most, err)
	}
	slices.Sort(took)
	at := func(q float64) time.Duration {
		return took[min(int(q*float64(len(took))), len(took)-1)].Round(time.Millisecond)
	}
	fmt.Printf("%-12d%-22.0f%-18.0f%-8d%-10v%-10v%-10v%v\n", partitions, most, rate, len(took), at(0.5), at(0.95), at(0.99), at(1))
	return nil
}

// open starts broker and warehouse, for a tocsin with the rule of the probes.
func open(ctx context.Context, dir string, partitions int) (*rig.Plant, error) {
	p, err := rig.Open(ctx, *binary, dir, partitions, *library, "alerts: {per_minute: 10000}")
	if err != nil {
		return nil, err
	}
	return p, os.WriteFile(filepath.Join(p.Rules, "L.yaml"), []byte(latencyRule), 0o644)
}

// catchUp returns how many events a second are stored and judged of a topic that is full.
func catchUp(ctx context.Context, dir string, partitions int) (rate float64, err error) {
	p, err := open(ctx, dir, partitions)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.Close(ctx)) }()
	began := time.Now().UTC().Add(-time.Hour)
	for i := range *events {
		t := began.Add(time.Duration(i) * time.Hour / time.Duration(*events))
		p.Client.Produce(ctx, &kgo.Record{Value: corpus.Record(i, t), Timestamp: t}, nil)
	}
	if err := p.Client.Flush(ctx); err != nil {
		return 0, err
	}
	if err := p.Run(ctx); err != nil {
		return 0, err
	}
	var first time.Time
	var before uint64
	for deadline := time.Now().Add(10 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		var rows uint64
		if err := p.DB.QueryRow(ctx, "SELECT count() FROM events").Scan(&rows); err != nil {
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
func probe(ctx context.Context, dir string, partitions int, rate float64) (took []time.Duration, reached float64, err error) {
	p, err := open(ctx, dir, partitions)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, p.Close(ctx)) }()
	if err := p.Run(ctx); err != nil {
		return nil, 0, err
	}
	number := 0
	send := func() {
		t := time.Now().UTC()
		p.Client.Produce(ctx, &kgo.Record{Timestamp: t, Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/cloudevents+json")}},
			Value: fmt.Appendf(nil, `{"specversion":"1.0","type":"dev.tocsin.training.completed","id":"%d","source":"/bench","time":%q,"datacontenttype":"application/json","data":{"host":"probe-%d"}}`,
				number, t.Format(time.RFC3339Nano), t.UnixNano())}, nil)
		number++
	}
	came := make(chan time.Duration, 1<<20)
	reader, err := kgo.NewClient(kgo.SeedBrokers(p.Kafka.Addrs...), kgo.ConsumeTopics("tocsin.alerts.sec"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
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
			p.Client.Produce(ctx, &kgo.Record{Value: corpus.Record(sent, now.UTC()), Timestamp: now.UTC()}, nil)
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
