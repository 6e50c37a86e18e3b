package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestGitHoundEzekg(t *testing.T) { parsetest.Run(t, "git-hound-ezekg") }
func FuzzGitHoundEzekg(f *testing.F) { parsetest.Fuzz(f, "git-hound-ezekg") }

func TestGitHoundTillson(t *testing.T) { parsetest.Run(t, "git-hound-tillson") }
func FuzzGitHoundTillson(f *testing.F) { parsetest.Fuzz(f, "git-hound-tillson") }
