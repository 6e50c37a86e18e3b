package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestGrype(t *testing.T) { parsetest.Run(t, "grype") }
func FuzzGrype(f *testing.F) { parsetest.Fuzz(f, "grype") }
