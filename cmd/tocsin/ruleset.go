package main

import (
	"fmt"
	"slices"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
	"github.com/tocsin-project/tocsin/processors/sigma"
)

// loadRules loads the rules at the paths, or those that tocsin comes with.
func loadRules(paths []string) (*rule.Set, error) {
	return RulesConfig{Library: len(paths) == 0, Dirs: paths}.load()
}

// load reads the library and the user's own rules, ours and Sigma's.
func (c RulesConfig) load() (*rule.Set, error) {
	files, err := c.files()
	if err != nil {
		return nil, err
	}
	beside, err := sigma.ReadBeside(c.Dirs...)
	if err != nil {
		return nil, err
	}
	return rule.LoadWith(files, sigmaRules(beside))
}

// files are those with rules of our own form.
func (c RulesConfig) files() ([]rule.File, error) {
	var files []rule.File
	if c.Library {
		files = rule.Library()
	}
	own, err := rule.ReadPaths(c.Dirs...)
	if err != nil {
		return nil, err
	}
	own = slices.DeleteFunc(own, func(f rule.File) bool { return rule.IsRuleFile(f.Name) && sigma.IsOurs(f.Name, f.Data) })
	return append(files, own...), nil
}

// sigmaRules compiles Sigma's documents. What is refused, and what can never fire, stops nothing but is named.
func sigmaRules(files *sigma.Beside) rule.Judged {
	if len(files.Rules) == 0 {
		return rule.Judged{}
	}
	set := sigma.Load(files.Rules, sigma.Options{Placeholders: files.Placeholders})
	detector := sigma.NewDetector(set, files.Taxonomy)
	j := rule.Judged{Rules: detector.Rules(), Matcher: func(m *rule.Matcher) pipeline.Processor { return detector.Watched(m) }, Hear: detector.Hear, Explain: detector.Explain, Source: detector.Source}
	for _, r := range set.Results {
		if r.Err != nil && !r.Inactive {
			j.Notes = append(j.Notes, "refused: "+r.Err.Error())
		}
	}
	refused := len(j.Notes)
	for _, s := range detector.Silent() {
		j.Notes = append(j.Notes, fmt.Sprintf("never fires: %s:%d: %s", s.Rule.Path, s.Rule.Line, s.Reason))
	}
	j.Notes = append(j.Notes, fmt.Sprintf("Sigma: %d rules can fire, %d never, %d are refused", len(j.Rules), len(detector.Silent()), refused))
	return j
}
