package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestSemgrep(t *testing.T) { parsetest.Run(t, "semgrep") }
func FuzzSemgrep(f *testing.F) { parsetest.Fuzz(f, "semgrep") }
