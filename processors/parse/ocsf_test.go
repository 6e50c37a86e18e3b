package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestOCSF(t *testing.T) { parsetest.Run(t, "ocsf") }
func FuzzOCSF(f *testing.F) { parsetest.Fuzz(f, "ocsf") }
