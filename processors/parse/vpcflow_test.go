package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestVPCFlow(t *testing.T) { parsetest.Run(t, "vpc-flow-logs") }
func FuzzVPCFlow(f *testing.F) { parsetest.Fuzz(f, "vpc-flow-logs") }
