package enrich

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxFileBytes bounds a table's file, unpacked: a mistaken path must not fill the memory.
const maxFileBytes = 1 << 30

// set is all tables at one moment. It is read-only once it is shared. A nil table finds nothing.
type set struct {
	networks *networks
	assets   *assets
	geoip    *geoip
	threats  *threats
	kev      *kev
	epss     *epss
	osv      *osv
	aliases  *aliases
	optOuts  *optOuts
}

// part is one table, read and validated.
type part interface {
	// install puts the table in its place.
	install(*set)
	// size returns the number of its entries, and the time that they are from: what the file itself says, or the zero
	// time where it says nothing.
	size() (entries int, asOf time.Time)
}

// file is a file of a table as it was read. Strings may point into data: it is never written to.
type file struct {
	path string
	data []byte
}

// table is one table: its files, how they are read, and how the last reading went.
type table struct {
	name  string // as in the configuration
	files []string
	// feed says that others write the files: one that is missing or broken at the start is a problem, not an error.
	feed bool
	read func([]*file) (part, error)

	loaded []os.FileInfo // the files of the table in use, nil before the first
	tried  []os.FileInfo // the files of the last attempt, and
	seen   []os.FileInfo // of the last look
	told   string        // the problem that was logged last

	mu      sync.Mutex // guards what the metrics and Problems ask for
	problem error
	entries int
	asOf    time.Time
}

// load reads the table's files. changed says that they moved while they were read, so that err, if any, means nothing yet.
func (t *table) load() (p part, changed bool, err error) {
	before, err := stat(t.files)
	if err != nil {
		return nil, false, t.note(err)
	}
	t.tried = before
	files := make([]*file, len(t.files))
	var errs []error
	for i, path := range t.files {
		data, err := readFile(path)
		errs = append(errs, err)
		files[i] = &file{path, data}
	}
	if err := errors.Join(errs...); err != nil {
		t.tried = nil // a file that cannot be read now may be the next time
		return nil, false, t.note(err)
	}
	if p, err = t.read(files); err == nil {
		after, statErr := stat(t.files)
		if statErr != nil || !same(before, after) {
			t.tried = nil
			return nil, true, nil
		}
		t.loaded = before
		entries, asOf := p.size()
		if asOf.IsZero() {
			asOf = slices.MinFunc(before, func(a, b os.FileInfo) int { return a.ModTime().Compare(b.ModTime()) }).ModTime()
		}
		t.mu.Lock()
		t.entries, t.asOf = entries, asOf
		t.mu.Unlock()
	}
	return p, false, t.note(err)
}

// note remembers how the last attempt ended.
func (t *table) note(err error) error {
	if err != nil {
		err = fmt.Errorf("enrich.%s: %w", t.name, err)
	}
	t.mu.Lock()
	t.problem = err
	t.mu.Unlock()
	return err
}

// readFile reads a file, unpacked if its name ends in .gz.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		r = z
	}
	var b bytes.Buffer
	if info, err := f.Stat(); err == nil && r == io.Reader(f) {
		b.Grow(int(min(info.Size(), maxFileBytes)) + bytes.MinRead)
	}
	n, err := b.ReadFrom(io.LimitReader(r, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if n > maxFileBytes {
		return nil, fmt.Errorf("%s: more than %d bytes", path, maxFileBytes)
	}
	return b.Bytes(), nil
}

// stat tells the files' states. It follows symbolic links, so a link that is swapped (as Kubernetes does it with a
// ConfigMap) is a file that changed.
func stat(paths []string) ([]os.FileInfo, error) {
	infos := make([]os.FileInfo, len(paths))
	var errs []error
	for i, path := range paths {
		var err error
		infos[i], err = os.Stat(path)
		errs = append(errs, err)
	}
	return infos, errors.Join(errs...)
}

// same reports whether the files are the ones they were.
func same(a, b []os.FileInfo) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return true
}
