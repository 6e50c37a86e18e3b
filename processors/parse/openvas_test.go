package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestOpenVAS(t *testing.T) { parsetest.Run(t, "openvas") }
func FuzzOpenVAS(f *testing.F) { parsetest.Fuzz(f, "openvas") }
