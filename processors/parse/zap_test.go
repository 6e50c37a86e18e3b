package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestZAP(t *testing.T) { parsetest.Run(t, "zap") }
func FuzzZAP(f *testing.F) { parsetest.Fuzz(f, "zap") }
