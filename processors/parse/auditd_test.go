package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestAuditd(t *testing.T) { parsetest.Run(t, "linux-auditd") }
func FuzzAuditd(f *testing.F) { parsetest.Fuzz(f, "linux-auditd") }
