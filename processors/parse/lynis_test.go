package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestLynis(t *testing.T) { parsetest.Run(t, "lynis") }
func FuzzLynis(f *testing.F) { parsetest.Fuzz(f, "lynis") }
