// Command soak runs tocsin as it is shipped under a constant load for a long time, and disturbs it: `make soak MINUTES=60` from the top of
// the repository. Two instances share the work. The load is records of six formats, as they happen, and logins of which some are stories
// that must end in an alert, and some nearly so. A rule is changed every half a minute. Meanwhile, in an order that a seed decides, each of
// these happens as often as the others (chaos.go): an instance is killed, ended, stopped for seconds and for longer than its group waits;
// the broker goes away and comes back; ClickHouse is killed, and its disk is full; a sender's clock is wrong; rules are broken.
//
// It fails when a process ends by itself; when a record is not stored, or twice, or became a dead letter; when `tocsin audit` finds
// something; when a story has no alert, or more than one, or one that it should not have; when memory, goroutines or open files of the
// instance that is never killed are more in the last quarter than in the second one; and when it lags outside of the disturbances.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tocsin-project/tocsin/bench/rig"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
)

var (
	binary  = flag.String("tocsin", "bin/tocsin", "the program that is tried")
	minutes = flag.Float64("minutes", 20, "how long the load lasts")
	rate    = flag.Int("rate", 1000, "records a second")
	seed    = flag.Uint64("seed", 1, "of the order of disturbances")
)

const (
	sampleEvery = 5 * time.Second
	reloadEvery = 30 * time.Second
	calm        = 35 * time.Second // between two disturbances
	catchUp     = 25 * time.Second // after one the lag is not looked at for so long
)

func main() {
	embedded.MaybeChild()
	flag.Parse()
	if err := soak(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// sample is what the process took at a moment.
type sample struct {
	at                           time.Duration // since the start
	rss, heap, goroutines, files float64
	lag                          float64 // records
	quiet                        bool    // no disturbance was just before
	letters, tries               float64
}

func soak(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "tocsin-soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	disk, err := smallDisk(rig.ClickHouseDir(dir))
	if err != nil {
		return err
	}
	defer disk.close()
	p, err := rig.Open(ctx, *binary, dir, rig.Partitions, true, "alerts: {per_minute: 10000}")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close(ctx)) }()
	relay, err := p.Relay()
	if err != nil {
		return err
	}
	defer relay.Close()
	other, err := p.Another("other")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end(other)) }()
	if err := errors.Join(writeRules(p), reload(p, 0), p.Run(ctx), other.Run(ctx)); err != nil {
		return err
	}
	sending, stop := context.WithTimeout(ctx, time.Duration(*minutes*float64(time.Minute)))
	defer stop()
	began := time.Now()
	load := &load{client: p.Client}
	produced := make(chan error, 1)
	go func() { produced <- load.run(sending, began) }()

	chaos := &chaos{plant: p, other: other, load: load, disk: disk, order: rand.New(rand.NewPCG(*seed, 0)), log: func(text string) {
		fmt.Fprintf(os.Stderr, "%8v  %s\n", time.Since(began).Round(time.Second), text)
	}}
	var samples []sample
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	reloads, over := 0, began
	for sending.Err() == nil {
		<-tick.C
		if n := int(time.Since(began) / reloadEvery); n > reloads {
			reloads = n
			if err := reload(p, n); err != nil {
				return err
			}
		}
		if time.Since(over) > calm {
			if err := chaos.next(ctx); err != nil {
				return err
			}
			over = time.Now()
		}
		if p.Ended() || other.Ended() {
			return fmt.Errorf("after %v: a process has ended by itself", time.Since(began).Round(time.Second))
		}
		s, err := take(ctx, p, time.Since(began), time.Since(over) > catchUp)
		if err != nil {
			return fmt.Errorf("after %v: %w", time.Since(began).Round(time.Second), err)
		}
		samples = append(samples, s)
	}
	if err := <-produced; err != nil {
		return err
	}
	if err := stored(ctx, p, other, load.sent); err != nil {
		return err
	}
	if err := load.check(ctx, p.Kafka.Addrs); err != nil {
		return err
	}
	audit, err := exec.CommandContext(ctx, *binary, "audit", "-c", p.Config).CombinedOutput()
	if err != nil {
		return fmt.Errorf("audit: %w\n%s", err, audit)
	}
	fmt.Printf("%d records at %d a second in %v, each stored once; %d stories, each with its alert, sent once, %d others without one; audit clean\n",
		load.sent, *rate, time.Since(began).Round(time.Second), load.stories-load.near, load.near)
	fmt.Printf("rules were changed %d times; disturbances: %s\n\n", reloads, strings.Join(chaos.done, ", "))
	return judge(samples)
}

// end ends the process, if it runs.
func end(p *rig.Process) error {
	if p.Ended() {
		return nil
	}
	return p.Signal(syscall.SIGTERM)
}

// reload changes the one rule that the process has beside the library.
func reload(p *rig.Plant, n int) error {
	return os.WriteFile(p.Rules+"/soak.yaml", fmt.Appendf(nil, `id: soak
version: 1
title: changed while it runs
why: so that sets are read again
kind: match
when: ev.Type == "training.completed" && ev.Host == "round-%d"
key: ev.Host
subscriptions: [{team: sec, severity: 1}]
alert: {title: t, summary: s}
`, n), 0o644)
}

func take(ctx context.Context, p *rig.Plant, at time.Duration, quiet bool) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	m, err := rig.Metrics(ctx, p.Admin)
	for ; err != nil && at < time.Minute && ctx.Err() == nil; m, err = rig.Metrics(ctx, p.Admin) { // it is starting
		time.Sleep(100 * time.Millisecond)
	}
	return sample{
		at: at, quiet: quiet, rss: m["process_resident_memory_bytes"] / 1e6, heap: m["go_memstats_heap_alloc_bytes"] / 1e6, goroutines: m["go_goroutines"],
		files: m["process_open_fds"], lag: m["tocsin_ingest_lag_offsets"], letters: m["tocsin_ingest_failures_total"], tries: m["tocsin_ingest_retries_total"],
	}, err
}

// stored waits until the warehouse has every record, and wants each once.
func stored(ctx context.Context, p *rig.Plant, other *rig.Process, sent int) error {
	var rows, offsets, letters uint64
	for last, moved := uint64(0), time.Now(); rows < uint64(sent); time.Sleep(200 * time.Millisecond) {
		if err := p.DB.QueryRow(ctx, "SELECT count(), (SELECT count() FROM dead_letters) FROM events").Scan(&rows, &letters); err != nil {
			return err
		}
		if rows != last {
			last, moved = rows, time.Now()
		} else if time.Since(moved) > 2*time.Minute {
			return fmt.Errorf("%d of %d rows, and no more in two minutes; lag by topic and partition: %s and %s", rows, sent, lag(p.Admin), lag(other.Admin))
		}
	}
	if err := p.DB.QueryRow(ctx, "SELECT count(), uniqExact(kafka_partition, kafka_offset) FROM events").Scan(&rows, &offsets); err != nil {
		return err
	}
	if rows != uint64(sent) || offsets != rows || letters != 0 {
		return fmt.Errorf("%d rows of %d records and %d dead letters, want %d, as many, and none", rows, offsets, letters, sent)
	}
	return nil
}

// lag returns what a process says of the partitions that it reads.
func lag(admin string) (lines []string) {
	resp, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		return []string{err.Error()}
	}
	defer resp.Body.Close()
	all := bufio.NewScanner(resp.Body)
	for all.Scan() {
		if strings.HasPrefix(all.Text(), "tocsin_ingest_lag_offsets{") && strings.Contains(all.Text(), rig.Topic) {
			lines = append(lines, strings.TrimPrefix(all.Text(), "tocsin_ingest_lag_offsets"))
		}
	}
	return lines
}

// judge compares the last quarter with the second: what a process takes until its windows are full is in the first.
func judge(all []sample) error {
	n := len(all)
	if n < 16 {
		return errors.New("too short to tell")
	}
	second, last := all[n/4:n/2], all[3*n/4:]
	var errs []error
	var report bytes.Buffer
	fmt.Fprintf(&report, "%-12s %10s %10s %10s %12s\n", "median of", "quarter 2", "quarter 4", "most", "an hour")
	for _, what := range []struct {
		name  string
		of    func(sample) float64
		grows float64 // what the last quarter may be above the second, as a share
		more  float64 // and this much more
	}{
		{"RSS MB", func(s sample) float64 { return s.rss }, 0.15, 16},
		{"heap MB", func(s sample) float64 { return s.heap }, 0.25, 16},
		{"goroutines", func(s sample) float64 { return s.goroutines }, 0, 5},
		{"open files", func(s sample) float64 { return s.files }, 0, 3},
	} {
		a, b := median(second, what.of), median(last, what.of)
		fmt.Fprintf(&report, "%-12s %10.0f %10.0f %10.0f %+12.1f\n", what.name, a, b, most(all, what.of), slope(all[n/4:], what.of))
		if b > a*(1+what.grows)+what.more {
			errs = append(errs, fmt.Errorf("%s grow from %.0f to %.0f", what.name, a, b))
		}
	}
	calm := slices.DeleteFunc(slices.Clone(all[n/4:]), func(s sample) bool { return !s.quiet })
	lag := func(s sample) float64 { return s.lag }
	fmt.Fprintf(&report, "lag, records: median %.0f, most %.0f; after a disturbance %.0f\n", median(calm, lag), most(calm, lag), most(all[n/4:], lag))
	if m := median(calm, lag); m > 5*float64(*rate) {
		errs = append(errs, fmt.Errorf("the lag is %.0f records", m))
	}
	end := all[n-1]
	fmt.Fprintf(&report, "dead letters %s, retries %s\n", strconv.FormatFloat(end.letters, 'f', -1, 64), strconv.FormatFloat(end.tries, 'f', -1, 64))
	fmt.Print(report.String())
	return errors.Join(errs...)
}

func values(all []sample, of func(sample) float64) []float64 {
	v := make([]float64, len(all))
	for i, s := range all {
		v[i] = of(s)
	}
	slices.Sort(v)
	return v
}

func median(all []sample, of func(sample) float64) float64 {
	if len(all) == 0 {
		return 0
	}
	return values(all, of)[len(all)/2]
}

func most(all []sample, of func(sample) float64) float64 {
	if len(all) == 0 {
		return 0
	}
	return values(all, of)[len(all)-1]
}

// slope is how much it grows in an hour, by least squares.
func slope(all []sample, of func(sample) float64) float64 {
	var x, y, xx, xy float64
	for _, s := range all {
		h := s.at.Hours()
		x, y, xx, xy = x+h, y+of(s), xx+h*h, xy+h*of(s)
	}
	n := float64(len(all))
	return (n*xy - x*y) / (n*xx - x*x)
}
