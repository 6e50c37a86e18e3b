// Command peers measures tocsin beside programs that do such work as well: `make bench-peers`.
//
// Every program reads the same JSON records of four formats from six partitions, parses them, takes the columns of each format
// out and writes them: that is J1. In J2 it judges 50 rules on each and writes what matches to a topic as well. tocsin runs as
// it is shipped: all formats recognised, redaction, stable ids, rows exactly once into a real ClickHouse, signals exactly once
// to Kafka. Its peers have a sink beside them that only counts, at-least-once, and are told which four formats come; programs
// in Go run a second time with GOGC=400.
//
// What counts is a program's processor time until all rows and matches are where they belong, for a million records. A run
// counts only if they are exactly as many as was sent and as the plainest reading of the rules gives. The programs take
// turns, so that a machine that changes its pace changes it for all. A program that is not installed is said to be missing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tocsin-project/tocsin/bench/rig"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
)

var (
	own    = flag.String("tocsin", "bin/tocsin", "the program that is measured")
	bin    = flag.String("bin", "bin/peers", "folder with peers that are not on the path")
	events = flag.Int("events", 1_000_000, "records to send")
	rounds = flag.Int("rounds", 3, "runs of each program and job; the medians are printed")
	only   = flag.String("only", "", "part of the names of the peers to run; all of them otherwise")
	keep   = flag.String("keep", "", "folder for configurations and logs of the peers, which are deleted otherwise")
)

func main() {
	embedded.MaybeChild()
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// counts are of rows and alerts.
type counts struct{ rows, alerts int }

// run is one run of a program. One that did not give what it should has a trouble instead of times.
type run struct {
	wall, cpu time.Duration
	rss       uint64 // bytes, at its highest
	got       counts
	trouble   string
}

// contestant is a program in the form in which it is measured: tocsin is the one without a peer.
type contestant struct {
	name, version string
	peer          *peer
	program       string   // path
	environment   []string // beside ours
	runs          map[bool][]run
}

func measure(ctx context.Context, w io.Writer) error {
	want := 0
	if err := judge(records(*events), func(string) { want++ }); err != nil {
		return err
	}
	commit, _ := exec.CommandContext(ctx, "git", "log", "-1", "--format=%h").Output() // "" where it is no checkout
	contestants, missing := field(ctx)
	for round := range *rounds {
		for _, detect := range []bool{false, true} {
			if err := play(ctx, contestants, round, detect, want); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(w, "go run ./bench/peers -events %d -rounds %d; %s; %s %s/%s; %s, %d cores, load %s\n\n", *events, *rounds, strings.TrimSpace(string(commit)),
		runtime.Version(), runtime.GOOS, runtime.GOARCH, rig.Processor(), runtime.NumCPU(), load())
	if err := table(w, "J1: consume, parse, columns, write", contestants, false, counts{*events, 0}); err != nil {
		return err
	}
	if err := table(w, "J2: J1 and 50 rules, matches to a topic", contestants, true, counts{*events, want}); err != nil {
		return err
	}
	for _, c := range contestants {
		if c.peer != nil && c.environment == nil {
			fmt.Fprintf(w, "%s: %s\n", c.name, c.version)
		}
	}
	for _, p := range missing {
		fmt.Fprintf(w, "%s: missing. %s; on the path or in the folder of -bin it takes part\n", p.name, p.install)
	}
	return nil
}

const tuned = ", GOGC=400"

// field returns who takes part, and which peers are missing.
func field(ctx context.Context) (all []*contestant, missing []peer) {
	all = append(all, &contestant{name: "tocsin", runs: map[bool][]run{}})
	for i, p := range peers {
		if !strings.Contains(strings.ToLower(p.name), strings.ToLower(*only)) {
			continue
		}
		program, err := find(p.binary)
		if err != nil {
			missing = append(missing, p)
			continue
		}
		version := p.version(ctx, program)
		all = append(all, &contestant{name: p.name, version: version, peer: &peers[i], program: program, runs: map[bool][]run{}})
		if p.module != "" {
			all = append(all, &contestant{name: p.name + tuned, version: version, peer: &peers[i], program: program, environment: []string{"GOGC=400"}, runs: map[bool][]run{}})
		}
	}
	return all, missing
}

// play fills a new broker, beside a new warehouse, and lets everyone read it, in an order that changes with the round.
func play(ctx context.Context, contestants []*contestant, round int, detect bool, want int) (err error) {
	dir, err := os.MkdirTemp("", "tocsin-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	plant, err := rig.Open(ctx, *own, filepath.Join(dir, "plant"), rig.Partitions, false, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plant.Close(context.WithoutCancel(ctx))) }()
	if err := rig.Fill(ctx, plant.Kafka.Addrs, rig.Partitions, records(*events)); err != nil {
		return err
	}
	goal := counts{rows: *events}
	if detect {
		goal.alerts = want
	}
	for i := range contestants {
		c := contestants[(i+round)%len(contestants)]
		var r run
		if c.peer == nil {
			r, err = shipped(ctx, plant, detect, goal)
		} else {
			folder := filepath.Join(dir, fmt.Sprint("peer-", i))
			if *keep != "" {
				folder = filepath.Join(*keep, fmt.Sprintf("%s-%d-%t-%d", c.peer.binary, i, detect, round))
			}
			r, err = c.once(ctx, plant, folder, detect, goal)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(os.Stderr, "round %d, rules %t, %s: %.1f CPU-s, %.0f s %s\n", round+1, detect, c.name, r.cpu.Seconds(), r.wall.Seconds(), r.trouble)
		c.runs[detect] = append(c.runs[detect], r)
	}
	return nil
}

// table prints the medians of the runs that were exact.
func table(w io.Writer, title string, contestants []*contestant, detect bool, want counts) error {
	fmt.Fprintf(w, "%s: %d rows, %d matches\n", title, want.rows, want.alerts)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "program\tCPU-s a million\tx tocsin's\tevents/s\tRSS MB\truns\t")
	million := float64(want.rows) / 1e6
	var base float64
	for _, c := range contestants {
		var good []run
		var trouble string
		for _, r := range c.runs[detect] {
			if r.trouble == "" {
				good = append(good, r)
			} else {
				trouble = r.trouble
			}
		}
		if len(good) == 0 {
			fmt.Fprintf(t, "%s\tnot counted: %s\t\t\t\t\t\n", c.name, trouble)
			continue
		}
		cpu := rig.Median(good, func(r run) float64 { return r.cpu.Seconds() / million })
		if c.peer == nil {
			base = cpu
		}
		times := "-" // where tocsin's own runs do not count
		if base > 0 {
			times = fmt.Sprintf("%.1f", cpu/base)
		}
		if trouble != "" {
			trouble = "; not counted: " + trouble
		}
		fmt.Fprintf(t, "%s\t%.1f\t%s\t%.0f\t%.0f\t%d exact of %d%s\t\n", c.name, cpu, times,
			rig.Median(good, func(r run) float64 { return float64(want.rows) / r.wall.Seconds() }),
			rig.Median(good, func(r run) float64 { return float64(r.rss) / 1e6 }), len(good), len(c.runs[detect]), trouble)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

// load is what the machine had to do in the last minute, in processes.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	if err != nil {
		return "unknown"
	}
	return first
}
