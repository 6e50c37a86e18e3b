package enrich

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxYAMLBytes bounds a YAML table: its parser's time grows with the square of some inputs, and takes a second for this much.
const maxYAMLBytes = 4 << 20

// cell is what one column of a row says, and where it stands. Its line is 0 where the row leaves the column out.
type cell struct {
	text         string
	line, column int
}

// rows reads a table that people write: CSV whose first line names the columns, or a YAML list of mappings with the same
// keys. each is called with the cells of every row that is well-formed, in the order of columns, which the slice shares
// from call to call. A column that does not exist, a required one that is empty and a broken file are mistakes.
func rows(f *file, columns []string, required int, m *mistakes, each func([]cell)) {
	check := func(cells []cell, line, column int) {
		for i := range required {
			if cells[i].text == "" {
				m.at(f.path, line, column, "the row has no "+columns[i], "give it one")
				return
			}
		}
		each(cells)
	}
	if strings.EqualFold(filepath.Ext(f.path), ".csv") {
		csvRows(f, columns, m, check)
	} else {
		yamlRows(f, columns, m, check)
	}
}

func csvRows(f *file, columns []string, m *mistakes, each func(cells []cell, line, column int)) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(f.data, []byte("\xef\xbb\xbf"))))
	r.Comment, r.TrimLeadingSpace, r.ReuseRecord = '#', true, true
	var places []int // of the file's columns, in columns
	cells := make([]cell, len(columns))
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			if places == nil {
				m.at(f.path, 1, 1, "the file is empty", "its first line names the columns: "+strings.Join(columns, ","))
			}
			return
		}
		if err != nil {
			line, column, what := 1, 1, err.Error()
			if pe := (*csv.ParseError)(nil); errors.As(err, &pe) {
				line, column, what = pe.Line, pe.Column, pe.Err.Error()
			}
			m.at(f.path, line, column, what, "a row has as many values as there are columns; a value with a comma stands in quotes")
			if errors.Is(err, csv.ErrFieldCount) {
				continue
			}
			return // where the next row begins, nobody can tell
		}
		if places == nil {
			if places = header(f, r, record, columns, m); places == nil {
				return
			}
			continue
		}
		clear(cells)
		for i, text := range record {
			line, column := r.FieldPos(i)
			cells[places[i]] = cell{strings.TrimSpace(text), line, column}
		}
		line, column := r.FieldPos(0)
		each(cells, line, column)
	}
}

// header returns which of columns each column of the file is, or nil where one is unknown or named twice.
func header(f *file, r *csv.Reader, record, columns []string, m *mistakes) []int {
	places := make([]int, 0, len(record))
	for i, name := range record {
		name = strings.ToLower(strings.TrimSpace(name))
		place := slices.Index(columns, name)
		if line, column := r.FieldPos(i); place < 0 {
			m.at(f.path, line, column, fmt.Sprintf("unknown column %q", name), "the columns are "+strings.Join(columns, ", "))
		} else if slices.Contains(places, place) {
			m.at(f.path, line, column, fmt.Sprintf("column %q is named twice", name), "remove one")
		} else {
			places = append(places, place)
		}
	}
	if len(places) < len(record) {
		return nil
	}
	return places
}

func yamlRows(f *file, columns []string, m *mistakes, each func(cells []cell, line, column int)) {
	if len(f.data) > maxYAMLBytes {
		m.at(f.path, 0, 0, fmt.Sprintf("the file has %d bytes, as YAML at most %d are read", len(f.data), maxYAMLBytes), "write it as CSV with the same columns")
		return
	}
	doc, err := parser.ParseBytes(f.data, 0)
	if err != nil {
		line, column, what := 1, 1, err.Error()
		if ye := yaml.Error(nil); errors.As(err, &ye) {
			what = ye.GetMessage()
			if t := ye.GetToken(); t != nil && t.Position != nil {
				line, column = t.Position.Line, t.Position.Column
			}
		}
		m.at(f.path, line, column, what, "")
		return
	}
	cells := make([]cell, len(columns))
	for _, d := range doc.Docs {
		if d.Body == nil {
			continue // nothing but comments: an empty table
		}
		list, ok := d.Body.(*ast.SequenceNode)
		if !ok {
			line, column := position(d.Body)
			m.at(f.path, line, column, "expected a list", "as in: - {"+columns[0]+": ..., "+columns[1]+": ...}")
			continue
		}
		for _, item := range list.Values {
			if line, column := position(item); yamlRow(f, item, columns, cells, m) {
				each(cells, line, column)
			}
		}
	}
}

// yamlRow reads one mapping into cells and reports whether it is well-formed.
func yamlRow(f *file, item ast.Node, columns []string, cells []cell, m *mistakes) bool {
	clear(cells)
	var pairs []*ast.MappingValueNode
	switch n := item.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		line, column := position(item)
		m.at(f.path, line, column, "expected keys and values", "as in {"+columns[0]+": ..., "+columns[1]+": ...}")
		return false
	}
	fine := true
	for _, p := range pairs {
		key := p.Key.GetToken().Value
		line, column := position(p.Key)
		place := slices.Index(columns, key)
		if place < 0 {
			m.at(f.path, line, column, fmt.Sprintf("unknown key %q", key), "the keys are "+strings.Join(columns, ", "))
			fine = false
			continue
		}
		line, column = position(p.Value)
		switch v := p.Value.(type) {
		case *ast.NullNode:
			cells[place] = cell{"", line, column}
		case *ast.LiteralNode:
			cells[place] = cell{strings.TrimSpace(v.Value.Value), line, column}
		case ast.ScalarNode:
			cells[place] = cell{strings.TrimSpace(v.GetToken().Value), line, column}
		default:
			m.at(f.path, line, column, key+": expected one value", "a row for each")
			fine = false
		}
	}
	return fine
}

func position(n ast.Node) (line, column int) {
	if p, ok := n.(*ast.MappingNode); ok && len(p.Values) > 0 {
		n = p.Values[0].Key
	}
	if p, ok := n.(*ast.MappingValueNode); ok {
		n = p.Key
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line, t.Position.Column
	}
	return 1, 1
}
