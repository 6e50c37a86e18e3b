package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestLitmus(t *testing.T) { parsetest.Run(t, "litmus") }
func FuzzLitmus(f *testing.F) { parsetest.Fuzz(f, "litmus") }
