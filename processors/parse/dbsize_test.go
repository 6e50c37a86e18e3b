package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestDBSize(t *testing.T) { parsetest.Run(t, "db-size") }
func FuzzDBSize(f *testing.F) { parsetest.Fuzz(f, "db-size") }
