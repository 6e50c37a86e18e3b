package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestGitSecrets(t *testing.T) { parsetest.Run(t, "git-secrets") }
func FuzzGitSecrets(f *testing.F) { parsetest.Fuzz(f, "git-secrets") }
