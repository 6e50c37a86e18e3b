package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestHarbor(t *testing.T) { parsetest.Run(t, "harbor") }
func FuzzHarbor(f *testing.F) { parsetest.Fuzz(f, "harbor") }
