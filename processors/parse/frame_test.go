package parse

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/tocsin-project/tocsin/pipeline"
)

// TestValuesInALine holds logs of JSON to reading every value, whether a line has one, as they are written, or several. What
// is read of each line alone is read of all of them in one, and of one that is broken off nothing.
func TestValuesInALine(t *testing.T) {
	p, err := New(Config{FingerprintKey: "test"})
	if err != nil {
		t.Fatal(err)
	}
	read := func(format string, value []byte) (raws []string, failed int) {
		b := &pipeline.Batch{Records: []pipeline.Record{{Value: value, Headers: []pipeline.Header{{Key: "tocsin_source", Value: []byte(format)}}}}}
		if err := p.Process(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		for i := range b.Events {
			raws = append(raws, b.Events[i].Type+" "+b.Events[i].Raw)
		}
		return raws, len(b.Failures)
	}
	formats := map[string]bool{}
	for _, sample := range allSamples(t) {
		f := Lookup(sample.format)
		if f == nil || !f.Log || f.Frame != Values && f.Frame != Reports {
			continue
		}
		for line, rest := []byte(nil), sample.record.Value; len(rest) > 0; {
			line, rest = cutLine(rest)
			if !isWhole(line) {
				continue
			}
			one, failed := read(f.Name, line)
			if failed > 0 {
				continue
			}
			formats[f.Name] = true
			if two, failed := read(f.Name, slices.Concat(line, []byte(" "), line)); failed > 0 || !slices.Equal(two, slices.Concat(one, one)) {
				t.Errorf("%s/%s: a line twice gave %d events and %d refusals, alone %d", f.Name, sample.name, len(two), failed, len(one))
			}
			torn := slices.Concat(line[:len(line)-1], []byte("\n}"))
			if two, failed := read(f.Name, torn); failed > 0 || len(two) != len(one) {
				t.Errorf("%s/%s: over two lines it gave %d events and %d refusals, in one %d", f.Name, sample.name, len(two), failed, len(one))
			}
			if two, failed := read(f.Name, append(bytes.Clone(line[:len(line)-1]), `,"torn":}`...)); failed == 0 {
				t.Errorf("%s/%s: a broken line gave %d events and no refusal", f.Name, sample.name, len(two))
			}
		}
	}
	if len(formats) < 10 {
		t.Errorf("only of %v there are lines", formats)
	}
}
