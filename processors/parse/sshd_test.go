package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestSSHD(t *testing.T) { parsetest.Run(t, "sshd-auth") }
func FuzzSSHD(f *testing.F) { parsetest.Fuzz(f, "sshd-auth") }
