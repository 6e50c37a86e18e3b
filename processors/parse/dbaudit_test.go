package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestDBAudit(t *testing.T) { parsetest.Run(t, "db-audit") }
func FuzzDBAudit(f *testing.F) { parsetest.Fuzz(f, "db-audit") }
