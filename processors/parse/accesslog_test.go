package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestAccessLog(t *testing.T) { parsetest.Run(t, "access-log") }
func FuzzAccessLog(f *testing.F) { parsetest.Fuzz(f, "access-log") }
