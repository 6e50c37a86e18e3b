package ruletest_test

import (
	"strings"
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse"
	"github.com/tocsin-project/tocsin/processors/rule"
	"github.com/tocsin-project/tocsin/processors/rule/ruletest"
)

// Every rule of the library fires in a test and nearly fires in another.
func TestLibrary(t *testing.T) {
	set, err := rule.Load(rule.Library())
	if err != nil {
		t.Fatal(err)
	}
	parser, err := parse.New(parse.Config{FingerprintKey: "test"})
	if err != nil {
		t.Fatal(err)
	}
	report, err := ruletest.Run(set, rule.LibraryTests(), parser)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	report.WriteText(&text)
	if !report.OK() || len(report.Unfired)+len(report.Unmissed) > 0 {
		t.Errorf("\n%s", &text)
	}
}
