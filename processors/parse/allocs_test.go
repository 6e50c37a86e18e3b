package parse

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
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
			least, events := allocations(t, p, records)
			if perEvent := least / float64(events); perEvent > ceiling {
				t.Errorf("%.2f allocations an event, at most %.0f are allowed", perEvent, ceiling)
			}
		})
	}
}

// TestMixedTopicAllocatesLittle lets formats of logs take turns in a topic, a line a record, as shippers send them: what one
// decodes into is not made anew because another came between.
func TestMixedTopicAllocatesLittle(t *testing.T) {
	p, err := New(Config{FingerprintKey: "test"})
	if err != nil {
		t.Fatal(err)
	}
	var records []pipeline.Record
	for _, file := range []string{"suricata-eve/telegraf-flow.jsonl", "falco/shell-and-shadow.jsonl", "k8s-audit/crowdsec-priv-pod.jsonl", "wazuh-alerts/ssh-auth-failed-5716.json", "ecs/pino.jsonl"} {
		data, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		line, _, _ := bytes.Cut(data, []byte("\n"))
		records = append(records, pipeline.Record{Time: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Value: line})
	}
	least, events := allocations(t, p, slices.Repeat(records, 20))
	if perEvent := least / float64(events); perEvent > 3 {
		t.Errorf("%.2f allocations an event, at most 3 are allowed", perEvent)
	}
	if v, _ := keep[suricataEvent](&p.out); v.Timestamp != "" {
		t.Errorf("after the batch %q is kept, and the record's memory with it", v.Timestamp)
	}
}

// allocations returns how many a batch of the records takes once everything that is used again is large enough, and how many
// events it gives.
func allocations(t *testing.T, p *Parser, records []pipeline.Record) (least float64, events int) {
	t.Helper()
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
	least = testing.AllocsPerRun(3, once)
	for range 2 {
		least = min(least, testing.AllocsPerRun(3, once))
	}
	return least, len(b.Events)
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
