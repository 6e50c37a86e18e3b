package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestDependencyCheck(t *testing.T) { parsetest.Run(t, "dependency-check") }
func FuzzDependencyCheck(f *testing.F) { parsetest.Fuzz(f, "dependency-check") }
