package ruletest_test

import (
	"flag"
	"os"
	"path/filepath"
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
	whole(t, report)
}

// whole holds that all tests passed and that no rule lacks one.
func whole(t *testing.T, report *ruletest.Report) {
	t.Helper()
	var text strings.Builder
	report.WriteText(&text)
	if !report.OK() || len(report.Unfired)+len(report.Unmissed) > 0 {
		t.Errorf("\n%s", &text)
	}
}

// The examples of kinds that the library has no rule of.
func TestKinds(t *testing.T) {
	files, err := rule.ReadPaths("testdata/kinds")
	if err != nil {
		t.Fatal(err)
	}
	set, err := rule.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	tests, err := rule.ReadTests("testdata/kinds")
	if err != nil {
		t.Fatal(err)
	}
	report, err := ruletest.Run(set, tests, nil)
	if err != nil {
		t.Fatal(err)
	}
	whole(t, report)
}

var update = flag.Bool("update", false, "rewrite docs/runbooks")

// Alerts link to docs/runbooks/<rule>.md: the pages are the rules' own words.
func TestRunbooks(t *testing.T) {
	set, err := rule.Load(rule.Library())
	if err != nil {
		t.Fatal(err)
	}
	const folder = "../../../docs/runbooks"
	for _, r := range set.Rules {
		path := filepath.Join(folder, r.ID+".md")
		if *update {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(r.RunbookPage()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != r.RunbookPage() {
			t.Errorf("%s is not what rule %s says (error %v): go test ./processors/rule/ruletest -update", path, r.ID, err)
		}
	}
	pages, err := filepath.Glob(folder + "/*.md")
	if err != nil || len(pages) != len(set.Rules) {
		t.Errorf("%d pages for %d rules, %v", len(pages), len(set.Rules), err)
	}
}
