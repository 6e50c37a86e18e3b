package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestKubernetesEvents(t *testing.T) { parsetest.Run(t, "kubernetes-events") }
func FuzzKubernetesEvents(f *testing.F) { parsetest.Fuzz(f, "kubernetes-events") }
