package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestIperf(t *testing.T) { parsetest.Run(t, "iperf3") }
func FuzzIperf(f *testing.F) { parsetest.Fuzz(f, "iperf3") }
func TestPing(t *testing.T)  { parsetest.Run(t, "ping") }
func FuzzPing(f *testing.F)  { parsetest.Fuzz(f, "ping") }
