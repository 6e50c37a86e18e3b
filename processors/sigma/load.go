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
	Rules        []*Rule
	Correlations []*Rule // each after those that it refers to
	Results      []Result
}

// Result says what became of one document.
type Result struct {
	Path, ID string
	Err      error // why it was refused; nil: it is honoured
	Warnings []string
	Inactive bool  // of a directory of rules that are not meant to run
	Rule     *Rule // nil where it is refused, and for filters
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

// ReadFiles returns the YAML files at and below the paths, in the order of their names, but for those whose names say that
// they hold something else than rules. Those below a directory "deprecated" or "unsupported" within a path are inactive.
func ReadFiles(paths ...string) ([]File, error) {
	return readFiles(paths, func(path string) bool { return !slices.Contains(otherKinds, kindOf(path)) })
}

func readFiles(paths []string, want func(path string) bool) ([]File, error) {
	var files []File
	for _, root := range paths {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if ext := filepath.Ext(path); path != root && ext != ".yml" && ext != ".yaml" || !want(path) {
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
// takes no part in matching. Filters and correlations may refer to rules of any file.
func Load(files []File, opts Options) *Set {
	l := &loader{Set: &Set{}, opts: &opts, rules: map[string]*Rule{}}
	for _, f := range files {
		docs, err := readYAML(bytes.ReplaceAll(f.Data, []byte("\r\n"), []byte("\n")))
		for _, doc := range docs {
			l.document(f, doc)
		}
		if err != nil || len(docs) == 0 {
			if err == nil {
				err = &Error{Line: 1, Column: 1, Reason: "the file is empty"}
			}
			l.Results = append(l.Results, Result{Path: f.Path, Err: located(err, f.Path)})
		}
	}
	for _, p := range l.filters {
		warnings, err := applyFilter(p.doc, l.opts, l.Rules, l.find)
		l.settle(p, append(p.rule.Warnings, warnings...), err)
	}
	l.correlate()
	return l.Set
}

// loader keeps what refers to other documents until all are read.
type loader struct {
	*Set
	opts                  *Options
	rules                 map[string]*Rule // by id and by name
	filters, correlations []pending
}

type pending struct {
	doc    *node
	rule   *Rule
	result int
}

func (l *loader) find(name string) *Rule { return l.rules[name] }

func (l *loader) settle(p pending, warnings []string, err error) {
	r := &l.Results[p.result]
	r.Err, r.Warnings = located(err, r.Path), warnings
}

// document compiles one document, or puts it off.
func (l *loader) document(f File, doc *node) {
	r, err := &Rule{Line: doc.line}, error(nil)
	refers := doc.get("correlation") != nil || doc.get("filter") != nil
	switch {
	case doc.kind != mapNode:
		err = doc.errorf("the document is %s, a map is expected", doc.kind)
	case doc.get("action") != nil:
		err = doc.get("action").errorf("rule collections by action were removed from the specification")
	case refers:
		err = readHead(doc, r)
	default:
		r, err = readRule(doc, l.opts)
	}
	r.Path = f.Path
	for _, key := range []string{"id", "name"} {
		if other := l.rules[doc.textOf(key)]; err == nil && other != nil {
			err = doc.get(key).errorf("the %s is that of a rule in %s too", key, other.Path)
		}
	}
	l.Results = append(l.Results, Result{f.Path, r.ID, located(err, f.Path), r.Warnings, f.Inactive, nil})
	if err != nil {
		return
	}
	p := pending{doc, r, len(l.Results) - 1}
	switch {
	case f.Inactive && !refers:
		return
	case doc.get("correlation") != nil:
		l.correlations = append(l.correlations, p)
	case refers:
		l.filters = append(l.filters, p)
	default:
		l.Rules = append(l.Rules, r)
		l.Results[len(l.Results)-1].Rule = r
		l.enter(r)
	}
}

func (l *loader) enter(r *Rule) {
	for _, key := range []string{r.ID, r.Name} {
		if key != "" {
			l.rules[key] = r
		}
	}
}

// correlate compiles correlations, those that others refer to first; what is left over refers in a circle, or to nothing.
func (l *loader) correlate() {
	waiting := l.correlations
	for progress := true; progress; {
		progress = false
		var left []pending
		for _, p := range waiting {
			c, err := readCorrelation(p.doc, l.find)
			if l.settle(p, p.rule.Warnings, err); err != nil {
				left = append(left, p)
				continue
			}
			for _, key := range []string{p.rule.ID, p.rule.Name} {
				if other := l.rules[key]; key != "" && other != nil {
					err = p.doc.errorf("the id or name %q is that of a rule in %s too", key, other.Path)
				}
			}
			if l.settle(p, p.rule.Warnings, err); err != nil {
				continue
			}
			progress = true
			p.rule.correlation = c
			l.Correlations = append(l.Correlations, p.rule)
			l.Results[p.result].Rule = p.rule
			l.enter(p.rule)
		}
		waiting = left
	}
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
