package parse_test

import (
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestWazuh(t *testing.T) { parsetest.Run(t, "wazuh-alerts") }
func FuzzWazuh(f *testing.F) { parsetest.Fuzz(f, "wazuh-alerts") }

// TestWazuhSolved: a vulnerability that is gone is mended, and it is the same finding.
func TestWazuhSolved(t *testing.T) {
	events := map[string]pipeline.Event{}
	for _, status := range []string{"Active", "Solved"} {
		b := parsetest.Parse(t, pipeline.Record{Time: time.Unix(1795000000, 0), Value: []byte(`{"timestamp":"2026-11-22T08:00:00.123+0000","rule":{"level":10,` +
			`"description":"x","id":"` + status + `","groups":["vulnerability-detector"]},"agent":{"id":"001","name":"h"},"manager":{"name":"m"},"id":"1.6","data":` +
			`{"vulnerability":{"cve":"CVE-2026-1","severity":"High","status":"` + status + `","package":{"name":"openssl","version":"1.1.1"}}}}`)})
		if len(b.Events) != 1 {
			t.Fatalf("%s: got %+v", status, b)
		}
		events[status] = b.Events[0]
	}
	found, gone := events["Active"], events["Solved"]
	if found.Type != "vulnerability.found" || gone.Type != "finding.corrected" || gone.Outcome != pipeline.OutcomeSuccess || found.FindingKey != gone.FindingKey {
		t.Errorf("got %+v and %+v", found, gone)
	}
}
