package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestTrivy(t *testing.T) { parsetest.Run(t, "trivy") }
func FuzzTrivy(f *testing.F) { parsetest.Fuzz(f, "trivy") }
