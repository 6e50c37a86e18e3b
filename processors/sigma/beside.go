package sigma

import (
	"errors"
	"path/filepath"
	"regexp"
	"strings"
)

// Beside is what the folders of our own rules hold for Sigma.
type Beside struct {
	Rules        []File
	Taxonomy     *Taxonomy // what tocsin comes with, then *.taxonomy.yaml
	Placeholders map[string][]string
}

const (
	taxonomyName     = ".taxonomy"
	placeholdersName = ".placeholders"
)

// otherKinds are the kinds of files that hold no rules: ours of rules' tests and of sources, too.
var otherKinds = []string{taxonomyName, placeholdersName, ".test", ".source"}

// ReadBeside reads the files at and below the paths that are Sigma's: documents by their content, *.taxonomy.yaml and
// *.placeholders.yaml by their names.
func ReadBeside(paths ...string) (*Beside, error) {
	files, err := readFiles(paths, func(string) bool { return true })
	if err != nil {
		return nil, err
	}
	b := &Beside{Taxonomy: DefaultTaxonomy(), Placeholders: map[string][]string{}}
	var errs []error
	for _, f := range files {
		switch kindOf(f.Path) {
		case taxonomyName:
			errs = append(errs, b.Taxonomy.Add(f.Path, f.Data))
		case placeholdersName:
			values, err := ReadPlaceholders(f.Path, f.Data)
			errs = append(errs, err)
			for name, v := range values {
				b.Placeholders[name] = append(b.Placeholders[name], v...)
			}
		default:
			if IsOurs(f.Path, f.Data) {
				b.Rules = append(b.Rules, f)
			}
		}
	}
	return b, errors.Join(errs...)
}

// kindOf returns the part of the name that says what a file is: ".taxonomy" of acme.taxonomy.yaml.
func kindOf(path string) string {
	return filepath.Ext(strings.TrimSuffix(path, filepath.Ext(path)))
}

// sigmaKeys are at the top of Sigma's documents, and of none of our rules, tests or sources.
var sigmaKeys = regexp.MustCompile(`(?m)^(detection|correlation|filter|logsource):`)

// IsOurs reports whether a YAML file is this package's to read, not a rule of tocsin's own form.
func IsOurs(path string, data []byte) bool {
	switch kindOf(path) {
	case taxonomyName, placeholdersName:
		return true
	case ".test", ".source":
		return false
	}
	return sigmaKeys.Match(data)
}
