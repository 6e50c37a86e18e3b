package sql

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

//go:embed queries/*.sql
var queries embed.FS

// Query answers one question about the warehouse: a file of queries/. It only reads.
type Query struct {
	Name     string // the file's name, without the ending
	Question string // its first line
	Text     string // the statement, with its comments and without the semicolon
	Params   []Param
}

// Param is a {name:Type} of a query.
type Param struct {
	Name    string
	Type    string // of ClickHouse
	Default string // what the file says behind "-- name ="; for entities the one of the demo
}

var (
	paramUse     = regexp.MustCompile(`\{([a-z_]+):([A-Za-z0-9()]+)\}`)
	paramDefault = regexp.MustCompile(`(?m)^-- ([a-z_]+) = (.+)$`)
)

// Queries returns all queries by their names.
func Queries() ([]Query, error) { return readQueries(queries, "queries") }

func readQueries(files fs.FS, dir string) ([]Query, error) {
	entries, err := fs.ReadDir(files, dir) // sorted by name
	if err != nil {
		return nil, fmt.Errorf("list queries: %w", err)
	}
	var all []Query
	for _, entry := range entries {
		text, err := fs.ReadFile(files, path.Join(dir, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("read query %s: %w", entry.Name(), err)
		}
		statements, err := Split(string(text))
		if err == nil && len(statements) != 1 {
			err = fmt.Errorf("%d statements, want 1", len(statements))
		}
		first, _, _ := strings.Cut(string(text), "\n")
		question, ok := strings.CutPrefix(first, "-- ")
		if err == nil && !ok {
			err = fmt.Errorf("line 1: want the question, behind \"-- \"")
		}
		if err != nil {
			return nil, fmt.Errorf("query %s: %w", entry.Name(), err)
		}
		q := Query{Name: strings.TrimSuffix(entry.Name(), ".sql"), Question: question, Text: statements[0]}
		defaults := map[string]string{}
		for _, m := range paramDefault.FindAllStringSubmatch(q.Text, -1) {
			defaults[m[1]] = m[2]
		}
		for _, m := range paramUse.FindAllStringSubmatch(q.Text, -1) {
			value, ok := defaults[m[1]]
			if !ok {
				continue // used before
			}
			delete(defaults, m[1])
			q.Params = append(q.Params, Param{Name: m[1], Type: m[2], Default: value})
		}
		for name := range defaults {
			return nil, fmt.Errorf("query %s: %s has a value and no use", entry.Name(), name)
		}
		all = append(all, q)
	}
	return all, nil
}
