package sigma

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Options are what rules may ask of their user.
type Options struct {
	// Placeholders are the values of %name% in items with the modifier expand. A rule that names another one is refused.
	Placeholders map[string][]string
}

// Set is what was read from rule files: rules that can be honoured, and what became of every document.
type Set struct {
	Rules   []*Rule
	Results []Result
}

// Result says what became of one document.
type Result struct {
	Path, ID string
	Err      error // why it was refused; nil: it is honoured
	Warnings []string
}

// File is a rule file.
type File struct {
	Path string
	Data []byte
	// Inactive files are checked, but their rules are not matched.
	Inactive bool
}

// inactiveDirs are those in which the public repository keeps rules that are not meant to run.
var inactiveDirs = []string{"deprecated", "unsupported"}

// ReadFiles returns the YAML files at and below the paths, in the order of their names. Those below a directory
// "deprecated" or "unsupported" within a path are inactive.
func ReadFiles(paths ...string) ([]File, error) {
	var files []File
	for _, root := range paths {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if ext := filepath.Ext(path); path != root && ext != ".yml" && ext != ".yaml" {
				return nil
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			below, _ := filepath.Rel(root, path)
			parts := strings.Split(filepath.ToSlash(filepath.Dir(below)), "/")
			inactive := slices.ContainsFunc(parts, func(p string) bool { return slices.Contains(inactiveDirs, p) })
			files = append(files, File{path, data, inactive})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// Load compiles the documents of the files. What cannot be honoured is in Results with file, line, column and reason, and
// takes no part in matching.
func Load(files []File, opts Options) *Set {
	s := &Set{}
	ids := map[string]string{}
	for _, f := range files {
		docs, err := readYAML(bytes.ReplaceAll(f.Data, []byte("\r\n"), []byte("\n")))
		for _, doc := range docs {
			r, err := s.document(doc, &opts)
			r.Path = f.Path
			if err == nil && r.ID != "" && ids[r.ID] != "" {
				err = doc.get("id").errorf("the id is that of %s too", ids[r.ID])
			}
			if err == nil && r.ID != "" {
				ids[r.ID] = f.Path
			}
			s.Results = append(s.Results, Result{f.Path, r.ID, located(err, f.Path), r.Warnings})
			if err == nil && !f.Inactive {
				s.Rules = append(s.Rules, r)
			}
		}
		if err != nil || len(docs) == 0 {
			if err == nil {
				err = &Error{Line: 1, Column: 1, Reason: "the file is empty"}
			}
			s.Results = append(s.Results, Result{Path: f.Path, Err: located(err, f.Path)})
		}
	}
	return s
}

// document compiles one document.
func (s *Set) document(doc *node, opts *Options) (*Rule, error) {
	r := &Rule{Line: doc.line}
	switch {
	case doc.kind != mapNode:
		return r, doc.errorf("the document is %s, a map is expected", doc.kind)
	case doc.get("correlation") != nil:
		return r, doc.get("correlation").errorf("correlations are not supported")
	case doc.get("filter") != nil:
		return r, doc.get("filter").errorf("filters are not supported")
	case doc.get("action") != nil:
		return r, doc.get("action").errorf("rule collections by action were removed from the specification")
	}
	return readRule(doc, opts)
}

// located adds the path, which compiling does not know.
func located(err error, path string) error {
	if e := (*Error)(nil); errors.As(err, &e) {
		e.Path = path
	}
	return err
}

// ReadPlaceholders reads the values of placeholders: a map from names to a value or a list of them.
func ReadPlaceholders(path string, data []byte) (map[string][]string, error) {
	docs, err := readYAML(data)
	if err != nil {
		return nil, located(err, path)
	}
	all := map[string][]string{}
	for _, doc := range docs {
		if doc.kind != mapNode {
			return nil, located(doc.errorf("a map from names to values is expected"), path)
		}
		for _, p := range doc.pairs {
			if all[p.key.text] = p.value.texts(); len(all[p.key.text]) == 0 {
				return nil, located(p.value.errorf("placeholder %s has no value", p.key.text), path)
			}
		}
	}
	return all, nil
}
