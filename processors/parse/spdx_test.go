package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestSPDX(t *testing.T) { parsetest.Run(t, "spdx") }
func FuzzSPDX(f *testing.F) { parsetest.Fuzz(f, "spdx") }
