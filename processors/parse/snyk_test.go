package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestSnyk(t *testing.T) { parsetest.Run(t, "snyk") }
func FuzzSnyk(f *testing.F) { parsetest.Fuzz(f, "snyk") }
