package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// archive packs name and content pairs as the public repository's archive does.
func archive(t *testing.T, files ...string) []byte {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	w := tar.NewWriter(zipped)
	for i := 0; i < len(files); i += 2 {
		h := &tar.Header{Name: "sigma-master/" + files[i], Mode: 0o644, Size: int64(len(files[i+1])), Typeflag: tar.TypeReg}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func sigmaRule(id, source, selection string) string {
	return "title: " + id + "\nid: " + id + "\nlogsource: {" + source + "}\ndetection:\n  sel: " + selection + "\n  condition: sel\n"
}

func TestSigmaFetch(t *testing.T) {
	body := archive(t,
		"LICENSE.Detection.Rules.md", "the licence", "README.md", "no rule",
		"rules/github/a.yml", sigmaRule("a", "product: github, service: audit", "{action: x}"),
		"rules/github/b.yml", sigmaRule("b", "product: github, service: audit", "{Image: x}"),
		"rules/github/c.yml", sigmaRule("c", "product: github, service: audit", "{'action|containz': x}"),
		"rules-emerging-threats/w.yml", sigmaRule("w", "product: windows, category: process_creation", "{Image: x}"),
		"deprecated/d.yml", sigmaRule("d", "product: github, service: audit", "{action: x}"),
		"rules-placeholder/p.yml", sigmaRule("p", "product: github, service: audit", "{action: x}"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/sigma.tar.gz":
			_, _ = w.Write(body)
		case "/evil.tar.gz":
			_, _ = w.Write(archive(t, "rules/../../evil.yml", sigmaRule("e", "product: github", "{a: b}")))
		case "/empty.tar.gz":
			_, _ = w.Write(archive(t, "README.md", "nothing"))
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	dir := filepath.Join(t.TempDir(), "rules", "sigma")
	fetch := func(args ...string) (string, error) {
		var out bytes.Buffer
		cmd := newSigma()
		cmd.SetArgs(append([]string{"fetch", "--from", server.URL + args[0]}, args[1:]...))
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SilenceUsage = true
		err := cmd.Execute()
		return out.String(), err
	}
	names := func() string {
		found, err := filepath.Glob(dir + "/*/*")
		if err != nil {
			t.Fatal(err)
		}
		more, err := filepath.Glob(dir + "/*/*/*")
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, name := range append(found, more...) {
			list = append(list, filepath.Base(name))
		}
		return strings.Join(list, " ")
	}
	out, err := fetch("/sigma.tar.gz", dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"2 rules from " + server.URL,
		"refused: rules/github/c.yml:5:9: unknown modifier \"containz\"",
		"never fires: rules/github/b.yml:1: events of product=github,service=audit have no Image",
		"all                           2      1         1",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("output lacks %q:\n%s", want, out)
		}
	}
	if got := names(); got != "github a.yml b.yml" {
		t.Errorf("fetched %q", got)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "LICENSE.Detection.Rules.md")); string(b) != "the licence" {
		t.Errorf("licence %q, %v", b, err)
	}
	// What went wrong changes nothing; a fetch replaces an earlier one as a whole, and nothing else.
	for path, want := range map[string]string{"/evil.tar.gz": "is no rule", "/empty.tar.gz": "holds no rules", "/gone.tar.gz": "404"} {
		if _, err := fetch(path, dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	if got := names(); got != "github a.yml b.yml" {
		t.Errorf("after failures there is %q", got)
	}
	if _, err := fetch("/sigma.tar.gz", "--all", dir); err != nil {
		t.Fatal(err)
	}
	if got := names(); got != "github w.yml a.yml b.yml" {
		t.Errorf("fetched all: %q", got)
	}
	if _, err := fetch("/sigma.tar.gz", t.TempDir()); err == nil || !strings.Contains(err.Error(), "not of an earlier fetch") {
		t.Errorf("a directory of others: %v", err)
	}
}
