package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestGitLab(t *testing.T) { parsetest.Run(t, "gitlab-webhook") }
func FuzzGitLab(f *testing.F) { parsetest.Fuzz(f, "gitlab-webhook") }

func TestGitLabCI(t *testing.T) { parsetest.Run(t, "gitlab-ci") }
func FuzzGitLabCI(f *testing.F) { parsetest.Fuzz(f, "gitlab-ci") }
