package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestCheckov(t *testing.T) { parsetest.Run(t, "checkov") }
func FuzzCheckov(f *testing.F) { parsetest.Fuzz(f, "checkov") }
