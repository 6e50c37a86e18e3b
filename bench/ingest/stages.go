package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/ClickHouse/ch-go/compress"

	"github.com/tocsin-project/tocsin/bench/corpus"
)

// stage is a part of what an event costs: a sample of the profile is of the first stage that has one of its functions, or a
// part of their names, in the stack.
type stage struct {
	name      string
	functions []string
	limit     string // what the machine takes for the least of it; empty where nothing simple tells
	least     func(records [][]byte) func()
}

var stages = []stage{
	{name: "redact", functions: []string{"parse.(*Parser).redact"}},
	{name: "id", functions: []string{"parse.(*Out).identity"}, limit: "SHA-1 of 64 bytes", least: leastID},
	{name: "recognise", functions: []string{"parse.(*Parser).choose"}, limit: "none: records that name their source", least: func([][]byte) func() { return func() {} }},
	{name: "parse", functions: []string{"processors/parse."}, limit: "json.Valid, where it is JSON", least: leastParse},
	{name: "enrich", functions: []string{"processors/enrich."}},
	{name: "rules", functions: []string{"processors/rule."}},
	{name: "compress", functions: []string{"ch-go/compress."}, limit: "LZ4 of the records", least: leastCompress},
	{name: "columns", functions: []string{"clickhouse.(*block", "EncodeColumn", "encodeBlock"}, limit: "a copy of the records", least: leastCopy},
	{name: "send, wait, acknowledge", functions: []string{"pipeline/clickhouse.", "ch-go"}},
	{name: "decompress", functions: []string{"ecompress"}, limit: "LZ4 of the records, back", least: leastDecompress},
	{name: "fetch, commit", functions: []string{"twmb/franz-go"}},
	{name: "garbage collector", functions: []string{"runtime.gcBgMarkWorker", "runtime.bgsweep", "runtime.bgscavenge"}},
	{name: "the rest", functions: []string{""}},
}

// printStages says how the processor time of an event divides, by a profile of the run that took so much, beside what the
// machine takes for the least that a stage can be.
func printStages(w io.Writer, profile string, cpu time.Duration) error {
	traces, err := exec.Command("go", "tool", "pprof", "-traces", profile).Output()
	if err != nil {
		return fmt.Errorf("go tool pprof: %w", err)
	}
	took, err := divide(string(traces))
	if err != nil {
		return err
	}
	var whole time.Duration
	for _, d := range took {
		whole += d
	}
	if whole == 0 {
		return fmt.Errorf("%s has no samples", profile)
	}
	var sample [][]byte
	for i := range 10_000 {
		sample = append(sample, corpus.Record(i, began))
	}
	event := float64(cpu.Nanoseconds()) / float64(*events)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "stage\tns an event\tshare\tleast, ns\tthat is")
	for i, s := range stages {
		share := float64(took[i]) / float64(whole)
		least := ""
		if s.least != nil {
			least = fmt.Sprint(cheapest(s.least(sample)).Nanoseconds() / int64(len(sample)))
		}
		fmt.Fprintf(t, "%s\t%.0f\t%.1f %%\t%s\t%s\n", s.name, share*event, 100*share, least, s.limit)
	}
	fmt.Fprintf(t, "all\t%.0f\t\t\t%v of samples\n", event, whole)
	return t.Flush()
}

// divide returns how long each stage was on a processor, by what `go tool pprof -traces` prints: a stack a section, the time
// before its innermost function.
func divide(traces string) ([]time.Duration, error) {
	took := make([]time.Duration, len(stages))
	for i, section := range strings.Split(traces, "-----------+") {
		_, stack, _ := strings.Cut(section, "\n")
		number, _, _ := strings.Cut(strings.TrimSpace(stack), " ")
		if i == 0 || number == "" {
			continue // the head; behind the last line
		}
		d, err := time.ParseDuration(number)
		if err != nil {
			return nil, fmt.Errorf("a stack begins with %q, which is no time", number)
		}
		at := slices.IndexFunc(stages, func(s stage) bool {
			return slices.ContainsFunc(s.functions, func(name string) bool { return strings.Contains(stack, name) })
		})
		took[at] += d
	}
	return took, nil
}

// cheapest is the least processor time that f took of a few times.
func cheapest(f func()) time.Duration {
	least := time.Duration(1 << 62)
	for range 9 {
		before := used()
		f()
		least = min(least, used()-before)
	}
	return least
}

// used is the processor time of this process so far.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("BUG: " + err.Error()) // it has no other
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// The functions below return what is measured; what they do before is not.

func leastID(records [][]byte) func() {
	hash, sum := sha1.New(), make([]byte, 0, sha1.Size)
	return func() {
		for _, r := range records {
			hash.Reset()
			hash.Write(r[:64])
			sum = hash.Sum(sum[:0])
		}
	}
}

func leastParse(records [][]byte) func() {
	return func() {
		for _, r := range records {
			if r[0] == '{' && !json.Valid(r) {
				panic("BUG: the corpus is no JSON")
			}
		}
	}
}

func leastCopy(records [][]byte) func() {
	all := bytes.Join(records, nil)
	return func() {
		all = all[:0]
		for _, r := range records {
			all = append(all, r...)
		}
	}
}

func leastCompress(records [][]byte) func() {
	all, w := bytes.Join(records, nil), compress.NewWriter(compress.LevelZero, compress.LZ4)
	return func() {
		for part := range slices.Chunk(all, 1<<20) {
			if err := w.Compress(part); err != nil {
				panic("BUG: " + err.Error())
			}
		}
	}
}

func leastDecompress(records [][]byte) func() {
	all, w := bytes.Join(records, nil), compress.NewWriter(compress.LevelZero, compress.LZ4)
	var blocks []byte
	for part := range slices.Chunk(all, 1<<20) {
		if err := w.Compress(part); err != nil {
			panic("BUG: " + err.Error())
		}
		blocks = append(blocks, w.Data...)
	}
	return func() {
		if _, err := io.ReadFull(compress.NewReader(bytes.NewReader(blocks)), all); err != nil {
			panic("BUG: " + err.Error())
		}
	}
}
