package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestAzureLogs(t *testing.T) { parsetest.Run(t, "azure-logs") }
func FuzzAzureLogs(f *testing.F) { parsetest.Fuzz(f, "azure-logs") }
