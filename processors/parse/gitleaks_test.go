package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestGitleaks(t *testing.T) { parsetest.Run(t, "gitleaks") }
func FuzzGitleaks(f *testing.F) { parsetest.Fuzz(f, "gitleaks") }
