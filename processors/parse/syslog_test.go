package parse_test

import (
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestSyslog(t *testing.T) { parsetest.Run(t, "syslog") }
func FuzzSyslog(f *testing.F) { parsetest.Fuzz(f, "syslog") }

// TestFalcoInSyslog: what Falco sends to syslog is the detection that its own log is.
func TestFalcoInSyslog(t *testing.T) {
	b := parsetest.Parse(t, pipeline.Record{
		Time: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Value: []byte("Nov 22 08:00:00 n1 falco: 08:00:00.123456789: Warning Shell spawned (user=root)"),
	})
	if len(b.Events) != 1 || b.Events[0].Type != "detection" || b.Events[0].Severity != pipeline.SeverityMedium || b.Events[0].Host != "n1" {
		t.Errorf("got %+v", b.Events)
	}
}
