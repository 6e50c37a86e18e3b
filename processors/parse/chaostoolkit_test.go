package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestChaosToolkit(t *testing.T) { parsetest.Run(t, "chaos-toolkit") }
func FuzzChaosToolkit(f *testing.F) { parsetest.Fuzz(f, "chaos-toolkit") }
