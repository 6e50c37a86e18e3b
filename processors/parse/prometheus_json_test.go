package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestPrometheusJSON(t *testing.T) { parsetest.Run(t, "prometheus-json") }
func FuzzPrometheusJSON(f *testing.F) { parsetest.Fuzz(f, "prometheus-json") }
