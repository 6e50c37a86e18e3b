package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestKubeBench(t *testing.T) { parsetest.Run(t, "kube-bench") }
func FuzzKubeBench(f *testing.F) { parsetest.Fuzz(f, "kube-bench") }
