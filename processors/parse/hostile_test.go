package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse"
	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestHostileInput(t *testing.T) {
	t.Run("unknown format", func(t *testing.T) { parsetest.Hostile(t, "") })
	for i := range parse.Formats {
		t.Run(parse.Formats[i].Name, func(t *testing.T) {
			t.Parallel()
			parsetest.Hostile(t, parse.Formats[i].Name)
		})
	}
}
