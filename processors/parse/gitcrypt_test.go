package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestGitCrypt(t *testing.T) { parsetest.Run(t, "git-crypt") }
func FuzzGitCrypt(f *testing.F) { parsetest.Fuzz(f, "git-crypt") }
