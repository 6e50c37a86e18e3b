package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tocsin-project/tocsin/pipeline/embedded"
)

func TestMain(m *testing.M) {
	embedded.MaybeChild()
	testscript.Main(m, map[string]func(){
		"tocsin": func() { os.Exit(run(context.Background(), os.Args[1:])) },
	})
}

// TestScripts runs testdata/script/*.txt: what a user types, and what comes of it.
func TestScripts(t *testing.T) {
	sample, err := filepath.Abs("../../deploy/tocsin.yaml")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Setup: func(env *testscript.Env) error {
		env.Setenv("TOCSIN_SAMPLE_CONFIG", sample)
		rule := filepath.Join(env.WorkDir, "readme.yaml")
		env.Setenv("README_RULE", rule)
		return os.WriteFile(rule, readmeBlock(t, "yaml\nid:"), 0o644)
	}})
}

// TestDemo plays the storyline through the real pipeline, at its usual speed, with little noise.
func TestDemo(t *testing.T) {
	t.Parallel() // it waits for its own clock most of the time
	out := &bytes.Buffer{}
	d := demoRun{dir: t.TempDir(), speed: 40, rate: 5, rules: DefaultConfig().Rules}
	if err := d.play(t.Context(), out); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestDemoFailsWithoutItsRules: a demo whose checks cannot fail would prove nothing.
func TestDemoFailsWithoutItsRules(t *testing.T) {
	t.Parallel()
	out := &bytes.Buffer{}
	d := demoRun{dir: t.TempDir(), speed: 600, rate: 1, rules: RulesConfig{}}
	if err := d.play(t.Context(), out); !errors.Is(err, errNo) {
		t.Fatalf("%v, want %v\n%s", err, errNo, out)
	}
}

// readmeBlock returns the fenced block of the README that begins with the given text.
func readmeBlock(t *testing.T, begin string) []byte {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := bytes.Cut(readme, []byte("```"+begin))
	block, _, closed := bytes.Cut(rest, []byte("```"))
	if !ok || !closed {
		t.Fatalf("the README has no block that begins with %q", begin)
	}
	_, first, _ := strings.Cut(begin, "\n")
	return append([]byte(first), block...)
}
