package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestDependencyTrack(t *testing.T) { parsetest.Run(t, "dependency-track") }
func FuzzDependencyTrack(f *testing.F) { parsetest.Fuzz(f, "dependency-track") }
