package clickhouse

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBackupComesBack(t *testing.T) {
	db := migrated(t)
	s := db.EventSink()
	defer s.Close()
	store(t, s, typical(0, 1000), chunk(0, 1000, 0))

	name := db.cfg.Database
	full, err := db.Backup(t.Context(), fmt.Sprintf("File('%s-1')", name), "")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]uint64{}
	for _, c := range full.Tables {
		rows[c.Table] = c.Rows
		if c.Table == "events_1m" && c.Sum != 1000 {
			t.Errorf("events_1m counts %d, want 1000", c.Sum)
		}
	}
	if rows["events"] != 1000 || rows["ledger"] != 1 || full.Bytes == 0 || full.Took == 0 {
		t.Errorf("%+v", full)
	}

	store(t, s, typical(1000, 10), chunk(1000, 1010, 0))
	more, err := db.Backup(t.Context(), fmt.Sprintf("File('%s-2')", name), full.Destination)
	if err != nil {
		t.Fatal(err)
	}
	if more.Bytes >= full.Bytes {
		t.Errorf("the incremental backup has %d bytes, the full one %d", more.Bytes, full.Bytes)
	}

	// The disaster: all is gone, and comes back from the last one with its base.
	if err := db.server.Exec(t.Context(), "DROP DATABASE "+quote(name)+" SYNC"); err != nil {
		t.Fatal(err)
	}
	if err := db.Restore(t.Context(), more.Destination, name); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]uint64{"SELECT count() FROM v_events": 1010, "SELECT sum(n) FROM v_events_1h": 1010} {
		if got := number(t, db, query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	// It is the same database still: what was acknowledged is known, new events are counted.
	store(t, s, typical(1010, 5), chunk(1010, 1015, 0))
	if got := number(t, db, "SELECT sum(n) FROM events_1m"); got != 1015 {
		t.Errorf("after the restore %d, want 1015", got)
	}
	if got := number(t, db, "SELECT count() FROM system.databases WHERE name LIKE '%_verify_%'"); got != 0 {
		t.Errorf("%d databases of verifications are left", got)
	}
	if err := db.Restore(t.Context(), more.Destination, name); err == nil {
		t.Error("a restore over tables that hold rows went through")
	}

	// A backup that is damaged must not pass for one.
	damaged := 0
	err = filepath.WalkDir(filepath.Join(serverDir, "backups", name+"-1", "data"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "data.bin") {
			return err
		}
		damaged++
		return os.Truncate(path, 10)
	})
	if err != nil || damaged == 0 {
		t.Fatalf("%d files, %v", damaged, err)
	}
	if _, err := db.Backup(t.Context(), fmt.Sprintf("File('%s-3')", name), full.Destination); err == nil {
		t.Error("a backup on a damaged base passed for one")
	}
	if _, err := db.Backup(t.Context(), "S3('http://127.0.0.1:1/x', 'key', 'geheim')", ""); err == nil || strings.Contains(errors.Unwrap(err).Error()+err.Error(), "geheim") {
		t.Errorf("a destination that is not there: %v", err)
	}
}
