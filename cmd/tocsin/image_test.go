//go:build e2e

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// TestE2EImage runs the image that `make image` made as a container engine would: its files alone as the root, read-only, its
// command as its user, without rights. It needs root itself, to make that so.
func TestE2EImage(t *testing.T) {
	index, err := layout.ImageIndexFromPath(os.Getenv("TOCSIN_IMAGE"))
	if err != nil {
		t.Fatalf("TOCSIN_IMAGE: %v", err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var img v1.Image
	for _, m := range manifest.Manifests {
		if m.Platform.Architecture == runtime.GOARCH {
			if img, err = index.Image(m.Digest); err != nil {
				t.Fatal(err)
			}
		}
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	unpack(t, root, img)
	p := newPlant(t, embeddedServers(t), "raw")
	p.config("image")
	for _, dir := range []string{filepath.Dir(root), root} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(p.dir, "image.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, file.Config.Cmd[2]), text, 0o644); err != nil { // as a volume would be there
		t.Fatal(err)
	}
	rules, err := filepath.Abs("testdata/crash")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(root, rules), os.DirFS(rules)); err != nil {
		t.Fatal(err)
	}
	p.produce()
	process := p.spawn(exec.Command("unshare", append([]string{"--mount", "sh", "-ec",
		`mount --bind "$0" "$0"; mount -o remount,bind,ro "$0"; user=$1; shift; exec chroot --userspec="$user" "$0" "$@"`,
		root, file.Config.User}, append(file.Config.Entrypoint, file.Config.Cmd...)...)...))
	p.await("the first alerts", "SELECT count() >= 4 FROM v_alerts", process)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Name:\ttocsin\n", "Uid:\t65532\t65532\t65532\t65532\n", "CapEff:\t0000000000000000\n"} {
		if !bytes.Contains(status, []byte(want)) {
			t.Errorf("the process lacks %q:\n%s", want, status)
		}
	}
	p.conclude(process)
}

// unpack writes an image's files.
func unpack(t *testing.T, root string, img v1.Image) {
	t.Helper()
	files := mutate.Extract(img)
	defer files.Close()
	for r := tar.NewReader(files); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(root, h.Name)
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o755)
		} else {
			var f *os.File
			if f, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY, h.FileInfo().Mode()); err == nil {
				_, err = io.Copy(f, r)
				err = errors.Join(err, f.Close())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
