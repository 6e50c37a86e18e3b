package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestGitleaks(t *testing.T) { parsetest.Run(t, "gitleaks") }
func FuzzGitleaks(f *testing.F) { parsetest.Fuzz(f, "gitleaks") }

// TestGitleaksRedacted: what gitleaks masked itself has no fingerprint, or all of its findings would be one secret.
func TestGitleaksRedacted(t *testing.T) {
	b := parsetest.Parse(t, pipeline.Record{Value: []byte(`[{"RuleID":"aws-access-token","Secret":"REDACTED","Match":"key=REDACTED","File":"b.py","StartLine":3,"Fingerprint":"b.py:aws-access-token:3"}]`)})
	if len(b.Events) != 1 || b.Events[0].Attr("credential") != "" {
		t.Errorf("got %+v", b.Events)
	}
}
