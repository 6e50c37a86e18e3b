package sigma

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

//go:embed taxonomy/*.yaml
var shipped embed.FS

// Taxonomy says which of the pipeline's events are of which log sources of Sigma, and what is in Sigma's fields there. It
// is data: taxonomy/*.yaml is what tocsin comes with, users put *.taxonomy.yaml beside their rules.
type Taxonomy struct {
	views []*view
}

// rawKind is how the fields of a record are read that the event was made from.
type rawKind string

const (
	rawNone  rawKind = ""
	rawJSON  rawKind = "json"  // its fields are Sigma's, nested ones by dotted path
	rawAudit rawKind = "audit" // lines of the Linux audit daemon: each is an event of its own to Sigma
)

// view is how events appear to the rules of a log source.
type view struct {
	source LogSource
	events []columnTest // all must hold; one of them names the events' sources
	raw    rawKind
	// under are objects of the raw record whose fields count as if they stood outside.
	under [][]string
	// names are the fields that a raw record may have, with * for any text; none given: nobody knows. Rules are told
	// that can never fire, nothing else is done with them.
	names  []string
	fields []mappedField
	key    []string // columns that alerts of the view are told apart by
}

// columnTest holds where the event's column has one of the values; a * at the end stands for any text.
type columnTest struct {
	column string
	values []string
}

// mappedField is a field of Sigma and the columns whose values it has.
type mappedField struct {
	name    string
	columns []mappedColumn
	raw     string // path in the raw record, in place of columns
}

// mappedColumn is a column, or the part of its text before or after a separator.
type mappedColumn struct{ column, before, after string }

// DefaultTaxonomy returns the taxonomy of the sources that tocsin's parsers read.
func DefaultTaxonomy() *Taxonomy {
	t := &Taxonomy{}
	err := fs.WalkDir(shipped, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(shipped, path)
		if err != nil {
			return err
		}
		return t.Add(path, data)
	})
	if err != nil {
		panic("BUG: a taxonomy that is shipped cannot be read: " + err.Error())
	}
	return t
}

// Add reads a taxonomy file: a list of views. Its errors are all that is wrong, with file, line and column.
func (t *Taxonomy) Add(path string, data []byte) error {
	docs, err := readYAML(data)
	if err != nil {
		return located(err, path)
	}
	var errs []error
	for _, doc := range docs {
		for _, n := range doc.list() {
			v, err := readView(n)
			if err != nil {
				errs = append(errs, located(err, path))
				continue
			}
			t.views = append(t.views, v)
		}
	}
	return errors.Join(errs...)
}

func readView(n *node) (*view, error) {
	if n.kind != mapNode {
		return nil, n.errorf("a view is %s, a map with logsource and events is expected", n.kind)
	}
	for _, p := range n.pairs {
		if !slices.Contains([]string{"logsource", "events", "raw", "under", "names", "fields", "key"}, p.key.text) {
			return nil, p.key.errorf("unknown key %q of a view: logsource, events, raw, under, names, fields or key", p.key.text)
		}
	}
	v := &view{names: n.get("names").texts(), key: n.get("key").texts()}
	var err error
	if v.source, err = readLogSource(n, true); err != nil {
		return nil, err
	}
	events := n.get("events")
	if events == nil || events.kind != mapNode || events.get("source") == nil {
		return nil, n.errorf("a view wants events: columns and their values, source among them")
	}
	for _, p := range events.pairs {
		if err := isColumn(p.key, p.key.text); err != nil {
			return nil, err
		}
		values := p.value.texts()
		if len(values) == 0 {
			return nil, p.value.errorf("%s wants a value or a list of them", p.key.text)
		}
		v.events = append(v.events, columnTest{p.key.text, values})
	}
	if raw := n.get("raw"); raw != nil {
		v.raw = rawKind(n.textOf("raw"))
		if v.raw != rawJSON && v.raw != rawAudit {
			return nil, raw.errorf("raw %q is none of json, audit", raw.text)
		}
	}
	for _, u := range n.get("under").texts() {
		v.under = append(v.under, strings.Split(u, "."))
	}
	if len(v.under) > 0 && v.raw != rawJSON {
		return nil, n.get("under").errorf("under is for raw: json")
	}
	for _, c := range v.key {
		if err := isColumn(n.get("key"), c); err != nil {
			return nil, err
		}
	}
	if len(v.key) == 0 {
		v.key = []string{"host", "actor"}
	}
	return v, v.readFields(n.get("fields"))
}

func (v *view) readFields(n *node) error {
	if n == nil {
		return nil
	}
	if n.kind != mapNode {
		return n.errorf("fields is %s, a map from Sigma's fields to columns is expected", n.kind)
	}
	for _, p := range n.pairs {
		f := mappedField{name: p.key.text}
		for _, from := range p.value.list() {
			c := mappedColumn{column: from.text}
			if from.kind == mapNode {
				c = mappedColumn{from.textOf("column"), from.textOf("before"), from.textOf("after")}
			}
			if path, ok := strings.CutPrefix(c.column, "raw."); ok {
				f.raw = path
			} else if err := isColumn(from, c.column); err != nil {
				return err
			} else {
				f.columns = append(f.columns, c)
			}
		}
		if f.raw != "" && (v.raw != rawJSON || len(f.columns) > 0) {
			return p.value.errorf("a path in the raw record stands alone, and wants raw: json")
		}
		if f.raw == "" && len(f.columns) == 0 {
			return p.value.errorf("%s wants a column", f.name)
		}
		v.fields = append(v.fields, f)
	}
	return nil
}

// isColumn refuses what is no column of an event.
func isColumn(at *node, name string) error {
	if _, ok := (&pipeline.Event{}).Field(name); !ok {
		return at.errorf("%q is no column (docs/fields.md lists them), nor attributes.KEY", name)
	}
	return nil
}

// sees reports whether the event is one of the view's.
func (v *view) sees(e *pipeline.Event) bool {
	for i := range v.events {
		if !v.events[i].holds(e) {
			return false
		}
	}
	return true
}

func (t *columnTest) holds(e *pipeline.Event) bool {
	got, _ := e.Field(t.column)
	for _, want := range t.values {
		if head, open := strings.CutSuffix(want, "*"); open && got != "" && strings.HasPrefix(got, head) || got == want {
			return true
		}
	}
	return false
}

// of returns the part of the column's text that is meant.
func (c *mappedColumn) of(e *pipeline.Event) string {
	text, _ := e.Field(c.column)
	if c.before != "" {
		text, _, _ = strings.Cut(text, c.before)
	}
	if c.after != "" {
		_, text, _ = strings.Cut(text, c.after)
	}
	return text
}

// has reports whether events of the view may have the field.
func (v *view) has(field string) bool {
	if slices.ContainsFunc(v.fields, func(f mappedField) bool { return f.name == field }) {
		return true
	}
	if v.raw == rawNone {
		return false
	}
	return len(v.names) == 0 || slices.ContainsFunc(v.names, func(name string) bool {
		head, open := strings.CutSuffix(name, "*")
		return field == name || open && strings.HasPrefix(field, head)
	})
}

// may says whether the condition can be true, and whether it can be false, where some fields are never there. Those are
// noted.
func (v *view) may(c *condition, missing map[string]bool) (yes, no bool) {
	switch c.op {
	case opNot:
		no, yes = v.may(c.kids[0], missing)
		return yes, no
	case opAnd, opOr:
		yes, no = c.op == opAnd, c.op == opOr
		for _, k := range c.kids {
			y, n := v.may(k, missing)
			if c.op == opAnd {
				yes, no = yes && y, no || n
			} else {
				yes, no = yes || y, no && n
			}
		}
		return yes, no
	}
	a := c.atom
	there := a.field == "" || v.has(a.field)
	if !there {
		missing[a.field] = true
	}
	if a.kind == atomFieldRef && !v.has(a.other) {
		there, missing[a.other] = false, true
	}
	if there {
		return true, true
	}
	never := a.kind != atomNull && a.kind != atomAbsent
	return !never, never
}

// String names the view for people.
func (s LogSource) String() string {
	var parts []string
	for _, p := range [][2]string{{"product", s.Product}, {"category", s.Category}, {"service", s.Service}} {
		if p[1] != "" {
			parts = append(parts, p[0]+"="+p[1])
		}
	}
	if len(parts) == 0 {
		return "no log source"
	}
	return strings.Join(parts, ",")
}

// never returns why events of the taxonomy can never make the rule fire, or "".
func (t *Taxonomy) never(r *Rule) string {
	reason := fmt.Sprintf("no events of log source %s", r.Source)
	for _, v := range t.views {
		if !r.Source.Covers(v.source) {
			continue
		}
		missing := map[string]bool{}
		if yes, _ := v.may(r.when, missing); yes {
			return ""
		}
		var fields []string
		for f := range missing {
			fields = append(fields, f)
		}
		slices.Sort(fields)
		reason = "events of " + v.source.String() + " have no " + strings.Join(fields, ", ")
	}
	return reason
}

// Sources returns the names of the sources whose events the taxonomy knows, sorted.
func (t *Taxonomy) Sources() []string {
	var all []string
	for _, v := range t.views {
		for _, c := range v.events {
			if c.column == "source" {
				all = append(all, c.values...)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
