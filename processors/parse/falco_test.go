package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestFalco(t *testing.T) { parsetest.Run(t, "falco") }
func FuzzFalco(f *testing.F) { parsetest.Fuzz(f, "falco") }
