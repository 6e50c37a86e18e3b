package parse_test

import (
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestTrivy(t *testing.T) { parsetest.Run(t, "trivy") }
func FuzzTrivy(f *testing.F) { parsetest.Fuzz(f, "trivy") }

// TestOperatorsInventoryIsOne: the Trivy Operator's SbomReport holds an inventory in CycloneDX, which is read as such.
func TestOperatorsInventoryIsOne(t *testing.T) {
	b := parsetest.Parse(t, pipeline.Record{Time: time.Unix(1795000000, 0), Value: []byte(`{"apiVersion":"aquasecurity.github.io/v1alpha1","kind":"SbomReport",` +
		`"metadata":{"name":"a"},"report":{"components":{"bomFormat":"CycloneDX","specVersion":"1.5","components":[{"type":"library","name":"zlib","version":"1.2"}]}}}`)})
	if len(b.Events) != 1 || b.Events[0].Source != "cyclonedx" || b.Events[0].Type != "component.added" {
		t.Errorf("got %+v %v, want one component", b.Events, b.Failures)
	}
}
