package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestCloudEvents(t *testing.T) { parsetest.Run(t, "cloudevents") }
func FuzzCloudEvents(f *testing.F) { parsetest.Fuzz(f, "cloudevents") }
