package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestArtifactRepo(t *testing.T) { parsetest.Run(t, "artifact-repo") }
func FuzzArtifactRepo(f *testing.F) { parsetest.Fuzz(f, "artifact-repo") }
