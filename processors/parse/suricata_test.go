package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestSuricata(t *testing.T) { parsetest.Run(t, "suricata-eve") }
func FuzzSuricata(f *testing.F) { parsetest.Fuzz(f, "suricata-eve") }
