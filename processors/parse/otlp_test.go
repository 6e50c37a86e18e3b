package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestOTLPLogs(t *testing.T) { parsetest.Run(t, "otlp-logs") }
func FuzzOTLPLogs(f *testing.F) { parsetest.Fuzz(f, "otlp-logs") }

func TestOTLPMetrics(t *testing.T) { parsetest.Run(t, "otlp-metrics") }
func FuzzOTLPMetrics(f *testing.F) { parsetest.Fuzz(f, "otlp-metrics") }

func TestOTLPTraces(t *testing.T) { parsetest.Run(t, "otlp-traces") }
func FuzzOTLPTraces(f *testing.F) { parsetest.Fuzz(f, "otlp-traces") }
