package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestNuclei(t *testing.T) { parsetest.Run(t, "nuclei") }
func FuzzNuclei(f *testing.F) { parsetest.Fuzz(f, "nuclei") }
