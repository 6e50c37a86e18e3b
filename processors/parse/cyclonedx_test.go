package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestCycloneDX(t *testing.T) { parsetest.Run(t, "cyclonedx") }
func FuzzCycloneDX(f *testing.F) { parsetest.Fuzz(f, "cyclonedx") }
