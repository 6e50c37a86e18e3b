package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestBitbucket(t *testing.T) { parsetest.Run(t, "bitbucket-webhook") }
func FuzzBitbucket(f *testing.F) { parsetest.Fuzz(f, "bitbucket-webhook") }
