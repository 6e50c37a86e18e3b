package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/tocsin-project/tocsin/bench/rig"
)

const (
	stall  = 30 * time.Second // without a row or an alert more: it will not be done
	settle = time.Second      // after the last one: what comes then is too much
)

// watch waits until a process has done what it should and says what it took. now is asked several times a second.
func watch(ctx context.Context, pid int, goal counts, now func() (counts, error)) (r run, err error) {
	start := time.Now()
	for last := start; ; {
		got, err := now()
		if err != nil {
			return r, err
		}
		if got != r.got {
			r.got, last = got, time.Now()
		}
		if got.rows >= goal.rows && got.alerts >= goal.alerts {
			break
		}
		if time.Since(last) > stall {
			r.trouble = fmt.Sprintf("%d rows and %d matches, then nothing for %v", got.rows, got.alerts, stall)
			return r, nil
		}
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-time.After(200 * time.Millisecond): // asked more often, a warehouse's answer would cost it seconds a million
		}
	}
	r.wall = time.Since(start)
	var times, memory error
	r.cpu, times = rig.ProcessorTime(pid)
	r.rss, memory = rig.HighWater(pid)
	if err := errors.Join(times, memory); err != nil {
		return r, err
	}
	time.Sleep(settle)
	if r.got, err = now(); err == nil && r.got != goal {
		r.trouble = fmt.Sprintf("%d rows and %d matches", r.got.rows, r.got.alerts)
	}
	return r, err
}

// shipped is tocsin at work, into the plant's warehouse.
func shipped(ctx context.Context, plant *rig.Plant, detect bool, goal counts) (r run, err error) {
	if detect {
		for _, f := range rules() {
			if err := os.WriteFile(filepath.Join(plant.Rules, f.Name), f.Data, 0o644); err != nil {
				return r, err
			}
		}
	}
	if err := plant.Run(ctx, "--role", "ingest"); err != nil {
		return r, err
	}
	r, err = watch(ctx, plant.Pid(), goal, func() (got counts, err error) {
		var rows uint64
		if err := plant.DB.QueryRow(ctx, "SELECT count() FROM events").Scan(&rows); err != nil {
			return got, err
		}
		got.rows = int(rows)
		if got.rows >= goal.rows { // it has been up for a while
			metrics, err := rig.Metrics(ctx, plant.Admin)
			got.alerts = int(metrics["tocsin_ingest_signals_total"])
			return got, err
		}
		return got, nil
	})
	if err != nil {
		return r, err
	}
	var offsets, letters uint64
	if err := plant.DB.QueryRow(ctx, "SELECT uniqExact(kafka_partition, kafka_offset), (SELECT count() FROM dead_letters) FROM events").Scan(&offsets, &letters); err != nil {
		return r, err
	}
	if r.trouble == "" && (int(offsets) != goal.rows || letters != 0) {
		r.trouble = fmt.Sprintf("rows of %d records, and %d dead letters", offsets, letters)
	}
	return r, plant.Signal(syscall.SIGTERM)
}

// once is a peer at work: with a group and a topic of its own, and a sink that counts.
func (c *contestant) once(ctx context.Context, plant *rig.Plant, dir string, detect bool, goal counts) (r run, err error) {
	dir, err = filepath.Abs(dir) // rsyslog changes its own
	if err := errors.Join(err, os.MkdirAll(dir, 0o755)); err != nil {
		return r, err
	}
	s, err := openSink()
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	group := fmt.Sprintf("peers-%d", time.Now().UnixNano())
	set, err := c.peer.settings(s, dir, plant.Kafka.Addrs[0], group, detect)
	if err != nil {
		return r, err
	}
	admin := kadm.NewClient(plant.Client)
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, set.Alerts); err != nil {
		return r, err
	}
	config, err := set.write()
	if err != nil {
		return r, err
	}
	said, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return r, err
	}
	defer said.Close()
	cmd := exec.Command(c.program, c.peer.arguments(config, dir)...)
	cmd.Stdout, cmd.Stderr, cmd.Env = said, said, append(os.Environ(), c.environment...)
	if err := cmd.Start(); err != nil {
		return r, err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it ends by the signal
		close(ended)
	}()
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // nothing, once it has ended
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	}()
	return watch(ctx, cmd.Process.Pid, goal, func() (counts, error) {
		got := counts{rows: int(s.rows.Load()), alerts: int(s.alerts.Load())}
		if got.rows < goal.rows || !detect {
			return got, nil
		}
		ends, err := admin.ListEndOffsets(ctx, set.Alerts)
		ends.Each(func(o kadm.ListedOffset) { got.alerts += int(o.Offset) })
		return got, errors.Join(err, ends.Error())
	})
}
