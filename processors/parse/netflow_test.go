package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestNetflow(t *testing.T) { parsetest.Run(t, "netflow") }
func FuzzNetflow(f *testing.F) { parsetest.Fuzz(f, "netflow") }
