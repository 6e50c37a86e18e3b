package main

import (
	"context"
	"os"
	"path/filepath"
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
		return nil
	}})
}
