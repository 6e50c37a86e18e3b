package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestGovulncheck(t *testing.T) { parsetest.Run(t, "govulncheck") }
func FuzzGovulncheck(f *testing.F) { parsetest.Fuzz(f, "govulncheck") }
