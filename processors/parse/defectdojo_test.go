package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestDefectDojo(t *testing.T) { parsetest.Run(t, "defectdojo") }
func FuzzDefectDojo(f *testing.F) { parsetest.Fuzz(f, "defectdojo") }
