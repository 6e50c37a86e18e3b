package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestPrometheus(t *testing.T) { parsetest.Run(t, "prometheus-text") }
func FuzzPrometheus(f *testing.F) { parsetest.Fuzz(f, "prometheus-text") }
