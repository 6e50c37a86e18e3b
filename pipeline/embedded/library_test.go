package embedded

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"
)

// npmTarball returns a package with the one file, and its integrity.
func npmTarball(t *testing.T, name, content string) (tarball []byte, integrity string) {
	t.Helper()
	var buf bytes.Buffer
	gz := gzip.NewWriter(&buf)
	files := tar.NewWriter(gz)
	if err := files.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512(buf.Bytes())
	return buf.Bytes(), "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

func TestInstallLeavesTheLibrary(t *testing.T) {
	tarball, integrity := npmTarball(t, "package/libchdb.so", "the library")
	for _, integrity := range []string{integrity, ""} {
		path := filepath.Join(t.TempDir(), "libchdb.so")
		if err := install(bytes.NewReader(tarball), integrity, path); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != "the library" {
			t.Errorf("installed %q, %v", got, err)
		}
		if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
			t.Errorf("left %v behind", entries)
		}
	}
}

func TestInstallLeavesNothingOfAWrongTarball(t *testing.T) {
	good, integrity := npmTarball(t, "package/libchdb.so", "the library")
	other, _ := npmTarball(t, "package/libchdb.so", "an attacker's")
	empty, emptyIntegrity := npmTarball(t, "package/README.md", "")
	for _, tt := range []struct {
		name, integrity, want string
		tarball               []byte
	}{
		{"another", integrity, "not the pinned one", other},
		{"cut short", integrity, "not the pinned one", good[:len(good)-9]},
		{"with a tail", integrity, "not the pinned one", append(good, 0)},
		{"not a tarball", integrity, "not the pinned one", []byte("<html>")},
		{"without the library", emptyIntegrity, "has no package/libchdb.so", empty},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "libchdb.so")
			want(t, install(bytes.NewReader(tt.tarball), tt.integrity, path), tt.want)
			if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 0 {
				t.Errorf("left %v behind", entries)
			}
		})
	}
}
