package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestCrowdSec(t *testing.T) { parsetest.Run(t, "crowdsec") }
func FuzzCrowdSec(f *testing.F) { parsetest.Fuzz(f, "crowdsec") }
