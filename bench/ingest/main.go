// Command ingest measures tocsin as it is shipped: `make build && go run ./bench/ingest` from the top of the repository.
//
// It fills six partitions of a broker with records of six formats, starts `tocsin run` as a process of its own, and waits
// until every event is in a real ClickHouse: exactly-once on, redaction on, all views on. Broker and ClickHouse are on the
// same machine. What counts is the processor time of tocsin's own process for a million events; the time by the clock
// says more of the machine. A run counts only when the warehouse holds exactly the records that were sent.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
)

var (
	binary = flag.String("tocsin", "bin/tocsin", "the program that is measured")
	events = flag.Int("events", 1_000_000, "records to send")
	rounds = flag.Int("rounds", 3, "runs of each job; the medians are printed")
)

const (
	topic      = "raw.bench"
	partitions = 6
)

// jobs are what is measured.
var jobs = []struct{ name, role, rules string }{
	{"J1 ingest, no rules", "ingest", "rules: {library: false}"},
	{"J2 ingest, our library's rules", "ingest", "rules: {library: true}"},
	{"J3 ingest and detect", "all", "rules: {library: true}"},
}

func main() {
	embedded.MaybeChild()
	flag.Parse()
	if err := measure(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "ingest:", err)
		os.Exit(1)
	}
}

// run is one process of tocsin that has read everything.
type run struct {
	wall, cpu, server time.Duration
	rss               uint64 // bytes, at its highest
}

func measure(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "tocsin-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	kafka, err := embedded.StartKafka(embedded.KafkaConfig{Dir: filepath.Join(dir, "kafka"), Topics: []embedded.Topic{{Name: topic, Partitions: partitions}}})
	if err != nil {
		return err
	}
	defer kafka.Close()
	bytes, err := produce(ctx, kafka.Addrs)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Printf("%d records of six formats, %d bytes each, six partitions; medians of %d runs\n\n", *events, bytes / *events, *rounds)
	fmt.Fprintln(w, "job\tevents/s\tCPU-s a million\tserver's CPU-s a million\tRSS MB")
	for i, job := range jobs {
		var all []run
		for round := range *rounds {
			r, err := once(ctx, filepath.Join(dir, fmt.Sprintf("%d-%d", i, round)), kafka.Addrs, job.role, job.rules)
			if err != nil {
				return fmt.Errorf("%s: %w", job.name, err)
			}
			all = append(all, r)
		}
		million := float64(*events) / 1e6
		fmt.Fprintf(w, "%s\t%.0f\t%.2f\t%.2f\t%.0f\n", job.name,
			median(all, func(r run) float64 { return float64(*events) / r.wall.Seconds() }),
			median(all, func(r run) float64 { return r.cpu.Seconds() / million }),
			median(all, func(r run) float64 { return r.server.Seconds() / million }),
			median(all, func(r run) float64 { return float64(r.rss) / 1e6 }))
	}
	return w.Flush()
}

// once starts a warehouse and tocsin, each anew, and waits until all events are there.
func once(ctx context.Context, dir string, brokers []string, role, rules string) (r run, err error) {
	server, err := embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{Dir: filepath.Join(dir, "clickhouse")})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, server.Stop(ctx)) }()
	db, err := clickhouse.Open(ctx, clickhouse.Config{Addrs: []string{server.TCPAddr}})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Migrate(ctx); err != nil {
		return r, err
	}
	config := filepath.Join(dir, "tocsin.yaml")
	text := fmt.Sprintf("kafka: {brokers: [%q], group: %q, topics: [%s]}\nclickhouse: {addrs: [%q]}\nadmin: {listen: 127.0.0.1:0}\nlog: {level: warn}\n%s\n",
		brokers[0], filepath.Base(dir), topic, server.TCPAddr, rules)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return r, err
	}
	cmd := exec.CommandContext(ctx, *binary, "run", "-c", config, "--role", role)
	cmd.Stderr = os.Stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return r, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }() // nothing, once it has ended

	for rows := uint64(0); rows < uint64(*events); {
		if time.Since(start) > 10*time.Minute {
			return r, fmt.Errorf("%d of %d events after %v", rows, *events, time.Since(start).Round(time.Second))
		}
		select {
		case err := <-ended:
			return r, fmt.Errorf("tocsin ended: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
		if err := db.QueryRow(ctx, "SELECT count() FROM events").Scan(&rows); err != nil {
			return r, err
		}
	}
	r.wall = time.Since(start)
	if r.rss, err = highWater(cmd.Process.Pid); err != nil {
		return r, err
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return r, err
	}
	if err := <-ended; err != nil {
		return r, fmt.Errorf("tocsin: %w", err)
	}
	r.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()

	var rows, offsets, letters, micros uint64
	if err := db.QueryRow(ctx, `SELECT count(), uniqExact(kafka_partition, kafka_offset), (SELECT count() FROM dead_letters),
		(SELECT toUInt64(sum(value)) FROM system.events WHERE event = 'OSCPUVirtualTimeMicroseconds') FROM events`).Scan(&rows, &offsets, &letters, &micros); err != nil {
		return r, err
	}
	if n := uint64(*events); rows != n || offsets != n || letters != 0 {
		return r, fmt.Errorf("%d rows of %d records and %d dead letters, want %d, as many, and none", rows, offsets, letters, n)
	}
	r.server = time.Duration(micros) * time.Microsecond
	return r, nil
}

// highWater returns the most memory that a process had, in bytes.
func highWater(pid int) (uint64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("no VmHWM in the process's status")
}

// produce sends all records, in order, and returns their bytes.
func produce(ctx context.Context, brokers []string) (bytes int, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.ProducerLinger(50*time.Millisecond), kgo.MaxBufferedRecords(100_000))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	var failed error
	start := time.Now().UTC().Add(-time.Hour)
	for i := range *events {
		value := record(i, start.Add(time.Duration(i)*time.Hour/time.Duration(*events)))
		bytes += len(value)
		client.Produce(ctx, &kgo.Record{Partition: int32(i % partitions), Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed = err
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return 0, err
	}
	return bytes, failed
}

func median(runs []run, of func(run) float64) float64 {
	var values []float64
	for _, r := range runs {
		values = append(values, of(r))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
