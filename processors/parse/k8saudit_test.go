package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestK8sAudit(t *testing.T) { parsetest.Run(t, "k8s-audit") }
func FuzzK8sAudit(f *testing.F) { parsetest.Fuzz(f, "k8s-audit") }
