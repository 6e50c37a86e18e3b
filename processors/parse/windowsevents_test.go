package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestWindows(t *testing.T) { parsetest.Run(t, "security-datasets") }
func FuzzWindows(f *testing.F) { parsetest.Fuzz(f, "security-datasets") }
