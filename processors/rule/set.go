package rule

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

//go:embed library/*.yaml
var library embed.FS

// File is a rule file: its name as messages give it, and its content.
type File struct {
	Name string
	Data []byte
}

// Library returns the files of the rules that are shipped.
func Library() []File {
	files, err := ReadFS(library)
	if err != nil {
		panic("BUG: the embedded library cannot be read: " + err.Error())
	}
	return files
}

// ReadFS reads all rule files of a file system: *.yaml and *.yml, tests (*.test.yaml) left out.
func ReadFS(fsys fs.FS) ([]File, error) { return readFiles(fsys, ".", "", isOurs) }

// ReadPaths reads files of rules, exceptions and lists, and all that are below folders. With a rule's file come the lists beside it, as it
// may ask for them.
func ReadPaths(paths ...string) ([]File, error) {
	paths = slices.Clone(paths)
	for _, p := range paths {
		if IsRuleFile(p) {
			lists, _ := filepath.Glob(filepath.Join(filepath.Dir(p), "*.list")) // nothing where the pattern is none
			paths = append(paths, lists...)
		}
	}
	files, err := readPaths(paths, isOurs)
	seen := map[string]bool{}
	return slices.DeleteFunc(files, func(f File) bool {
		name := filepath.Clean(f.Name)
		again := seen[name] && filepath.Ext(name) == ".list"
		seen[name] = true
		return again
	}), err
}

// IsRuleFile reports whether a name is a rule file's. Mapping files of sources (*.source.yaml) may lie beside them.
func IsRuleFile(name string) bool {
	ext := filepath.Ext(name)
	return (ext == ".yaml" || ext == ".yml") && !IsTestFile(name) && !IsExceptionFile(name) && !isSource(name)
}

// isSource reports whether a name is that of a mapping file.
func isSource(name string) bool {
	return strings.HasSuffix(strings.TrimSuffix(name, filepath.Ext(name)), ".source")
}

// IsTestFile reports whether a name is that of a rule's tests.
func IsTestFile(name string) bool {
	return strings.HasSuffix(strings.TrimSuffix(name, filepath.Ext(name)), ".test")
}

// ReadTests reads the test files (*.test.yaml), those beside rule files, and all that are below folders.
func ReadTests(paths ...string) ([]File, error) {
	var tests []string
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && !info.IsDir() && IsRuleFile(p) {
			ext := filepath.Ext(p)
			p = strings.TrimSuffix(p, ext) + ".test" + ext
			if _, err := os.Stat(p); errors.Is(err, fs.ErrNotExist) {
				continue
			}
		}
		if !slices.Contains(tests, p) {
			tests = append(tests, p)
		}
	}
	return readPaths(tests, IsTestFile)
}

// LibraryTests returns the test files of the rules that are shipped.
func LibraryTests() []File {
	files, err := readFiles(library, ".", "", IsTestFile)
	if err != nil {
		panic("BUG: the embedded library cannot be read: " + err.Error())
	}
	return files
}

func readPaths(paths []string, want func(string) bool) ([]File, error) {
	var files []File
	var errs []error
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			errs = append(errs, fmt.Errorf("read rules: %w", err))
			continue
		}
		if info.IsDir() {
			more, err := readFiles(os.DirFS(p), ".", p, want)
			files = append(files, more...)
			errs = append(errs, err)
			continue
		}
		if !want(p) && (isOurs(p) || IsTestFile(p) || isSource(p)) {
			continue // as where a shell names all files of a folder
		}
		data, err := os.ReadFile(p)
		files = append(files, File{p, data})
		errs = append(errs, err)
	}
	return files, errors.Join(errs...)
}

func readFiles(fsys fs.FS, root, prefix string, want func(string) bool) (files []File, err error) {
	err = fs.WalkDir(fsys, root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && path != root && isHidden(entry.Name()) {
			return fs.SkipDir
		}
		if err != nil || entry.IsDir() || !want(path) {
			return err
		}
		data, err := fs.ReadFile(fsys, path)
		files = append(files, File{filepath.Join(prefix, path), data})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	return files, nil
}

// Set is a set of rules that passed every check. It is read-only and shared by all workers.
type Set struct {
	Rules []*Rule // by id
	byID  map[string]*Rule
	steps []stepRef
	atoms atoms
	index *index
	// listeners are the steps that take a rule's alerts, by its id; hearings is what is to be found out about them.
	listeners map[string][]int
	hearings  []hearing
	judged    Judged
	live      *Live // that has it in use; nil for none
	// Exceptions are in the order of their files.
	Exceptions []*Exception
	// Warnings are what is not wrong but wants a look, with file:line:column.
	Warnings []string
}

// Judged are rules whose events another matcher finds: package sigma's. They are in the set for those who hold their state
// and word their alerts; their steps have no condition.
type Judged struct {
	Rules []*Rule
	// Matcher makes the processor of one worker; it is called behind our own conditions, and tells the worker's matcher what
	// its rules take. nil where there are no rules.
	Matcher func(m *Matcher) pipeline.Processor
	// Hear appends to a batch the signals of those steps of the rules that take the alerts of a rule; see Matcher.Hear.
	Hear func(rule string, e *pipeline.Event, b *pipeline.Batch)
	// Explain says what each step of one of the rules makes of an event.
	Explain func(r *Rule, e *pipeline.Event) []Explanation
	// Source says a step of one of the rules in ClickHouse's words: a query over the table events with the parameters from and
	// to that gives a row for each signal, with key, t (Unix milliseconds), id (of the event), and the signal's values as a0, a1 and so on.
	Source func(r *Rule, step int) (string, error)
	// Notes say which of the files are refused, and which rules can never fire.
	Notes []string
}

// stepRef names a step among those of all rules.
type stepRef struct {
	rule   *Rule
	number int // of the rule in Set.Rules
	index  int // of the step in the rule
	step   *Step
}

// Load checks and compiles rule files. On an error it returns Errors with everything that is wrong in all of them, and
// no set: a set is loaded as a whole or not at all.
func Load(files []File) (*Set, error) { return LoadWith(files, Judged{}) }

// LoadWith is Load with rules beside ours that another matcher judges.
func LoadWith(files []File, judged Judged) (*Set, error) {
	set := &Set{byID: map[string]*Rule{}, judged: judged}
	var errs Errors
	for _, f := range files { // rules ask for lists
		if IsListFile(f.Name) {
			if err := set.readList(f); err != nil {
				errs = append(errs, err)
			}
		}
	}
	for _, f := range files {
		if IsListFile(f.Name) || IsExceptionFile(f.Name) {
			continue
		}
		r, more := readRule(set, f.Name, f.Data)
		errs = append(errs, more...)
		if r != nil && r.ID != "" {
			errs = set.add(r, errs)
		}
	}
	for _, r := range judged.Rules {
		r.judged = &set.judged
		errs = set.add(r, errs)
	}
	errs = append(errs, set.connect()...)
	for _, f := range files {
		if IsExceptionFile(f.Name) {
			errs = append(errs, set.readExceptions(f)...)
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	slices.SortFunc(set.Rules, func(a, b *Rule) int { return strings.Compare(a.ID, b.ID) })
	for number, r := range set.Rules {
		if r.Digest = r.digest(); r.IsJudgedElsewhere() {
			continue
		}
		for i := range r.Steps {
			r.Steps[i].reads = set.reads(&r.Steps[i])
			for _, id := range r.Steps[i].Alerts {
				set.listeners[id] = append(set.listeners[id], len(set.steps))
			}
			set.steps = append(set.steps, stepRef{r, number, i, &r.Steps[i]})
		}
	}
	set.index = newIndex(&set.atoms, set.steps)
	return set, nil
}

func (s *Set) add(r *Rule, errs Errors) Errors {
	if other := s.byID[r.ID]; other != nil {
		return append(errs, &Error{Path: r.Path, Message: fmt.Sprintf("rule %q is in %s as well", r.ID, other.Path), Hint: "an id names one rule"})
	}
	s.byID[r.ID] = r
	s.Rules = append(s.Rules, r)
	return errs
}

// Notes say which files of rules that are judged elsewhere are refused, and which of their rules can never fire.
func (s *Set) Notes() []string { return s.judged.Notes }

// reads returns the fields that a step cannot do without, or that are among several of which it needs one.
func (s *Set) reads(step *Step) []string {
	columns := s.atoms.needs(step.when)
	for _, v := range step.key {
		if v.column != "" {
			columns = append(columns, v.column)
		}
	}
	slices.Sort(columns)
	columns = slices.Compact(columns)
	return slices.DeleteFunc(columns, func(c string) bool { return c == "event_type" })
}

// Rule returns the rule of that id, or nil.
func (s *Set) Rule(id string) *Rule { return s.byID[id] }

// Depth returns that of the rule with the most alerts one above the other.
func (s *Set) Depth() (depth int) {
	for _, r := range s.Rules {
		depth = max(depth, r.Depth)
	}
	return depth
}
