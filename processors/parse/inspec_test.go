package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestInspec(t *testing.T) { parsetest.Run(t, "inspec") }
func FuzzInspec(f *testing.F) { parsetest.Fuzz(f, "inspec") }
