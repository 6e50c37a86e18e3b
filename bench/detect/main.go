// Command detect prints how many signals a second one core judges by kinds of rules, and what a key takes of the memory:
// `go run ./bench/detect` from the top of the repository.
//
// Signals are a millisecond apart and come in polls of 5,000, each a transaction: the changed states are encoded for the
// changelog, and the transaction is committed. The kinds take turns; a figure is the median of the rounds, of the time that
// the process had a processor for, the garbage collector's included.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/correlate"
	"github.com/tocsin-project/tocsin/processors/rule"
)

var (
	rounds = flag.Int("rounds", 5, "times that each kind is measured")
	live   = flag.Int("keys", 1_000_000, "keys of the last table")
)

const (
	signals = 200_000
	poll    = 5_000
)

// kind is what is measured.
type kind struct {
	name        string
	rule        string
	keys, addrs int
	rates       []float64
}

const (
	count = `
kind: threshold
when: ev.Type == "auth.failed"
window: 1m
aggregates: {n: count}
having: n >= 1000000000`
	distinct = `
kind: threshold
when: ev.Type == "auth.failed"
window: 1m
aggregates: {n: distinct ev.SrcIP}
having: n >= 1000000000`
	sequence = `
kind: sequence
steps:
  - {id: a, when: ev.Type == "auth.failed", within: 10m, count: 20}
  - {id: b, when: ev.Type == "auth.success"}`
)

func main() {
	flag.Parse()
	runtime.GOMAXPROCS(1)
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "detect:", err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	kinds := []*kind{
		{name: "count, one key", rule: count, keys: 1, addrs: 10_000},
		{name: "distinct, one key, 10,000 values a window", rule: distinct, keys: 1, addrs: 10_000},
		{name: "count, 10,000 keys", rule: count, keys: 10_000, addrs: 10_000},
		{name: "distinct, 10,000 keys", rule: distinct, keys: 10_000, addrs: 10_000},
		{name: "sequence, 10,000 keys", rule: sequence, keys: 10_000, addrs: 10_000},
	}
	for range *rounds {
		for _, k := range kinds {
			rate, err := k.rate()
			if err != nil {
				return err
			}
			k.rates = append(k.rates, rate)
		}
	}
	commit, _ := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	fmt.Fprintf(w, "go run ./bench/detect; %s %s/%s; commit %s, one core; %d signals, medians of %d rounds\n\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, strings.TrimSpace(string(commit)), signals, *rounds)
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "signals through detect\tsignals/s\tx of count")
	for _, k := range kinds {
		fmt.Fprintf(table, "%s\t%.0f\t%.2f\n", k.name, median(k.rates), median(k.rates)/median(kinds[0].rates))
	}
	fmt.Fprintf(table, "\t\t\t\t\nlive keys\tbytes a key\tkeys\tin the changelog\trestored keys/s\n")
	for _, k := range kinds[2:] {
		got, err := k.idle(*live)
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%.0f\t%d\t%.0f\t%.0f\n", strings.TrimSuffix(k.name, ", 10,000 keys"), got.memory, *live, got.changelog, got.restored)
	}
	return table.Flush()
}

// load returns the kind's rule as a set.
func (k *kind) load() (*rule.Set, error) {
	text := "id: N\ntitle: t\nwhy: w\nkey: ev.Actor\nsubscriptions: [{team: sec, severity: 4}]\nalert: {title: t, summary: s}" + k.rule
	return rule.Load([]rule.File{{Name: "N.yaml", Data: []byte(text)}})
}

// flood gives n signals of the rule's first step to f, a millisecond apart, over so many keys and addresses.
func flood(set *rule.Set, n, keys, addrs int, f func([]pipeline.Signal)) error {
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	matcher := set.NewMatcher()
	b := &pipeline.Batch{TopicPartition: pipeline.TopicPartition{Topic: "in"}}
	for i := range n {
		t := start.Add(time.Duration(i) * time.Millisecond)
		b.Records = append(b.Records, pipeline.Record{Offset: int64(i), Time: t})
		if len(b.Records) < poll && i < n-1 {
			continue
		}
		for r := range b.Records {
			number := i - len(b.Records) + 1 + r
			a := number * 7919 % addrs
			e := b.Next(r)
			e.ID = pipeline.NewID(fmt.Sprint(number))
			e.Type, e.Actor, e.Host = "auth.failed", fmt.Sprint("user-", number*31%keys), "h"
			e.SrcIP = netip.AddrFrom4([4]byte{203, byte(a >> 16), byte(a >> 8), byte(a)})
		}
		if err := matcher.Process(context.Background(), b); err != nil {
			return err
		}
		f(b.Signals)
		topic := b.TopicPartition
		b.Reset()
		b.TopicPartition = topic
	}
	return nil
}

// rate returns the signals a second of a new engine.
func (k *kind) rate() (float64, error) {
	set, err := k.load()
	if err != nil {
		return 0, err
	}
	var in []pipeline.Signal
	if err := flood(set, signals, k.keys, k.addrs, func(s []pipeline.Signal) { in = append(in, s...) }); err != nil {
		return 0, err
	}
	e := correlate.New(set, correlate.Config{})
	var out pipeline.Output
	runtime.GC()
	began := used()
	for i := range in {
		e.Process(&in[i], &out)
		if (i+1)%poll == 0 {
			e.Tick(&out)
			e.Dirty(func(_, _ []byte) {})
			e.Commit()
		}
	}
	elapsed := used() - began
	if n := e.Stats().Signals; n != signals {
		return 0, fmt.Errorf("%s: %d signals judged, want %d", k.name, n, signals)
	}
	return signals / elapsed.Seconds(), nil
}

// idle is what a key costs that nothing happens to.
type idle struct {
	memory    float64 // bytes, beyond its name and value
	changelog float64 // bytes
	restored  float64 // keys a second, from the changelog's records in memory
}

// idle measures so many keys.
func (k *kind) idle(n int) (got idle, err error) {
	set, err := k.load()
	if err != nil {
		return got, err
	}
	debug.FreeOSMemory()
	before := heap()
	cfg := correlate.Config{Lateness: 24 * time.Hour, MaxKeys: n}
	e := correlate.New(set, cfg)
	var out pipeline.Output
	var changelog [][2][]byte
	names, size := 0, 0
	err = flood(set, n, n, n, func(s []pipeline.Signal) {
		for i := range s {
			names += len(s[i].Key)
			for _, v := range s[i].Values {
				names += len(v)
			}
			e.Process(&s[i], &out)
		}
		e.Dirty(func(key, value []byte) {
			changelog = append(changelog, [2][]byte{bytes.Clone(key), bytes.Clone(value)})
			size += len(key) + len(value)
		})
		e.Commit()
	})
	if err != nil {
		return got, err
	}
	again := correlate.New(set, cfg)
	began := used()
	for _, r := range changelog {
		if err := again.Restore(r[0], r[1]); err != nil {
			return got, err
		}
	}
	again.Commit()
	got.restored = float64(n) / (used() - began).Seconds()
	if e.Keys() != n || again.Keys() != n {
		return got, fmt.Errorf("%s: %d keys, %d of them restored, want %d", k.name, e.Keys(), again.Keys(), n)
	}
	again, changelog = nil, nil
	got.changelog = float64(size) / float64(n)
	got.memory = (heap() - before - float64(names)) / float64(n)
	runtime.KeepAlive(e)
	return got, nil
}

func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// used returns the processor time that the process has used.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("BUG: " + err.Error()) // the arguments are constant
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}
