package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestCDEvents(t *testing.T) { parsetest.Run(t, "cdevents") }
func FuzzCDEvents(f *testing.F) { parsetest.Fuzz(f, "cdevents") }
