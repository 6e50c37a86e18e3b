package sql

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestSplit(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		got, err := Split(text)
		if err != nil {
			t.Errorf("Split(%q): %v", text, err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("Split(%q)\n got %q\nwant %q", text, got, want)
		}
	}
	f("")
	f(" ;; \n; ")
	f("-- nothing but a comment; really\n/* and ; another */")
	f("SELECT 1", "SELECT 1")
	f("SELECT 1; SELECT 2;\n", "SELECT 1", "SELECT 2")
	f("SELECT ';'; SELECT 2", "SELECT ';'", "SELECT 2")
	f(`SELECT 'it''s; \'; \\'; SELECT 2`, `SELECT 'it''s; \'; \\'`, "SELECT 2")
	f("SELECT \"a;b\", `c;d`; SELECT 2", "SELECT \"a;b\", `c;d`", "SELECT 2")
	f("SELECT 1 -- don't; stop\n; SELECT 2", "SELECT 1 -- don't; stop", "SELECT 2")
	f("SELECT 1 /* it's; */; SELECT 2", "SELECT 1 /* it's; */", "SELECT 2")
	f("SELECT '--'; SELECT '/*'; SELECT 3 - -1", "SELECT '--'", "SELECT '/*'", "SELECT 3 - -1")
	f("-- why\nSELECT 1;\n-- the end", "-- why\nSELECT 1")
	f("SELECT 'ü;ß'; SELECT '日本'", "SELECT 'ü;ß'", "SELECT '日本'")
}

func TestSplitUnclosed(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if _, err := Split(text); err == nil || err.Error() != want {
			t.Errorf("Split(%q): error %v, want %s", text, err, want)
		}
	}
	f("SELECT 1;\nSELECT 'a", "line 2: ' is not closed")
	f(`SELECT 'a\'`, "line 1: ' is not closed")
	f("SELECT `a", "line 1: ` is not closed")
	f("\n\n/* a", "line 3: comment is not closed")
}

func TestMigrationsAreReadable(t *testing.T) {
	all, err := Migrations()
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range all {
		if m.Version != i || len(m.Checksum) != 64 || len(m.Statements) == 0 {
			t.Errorf("migration %d: version %d, checksum %q, %d statements", i, m.Version, m.Checksum, len(m.Statements))
		}
		for _, s := range m.Statements {
			// What was broken off is run again from its start.
			if strings.Contains(s, "CREATE ") && !strings.Contains(s, "IF NOT EXISTS") && !strings.Contains(s, "OR REPLACE") {
				t.Errorf("migration %04d_%s cannot be run twice:\n%s", m.Version, m.Name, s)
			}
		}
	}
}

func TestReadRefuses(t *testing.T) {
	f := func(want string, names ...string) {
		t.Helper()
		files := fstest.MapFS{}
		for _, name := range names {
			files["m/"+name] = &fstest.MapFile{Data: []byte("SELECT 1")}
		}
		if _, err := read(files, "m"); err == nil || err.Error() != want {
			t.Errorf("read %v: error %v, want %s", names, err, want)
		}
	}
	f("migration 0002_b.sql: number 2, want 1: numbers neither repeat nor leave a gap", "0000_a.sql", "0002_b.sql")
	f("migration 0000_b.sql: number 0, want 1: numbers neither repeat nor leave a gap", "0000_a.sql", "0000_b.sql")
	f("migration 1_a.sql: want a name like 0007_what_it_makes.sql", "1_a.sql")

	files := fstest.MapFS{"m/0000_a.sql": {Data: []byte("SELECT 'a")}}
	if _, err := read(files, "m"); err == nil || err.Error() != "migration 0000_a.sql: line 1: ' is not closed" {
		t.Errorf("read a broken file: error %v", err)
	}
}
