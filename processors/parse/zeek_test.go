package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestZeek(t *testing.T) { parsetest.Run(t, "zeek") }
func FuzzZeek(f *testing.F) { parsetest.Fuzz(f, "zeek") }
