package embedded

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// LibraryPath returns the libchdb to load: TOCSIN_CHDB_LIB if that is set,
// else the one FetchLibrary put into the cache. It fails if the file isn't
// there, and says how to get it.
func LibraryPath() (string, error) {
	if path := os.Getenv("TOCSIN_CHDB_LIB"); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("find libchdb: TOCSIN_CHDB_LIB: %w", err)
		}
		return path, nil
	}
	path, err := cachedLibrary()
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("find libchdb (ClickHouse as a library): %w\nrun `make deps` to fetch it, or set TOCSIN_CHDB_LIB to a libchdb.so", err)
	}
	return path, nil
}

// cachedLibrary is where the pinned library lies once it is fetched.
func cachedLibrary() (string, error) {
	cache := os.Getenv("TOCSIN_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the cache folder: %w; set TOCSIN_CACHE", err)
		}
		cache = filepath.Join(user, "tocsin")
	}
	return filepath.Join(cache, "chdb-"+libraryVersion, "libchdb.so"), nil
}

// FetchLibrary puts the pinned libchdb into the cache and returns its path; it
// does nothing if it is there already. npm downloads it, so the machine's own
// registry, proxy and credentials hold; the sha512 is checked here, or by npm
// alone for a platform whose hash is not pinned. Several processes may fetch at
// once. progress is called a few times a second with the bytes that have
// arrived and that will, and once with done = total; not at all where the
// length is not known.
func FetchLibrary(ctx context.Context, progress func(done, total int64)) (string, error) {
	path, err := cachedLibrary()
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	platform := runtime.GOOS + "/" + runtime.GOARCH
	lib, ok := libraries[platform]
	if !ok {
		return "", fmt.Errorf("fetch libchdb: none is pinned for %s in pipeline/embedded/pin.go; set TOCSIN_CHDB_LIB to one of your own", platform)
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", fmt.Errorf("fetch libchdb: %w\ninstall npm, or set TOCSIN_CHDB_LIB to the libchdb.so of %s@%s", err, lib.Package, libraryVersion)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("fetch libchdb: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(path), "fetch-")
	if err != nil {
		return "", fmt.Errorf("fetch libchdb: %w", err)
	}
	defer os.RemoveAll(tmp)

	tarball, err := npmPack(ctx, npm, tmp, lib, progress)
	if err != nil {
		return "", fmt.Errorf("fetch %s@%s: %w", lib.Package, libraryVersion, err)
	}
	defer tarball.Close()
	if err := install(tarball, lib.Integrity, path); err != nil {
		return "", fmt.Errorf("install %s@%s: %w", lib.Package, libraryVersion, err)
	}
	return path, nil
}

// npmPack has npm write the package's tarball into dir and opens it.
func npmPack(ctx context.Context, npm, dir string, lib library, progress func(done, total int64)) (*os.File, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, npm, "pack", "--loglevel=error", lib.Package+"@"+libraryVersion)
	cmd.Dir = dir
	cmd.Stderr = &stderr
	// npm starts children of its own; don't wait for their stderr once it is killed.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	tarball := filepath.Join(dir, "*.tgz")
	for {
		select {
		case err := <-ended:
			if err != nil {
				return nil, fmt.Errorf("npm pack: %w\n%s", err, bytes.TrimSpace(stderr.Bytes()))
			}
			found, _ := filepath.Glob(tarball)
			if len(found) != 1 {
				return nil, fmt.Errorf("npm pack left %d tarballs, want 1", len(found))
			}
			if lib.Bytes > 0 {
				progress(lib.Bytes, lib.Bytes)
			}
			return os.Open(found[0])
		case <-time.After(200 * time.Millisecond):
			// npm tells its progress only to a terminal, but writes as it reads.
			if found, _ := filepath.Glob(tarball); len(found) == 1 {
				if st, err := os.Stat(found[0]); err == nil && st.Size() < lib.Bytes {
					progress(st.Size(), lib.Bytes)
				}
			}
		}
	}
}

// install extracts libchdb.so from an npm tarball to path. The file appears
// there whole and only if the tarball's hash is the pinned one, if any is.
func install(tarball io.Reader, integrity, path string) error {
	sum := sha512.New()
	all := io.TeeReader(tarball, sum)
	tmp, err := os.CreateTemp(filepath.Dir(path), "libchdb-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()

	err = extract(all, "package/libchdb.so", tmp)
	// The hash covers the tarball to its last byte, also what tar left unread,
	// and a wrong hash is the truer answer to whatever extract stumbled on.
	if _, err := io.Copy(io.Discard, all); err != nil {
		return err
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum.Sum(nil)); integrity != "" && got != integrity {
		return fmt.Errorf("the tarball is not the pinned one: integrity %s, want %s", got, integrity)
	}
	if err != nil {
		return err
	}
	return errors.Join(tmp.Chmod(0o755), tmp.Sync(), os.Rename(tmp.Name(), path))
}

// extract copies the one named file of a gzipped tar to w.
func extract(tarball io.Reader, name string, w io.Writer) error {
	gz, err := gzip.NewReader(tarball)
	if err != nil {
		return err
	}
	files := tar.NewReader(gz)
	for {
		switch file, err := files.Next(); {
		case err == io.EOF:
			return fmt.Errorf("the tarball has no %s", name)
		case err != nil:
			return err
		case file.Name == name:
			_, err := io.Copy(w, files)
			return err
		}
	}
}
