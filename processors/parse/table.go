package parse

import (
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"time"
)

// table reads CSV by the names of its columns, in any case.
type table struct {
	r      *csv.Reader
	column map[string]int
	row    []string
}

func newTable(text string) *table {
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord, r.LazyQuotes, r.TrimLeadingSpace = -1, true, true
	return &table{r: r, column: map[string]int{}}
}

func (t *table) header() error {
	row, err := t.r.Read()
	if err != nil {
		return errors.New("not well-formed CSV")
	}
	for i, name := range row {
		t.column[strings.ToLower(strings.TrimSpace(name))] = i
	}
	return nil
}

// findings calls row with each row of a scanner's export. It returns whether the row holds a finding; where none does, the
// tool's scan was clean.
func (t *table) findings(out *Out, tool string, row func() bool) error {
	found := false
	for {
		var err error
		switch t.row, err = t.r.Read(); {
		case err == io.EOF:
			if !found {
				out.clean(time.Time{}, tool)
			}
			return nil
		case err != nil:
			line := 1
			var at *csv.ParseError
			if errors.As(err, &at) {
				line = at.Line
			}
			return &lineError{line: line - 1, err: errors.New("not well-formed CSV")}
		case row():
			found = true
		}
	}
}

func (t *table) has(name string) bool { _, ok := t.column[name]; return ok }

// get returns the first of the columns that is there and not empty.
func (t *table) get(names ...string) string {
	for _, n := range names {
		if i, ok := t.column[n]; ok && i < len(t.row) && strings.TrimSpace(t.row[i]) != "" {
			return strings.TrimSpace(t.row[i])
		}
	}
	return ""
}

// raw returns the row as text.
func (t *table) raw() string { return strings.Join(t.row, ",") }
