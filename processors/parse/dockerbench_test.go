package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestDockerBench(t *testing.T) { parsetest.Run(t, "docker-bench") }
func FuzzDockerBench(f *testing.F) { parsetest.Fuzz(f, "docker-bench") }
