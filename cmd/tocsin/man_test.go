package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra/doc"
)

var man = flag.String("man", "", "folder to write the manual's pages to (make packages)")

// TestManPages makes a page for every command, into the packages when it is asked to.
func TestManPages(t *testing.T) {
	dir := *man
	if dir == "" {
		dir = t.TempDir()
	}
	root := newRoot()
	root.DisableAutoGenTag = true
	day := time.Unix(0, 0) // the same pages from the same code
	if err := doc.GenManTree(root, &doc.GenManHeader{Title: "TOCSIN", Section: "1", Date: &day, Source: "tocsin", Manual: "tocsin"}, dir); err != nil {
		t.Fatal(err)
	}
	for _, c := range newRoot().Commands() {
		page, err := os.ReadFile(filepath.Join(dir, "tocsin-"+c.Name()+".1"))
		if err != nil {
			t.Error(err)
		} else if !strings.Contains(string(page), ".SH NAME") {
			t.Errorf("the page of %s is none", c.Name())
		}
	}
}
