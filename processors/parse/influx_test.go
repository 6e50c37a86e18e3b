package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestInflux(t *testing.T) { parsetest.Run(t, "influx-line") }
func FuzzInflux(f *testing.F) { parsetest.Fuzz(f, "influx-line") }
