package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestOSVScanner(t *testing.T) { parsetest.Run(t, "osv-scanner") }
func FuzzOSVScanner(f *testing.F) { parsetest.Fuzz(f, "osv-scanner") }
