package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestGosec(t *testing.T) { parsetest.Run(t, "gosec") }
func FuzzGosec(f *testing.F) { parsetest.Fuzz(f, "gosec") }
