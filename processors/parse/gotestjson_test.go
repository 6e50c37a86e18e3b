package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestGoTestJSON(t *testing.T) { parsetest.Run(t, "go-test-json") }
func FuzzGoTestJSON(f *testing.F) { parsetest.Fuzz(f, "go-test-json") }
