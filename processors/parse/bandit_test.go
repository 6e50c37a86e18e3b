package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestBandit(t *testing.T) { parsetest.Run(t, "bandit") }
func FuzzBandit(f *testing.F) { parsetest.Fuzz(f, "bandit") }
