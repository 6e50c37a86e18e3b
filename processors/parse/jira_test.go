package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestJira(t *testing.T) { parsetest.Run(t, "jira-webhook") }
func FuzzJira(f *testing.F) { parsetest.Fuzz(f, "jira-webhook") }
