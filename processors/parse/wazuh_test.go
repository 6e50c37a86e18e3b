package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestWazuh(t *testing.T) { parsetest.Run(t, "wazuh-alerts") }
func FuzzWazuh(f *testing.F) { parsetest.Fuzz(f, "wazuh-alerts") }
