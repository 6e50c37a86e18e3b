package parse_test

import (
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestAzureDevOps(t *testing.T) { parsetest.Run(t, "azure-devops-webhook") }
func FuzzAzureDevOps(f *testing.F) { parsetest.Fuzz(f, "azure-devops-webhook") }
