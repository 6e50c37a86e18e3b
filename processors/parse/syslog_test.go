package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestSyslog(t *testing.T) { parsetest.Run(t, "syslog") }
func FuzzSyslog(f *testing.F) { parsetest.Fuzz(f, "syslog") }
