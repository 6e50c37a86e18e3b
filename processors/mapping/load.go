package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/parse"
	"github.com/tocsin-project/tocsin/schemas"
)

// Suffix ends the names of mapping files.
const Suffix = ".source.yaml"

// document is a mapping file as it is written.
type document struct {
	Source string `yaml:"source"`
	Title  string `yaml:"title"`
	Phase  string `yaml:"phase"`
	// Log says that equal records are different events.
	Log   bool `yaml:"log"`
	Match struct {
		Has   []string `yaml:"has"`
		Where string   `yaml:"where"`
	} `yaml:"match"`
	Each   string          `yaml:"each"`
	Events []eventDocument `yaml:"events"`
	Tests  []Test          `yaml:"tests"`
}

type eventDocument struct {
	When    string        `yaml:"when"`
	Type    string        `yaml:"type"`
	Phase   string        `yaml:"phase"`
	ID      []string      `yaml:"id"`
	Secrets []string      `yaml:"secrets"`
	Fields  yaml.MapSlice `yaml:"fields"`
}

// Test is an example in a mapping file: a record, and the events that it gives, by the columns that matter.
type Test struct {
	Name   string              `yaml:"name"`
	Record string              `yaml:"record"`
	Events []map[string]string `yaml:"events"`
}

// Load reads the mapping files at the paths and in the folders below them. It returns all errors of all files at once,
// with file, line and column.
func Load(paths ...string) ([]*Source, error) {
	var files []string
	var errs []error
	for _, p := range paths {
		err := filepath.WalkDir(p, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.HasSuffix(path, Suffix) {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			errs = append(errs, err)
		}
	}
	var sources []*Source
	names := map[string]string{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s, err := Read(f, data)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if other, taken := names[s.Name]; taken {
			errs = append(errs, fmt.Errorf("%s: source %q is in %s as well", f, s.Name, other))
			continue
		}
		names[s.Name] = f
		sources = append(sources, s)
	}
	return sources, errors.Join(errs...)
}

// Read reads one mapping file.
func Read(path string, data []byte) (*Source, error) {
	var doc document
	if err := yaml.UnmarshalWithOptions(data, &doc, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%s:%s", path, yaml.FormatError(err, false, true))
	}
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r := &reader{path: path, tree: tree, data: data}
	s := r.source(&doc)
	return s, errors.Join(r.errs...)
}

// reader turns a document into a source and collects what is wrong in it.
type reader struct {
	path string
	tree *ast.File
	data []byte
	errs []error
}

// fail notes an error at a place of the document, at runes into its value.
func (r *reader) fail(place string, at int, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	line, column := 1, 1
	if p, err := yaml.PathString(place); err == nil {
		if node, err := p.FilterFile(r.tree); err == nil && node.GetToken() != nil {
			pos := node.GetToken().Position
			line, column = pos.Line, pos.Column+at
		}
	}
	lines := bytes.Split(r.data, []byte{'\n'})
	r.errs = append(r.errs, fmt.Errorf("%s:%d:%d: %s\n    %d | %s\n      | %s^", r.path, line, column, message,
		line, bytes.TrimRight(lines[min(line, len(lines))-1], "\r"), strings.Repeat(" ", max(column-1, 0))))
}

func (r *reader) source(doc *document) *Source {
	s := &Source{
		Path: r.path, Name: doc.Source, Tests: doc.Tests, title: doc.Title, phase: doc.Phase, log: doc.Log, has: doc.Match.Has,
		item: &paths{}, wherePaths: &paths{},
	}
	s.known = "JSON object with " + strings.Join(doc.Match.Has, ", ")
	if doc.Source == "" || strings.Trim(doc.Source, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		r.fail("$.source", 0, "source: %q is no name of lower-case letters, digits and hyphens", doc.Source)
	} else if parse.Lookup(doc.Source) != nil {
		r.fail("$.source", 0, "source: %q is a built-in format; choose another name", doc.Source)
	}
	if doc.Phase == "" {
		s.phase = pipeline.PhaseUnknown
	} else {
		r.word("$.phase", "phase", doc.Phase, schemas.Phases)
	}
	if len(doc.Match.Has) == 0 {
		r.fail("$.match", 0, "match.has: name at least one key by which the records are recognised")
	}
	if doc.Match.Where != "" {
		s.known += " where " + doc.Match.Where
		s.where = r.expression("$.match.where", doc.Match.Where, s.wherePaths, nil)
	}
	if doc.Each != "" {
		s.each, s.root = strings.Split(doc.Each, "."), &paths{}
		s.root.add(s.each)
	}
	if len(doc.Events) == 0 {
		r.fail("$", 0, "events: there is none")
	}
	for i, e := range doc.Events {
		s.cases = append(s.cases, r.event(s, fmt.Sprintf("$.events[%d]", i), &e))
	}
	return s
}

func (r *reader) event(s *Source, place string, doc *eventDocument) event {
	e := event{typ: doc.Type, phase: doc.Phase}
	r.word(place+".type", "type", doc.Type, eventTypes)
	if doc.Phase != "" {
		r.word(place+".phase", "phase", doc.Phase, schemas.Phases)
	}
	if doc.When != "" {
		e.when = r.expression(place+".when", doc.When, s.item, s.root)
	}
	for i, src := range doc.ID {
		e.id = append(e.id, r.expression(fmt.Sprintf("%s.id[%d]", place, i), src, s.item, s.root))
	}
	for i, src := range doc.Secrets {
		e.secret = append(e.secret, r.expression(fmt.Sprintf("%s.secrets[%d]", place, i), src, s.item, s.root))
	}
	for _, f := range doc.Fields {
		column, _ := f.Key.(string)
		at := place + ".fields.'" + column + "'"
		if !strings.HasPrefix(column, "attributes.") && !slices.Contains(columns, column) {
			r.fail(at, 0, "fields.%s: there is no such field%s; docs/fields.md lists them", column, didYouMean(column, columns))
			continue
		}
		e.fields = append(e.fields, field{column, r.expression(at, fmt.Sprint(f.Value), s.item, s.root)})
	}
	return e
}

func (r *reader) expression(place, src string, item, root *paths) *expression {
	x, at, err := compile(src, item, root)
	if err != nil {
		r.fail(place, at, "%s: %v", strings.TrimPrefix(place, "$."), err)
	}
	return x
}

func (r *reader) word(place, what, got string, words []string) {
	if !slices.Contains(words, got) {
		r.fail(place, 0, "%s: %q is unknown%s", what, got, didYouMean(got, words))
	}
}

// eventTypes and columns are what a mapping may name.
var (
	eventTypes = func() (names []string) {
		for _, t := range schemas.EventTypes {
			names = append(names, t.Name)
		}
		return names
	}()
	columns = func() (names []string) {
		for _, f := range schemas.EventFields {
			switch f.Column {
			case "event_id", "ingest_time", "source", "event_type", "phase", "attributes", "raw", "kafka_topic", "kafka_partition", "kafka_offset":
			default:
				names = append(names, f.Column)
			}
		}
		return names
	}()
)

// didYouMean names the word that differs least, where one is near.
func didYouMean(got string, words []string) string {
	best, least := "", 3
	for _, w := range words {
		if d := distance(got, w); d < least {
			best, least = w, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		previous := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			previous, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, previous+cost)
		}
	}
	return row[len(b)]
}
