package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestSCMAppLog(t *testing.T) { parsetest.Run(t, "scm-app-log") }
func FuzzSCMAppLog(f *testing.F) { parsetest.Fuzz(f, "scm-app-log") }
