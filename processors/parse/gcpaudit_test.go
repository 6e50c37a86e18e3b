package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestGCPAudit(t *testing.T) { parsetest.Run(t, "gcp-audit") }
func FuzzGCPAudit(f *testing.F) { parsetest.Fuzz(f, "gcp-audit") }
