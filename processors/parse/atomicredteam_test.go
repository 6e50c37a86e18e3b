package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestAtomicRedTeam(t *testing.T) { parsetest.Run(t, "atomic-red-team") }
func FuzzAtomicRedTeam(f *testing.F) { parsetest.Fuzz(f, "atomic-red-team") }
