package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestRegistryEvents(t *testing.T) { parsetest.Run(t, "registry-events") }
func FuzzRegistryEvents(f *testing.F) { parsetest.Fuzz(f, "registry-events") }
