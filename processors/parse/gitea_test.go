package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestGitea(t *testing.T) { parsetest.Run(t, "gitea-webhook") }
func FuzzGitea(f *testing.F) { parsetest.Fuzz(f, "gitea-webhook") }
