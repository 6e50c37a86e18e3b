package parse_test

import (
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestCloudEvents(t *testing.T) { parsetest.Run(t, "cloudevents") }
func FuzzCloudEvents(f *testing.F) { parsetest.Fuzz(f, "cloudevents") }

// TestEnvelopeInHeadersGivesTheTime: a report in binary mode that its own format reads, and that tells no time, has that of
// the envelope.
func TestEnvelopeInHeadersGivesTheTime(t *testing.T) {
	sent := time.Date(2026, 11, 20, 8, 30, 0, 0, time.UTC)
	for _, header := range []string{"ce_time", "ce-time", "Ce-Time"} {
		b := parsetest.Parse(t, pipeline.Record{
			Time:  sent.Add(time.Hour),
			Value: []byte(`{"Golang errors":{},"Issues":[],"Stats":{"files":1,"lines":2,"nosec":0,"found":0},"GosecVersion":"2.21.0"}`),
			Headers: []pipeline.Header{
				{Key: "ce_type", Value: []byte("org.example.report")}, {Key: header, Value: []byte("2026-11-20T09:30:00+01:00")},
			},
		})
		if len(b.Events) != 1 || b.Events[0].Source != "gosec" || !b.Events[0].Time.Equal(sent) {
			t.Errorf("%s: got %+v, want one event of gosec at %v", header, b.Events, sent)
		}
	}
}

// TestFindingKeepsItsKey: what is found and what is later said of it is one finding.
func TestFindingKeepsItsKey(t *testing.T) {
	keys := map[uint64]string{}
	for _, typ := range []string{"secret.detected", "compliance.checked", "malware.detected", "finding.suppressed", "finding.accepted", "finding.corrected", "finding.reopened"} {
		b := parsetest.Parse(t, pipeline.Record{Time: time.Unix(1795000000, 0), Value: []byte(`{"specversion":"1.0","id":"1","source":"/x","type":"tocsin.` + typ +
			`","data":{"project":"pay","rule_id":"aws-key","attributes":{"code.file.path":"a/b.env"}}}`)})
		if len(b.Events) != 1 || b.Events[0].Type != typ || b.Events[0].FindingKey == 0 {
			t.Fatalf("%s: got %+v", typ, b.Events)
		}
		keys[b.Events[0].FindingKey] = typ
	}
	if len(keys) != 1 {
		t.Errorf("one finding has several keys: %v", keys)
	}
}
