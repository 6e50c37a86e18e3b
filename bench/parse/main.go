// Command parse prints how fast every source format is read: `go run ./bench/parse [format ...]` from the top of the
// repository. It feeds each format with the samples of its testdata, repeated where the format is one of lines, and
// compares JSON formats with encoding/json decoding the same values into a map.
//
// One core, one worker, batches reused as the pipeline reuses them. MB/s are of the payloads, 10^6 bytes, and of the time
// that the process had a core for, the garbage collector's included: what else runs on the machine matters less.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/parse"
)

var (
	samples = flag.String("samples", "processors/parse/testdata", "folder with a folder of samples for each format")
	budget  = flag.Duration("time", 300*time.Millisecond, "time spent on each format")
	profile = flag.String("cpuprofile", "", "file for a profile of the parsers alone, for go tool pprof")
)

// arrival is when the records arrived, which dates without a year need.
var arrival = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// payload is what a sample is repeated up to, where its format allows it.
const payload = 256 << 10

func main() {
	flag.Parse()
	if err := run(os.Stdout, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "parse:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, only []string) error {
	runtime.GOMAXPROCS(1)
	p, err := parse.New(parse.Config{FingerprintKey: "bench"})
	if err != nil {
		return err
	}
	if *profile != "" {
		file, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "format\tMB/s\tevents/s\tB/event\tallocs/event\tx encoding/json\t")
	for i := range parse.Formats {
		f := &parse.Formats[i]
		if len(only) > 0 && !slices.Contains(only, f.Name) {
			continue
		}
		records, err := recordsOf(f)
		if errors.Is(err, os.ErrNotExist) || err == nil && len(records) == 0 {
			continue
		}
		if err != nil {
			return err
		}
		r, err := measure(p, records)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		ratio := "-"
		if *profile != "" { // encoding/json would be most of it
		} else if slower, ok := measureJSON(records); ok {
			ratio = fmt.Sprintf("%.1f", r.bytesPerSecond()/slower.bytesPerSecond())
		}
		fmt.Fprintf(table, "%s\t%.0f\t%.0f\t%.0f\t%.1f\t%s\t\n", f.Name, r.bytesPerSecond()/1e6, float64(r.events)/r.elapsed.Seconds(),
			float64(r.bytes)/float64(r.events), float64(r.allocs)/float64(r.events), ratio)
	}
	return table.Flush()
}

// recordsOf returns the samples of a format as records that name it.
func recordsOf(f *parse.Format) ([]pipeline.Record, error) {
	entries, err := os.ReadDir(filepath.Join(*samples, f.Name))
	if err != nil {
		return nil, err
	}
	var records []pipeline.Record
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || name == "ORIGIN" || name == "LICENSE" || strings.HasSuffix(name, ".golden") || strings.HasSuffix(name, ".headers") ||
			strings.HasPrefix(name, "odd") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(*samples, f.Name, name))
		if err != nil {
			return nil, err
		}
		if data, err = sound(f, data); err != nil {
			return nil, err
		}
		if f.Frame != parse.Document && len(data) > 0 && !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) && (f.Frame == parse.Lines || isJSON(data)) {
			if data[len(data)-1] != '\n' {
				data = append(data, '\n')
			}
			data = bytes.Repeat(data, max(1, payload/len(data)))
		}
		headers := []pipeline.Header{{Key: "tocsin_source", Value: []byte(f.Name)}}
		records = append(records, pipeline.Record{Time: arrival, Value: data, Headers: headers})
	}
	return records, nil
}

// sound returns a sample without the lines that its format refuses: torn lines are there for the tests, and a decoder of
// the standard library would end at the first.
func sound(f *parse.Format, data []byte) ([]byte, error) {
	p, err := parse.New(parse.Config{FingerprintKey: "bench"})
	if err != nil {
		return nil, err
	}
	headers := []pipeline.Header{{Key: "tocsin_source", Value: []byte(f.Name)}}
	b := &pipeline.Batch{Records: []pipeline.Record{{Time: arrival, Value: data, Headers: headers}}}
	if err := p.Process(context.Background(), b); err != nil || len(b.Failures) == 0 {
		return data, err
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	for _, refused := range b.Failures {
		if n := refused.Line; n > 0 && n <= len(lines) {
			lines[n-1] = nil
		}
	}
	return bytes.Join(lines, nil), nil
}

func isJSON(b []byte) bool {
	return json.NewDecoder(bytes.NewReader(b)).Decode(new(json.RawMessage)) == nil
}

// result is what was done in the time.
type result struct {
	bytes, events int
	allocs        uint64
	elapsed       time.Duration
}

func (r result) bytesPerSecond() float64 { return float64(r.bytes) / r.elapsed.Seconds() }

func measure(p *parse.Parser, records []pipeline.Record) (result, error) {
	b := new(pipeline.Batch)
	once := func() error {
		b.Reset()
		b.Records = append(b.Records, records...)
		return p.Process(context.Background(), b)
	}
	if err := once(); err != nil { // grows what is reused later
		return result{}, err
	}
	if len(b.Events) == 0 {
		return result{}, errors.New("samples give no event")
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var r result
	for start := used(); r.elapsed < *budget; r.elapsed = used() - start {
		if err := once(); err != nil {
			return r, err
		}
		r.events += len(b.Events)
		r.bytes += size(records)
	}
	runtime.ReadMemStats(&after)
	r.allocs = after.Mallocs - before.Mallocs
	return r, nil
}

// measureJSON decodes the records' JSON values into maps, as a pipeline without typed parsers does.
func measureJSON(records []pipeline.Record) (result, bool) {
	var r result
	for start := used(); r.elapsed < *budget; r.elapsed = used() - start {
		for i := range records {
			d := json.NewDecoder(bytes.NewReader(records[i].Value))
			for {
				var v any
				err := d.Decode(&v)
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					return r, false
				}
			}
		}
		r.bytes += size(records)
	}
	return r, r.bytes > 0
}

// used returns the processor time that the process has used.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("BUG: " + err.Error()) // the arguments are constant
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func size(records []pipeline.Record) int {
	n := 0
	for i := range records {
		n += len(records[i].Value)
	}
	return n
}
