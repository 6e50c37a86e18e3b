package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestTfsec(t *testing.T) { parsetest.Run(t, "tfsec") }
func FuzzTfsec(f *testing.F) { parsetest.Fuzz(f, "tfsec") }
