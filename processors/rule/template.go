package rule

import (
	"fmt"
	"strings"
)

// Template is a text with placeholders: {column}, {attributes.key}, {aggregate} or, in a sequence, {step.column}.
type Template struct {
	Text  string
	parts []templatePart
}

type templatePart struct {
	literal string
	step    int    // index of the step that the column is of; -1 for the newest that has it
	name    string // column or aggregate; empty in a literal part
}

// Render fills the placeholders in. lookup is given the index of the step (-1 for any) and the column or aggregate; what
// it answers with "" is written as a dash.
func (t *Template) Render(lookup func(step int, name string) string) string {
	var b strings.Builder
	for _, p := range t.parts {
		b.WriteString(p.literal)
		if p.name == "" {
			continue
		}
		if v := lookup(p.step, p.name); v != "" {
			b.WriteString(v)
		} else {
			b.WriteString("–")
		}
	}
	return b.String()
}

// Words returns a template of a text as it stands, followed by a column of the newest event where that is not "".
func Words(text, column string) *Template {
	t := &Template{Text: text, parts: []templatePart{{literal: text, step: -1}}}
	if column != "" {
		t.Text += "{" + column + "}"
		t.parts = append(t.parts, templatePart{step: -1, name: column})
	}
	return t
}

// newTemplate parses a template. aggregates are names that are not columns; steps are the ids of a sequence's steps.
func newTemplate(src string, aggregates, steps []string) (*Template, []exprError) {
	t := &Template{Text: src}
	var errs []exprError
	rest, at := src, 0
	for {
		literal, after, ok := strings.Cut(rest, "{")
		at += len([]rune(literal)) + 1
		t.parts = append(t.parts, templatePart{literal: literal, step: -1})
		if !ok {
			return t, errs
		}
		name, after, ok := strings.Cut(after, "}")
		if !ok {
			return nil, append(errs, exprError{at - 1, "the placeholder has no }", ""})
		}
		p := templatePart{step: -1, name: name}
		if id, column, ok := strings.Cut(name, "."); ok && id+"." != attrPrefix {
			for i, s := range steps {
				if s == id {
					p.step, p.name = i, column
				}
			}
			if p.step < 0 {
				errs = append(errs, exprError{at, fmt.Sprintf("unknown step %q", id), didYouMean(id, steps)})
				p.name = "event_type" // the step is wrong, and that is said
			}
		}
		known := isColumn(p.name)
		for _, a := range aggregates {
			known = known || p.step < 0 && a == p.name
		}
		if !known {
			errs = append(errs, exprError{at, fmt.Sprintf("unknown column %q", p.name), placeholderHint(p.name, aggregates)})
		}
		t.parts = append(t.parts, p)
		at += len([]rune(name)) + 1
		rest = after
	}
}

func placeholderHint(name string, aggregates []string) string {
	if w := nearest(name, append(columns(), aggregates...)); w != "" {
		return fmt.Sprintf("did you mean {%s}?", w)
	}
	return "docs/fields.md lists the columns; {attributes.key} is an attribute"
}
