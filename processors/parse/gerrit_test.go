package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestGerrit(t *testing.T) { parsetest.Run(t, "gerrit-events") }
func FuzzGerrit(f *testing.F) { parsetest.Fuzz(f, "gerrit-events") }
