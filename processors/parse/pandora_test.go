package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestPandoraAgent(t *testing.T) { parsetest.Run(t, "pandora-agent-xml") }
func FuzzPandoraAgent(f *testing.F) { parsetest.Fuzz(f, "pandora-agent-xml") }

func TestPandoraEvents(t *testing.T) { parsetest.Run(t, "pandora-events") }
func FuzzPandoraEvents(f *testing.F) { parsetest.Fuzz(f, "pandora-events") }
