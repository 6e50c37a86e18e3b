package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestTrufflehog(t *testing.T) { parsetest.Run(t, "trufflehog") }
func FuzzTrufflehog(f *testing.F) { parsetest.Fuzz(f, "trufflehog") }
