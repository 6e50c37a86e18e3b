package sigma

import (
	"fmt"
	"strings"
)

// LogSource says where events come from, or which of them a rule is about: each part that a rule names must be the
// event's, those it leaves out match all (SEMANTICS 2).
type LogSource struct{ Product, Category, Service string }

// ParseLogSource reads "product=windows,category=process_creation"; parts may be left out.
func ParseLogSource(text string) (LogSource, error) {
	var s LogSource
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || value == "" {
			return s, fmt.Errorf("log source %q: %q is not NAME=VALUE", text, part)
		}
		switch name {
		case "product":
			s.Product = value
		case "category":
			s.Category = value
		case "service":
			s.Service = value
		default:
			return s, fmt.Errorf("log source %q: %q is none of product, category, service", text, name)
		}
	}
	return s, nil
}

// Covers reports whether a rule of log source s is about events of log source e.
func (s LogSource) Covers(e LogSource) bool {
	agree := func(rule, event string) bool { return rule == "" || strings.EqualFold(rule, event) }
	return agree(s.Product, e.Product) && agree(s.Category, e.Category) && agree(s.Service, e.Service)
}

// compatible reports whether some events may be of both log sources.
func (s LogSource) compatible(o LogSource) bool {
	agree := func(a, b string) bool { return a == "" || b == "" || strings.EqualFold(a, b) }
	return agree(s.Product, o.Product) && agree(s.Category, o.Category) && agree(s.Service, o.Service)
}

// Rule is a detection rule, compiled. The Detection Rule License asks that the author stays in every message made from a
// match: Author, License and References are for that.
type Rule struct {
	Path string
	Line int

	ID          string
	Name        string // alias that correlations and filters may use
	Title       string
	Description string
	Author      string
	License     string
	Status      string // stable, test, experimental, deprecated, unsupported, or ""
	Level       string // informational, low, medium, high, critical, or ""
	References  []string
	Tags        []string
	Related     []Related
	Source      LogSource
	Fields      []string // fields that an alert should show, by the rule's author

	// Warnings name what was accepted though the specification frowns on it.
	Warnings []string

	when        *condition
	correlation *correlation // nil: a detection rule
}

// Related names another rule that this one derives from, replaces or resembles.
type Related struct{ ID, Type string }

// Key returns the rule's id, its name where it has none, or its place.
func (r *Rule) Key() string {
	switch {
	case r.ID != "":
		return r.ID
	case r.Name != "":
		return r.Name
	}
	return fmt.Sprintf("%s:%d", r.Path, r.Line)
}

var statuses = []string{"stable", "test", "experimental", "deprecated", "unsupported"}

var levels = []string{"informational", "low", "medium", "high", "critical"}

// readRule compiles a detection rule.
func readRule(doc *node, opts *Options) (*Rule, error) {
	r := &Rule{Line: doc.line}
	if err := readHead(doc, r); err != nil {
		return r, err
	}
	source, err := readLogSource(doc, true)
	if err != nil {
		return r, err
	}
	r.Source = source
	detection := doc.get("detection")
	if detection == nil {
		return r, doc.errorf("the rule has no detection")
	}
	when, warnings, err := readDetection(detection, opts)
	if err != nil {
		return r, err
	}
	r.when, r.Warnings = when, append(r.Warnings, warnings...)
	return r, nil
}

// readHead reads what detection rules, correlations and filters have in common. Unknown keys are the author's own.
func readHead(doc *node, r *Rule) error {
	for _, key := range []string{"id", "name", "title", "description", "license", "status", "level"} {
		if v := doc.get(key); v != nil && !v.scalar() {
			return v.errorf("%s is %s, a text is expected", key, v.kind)
		}
	}
	r.ID, r.Name, r.Title = doc.textOf("id"), doc.textOf("name"), doc.textOf("title")
	r.Description, r.License = doc.textOf("description"), doc.textOf("license")
	r.Author = strings.Join(doc.get("author").texts(), ", ")
	r.Status, r.Level = strings.ToLower(doc.textOf("status")), strings.ToLower(doc.textOf("level"))
	r.References, r.Tags, r.Fields = doc.get("references").texts(), doc.get("tags").texts(), doc.get("fields").texts()
	if err := oneOf(doc, "status", r.Status, statuses); err != nil {
		return err
	}
	if err := oneOf(doc, "level", r.Level, levels); err != nil {
		return err
	}
	related := doc.get("related")
	if related == nil || related.kind == nullNode {
		return nil
	}
	for _, n := range related.list() {
		rel := Related{n.textOf("id"), n.textOf("type")}
		if rel.ID == "" || rel.Type == "" {
			return n.errorf("related wants id and type")
		}
		if err := oneOf(n, "type", rel.Type, []string{"derived", "obsolete", "obsoletes", "merged", "renamed", "similar", "correlation"}); err != nil {
			return err
		}
		r.Related = append(r.Related, rel)
	}
	return nil
}

func oneOf(doc *node, key, got string, words []string) error {
	if got == "" {
		return nil
	}
	for _, w := range words {
		if got == w {
			return nil
		}
	}
	return doc.get(key).errorf("%s %q is none of %s", key, got, strings.Join(words, ", "))
}

func readLogSource(doc *node, wanted bool) (LogSource, error) {
	n := doc.get("logsource")
	if n == nil && !wanted {
		return LogSource{}, nil
	}
	if n == nil {
		return LogSource{}, doc.errorf("the rule has no logsource")
	}
	if n.kind != mapNode {
		return LogSource{}, n.errorf("logsource is %s, a map is expected", n.kind)
	}
	for _, key := range []string{"product", "category", "service"} {
		if v := n.get(key); v != nil && !v.scalar() {
			return LogSource{}, v.errorf("%s is %s, a text is expected", key, v.kind)
		}
	}
	return LogSource{n.textOf("product"), n.textOf("category"), n.textOf("service")}, nil
}
