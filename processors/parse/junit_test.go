package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestJUnit(t *testing.T) { parsetest.Run(t, "junit-xml") }
func FuzzJUnit(f *testing.F) { parsetest.Fuzz(f, "junit-xml") }
