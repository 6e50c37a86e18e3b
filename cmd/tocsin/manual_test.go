package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/processors/enrich"
)

// pages returns every document for people, by its path from the repository's root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." && path != "../.." || d.Name() == "testdata" || d.Name() == "vendor" || d.Name() == "bin"):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		out[filepath.ToSlash(strings.TrimPrefix(path, "../../"))] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 10 {
		t.Fatalf("only %d pages found", len(out))
	}
	return out
}

var (
	fence   = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")
	link    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+?) *$`)
	notSlug = regexp.MustCompile("[^a-z0-9 _-]")
)

// anchors are the names under which a page's headings can be linked to, as forges make them.
func anchors(text string) []string {
	var names []string
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		names = append(names, strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return names
}

// TestLinks follows every link of every page that stays within the repository.
func TestLinks(t *testing.T) {
	all := pages(t)
	for page, text := range all {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			target, anchor, _ := strings.Cut(m[1], "#")
			to := page
			if target != "" {
				to = filepath.ToSlash(filepath.Join(filepath.Dir(page), target))
			}
			if _, err := os.Stat(filepath.Join("../..", to)); err != nil {
				t.Errorf("%s: link to %s: %v", page, m[1], err)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(all[to]), anchor) {
				t.Errorf("%s: link to %s: the page has no such heading", page, m[1])
			}
		}
	}
}

var (
	configKey = regexp.MustCompile(`^(#.*\n)*(instance|kafka|clickhouse|parse|enrich|rules|flush|receive|sample|admin|log):`) // the block's first
	secretRef = regexp.MustCompile(`\$\{([A-Z_]+)\}`)
)

// TestConfigurationsInThePages loads every block of configuration, and every table, that the pages show.
func TestConfigurationsInThePages(t *testing.T) {
	configs, tables := 0, 0
	for page, text := range pages(t) {
		for _, m := range fence.FindAllStringSubmatch(text, -1) {
			kind, block := m[1], m[2]
			switch {
			case kind == "yaml" && configKey.MatchString(block):
				configs++
				for _, ref := range secretRef.FindAllStringSubmatch(block, -1) {
					secret := "0123456789abcdef0123456789abcdef"
					if strings.HasSuffix(ref[1], "_DSN") {
						secret = "user:password@tcp(db:3306)/"
						if strings.Contains(ref[1], "SHOP") {
							secret = "postgres://user:password@db:5432/shop"
						}
					}
					t.Setenv(ref[1], secret)
				}
				path := filepath.Join(t.TempDir(), "tocsin.yaml")
				if err := os.WriteFile(path, []byte(block), 0o600); err != nil {
					t.Fatal(err)
				}
				if _, err := LoadConfig(path); err != nil {
					t.Errorf("%s: %v\n%s", page, err, block)
				}
			case kind == "csv" && strings.HasPrefix(block, "# enrich."):
				tables++
				name, _, _ := strings.Cut(strings.TrimPrefix(block, "# enrich."), "\n")
				path := filepath.Join(t.TempDir(), name+".csv")
				if err := os.WriteFile(path, []byte(block), 0o600); err != nil {
					t.Fatal(err)
				}
				cfg := enrich.Config{}
				field := map[string]*[]string{"networks": &cfg.Networks, "assets": &cfg.Assets, "aliases": &cfg.Aliases, "opt_out": &cfg.OptOut}[name]
				if field == nil {
					t.Errorf("%s: there is no table enrich.%s", page, name)
					continue
				}
				*field = []string{path}
				if _, err := enrich.New(cfg, zap.NewNop()); err != nil {
					t.Errorf("%s: %v\n%s", page, err, block)
				}
			}
		}
	}
	if configs < 3 || tables < 4 {
		t.Errorf("%d configurations and %d tables found: does the test still see them?", configs, tables)
	}
}

var (
	codeLine = regexp.MustCompile("(?m)^    (.+)$|`((?:bin/)?tocsin [^`]+|make [^`]+)`")
	target   = regexp.MustCompile(`(?m)^([a-z0-9-]+):`)
)

// TestCommandsInThePages knows every command line of tocsin and make that the pages show: its command and its flags exist.
func TestCommandsInThePages(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for page, text := range pages(t) {
		if page == "docs/cli.md" {
			continue
		}
		var lines []string
		for _, m := range fence.FindAllStringSubmatch(text, -1) {
			if m[1] == "sh" || m[1] == "" {
				lines = append(lines, strings.Split(m[2], "\n")...)
			}
		}
		for _, m := range codeLine.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			lines = append(lines, m[1]+m[2])
		}
		for _, l := range lines {
			for part := range strings.FieldsFuncSeq(l, func(r rune) bool { return r == '|' || r == ';' || r == '&' }) {
				words := strings.Fields(part)
				for len(words) > 0 && (strings.Contains(words[0], "=") || words[0] == "sudo" || words[0] == "$") {
					words = words[1:]
				}
				if i := slices.Index(words, "#"); i >= 0 {
					words = words[:i]
				}
				if len(words) < 2 {
					continue
				}
				switch words[0] {
				case "make":
					seen++
					for _, w := range words[1:] {
						if strings.Contains(w, "=") || strings.HasPrefix(w, "#") {
							break
						}
						if !slices.ContainsFunc(target.FindAllSubmatch(makefile, -1), func(m [][]byte) bool { return bytes.Equal(m[1], []byte(w)) }) {
							t.Errorf("%s: `%s`: make has no target %s", page, l, w)
						}
					}
				case "tocsin", "bin/tocsin":
					seen++
					if err := knownCommand(words[1:]); err != nil {
						t.Errorf("%s: `%s`: %v", page, strings.TrimSpace(l), err)
					}
				}
			}
		}
	}
	if seen < 15 {
		t.Errorf("%d commands found: does the test still see them?", seen)
	}
}

// knownCommand reports whether a command line names a command and flags that exist.
func knownCommand(args []string) error {
	root := newRoot()
	root.InitDefaultHelpFlag()
	root.InitDefaultVersionFlag()
	root.InitDefaultCompletionCmd()
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if cmd == root && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return errors.New("no such command")
	}
	for _, a := range rest {
		name, _, _ := strings.Cut(strings.TrimRight(a, ".,:"), "=")
		switch {
		case name == "-" || name == "--" || name == "..." || !strings.HasPrefix(name, "-"):
		case strings.HasPrefix(name, "--"):
			if cmd.Flags().Lookup(name[2:]) == nil && cmd.InheritedFlags().Lookup(name[2:]) == nil {
				return errors.New("no flag " + name)
			}
		case cmd.Flags().ShorthandLookup(name[1:]) == nil && cmd.InheritedFlags().ShorthandLookup(name[1:]) == nil:
			return errors.New("no flag " + name)
		}
	}
	return nil
}
