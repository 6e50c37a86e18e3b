package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestSARIF(t *testing.T) { parsetest.Run(t, "sarif") }
func FuzzSARIF(f *testing.F) { parsetest.Fuzz(f, "sarif") }
