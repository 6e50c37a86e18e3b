package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestChaosMesh(t *testing.T) { parsetest.Run(t, "chaos-mesh") }
func FuzzChaosMesh(f *testing.F) { parsetest.Fuzz(f, "chaos-mesh") }
