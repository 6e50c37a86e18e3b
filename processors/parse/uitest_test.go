package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestUITest(t *testing.T) { parsetest.Run(t, "ui-test") }
func FuzzUITest(f *testing.F) { parsetest.Fuzz(f, "ui-test") }
