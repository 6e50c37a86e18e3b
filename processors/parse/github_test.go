package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestGitHub(t *testing.T) { parsetest.Run(t, "github") }
func FuzzGitHub(f *testing.F) { parsetest.Fuzz(f, "github") }
