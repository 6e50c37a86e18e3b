package rule

import (
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"

	"github.com/tocsin-project/tocsin/schemas"
)

// SQLText writes a string of ClickHouse.
func SQLText(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`).Replace(s) + "'"
}

// sqlOf translates an expression of a rule to ClickHouse over the columns of tocsin.events. It answers as the rule does
// but where the rule's expression ends with an error: there the database sees an empty value.
func sqlOf(n ast.Node) (string, error) {
	t := &translator{}
	s := t.node(n)
	return s, t.err
}

type translator struct{ err error }

func (t *translator) fail(n ast.Node) string {
	if t.err == nil {
		t.err = fmt.Errorf("%s cannot be said in SQL", n)
	}
	return "0"
}

func isText(n ast.Node) bool { return n.Type() != nil && n.Type().Kind() == reflect.String }

func (t *translator) list(nodes []ast.Node) string {
	parts := make([]string, len(nodes))
	for i, n := range nodes {
		parts[i] = t.node(n)
	}
	return strings.Join(parts, ", ")
}

func (t *translator) node(n ast.Node) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return SQLText(n.Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.String()
	case *ast.PointerNode:
		return "item"
	case *ast.UnaryNode:
		if n.Operator == "!" || n.Operator == "not" {
			return "NOT (" + t.node(n.Node) + ")"
		}
		return n.Operator + "(" + t.node(n.Node) + ")"
	case *ast.BinaryNode:
		return t.binary(n)
	case *ast.ConditionalNode:
		return fmt.Sprintf("if(%s, %s, %s)", t.node(n.Cond), t.node(n.Exp1), t.node(n.Exp2))
	case *ast.ArrayNode:
		return "[" + t.list(n.Nodes) + "]"
	case *ast.SliceNode:
		return t.slice(n)
	case *ast.MemberNode:
		if name, ok := eventField(n); ok {
			return t.field(n, name)
		}
		if i, ok := n.Property.(*ast.IntegerNode); ok {
			return fmt.Sprintf("%s[%d]", t.node(n.Node), i.Value+1)
		}
	case *ast.CallNode:
		return t.call(n)
	case *ast.BuiltinNode:
		return t.builtin(n)
	}
	return t.fail(n)
}

func (t *translator) field(n ast.Node, name string) string {
	i := slices.IndexFunc(schemas.EventFields, func(f schemas.Field) bool { return f.Go == name })
	f := schemas.EventFields[i]
	if strings.HasPrefix(f.ClickHouse, "Enum8") {
		return "toString(" + f.Column + ")" // comparing with a word that the enumeration lacks is an error
	}
	if strings.HasPrefix(f.ClickHouse, "DateTime") || f.ClickHouse == "UUID" {
		return t.fail(n)
	}
	return f.Column
}

func (t *translator) binary(n *ast.BinaryNode) string {
	left, right := t.node(n.Left), t.node(n.Right)
	format := map[string]string{
		"==": "%s = %s", "!=": "%s != %s", "<": "%s < %s", "<=": "%s <= %s", ">": "%s > %s", ">=": "%s >= %s",
		"&&": "(%s AND %s)", "and": "(%s AND %s)", "||": "(%s OR %s)", "or": "(%s OR %s)",
		"contains": "position(%s, %s) > 0", "startsWith": "startsWith(%s, %s)", "endsWith": "endsWith(%s, %s)", "matches": "match(%s, %s)",
		"+": "(%s + %s)", "-": "(%s - %s)", "*": "(%s * %s)", "/": "(%s / %s)", "%": "(%s %% %s)",
	}[n.Operator]
	switch {
	case n.Operator == "in":
		if array, ok := n.Right.(*ast.ArrayNode); ok && len(array.Nodes) > 0 {
			return left + " IN (" + t.list(array.Nodes) + ")"
		}
		return "has(" + right + ", " + left + ")"
	case n.Operator == "+" && isText(n):
		format = "concat(%s, %s)"
	case n.Operator == "??":
		return left // nothing of an event is nil
	case format == "":
		return t.fail(n)
	}
	return fmt.Sprintf(format, left, right)
}

func (t *translator) slice(n *ast.SliceNode) string {
	from, to := 0, -1
	if n.From != nil {
		i, ok := n.From.(*ast.IntegerNode)
		if !ok || i.Value < 0 {
			return t.fail(n)
		}
		from = i.Value
	}
	if n.To != nil {
		i, ok := n.To.(*ast.IntegerNode)
		if !ok || i.Value < from {
			return t.fail(n)
		}
		to = i.Value
	}
	name := "arraySlice"
	if isText(n.Node) {
		name = "substringUTF8"
	}
	if to < 0 {
		return fmt.Sprintf("%s(%s, %d)", name, t.node(n.Node), from+1)
	}
	return fmt.Sprintf("%s(%s, %d, %d)", name, t.node(n.Node), from+1, to-from)
}

func (t *translator) call(n *ast.CallNode) string {
	if name, ok := method(n); ok {
		s, isConstant := n.Arguments[0].(*ast.StringNode)
		switch {
		case !isConstant:
			return t.fail(n)
		case name == "Attr":
			return "attributes[" + SQLText(s.Value) + "]"
		case strings.HasSuffix(s.Value, ":"):
			return "arrayExists(l -> startsWith(l, " + SQLText(s.Value) + "), labels)"
		}
		return "has(labels, " + SQLText(s.Value) + ")"
	}
	if callee, ok := n.Callee.(*ast.MemberNode); ok {
		return t.addrMethod(n, callee)
	}
	addr := ""
	if len(n.Arguments) > 0 {
		addr = t.node(n.Arguments[0])
	}
	switch n.Callee.(*ast.IdentifierNode).Value {
	case "inCIDR":
		var networks []string
		for _, a := range n.Arguments[1:] {
			networks = append(networks, a.(*ast.StringNode).Value)
		}
		return inNetworks(addr, networks)
	case "ip":
		return sqlAddr(addr)
	case "net":
		bits6 := defaultNet6
		if len(n.Arguments) > 2 {
			bits6 = n.Arguments[2].(*ast.IntegerNode).Value
		}
		return fmt.Sprintf("multiIf(%[1]s = toIPv6('::'), '', startsWith(toString(%[1]s), '::ffff:'), concat(toString(tupleElement(IPv4CIDRToRange(toIPv4OrDefault(substring(toString(%[1]s), 8)), %[2]d), 1)), '/%[2]d'), concat(toString(tupleElement(IPv6CIDRToRange(%[1]s, %[3]d), 1)), '/%[3]d'))",
			addr, n.Arguments[1].(*ast.IntegerNode).Value, bits6)
	case "packageOf":
		return fmt.Sprintf("if(startsWith(%[1]s, 'pkg:'), replaceRegexpOne(%[1]s, '[@?#].*', ''), '')", addr)
	case "firstOf":
		var parts []string
		for _, a := range n.Arguments {
			parts = append(parts, "nullIf("+t.node(a)+", '')")
		}
		return "coalesce(" + strings.Join(parts, ", ") + ", '')"
	}
	return t.fail(n)
}

// sqlAddr writes an address as the pipeline does: IPv4 without its mapping, none as nothing.
func sqlAddr(addr string) string {
	return fmt.Sprintf("if(%[1]s = toIPv6('::'), '', replaceOne(toString(%[1]s), '::ffff:', ''))", addr)
}

// SQLColumn is a column of tocsin.events, or attributes.KEY, as the text that Event.Field gives of it.
func SQLColumn(name string) (string, error) {
	if key, ok := strings.CutPrefix(name, attrPrefix); ok {
		return "attributes[" + SQLText(key) + "]", nil
	}
	i := slices.IndexFunc(schemas.EventFields, func(f schemas.Field) bool { return f.Column == name })
	if i < 0 {
		return "", fmt.Errorf("there is no column %s", name)
	}
	switch kind := schemas.EventFields[i].ClickHouse; {
	case name == "metric_value":
		return "if(metric_name = '', '', toString(metric_value))", nil
	case kind == "UUID", strings.HasPrefix(name, "kafka_") && kind != "LowCardinality(String)":
		return "toString(" + name + ")", nil
	case kind == "String", kind == "LowCardinality(String)":
		return name, nil
	case kind == "IPv6":
		return sqlAddr(name), nil
	case strings.HasPrefix(kind, "Array("):
		return "arrayStringConcat(" + name + ", ',')", nil
	case strings.HasPrefix(kind, "Enum8"):
		return fmt.Sprintf("if(toInt8(%[1]s) = 0, '', toString(%[1]s))", name), nil
	case strings.HasPrefix(kind, "UInt"):
		return fmt.Sprintf("if(%[1]s = 0, '', toString(%[1]s))", name), nil
	}
	return "", fmt.Errorf("column %s cannot be said in SQL as a text", name)
}

func inNetworks(addr string, networks []string) string {
	var parts []string
	for _, text := range networks {
		p := netip.MustParsePrefix(text) // checked when the rule was loaded
		if p.Addr().Is4() {
			text = fmt.Sprintf("::ffff:%s/%d", p.Addr(), p.Bits()+96)
		}
		parts = append(parts, fmt.Sprintf("isIPAddressInRange(toString(%s), %s)", addr, SQLText(text)))
	}
	return "(" + strings.Join(parts, " OR ") + ")"
}

func (t *translator) addrMethod(n *ast.CallNode, callee *ast.MemberNode) string {
	addr := t.node(callee.Node)
	name, _ := callee.Property.(*ast.StringNode)
	switch name.Value {
	case "IsValid":
		return addr + " != toIPv6('::')"
	case "IsPrivate":
		return inNetworks(addr, []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"})
	case "IsLoopback":
		return inNetworks(addr, []string{"127.0.0.0/8", "::1/128"})
	case "String":
		return sqlAddr(addr)
	}
	return t.fail(n)
}

func (t *translator) builtin(n *ast.BuiltinNode) string {
	args := n.Arguments
	switch n.Name {
	case "any", "all", "none", "one":
		p, ok := args[1].(*ast.PredicateNode)
		if !ok {
			return t.fail(n)
		}
		format := map[string]string{
			"any": "arrayExists(item -> %s, %s)", "all": "arrayAll(item -> %s, %s)", "none": "NOT arrayExists(item -> %s, %s)", "one": "arrayCount(item -> %s, %s) = 1",
		}[n.Name]
		return fmt.Sprintf(format, t.node(p.Node), t.node(args[0]))
	case "len":
		if isText(args[0]) {
			return "lengthUTF8(" + t.node(args[0]) + ")"
		}
		return "length(" + t.node(args[0]) + ")"
	case "trim":
		if len(args) > 1 {
			return t.fail(n)
		}
	case "int", "float":
		if isText(args[0]) {
			return map[string]string{"int": "toInt64OrZero(", "float": "toFloat64OrZero("}[n.Name] + t.node(args[0]) + ")"
		}
	}
	name := map[string]string{
		"lower": "lowerUTF8", "upper": "upperUTF8", "trim": "trimBoth", "hasPrefix": "startsWith", "hasSuffix": "endsWith",
		"int": "toInt64", "float": "toFloat64", "string": "toString", "abs": "abs", "min": "least", "max": "greatest",
	}[n.Name]
	if name == "" {
		return t.fail(n)
	}
	return name + "(" + t.list(args) + ")"
}

// SQL returns the rule as a query over the table events of the database at hand, with parameters from and to (DateTime64): a row for each key that
// would have fired, with the time. It is the rule without alerts: `until` and `resolve` are left out, so a hunt may find
// more than the stream, never less.
func (r *Rule) SQL() (string, error) {
	q := &query{rule: r}
	s := q.build()
	if q.err != nil {
		return "", fmt.Errorf("rule %s: %w", r.ID, q.err)
	}
	return s, nil
}

type query struct {
	rule *Rule
	// unmerged reads rows as they lie, faster: one that a retry has stored twice counts twice until ClickHouse merges them.
	unmerged bool
	err      error
}

// sql translates the text of a checked expression.
func (q *query) sql(text, want string) string {
	tree, errs := parseExpression(text, want)
	if len(errs) > 0 {
		panic("BUG: an expression that was checked is refused: " + errs[0].message)
	}
	s, err := sqlOf(tree)
	if err != nil && q.err == nil {
		q.err = err
	}
	return s
}

// source is a subquery with the events of a step: key, t in milliseconds, and what else is selected.
func (q *query) source(step int, extra string) string {
	s := &q.rule.Steps[step]
	if s.Alerts != nil && q.err == nil {
		q.err = fmt.Errorf("step %s takes alerts, which are no events of the table", s.ID)
	}
	if q.rule.IsJudgedElsewhere() {
		text, err := q.rule.judged.Source(q.rule, step)
		if err != nil && q.err == nil {
			q.err = err
		}
		return text
	}
	var parts, filled []string
	for _, v := range s.key {
		text := q.text(v)
		parts = append(parts, text)
		filled = append(filled, text+" != ''")
	}
	key := parts[0]
	if len(parts) > 1 {
		for i, part := range parts { // as appendKeyPart
			parts[i] = "replaceRegexpAll(" + part + ", " + SQLText(`[|\\]`) + ", " + SQLText(`\\\0`) + ")"
		}
		key = "concat(" + strings.Join(parts, ", '|', ") + ")"
	}
	table := "events FINAL"
	if q.unmerged {
		table = "events"
	}
	where := q.sql(s.When, "bool")
	if s.Role.canExcept() {
		for _, x := range q.rule.exceptions {
			where += fmt.Sprintf(") AND NOT (ingest_time < toDateTime64('%s', 3, 'UTC') AND %s", x.Expires.Format(time.DateOnly+" 15:04:05"), q.sql(x.When, "bool"))
		}
	}
	if !q.rule.Playground {
		filled = append(filled, "NOT has(labels, '"+playgroundLabel+"')")
	}
	return fmt.Sprintf("SELECT %s AS key, toUnixTimestamp64Milli(event_time) AS t%s\n    FROM %s\n    WHERE event_time BETWEEN {from:DateTime64(3, 'UTC')} AND {to:DateTime64(3, 'UTC')}\n      AND (%s) AND %s",
		key, extra, table, where, strings.Join(filled, " AND "))
}

// text is a value of a signal as SQL.
func (q *query) text(v *value) string {
	tree, errs := parseExpression(v.text, "")
	if len(errs) > 0 {
		panic("BUG: an expression that was checked is refused: " + errs[0].message)
	}
	s, err := sqlOf(tree)
	if err != nil && q.err == nil {
		q.err = err
	}
	switch {
	case tree.Type() == reflect.TypeFor[netip.Addr]():
		return sqlAddr(s)
	case isText(tree):
		return s
	}
	return "toString(" + s + ")"
}

func (q *query) build() string {
	r := q.rule
	switch r.Kind {
	case Match:
		return "SELECT key, fromUnixTimestamp64Milli(min(t), 'UTC') AS fired, count() AS events\nFROM (" + q.source(0, "") + ")\nGROUP BY key ORDER BY fired, key"
	case Threshold:
		return q.threshold()
	case Sequence:
		if r.Steps[r.LastStep()].Below {
			q.err = fmt.Errorf("versions are not compared in SQL: tocsin replay and rules explain run the rule over records")
			return ""
		}
		return q.sequence()
	case Absence:
		return q.absence()
	case NewValue:
		return fmt.Sprintf(`SELECT concat(key, '|', value) AS key, fromUnixTimestamp64Milli(min(t), 'UTC') AS fired, count() AS events
FROM (
  SELECT key, value, t, lagInFrame(t, 1, 0) OVER (PARTITION BY key, value ORDER BY t ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before,
    min(t) OVER (PARTITION BY key) AS born
  FROM (%s) WHERE value != ''
)
WHERE t - before > %d AND t >= born + %d
GROUP BY key, value ORDER BY fired, key`, q.source(0, ", "+q.text(r.Steps[0].values[0])+" AS value"), r.Memory.Milliseconds(), r.Learn.Milliseconds())
	case Spike:
		return q.spike()
	case Risk:
		return q.risk()
	case Anomaly:
		if r.Last > 0 {
			return q.deviation()
		}
	}
	const detector = "kind %s learns from event to event, which a query does not: "
	if q.err = fmt.Errorf(detector+"tocsin replay and rules explain run it over records", r.Kind); r.Kind == Growth {
		q.err = fmt.Errorf(detector+"tocsin.db_growth has what the detector said", r.Kind)
	}
	return ""
}

// havingSQL writes a condition over aggregates. Nothing divided by zero holds, as in the engine.
func havingSQL(n ast.Node) string {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return "g_" + n.Value // an aggregate may be called like a column of the query
	case *ast.UnaryNode:
		if n.Operator == "-" {
			return "-(" + havingSQL(n.Node) + ")"
		}
		return "NOT (" + havingSQL(n.Node) + ")"
	case *ast.BinaryNode:
		left, right := havingSQL(n.Left), havingSQL(n.Right)
		switch n.Operator {
		case "/":
			return fmt.Sprintf("if(%[2]s = 0, nan, %[1]s / %[2]s)", left, right)
		case "&&":
			return "(" + left + " AND " + right + ")"
		case "||":
			return "(" + left + " OR " + right + ")"
		case "==":
			return "(" + left + " = " + right + ")"
		}
		return "(" + left + " " + n.Operator + " " + right + ")"
	}
	return n.String()
}

// frame returns what to order by, and units of it a millisecond, so that the longest of the spans is a frame that
// ClickHouse takes: 32 bits. Spans of more than 24 days are compared by the second.
func frame(spans ...time.Duration) (order string, unit time.Duration) {
	if slices.Max(spans).Milliseconds() <= math.MaxInt32 {
		return "t", time.Millisecond
	}
	return "intDiv(t, 1000)", time.Second
}

// armed is a subquery with the armed matches of a step, and when what armed them began (see correlate's sequence.go). What
// is of the same event does not count.
func (q *query) armed(step int) string {
	if step == 0 {
		return "SELECT key, t, id, t AS start FROM (" + q.source(0, ", event_id AS id") + ")"
	}
	before := &q.rule.Steps[step-1]
	order, unit := frame(before.Within)
	window := fmt.Sprintf("OVER (PARTITION BY key ORDER BY %s RANGE BETWEEN %d PRECEDING AND CURRENT ROW)", order, before.Within/unit)
	start, complete := "t", fmt.Sprintf("countIf(s = 0) %s - countIf(s = 0) OVER (PARTITION BY key, id) >= %d", window, before.Count)
	if q.rule.Span > 0 {
		start = fmt.Sprintf("arrayMax(arrayConcat([0], arrayMap(x -> x.1, arrayFilter(x -> x.2 != id, groupArrayIf((start, id), s = 0) %s))))", window)
		complete = fmt.Sprintf("began > t - %d", q.rule.Span.Milliseconds())
	}
	return fmt.Sprintf("SELECT key, t, id, began AS start FROM (\n  SELECT key, t, id, s, %s AS began, %s AS complete\n  FROM (SELECT key, t, id, start, 0 AS s FROM (%s) UNION ALL SELECT key, t, id, t AS start, 1 AS s FROM (%s))\n) WHERE s = 1 AND complete",
		start, complete, q.armed(step-1), q.source(step, ", event_id AS id"))
}

func (q *query) sequence() string {
	last := q.rule.LastStep()
	s := &q.rule.Steps[last]
	order, unit := frame(s.Within)
	return fmt.Sprintf("SELECT key, fromUnixTimestamp64Milli(min(t), 'UTC') AS fired, count() AS events\nFROM (SELECT key, t, count() OVER (PARTITION BY key ORDER BY %s RANGE BETWEEN %d PRECEDING AND CURRENT ROW) AS n FROM (%s))\nWHERE n >= %d\nGROUP BY key ORDER BY fired, key",
		order, s.Within/unit, q.armed(last), s.Count)
}

func (q *query) absence() string {
	r := q.rule
	trigger, expect, while := -1, -1, -1
	for i := range r.Steps {
		switch r.Steps[i].Role {
		case RoleMatch:
			trigger = i
		case RoleExpect:
			expect = i
		case RoleWhile:
			while = i
		}
	}
	order, unit := frame(r.Window, r.Before)
	start := fmt.Sprintf("%d PRECEDING", r.Before/unit)
	parts := []string{"SELECT key, t, 1 AS s FROM (" + q.source(expect, "") + ")"}
	fires := 0
	if trigger < 0 {
		start, fires = "1 FOLLOWING", 1
	} else {
		parts = append(parts, "SELECT key, t, 0 AS s FROM ("+q.source(trigger, "")+")")
	}
	attacks := "0"
	if while >= 0 {
		parts = append(parts, "SELECT key, t, 2 AS s FROM ("+q.source(while, "")+")")
		order, unit := frame(r.Window, r.Steps[while].Within)
		attacks = fmt.Sprintf("countIf(s = 2) OVER (PARTITION BY key ORDER BY %s RANGE BETWEEN %d PRECEDING AND %d FOLLOWING)", order, r.Steps[while].Within/unit, r.Window/unit)
	}
	least := 0
	if while >= 0 {
		least = r.Steps[while].Count
	}
	return fmt.Sprintf(`SELECT key, fromUnixTimestamp64Milli(min(t) + %d, 'UTC') AS fired, count() AS events
FROM (
  SELECT key, t, s, countIf(s = 1) OVER (PARTITION BY key ORDER BY %s RANGE BETWEEN %s AND %d FOLLOWING) AS answers, %s AS attacks
  FROM (%s)
)
WHERE s = %d AND answers = 0 AND attacks >= %d AND t + %d < toUnixTimestamp64Milli({to:DateTime64(3, 'UTC')})
GROUP BY key ORDER BY fired, key`, r.Window.Milliseconds(), order, start, r.Window/unit, attacks, strings.Join(parts, "\n  UNION ALL "), fires, least, r.Window.Milliseconds())
}
