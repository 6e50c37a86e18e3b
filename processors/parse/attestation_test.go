package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestAttestation(t *testing.T) { parsetest.Run(t, "attestation") }
func FuzzAttestation(f *testing.F) { parsetest.Fuzz(f, "attestation") }
