package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestArgoCD(t *testing.T) { parsetest.Run(t, "argo-cd") }
func FuzzArgoCD(f *testing.F) { parsetest.Fuzz(f, "argo-cd") }
