// Package parsetest is the suite that every source format passes: Run compares its samples with their golden files and
// checks what holds for all formats, Fuzz asserts properties on whatever the fuzzer makes of the samples.
package parsetest

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/parse"
	"github.com/tocsin-project/tocsin/schemas"
)

var update = flag.Bool("update", false, "rewrite the golden files; read the difference as the change")

// Arrival is when the samples' records arrived, as far as the tests go.
var Arrival = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// Run parses every sample in testdata/<format>, without naming the format, and compares the events and refusals with the
// golden file beside it (<sample>.golden). A file <sample>.headers holds the record's headers, "name: value" a line.
// Files ORIGIN and LICENSE are for readers.
func Run(t *testing.T, format string) {
	t.Helper()
	samples := samplesOf(t, format)
	if len(samples) == 0 {
		t.Fatalf("no sample in testdata/%s", format)
	}
	for _, path := range samples {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			rec := pipeline.Record{Time: Arrival, Value: data, Headers: headersOf(t, path)}
			b := Parse(t, rec)
			check(t, b)
			for i := range b.Events {
				if got := b.Events[i].Source; got != format {
					t.Fatalf("recognised as %s", got)
				}
			}
			again := Parse(t, rec)
			if diff := cmp.Diff(render(b), render(again)); diff != "" {
				t.Fatalf("the same record gave other events (-first +second):\n%s", diff)
			}
			golden := path + ".golden"
			got := render(b)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v (run with -update, then read what it wrote)", err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Fatalf("differs from the golden file (-want +got):\n%s", diff)
			}
		})
	}
}

// Fuzz feeds the format with what the fuzzer makes of its samples and checks what holds for all input: no panic, the same
// events for the same input, and the properties of check.
func Fuzz(f *testing.F, format string) {
	f.Helper()
	for _, path := range samplesOf(f, format) {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		if len(data) < 64<<10 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rec := pipeline.Record{Time: Arrival, Value: data, Headers: []pipeline.Header{{Key: "tocsin_source", Value: []byte(format)}}}
		b := Parse(t, rec)
		check(t, b)
		if again := Parse(t, rec); render(b) != render(again) {
			t.Fatalf("the same record gave other events:\n%s\n%s", render(b), render(again))
		}
	})
}

// Parse runs one record through a parser of its own.
func Parse(t testing.TB, rec pipeline.Record) *pipeline.Batch {
	t.Helper()
	p, err := parse.New(parse.Config{FingerprintKey: "parsetest"})
	if err != nil {
		t.Fatal(err)
	}
	b := &pipeline.Batch{Records: []pipeline.Record{rec}}
	if err := p.Process(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	return b
}

// check holds what is true of every parsed batch.
func check(t testing.TB, b *pipeline.Batch) {
	t.Helper()
	if len(b.Events)+len(b.Failures) == 0 {
		t.Fatal("the record gave neither events nor a refusal")
	}
	for _, f := range b.Failures {
		if f.Reason == "" || f.Stage != "parse" {
			t.Fatalf("refused without a reason: %+v", f)
		}
	}
	ids := map[string]int{}
	for i := range b.Events {
		e := &b.Events[i]
		at := fmt.Sprintf("event %d (%s)", i, e.Type)
		f := parse.Lookup(e.Source)
		if f == nil {
			t.Fatalf("%s: source %q is no format", at, e.Source)
		}
		if !slices.Contains(f.Types, e.Type) {
			t.Fatalf("%s: type is none of those that %s declares", at, e.Source)
		}
		if !knownTypes[e.Type] {
			t.Fatalf("%s: type is not in the vocabulary of schemas", at)
		}
		if !slices.Contains(schemas.Phases, e.Phase) || !slices.Contains(schemas.Outcomes, e.Outcome) ||
			!slices.Contains(schemas.NetScopes, e.NetScope) || !slices.Contains(schemas.Teams, e.Team) {
			t.Fatalf("%s: a word outside of its enumeration: phase %q outcome %q scope %q team %q", at, e.Phase, e.Outcome, e.NetScope, e.Team)
		}
		if e.Severity > pipeline.SeverityFatal {
			t.Fatalf("%s: severity %d", at, e.Severity)
		}
		if e.Time.IsZero() || e.Time.Year() < 1970 || e.Time.Year() > 2262 {
			t.Fatalf("%s: time %v", at, e.Time)
		}
		if e.Metric == "" && e.Value != 0 {
			t.Fatalf("%s: value %v of no metric", at, e.Value)
		}
		// One record within another twice is the same event twice, as if it had been sent twice.
		if j, seen := ids[e.ID.String()]; seen && (b.Events[j].Raw != e.Raw || b.Events[j].Type != e.Type) {
			t.Fatalf("%s: has the id of event %d", at, j)
		}
		ids[e.ID.String()] = i
	}
}

var knownTypes = func() map[string]bool {
	m := map[string]bool{}
	for _, t := range schemas.EventTypes {
		m[t.Name] = true
	}
	return m
}()

// render prints a batch as golden files hold it: the events as `tocsin parse` prints them without the raw text, then the
// refusals.
func render(b *pipeline.Batch) string {
	var out bytes.Buffer
	for i := range b.Events {
		e := b.Events[i]
		e.Raw = ""
		out.Write(e.AppendJSON(nil))
		out.WriteByte('\n')
	}
	for _, f := range b.Failures {
		fmt.Fprintf(&out, "line %d: %s\n", f.Line, f.Reason)
	}
	return out.String()
}

func samplesOf(t testing.TB, format string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join("testdata", format))
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, e := range entries {
		switch {
		case e.IsDir(), e.Name() == "ORIGIN", e.Name() == "LICENSE":
		case strings.HasSuffix(e.Name(), ".golden"), strings.HasSuffix(e.Name(), ".headers"):
		default:
			paths = append(paths, filepath.Join("testdata", format, e.Name()))
		}
	}
	return paths
}

func headersOf(t testing.TB, path string) []pipeline.Header {
	t.Helper()
	data, err := os.ReadFile(path + ".headers")
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var headers []pipeline.Header
	for line := range strings.Lines(string(data)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			t.Fatalf("%s.headers: %q is not \"name: value\"", path, line)
		}
		headers = append(headers, pipeline.Header{Key: name, Value: []byte(value)})
	}
	return headers
}
