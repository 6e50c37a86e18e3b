package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestDagda(t *testing.T) { parsetest.Run(t, "dagda") }
func FuzzDagda(f *testing.F) { parsetest.Fuzz(f, "dagda") }
