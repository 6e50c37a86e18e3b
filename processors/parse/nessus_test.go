package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestNessus(t *testing.T) { parsetest.Run(t, "nessus") }
func FuzzNessus(f *testing.F) { parsetest.Fuzz(f, "nessus") }
