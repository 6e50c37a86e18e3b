package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestNikto(t *testing.T) { parsetest.Run(t, "nikto") }
func FuzzNikto(f *testing.F) { parsetest.Fuzz(f, "nikto") }
