package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestBundlerAudit(t *testing.T) { parsetest.Run(t, "bundler-audit") }
func FuzzBundlerAudit(f *testing.F) { parsetest.Fuzz(f, "bundler-audit") }
