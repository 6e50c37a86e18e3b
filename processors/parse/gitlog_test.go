package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestGitLog(t *testing.T) { parsetest.Run(t, "git-log") }
func FuzzGitLog(f *testing.F) { parsetest.Fuzz(f, "git-log") }
