package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestPipAudit(t *testing.T) { parsetest.Run(t, "pip-audit") }
func FuzzPipAudit(f *testing.F) { parsetest.Fuzz(f, "pip-audit") }
