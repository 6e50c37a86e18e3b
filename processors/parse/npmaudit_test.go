package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestNPMAudit(t *testing.T) { parsetest.Run(t, "npm-audit") }
func FuzzNPMAudit(f *testing.F) { parsetest.Fuzz(f, "npm-audit") }
