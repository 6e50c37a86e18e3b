package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestGitLabReport(t *testing.T) { parsetest.Run(t, "gitlab-security-report") }
func FuzzGitLabReport(f *testing.F) { parsetest.Fuzz(f, "gitlab-security-report") }
