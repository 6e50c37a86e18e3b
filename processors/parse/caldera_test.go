package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestCaldera(t *testing.T) { parsetest.Run(t, "caldera") }
func FuzzCaldera(f *testing.F) { parsetest.Fuzz(f, "caldera") }
