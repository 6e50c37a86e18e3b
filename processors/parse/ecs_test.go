package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestECS(t *testing.T) { parsetest.Run(t, "ecs") }
func FuzzECS(f *testing.F) { parsetest.Fuzz(f, "ecs") }
