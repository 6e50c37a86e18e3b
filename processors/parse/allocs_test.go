package parse

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// TestLogLinesAllocateLittle holds line-oriented formats to what an event may cost: two allocations, over a payload of
// their samples such as a shipper sends, in a batch that was used before.
func TestLogLinesAllocateLittle(t *testing.T) {
	for name, ceiling := range map[string]float64{
		"suricata-eve": 1, "zeek": 1, "vpc-flow-logs": 2, "netflow": 2, "access-log": 1, "falco": 2, "influx-line": 2, "sshd-auth": 1,
		"syslog": 1, "prometheus-text": 1, "wazuh-alerts": 2, "go-test-json": 2, "otlp-metrics": 1, "ecs": 2,
	} {
		t.Run(name, func(t *testing.T) {
			p, err := New(Config{FingerprintKey: "test"})
			if err != nil {
				t.Fatal(err)
			}
			records := payloads(t, name)
			b := new(pipeline.Batch)
			once := func() {
				b.Reset()
				b.Records = append(b.Records, records...)
				if err := p.Process(context.Background(), b); err != nil {
					t.Fatal(err)
				}
			}
			once() // grows what is reused
			if len(b.Events) == 0 {
				t.Fatal("samples give no event")
			}
			least := testing.AllocsPerRun(3, once)
			for range 2 {
				least = min(least, testing.AllocsPerRun(3, once))
			}
			if perEvent := least / float64(len(b.Events)); perEvent > ceiling {
				t.Errorf("%.2f allocations an event, at most %.0f are allowed", perEvent, ceiling)
			}
		})
	}
}

// payloads returns the samples of a format that it refuses nothing of, each repeated: a dead letter costs more.
func payloads(t *testing.T, format string) (records []pipeline.Record) {
	t.Helper()
	dir := filepath.Join("testdata", format)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(Config{FingerprintKey: "test"})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if n := e.Name(); n == "ORIGIN" || strings.HasSuffix(n, ".golden") || strings.HasSuffix(n, ".headers") || strings.HasPrefix(n, "odd") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		data = append(bytes.TrimRight(data, "\n"), '\n')
		record := pipeline.Record{
			Time: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Value: bytes.Repeat(data, 1+64<<10/len(data)),
			Headers: []pipeline.Header{{Key: "tocsin_source", Value: []byte(format)}},
		}
		b := &pipeline.Batch{Records: []pipeline.Record{record}}
		if err := p.Process(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		if len(b.Failures) == 0 {
			records = append(records, record)
		}
	}
	return records
}
