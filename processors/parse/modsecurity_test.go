package parse_test

import (
	"os"
	"strings"
	"testing"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestModSecurity(t *testing.T) { parsetest.Run(t, "modsecurity") }
func FuzzModSecurity(f *testing.F) { parsetest.Fuzz(f, "modsecurity") }

// TestModSecuritySessions: the log has the headers whole; sessions and passwords go no further.
func TestModSecuritySessions(t *testing.T) {
	for _, sample := range []string{"made-audit.jsonl", "made-serial.log", "made-coraza.jsonl"} {
		log, err := os.ReadFile("testdata/modsecurity/" + sample)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range parsetest.Parse(t, pipeline.Record{Value: log}).Events {
			for _, secret := range []string{
				"6c1f0b8e2a7d4c55", "YWxpY2U6czNjcjN0LXBhc3M", "7f3b2c9d1e", "c2Vzc2lvbi1vZi1hLXVzZXI", "bmV3LXNlc3Npb24tb2Y", "Y29yYXphLXNlc3Npb24",
			} {
				if strings.Contains(e.Raw, secret) {
					t.Errorf("%s: raw has %s", e.Title, secret)
				}
			}
		}
	}
}
