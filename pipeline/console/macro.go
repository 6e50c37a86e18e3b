package console

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// scope is what a dashboard's SQL is expanded with: the time range and the variables, as the reader chose them.
type scope struct {
	From, To time.Time
	Interval time.Duration // width of one step of a time series, whole seconds
	Vars     map[string]choice
}

// choice is the value of a variable.
type choice struct {
	All    bool // everything: $__conditionalAll leaves its condition out
	Values []string
}

// expand replaces the macros and variables of Grafana's ClickHouse data source (grammar: its README, "Macros" and
// "Variables") in a statement of a dashboard. What comes from outside becomes a bound parameter, {p1:String} and so on,
// and never text of the statement. What the grammar does not have is an error, and so is a variable within quotes or a
// comment, where no parameter can stand: write ${name:singlequote}.
func expand(sql string, s scope) (string, map[string]any, error) {
	e := expander{scope: s, params: map[string]any{}}
	text, err := e.expand(sql)
	if err != nil {
		return "", nil, err
	}
	return text, e.params, nil
}

type expander struct {
	scope
	params map[string]any
}

// bind makes a parameter of the value and returns what stands for it in the statement. A value that came before has its
// parameter already: the server reads its text by the type that stands beside the name.
func (e *expander) bind(value, typ string) string {
	for name, v := range e.params {
		if v == value {
			return "{" + name + ":" + typ + "}"
		}
	}
	name := fmt.Sprintf("p%d", len(e.params)+1)
	e.params[name] = value
	return "{" + name + ":" + typ + "}"
}

func (e *expander) expand(sql string) (string, error) {
	var out strings.Builder
	for i := 0; i < len(sql); {
		if n := quoted(sql[i:]); n > 0 {
			if name := e.variableIn(sql[i : i+n]); name != "" {
				return "", fmt.Errorf("%s stands within quotes or a comment: write ${name:singlequote} instead", name)
			}
			out.WriteString(sql[i : i+n])
			i += n
			continue
		}
		if sql[i] != '$' {
			out.WriteByte(sql[i])
			i++
			continue
		}
		text, n, err := e.dollar(sql[i:])
		if err != nil {
			return "", err
		}
		out.WriteString(text)
		i += n
	}
	return out.String(), nil
}

// dollar expands the macro or variable at the start of sql and returns how long that is.
func (e *expander) dollar(sql string) (text string, n int, err error) {
	if strings.HasPrefix(sql, "${") {
		end := strings.IndexByte(sql, '}')
		if end < 0 {
			return "", 0, fmt.Errorf("%.20s has no closing brace", sql)
		}
		name, format, _ := strings.Cut(sql[2:end], ":")
		text, err := e.variable(name, format)
		return text, end + 1, err
	}
	name := word(sql[1:])
	n = 1 + len(name)
	if !strings.HasPrefix(name, "__") {
		return "", 0, fmt.Errorf("$%s: write ${%s:singlequote}", name, name)
	}
	name = name[2:]
	if value, ok := e.value(name); ok {
		return value, n, nil
	}
	args, length, err := arguments(sql[n:])
	if err != nil {
		return "", 0, fmt.Errorf("$__%s: %w", name, err)
	}
	text, err = e.call(name, args)
	if err != nil {
		return "", 0, fmt.Errorf("$__%s: %w", name, err)
	}
	return text, n + length, nil
}

// value returns what a macro without arguments stands for.
func (e *expander) value(name string) (string, bool) {
	switch name {
	case "fromTime":
		return e.seconds(e.From), true
	case "toTime":
		return e.seconds(e.To), true
	case "fromTime_ms":
		return e.millis(e.From), true
	case "toTime_ms":
		return e.millis(e.To), true
	case "interval_s":
		return e.bind(strconv.Itoa(e.steps()), "UInt32"), true
	case "interval_ms":
		return e.bind(strconv.Itoa(e.steps()*1000), "UInt64"), true
	}
	return "", false
}

// call returns what a macro with arguments stands for.
func (e *expander) call(name string, args []string) (string, error) {
	want := func(n int) error {
		if len(args) != n {
			return fmt.Errorf("%d arguments, want %d", len(args), n)
		}
		return nil
	}
	if name == "conditionalAll" {
		if err := want(2); err != nil {
			return "", err
		}
		return e.conditionalAll(args[0], args[1])
	}
	for i, arg := range args { // columns may be expressions with macros of their own
		text, err := e.expand(arg)
		if err != nil {
			return "", err
		}
		args[i] = text
	}
	between := func(col, from, to string) string { return col + " >= " + from + " AND " + col + " <= " + to }
	switch name {
	case "timeFilter":
		return between(first(args), e.seconds(e.From), e.seconds(e.To)), want(1)
	case "timeFilter_ms":
		return between(first(args), e.millis(e.From), e.millis(e.To)), want(1)
	case "dateFilter":
		return between(first(args), e.date(e.From), e.date(e.To)), want(1)
	case "dateTimeFilter", "dt":
		if err := want(2); err != nil {
			return "", err
		}
		return between(args[0], e.date(e.From), e.date(e.To)) + " AND " + between(args[1], e.seconds(e.From), e.seconds(e.To)), nil
	case "timeFrom":
		return first(args) + " >= " + e.seconds(e.From), want(1)
	case "timeTo":
		return first(args) + " <= " + e.seconds(e.To), want(1)
	case "timeInterval":
		return fmt.Sprintf("toStartOfInterval(toDateTime(%s), INTERVAL %d second)", first(args), e.steps()), want(1)
	case "timeInterval_ms":
		return fmt.Sprintf("toStartOfInterval(toDateTime64(%s, 3), INTERVAL %d millisecond)", first(args), e.steps()*1000), want(1)
	}
	return "", fmt.Errorf("no such macro")
}

// conditionalAll is the condition, or one that always holds where the variable is All.
func (e *expander) conditionalAll(condition, variable string) (string, error) {
	name, ok := strings.CutPrefix(variable, "$")
	if !ok || name == "" || word(name) != name {
		return "", fmt.Errorf("second argument %q, want a plain $variable", variable)
	}
	v, ok := e.Vars[name]
	if !ok {
		return "", fmt.Errorf("no variable %s", name)
	}
	if v.All {
		return "1=1", nil
	}
	return e.expand(condition)
}

// variable is a list of the variable's values, each a bound parameter.
func (e *expander) variable(name, format string) (string, error) {
	v, ok := e.Vars[name]
	switch {
	case !ok:
		return "", fmt.Errorf("no variable %s", name)
	case format != "singlequote":
		return "", fmt.Errorf("${%s:%s}: write ${%s:singlequote}", name, format, name)
	case v.All:
		return "", fmt.Errorf("variable %s is All outside of $__conditionalAll", name)
	case len(v.Values) == 0:
		return e.bind("", "String"), nil
	}
	list := make([]string, len(v.Values))
	for i, value := range v.Values {
		list[i] = e.bind(value, "String")
	}
	return strings.Join(list, ","), nil
}

// variableIn returns the first variable or macro in a quoted text, or "".
func (e *expander) variableIn(text string) string {
	for i := range len(text) {
		if text[i] != '$' {
			continue
		}
		rest := text[i+1:]
		if name := word(rest); strings.HasPrefix(name, "__") || name != "" && e.has(name) {
			return "$" + name
		}
		if strings.HasPrefix(rest, "{") {
			return text[i:]
		}
	}
	return ""
}

func (e *expander) has(name string) bool { _, ok := e.Vars[name]; return ok }

func (e *expander) seconds(t time.Time) string {
	return "toDateTime(" + e.bind(strconv.FormatInt(t.Unix(), 10), "Int64") + ")"
}

func (e *expander) millis(t time.Time) string {
	return "fromUnixTimestamp64Milli(" + e.bind(strconv.FormatInt(t.UnixMilli(), 10), "Int64") + ")"
}

func (e *expander) date(t time.Time) string {
	return "toDate(" + e.seconds(t) + ")"
}

func (e *expander) steps() int { return max(1, int(e.Interval.Seconds())) }

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// word returns the letters, digits and underscores at the start of s.
func word(s string) string {
	n := 0
	for n < len(s) && (s[n] == '_' || s[n] >= 'a' && s[n] <= 'z' || s[n] >= 'A' && s[n] <= 'Z' || n > 0 && s[n] >= '0' && s[n] <= '9') {
		n++
	}
	return s[:n]
}

// quoted returns the length of the literal, quoted name or comment at the start of sql, 0 where there is none.
func quoted(sql string) int {
	switch {
	case strings.HasPrefix(sql, "--"):
		if end := strings.IndexByte(sql, '\n'); end >= 0 {
			return end
		}
		return len(sql)
	case strings.HasPrefix(sql, "/*"):
		if end := strings.Index(sql, "*/"); end >= 0 {
			return end + 2
		}
		return len(sql)
	case strings.IndexByte("'\"`", sql[0]) >= 0:
		for i := 1; i < len(sql); i++ {
			switch sql[i] {
			case '\\':
				i++
			case sql[0]:
				return i + 1
			}
		}
		return len(sql)
	}
	return 0
}

// arguments splits the list in parentheses at the start of sql and returns how long that is.
func arguments(sql string) (args []string, n int, err error) {
	if !strings.HasPrefix(sql, "(") {
		return nil, 0, fmt.Errorf("no such macro without arguments")
	}
	depth, start := 0, 1
	for i := 0; i < len(sql); {
		if n := quoted(sql[i:]); n > 0 {
			i += n
			continue
		}
		switch sql[i] {
		case '(', '[':
			depth++
		case ')', ']':
			depth--
		}
		if depth == 0 || depth == 1 && sql[i] == ',' {
			args = append(args, strings.TrimSpace(sql[start:i]))
			start = i + 1
		}
		if depth == 0 {
			return slices.DeleteFunc(args, func(a string) bool { return a == "" }), i + 1, nil
		}
		i++
	}
	return nil, 0, fmt.Errorf("no closing parenthesis")
}
