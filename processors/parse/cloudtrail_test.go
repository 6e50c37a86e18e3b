package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestCloudTrail(t *testing.T) { parsetest.Run(t, "cloudtrail") }
func FuzzCloudTrail(f *testing.F) { parsetest.Fuzz(f, "cloudtrail") }
