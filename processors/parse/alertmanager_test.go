package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestAlertmanager(t *testing.T) { parsetest.Run(t, "alertmanager") }
func FuzzAlertmanager(f *testing.F) { parsetest.Fuzz(f, "alertmanager") }
