package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestDependabot(t *testing.T) { parsetest.Run(t, "dependabot") }
func FuzzDependabot(f *testing.F) { parsetest.Fuzz(f, "dependabot") }
