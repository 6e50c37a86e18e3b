package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestNmap(t *testing.T) { parsetest.Run(t, "nmap") }
func FuzzNmap(f *testing.F) { parsetest.Fuzz(f, "nmap") }
