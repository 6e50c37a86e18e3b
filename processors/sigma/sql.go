package sigma

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tocsin-project/tocsin/processors/rule"
)

// Source is rule.Judged.Source: a step of one of the detector's rules as a query over the table of events.
//
// It sees of an event what the stream sees, by the same views: columns, and the fields of the raw record by path. What is
// left out: values of arrays within arrays.
func (d *Detector) Source(r *rule.Rule, step int) (string, error) {
	of := d.of[r]
	h := &hunt{names: map[string]string{}}
	c := of.correlation
	if c == nil {
		h.row(d.views(of), of, func(s *sqlRecord) (string, []string) { return sqlKey(s.columns(s.view.key)), nil })
		return h.query(false)
	}
	for i, part := range c.rules {
		if c.step(i) != step || part.correlation != nil {
			continue
		}
		h.row(d.views(part), part, func(s *sqlRecord) (string, []string) { return s.counts(c, i) })
	}
	return h.query(strings.HasPrefix(c.kind, "temporal"))
}

// views returns the views in which the rule can fire.
func (d *Detector) views(r *Rule) []*view {
	return slices.DeleteFunc(slices.Clone(d.taxonomy.views), func(v *view) bool {
		yes, _ := v.may(r.when, map[string]bool{})
		return !yes || !r.Source.Covers(v.source)
	})
}

// hunt is a query in the making. Expressions have names, so that the database computes each once.
type hunt struct {
	with    []string
	names   map[string]string
	sources []string // of events that it asks for
	rows    []string // for each rule a tuple: whether an event matches, the key, and values
	width   int      // of a tuple
	flags   bool     // its values are true where they are not empty
	err     error
}

func (h *hunt) name(of, expression string) string {
	if name, ok := h.names[expression]; ok {
		return name
	}
	name := fmt.Sprintf("%s%d", of, len(h.names))
	h.names[expression] = name
	h.with = append(h.with, expression+" AS "+name)
	return name
}

func (h *hunt) fail(err error) string {
	if h.err == nil {
		h.err = err
	}
	return "0"
}

// row adds a rule. what gives the key and the values of an event that matches, and may add to the condition.
func (h *hunt) row(views []*view, r *Rule, what func(*sqlRecord) (key string, values []string)) {
	var cases []string
	for _, v := range views {
		s := &sqlRecord{hunt: h, view: v, line: "l"}
		if v.raw == rawAudit { // the first line that matches is the event
			lines := h.name("lines", "arrayMap(l -> (l, extractAllGroupsVertical(l, "+rule.SQLText(`([^ =\x1d'\t\r\n]+)=("[^"]*"?|[^ \x1d'\r\n]*)`)+")), splitByChar('\\n', raw))")
			match := h.name("matching", "arrayFilter(l -> "+s.condition(r.when)+", "+lines+")")
			s.needs = append(s.needs, "notEmpty("+match+")")
			s.line = match + "[1]"
		} else {
			s.needs = append(s.needs, s.condition(r.when))
		}
		key, values := what(s)
		row := "(" + strings.Join(append([]string{"1", key}, values...), ", ") + ")"
		h.width = 2 + len(values)
		cases = append(cases, v.sql(h)+"\n      AND "+strings.Join(s.needs, " AND "), row)
	}
	if len(cases) == 0 {
		return
	}
	none := "(0, ''" + strings.Repeat(", ''", h.width-2) + ")"
	h.rows = append(h.rows, "multiIf("+strings.Join(append(cases, none), ",\n      ")+")")
}

// query puts the rows together: each event gives one, or with all set one for each rule.
func (h *hunt) query(all bool) (string, error) {
	if h.err != nil {
		return "", h.err
	}
	if len(h.rows) == 0 {
		return "", errors.New("no view shows its events")
	}
	match := h.rows[0]
	if len(h.rows) > 1 {
		match = "arrayFilter(m -> m.1 = 1, [" + strings.Join(h.rows, ",\n    ") + "])"
		if !all {
			match = "arraySlice(" + match + ", 1, 1)"
		}
		match = "arrayJoin(" + match + ")"
	}
	columns := ""
	for i := range h.width - 2 {
		value := fmt.Sprintf("m.%d", i+3)
		if h.flags {
			value += " != ''"
		}
		columns += fmt.Sprintf(", %s AS a%d", value, i)
	}
	with := ""
	if len(h.with) > 0 {
		with = "WITH " + strings.Join(h.with, ",\n    ") + "\n  "
	}
	slices.Sort(h.sources)
	return fmt.Sprintf("SELECT m.2 AS key, t, id%s FROM (\n  %sSELECT event_id AS id, toUnixTimestamp64Milli(event_time) AS t, %s AS m\n  FROM events FINAL\n  WHERE event_time BETWEEN {from:DateTime64(3, 'UTC')} AND {to:DateTime64(3, 'UTC')}\n    AND source IN (%s) AND NOT has(labels, '%s')\n) WHERE m.1 = 1",
		columns, with, match, sqlTexts(slices.Compact(h.sources)), playgroundLabel), nil
}

func sqlTexts(texts []string) string {
	quoted := make([]string, len(texts))
	for i, t := range texts {
		quoted[i] = rule.SQLText(t)
	}
	return strings.Join(quoted, ", ")
}

// sqlKey joins the parts of a key as rule.Key does.
func sqlKey(parts []string) string {
	switch len(parts) {
	case 0:
		return "''"
	case 1:
		return parts[0]
	}
	escaped := make([]string, len(parts))
	for i, p := range parts {
		escaped[i] = "replaceRegexpAll(" + p + ", " + rule.SQLText(`[|\\]`) + ", " + rule.SQLText(`\\\0`) + ")"
	}
	return "concat(" + strings.Join(escaped, ", '|', ") + ")"
}

// sql is the condition under which an event is one of the view's.
func (v *view) sql(h *hunt) string {
	var all []string
	for _, t := range v.events {
		column, err := rule.SQLColumn(t.column)
		if err != nil {
			h.fail(err)
		}
		if t.column == "source" {
			h.sources = append(h.sources, t.values...)
		}
		var any, equal []string
		for _, want := range t.values {
			if head, open := strings.CutSuffix(want, "*"); open {
				any = append(any, fmt.Sprintf("(%s != '' AND startsWith(%s, %s))", column, column, rule.SQLText(head)))
			} else {
				equal = append(equal, want)
			}
		}
		if len(equal) > 0 {
			any = append(any, column+" IN ("+sqlTexts(equal)+")")
		}
		all = append(all, "("+strings.Join(any, " OR ")+")")
	}
	return strings.Join(all, " AND ")
}

// sqlRecord is an event as a view shows it.
type sqlRecord struct {
	*hunt
	view  *view
	line  string   // of the audit daemon's records: the one at hand, and its fields
	needs []string // conditions that must hold
}

// counts returns key and values of an event that counts in a correlation as a match of its n-th rule.
func (s *sqlRecord) counts(c *correlation, n int) (key string, values []string) {
	first := func(field string) string {
		texts := s.texts(field)
		s.needs = append(s.needs, "notEmpty("+texts+")")
		return texts + "[1]"
	}
	var groups []string
	for _, g := range c.groupBy {
		groups = append(groups, first(g.of[n]))
	}
	switch {
	case c.kind == "temporal_ordered":
	case c.presence != nil:
		s.flags = true
		values = slices.Repeat([]string{"''"}, len(c.rules))
		values[n] = "'1'"
	case c.kind == "temporal":
		values = []string{rule.SQLText(c.names[n])}
	case len(c.fields) > 0:
		var texts []string
		for _, f := range c.fields {
			texts = append(texts, first(f))
		}
		if c.kind != "value_count" {
			s.needs = append(s.needs, sqlIsNumber(texts[0]))
		}
		values = []string{sqlKey(texts)}
	}
	return sqlKey(groups), values
}

func (s *sqlRecord) columns(names []string) []string {
	texts := make([]string, len(names))
	for i, name := range names {
		text, err := rule.SQLColumn(name)
		if err != nil {
			s.fail(err)
		}
		texts[i] = "CAST(" + text + ", 'String')"
	}
	return texts
}

func (s *sqlRecord) condition(c *condition) string {
	switch c.op {
	case opAtom:
		return s.atom(c.atom)
	case opNot:
		return "NOT (" + s.condition(c.kids[0]) + ")"
	}
	kids := make([]string, len(c.kids))
	for i, k := range c.kids {
		kids[i] = s.condition(k)
	}
	return "(" + strings.Join(kids, map[conditionOp]string{opAnd: "\n      AND ", opOr: "\n      OR "}[c.op]) + ")"
}

func (s *sqlRecord) atom(a *atom) string {
	switch a.kind {
	case atomExists:
		return s.present(a.field)
	case atomAbsent:
		return "NOT " + s.present(a.field)
	case atomNull:
		null := "NOT " + s.present(a.field)
		if members := s.members(a.field); members != "" {
			null = "(" + null + " OR has(" + sqlItems(members) + ", 'null'))"
		}
		return null
	case atomFieldRef:
		x, y := "x", "y"
		if !a.cased {
			x, y = "lowerUTF8(x)", "lowerUTF8(y)"
		}
		compare := x + " = " + y
		switch {
		case a.startOpen && a.endOpen:
			compare = "position(" + x + ", " + y + ") > 0"
		case a.startOpen:
			compare = "endsWith(" + x + ", " + y + ")"
		case a.endOpen:
			compare = "startsWith(" + x + ", " + y + ")"
		}
		return fmt.Sprintf("arrayExists(x -> arrayExists(y -> %s, %s), %s)", compare, s.texts(a.other), s.texts(a.field))
	}
	values := s.everything
	if a.field != "" {
		values = func() string { return s.texts(a.field) }
	}
	return "arrayExists(x -> " + strings.Join(sqlTests(a.tests), " OR ") + ", " + values() + ")"
}

// present is the condition under which the field is there.
func (s *sqlRecord) present(field string) string {
	if members := s.members(field); members != "" {
		return "notEmpty(arrayConcat(" + s.mapped(field) + ", " + members + "))"
	}
	return "notEmpty(" + s.texts(field) + ")"
}

// texts are all values of the field that are texts or numbers, an Array(String).
func (s *sqlRecord) texts(field string) string {
	texts, mapped := "", s.mapped(field)
	switch s.view.raw {
	case rawNone:
		return s.name("f", mapped)
	case rawAudit:
		texts = sqlAudit(field, s.line)
	case rawJSON:
		texts = sqlScalars("x -> x != 'null' AND NOT match(x, '^[{\\\\[]')", sqlItems(s.members(field)))
	}
	if mapped != "[]" {
		texts = "arrayConcat(" + mapped + ", " + texts + ")"
	}
	if s.view.raw == rawAudit { // it may be about a lambda's argument
		return texts
	}
	return s.name("f", texts)
}

// sqlScalars are the texts of JSON's own notation for which the condition holds.
func sqlScalars(condition, of string) string {
	return `arrayMap(x -> if(startsWith(x, '"'), JSONExtractString(x), x), arrayFilter(` + condition + ", " + of + "))"
}

// sqlItems puts the members of arrays in their place.
func sqlItems(of string) string {
	return "arrayFlatten(arrayMap(x -> if(startsWith(x, '['), JSONExtractArrayRaw(x), [x]), " + of + "))"
}

// mapped are the values that the field has from columns.
func (s *sqlRecord) mapped(field string) string {
	i := slices.IndexFunc(s.view.fields, func(f mappedField) bool { return f.name == field && len(f.columns) > 0 })
	if i < 0 {
		return "[]"
	}
	var texts []string
	for _, c := range s.view.fields[i].columns {
		text := s.columns([]string{c.column})[0]
		if c.before != "" {
			text = "substringIndex(" + text + ", " + rule.SQLText(c.before) + ", 1)"
		}
		if c.after != "" {
			at := "position(" + text + ", " + rule.SQLText(c.after) + ")"
			text = fmt.Sprintf("if(%s = 0, '', substring(%s, %s + %d))", at, text, at, len(c.after))
		}
		texts = append(texts, text)
	}
	return "arrayFilter(x -> x != '', [" + strings.Join(texts, ", ") + "])"
}

// doc is the record's JSON object.
func (s *sqlRecord) doc() string { return s.name("doc", "substring(raw, position(raw, '{'))") }

// members are the values of the field in the record as JSON writes them: of a key of its whole name, or of its path. ""
// where the view shows no record of that kind.
func (s *sqlRecord) members(field string) string {
	if s.view.raw != rawJSON {
		return ""
	}
	for _, f := range s.view.fields {
		if f.name == field && f.raw != "" {
			field = f.raw
		}
	}
	doc := "[" + s.doc() + "]"
	roots := []string{doc}
	for _, path := range s.view.under {
		at := doc
		for _, key := range path {
			at = sqlItems(sqlMembers(at, key))
		}
		roots = append(roots, at)
	}
	pairs := s.name("pairs", sqlPairs("arrayConcat("+strings.Join(roots, ", ")+")"))
	of := func(key string) string {
		return "arrayMap(p -> p.2, arrayFilter(p -> p.1 = " + rule.SQLText(key) + ", " + pairs + "))"
	}
	whole := of(field)
	parts := strings.Split(field, ".")
	if len(parts) == 1 {
		return whole
	}
	at := of(parts[0])
	for _, key := range parts[1:] {
		at = sqlMembers(sqlItems(at), key)
	}
	if mapped := s.mapped(field); mapped != "[]" { // a column is as good as a key of the whole name
		return "if(notEmpty(" + whole + ") OR notEmpty(" + mapped + "), " + whole + ", " + at + ")"
	}
	return "if(notEmpty(" + whole + "), " + whole + ", " + at + ")"
}

// sqlPairs are the keys, without blanks, and values of all objects.
func sqlPairs(objects string) string {
	return "arrayFlatten(arrayMap(o -> arrayMap(p -> (replaceAll(p.1, ' ', ''), p.2), JSONExtractKeysAndValuesRaw(o)), " + objects + "))"
}

func sqlMembers(objects, key string) string {
	return "arrayMap(p -> p.2, arrayFilter(p -> p.1 = " + rule.SQLText(key) + ", " + sqlPairs(objects) + "))"
}

// everything is what keywords are searched in: all values of a JSON record, the whole text of any other.
func (s *sqlRecord) everything() string {
	switch s.view.raw {
	case rawAudit:
		return "[" + s.line + ".1]"
	case rawJSON:
		tokens := "extractAll(" + s.doc() + ", " + rule.SQLText(`"(?:[^"\\]|\\.)*"(?:\s*:)?|[^\s,:{}\[\]"]+`) + ")"
		return s.name("all", "if(isValidJSON("+s.doc()+"), "+sqlScalars("x -> x != 'null' AND NOT endsWith(x, ':')", tokens)+", [raw])")
	}
	return "[raw]"
}

// sqlAudit are the values of a field of the audit daemon's record, see audit.go.
func sqlAudit(field, line string) string {
	plain := "p[2]"
	isHex := `match(p[2], '^(?:[0-9A-Fa-f]{2})+$')`
	if isArgument(field) {
		isHex += " AND has(" + line + ".2, ['type', 'EXECVE'])"
	}
	if isArgument(field) || slices.Contains(hexNames, field) {
		plain = "if(" + isHex + `, replaceAll(unhex(p[2]), '\0', ' '), p[2])`
	}
	return `arrayMap(p -> if(startsWith(p[2], '"'), trim(BOTH '"' FROM p[2]), ` + plain + `), arrayFilter(p -> p[1] = ` + rule.SQLText(field) +
		` AND p[2] NOT IN ('', '""', '(null)', '"(null)"', '?', '"?"'), ` + line + ".2))"
}
