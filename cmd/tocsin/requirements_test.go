package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tocsin-project/tocsin/processors/parse"
)

// TestRequirements holds docs/requirements.md to what there is: a row for each requirement, and every test, rule and format
// that it names.
func TestRequirements(t *testing.T) {
	page, err := os.ReadFile("../../docs/requirements.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	name := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err = filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range name.FindAllSubmatch(text, -1) {
			tests[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| R(\d+) \| .+? \| (\w+) \| (.*?) \| (.*?) ?\|$`)
	token := regexp.MustCompile("`([^`]+)`")
	rows, count := row.FindAllSubmatch(page, -1), map[string]int{}
	for i, m := range rows {
		if want := fmt.Sprintf("%02d", i+1); string(m[1]) != want {
			t.Fatalf("row %d is R%s, want R%s", i+1, m[1], want)
		}
		state, named := string(m[2]), token.FindAllSubmatch(m[3], -1)
		count[state]++
		if state != "open" && len(named) == 0 {
			t.Errorf("R%s is %s by nothing", m[1], state)
		}
		for _, n := range named {
			switch what := string(n[1]); {
			case strings.HasPrefix(what, "Test"):
				if !tests[what] {
					t.Errorf("R%s: there is no %s", m[1], what)
				}
			case strings.HasPrefix(what, "mission/"):
				if _, err := os.Stat("testdata/" + what + ".yaml"); err != nil {
					t.Errorf("R%s: %v", m[1], err)
				}
			case strings.HasPrefix(what, "format:"):
				if parse.Lookup(strings.TrimPrefix(what, "format:")) == nil {
					t.Errorf("R%s: there is no %s", m[1], what)
				}
			default:
				for _, suffix := range []string{".yaml", ".test.yaml"} {
					if _, err := os.Stat("../../processors/rule/library/" + what + suffix); err != nil {
						t.Errorf("R%s: %v", m[1], err)
					}
				}
			}
		}
	}
	if len(rows) != 74 || count["shown"]+count["part"]+count["open"] != 74 {
		t.Errorf("%d rows, %v: want 74, each shown, part or open", len(rows), count)
	}
	if want := fmt.Sprintf("%d shown, %d in part, %d open.", count["shown"], count["part"], count["open"]); !bytes.Contains(page, []byte(want)) {
		t.Errorf("the page ends with other numbers than %q", want)
	}
}
