// Package sql is the warehouse's schema as data: numbered migrations that only go forward, embedded in the binary.
// Package pipeline/clickhouse applies them.
//
// Names in the files carry no database: the session that runs them decides which one it is.
package sql

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migration is one file of migrations/.
type Migration struct {
	Version    int    // number in front of the file's name
	Name       string // the rest of it, without the ending
	Checksum   string // SHA-256 of the file, in hex
	Statements []string
}

var fileName = regexp.MustCompile(`^(\d{4})_([a-z0-9_]+)\.sql$`)

// Migrations returns all migrations in the order in which they are applied. Their versions run from 0 without a gap.
func Migrations() ([]Migration, error) { return read(migrations, "migrations") }

func read(files fs.FS, dir string) ([]Migration, error) {
	entries, err := fs.ReadDir(files, dir) // sorted by name, and so by number
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	var all []Migration
	for _, entry := range entries {
		m := fileName.FindStringSubmatch(entry.Name())
		if m == nil {
			return nil, fmt.Errorf("migration %s: want a name like 0007_what_it_makes.sql", entry.Name())
		}
		version, err := strconv.Atoi(m[1])
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", entry.Name(), err)
		}
		if version != len(all) {
			return nil, fmt.Errorf("migration %s: number %d, want %d: numbers neither repeat nor leave a gap", entry.Name(), version, len(all))
		}
		text, err := fs.ReadFile(files, path.Join(dir, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("read migration %s: %w", entry.Name(), err)
		}
		statements, err := Split(string(text))
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", entry.Name(), err)
		}
		sum := sha256.Sum256(text)
		all = append(all, Migration{version, m[2], hex.EncodeToString(sum[:]), statements})
	}
	return all, nil
}
