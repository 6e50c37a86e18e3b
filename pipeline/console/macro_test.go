package console

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
)

var testScope = scope{
	From: time.UnixMilli(1000_500), To: time.UnixMilli(2000_900), Interval: time.Minute,
	Vars: map[string]choice{
		"one": {Values: []string{"a"}}, "two": {Values: []string{"b", "c"}}, "all": {All: true}, "none": {},
		"nasty": {Values: []string{"x') OR 1=1 --", `\'`, "{p1:String}", "$__toTime", "'", "\t\n\\N"}},
	},
}

var parameter = regexp.MustCompile(`\{(p\d+):(\w+)\}`)

// inline writes the parameters' values into the statement, for the tests to be readable: <value>.
func inline(sql string, params map[string]any) string {
	return parameter.ReplaceAllStringFunc(sql, func(p string) string {
		return fmt.Sprintf("<%v>", params[parameter.FindStringSubmatch(p)[1]])
	})
}

func TestExpand(t *testing.T) {
	f := func(sql, want string) {
		t.Helper()
		text, params, err := expand(sql, testScope)
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			return
		}
		if got := inline(text, params); got != want {
			t.Errorf("%s\n\tgot  %s\n\twant %s", sql, got, want)
		}
	}
	// The grammar of the data source's README.
	f("$__timeFilter(ts)", "ts >= toDateTime(<1000>) AND ts <= toDateTime(<2000>)")
	f("$__timeFilter_ms(ts)", "ts >= fromUnixTimestamp64Milli(<1000500>) AND ts <= fromUnixTimestamp64Milli(<2000900>)")
	f("$__dateFilter(d)", "d >= toDate(toDateTime(<1000>)) AND d <= toDate(toDateTime(<2000>))")
	f("$__dateTimeFilter(d, t)", "d >= toDate(toDateTime(<1000>)) AND d <= toDate(toDateTime(<2000>)) AND t >= toDateTime(<1000>) AND t <= toDateTime(<2000>)")
	f("$__dt(d, t)", "d >= toDate(toDateTime(<1000>)) AND d <= toDate(toDateTime(<2000>)) AND t >= toDateTime(<1000>) AND t <= toDateTime(<2000>)")
	f("$__fromTime, $__toTime", "toDateTime(<1000>), toDateTime(<2000>)")
	f("$__fromTime_ms, $__toTime_ms", "fromUnixTimestamp64Milli(<1000500>), fromUnixTimestamp64Milli(<2000900>)")
	f("$__timeFrom(ts) AND $__timeTo(ts)", "ts >= toDateTime(<1000>) AND ts <= toDateTime(<2000>)")
	f("$__timeInterval(ts)", "toStartOfInterval(toDateTime(ts), INTERVAL 60 second)")
	f("$__timeInterval_ms(ts)", "toStartOfInterval(toDateTime64(ts, 3), INTERVAL 60000 millisecond)")
	f("x / $__interval_s + $__interval_ms", "x / <60> + <60000>")
	// Columns are expressions, with commas and parentheses of their own.
	f("$__timeInterval(greatest(a, f(b, ')')))", "toStartOfInterval(toDateTime(greatest(a, f(b, ')'))), INTERVAL 60 second)")
	f("$__timeFilter(toDateTime($__fromTime))", "toDateTime(toDateTime(<1000>)) >= toDateTime(<1000>) AND toDateTime(toDateTime(<1000>)) <= toDateTime(<2000>)")

	f("x IN (${one:singlequote})", "x IN (<a>)")
	f("x IN (${two:singlequote})", "x IN (<b>,<c>)")
	f("x = ${none:singlequote}", "x = <>")
	f("$__conditionalAll(x IN (${two:singlequote}), $two)", "x IN (<b>,<c>)")
	f("$__conditionalAll(x IN (${all:singlequote}), $all) AND y", "1=1 AND y")

	// Quotes and comments stay as they are.
	f("match(x, '^a$') AND 'it''s \\' $ 5' -- 5$\n/* $ */ \"$\" `$`", "match(x, '^a$') AND 'it''s \\' $ 5' -- 5$\n/* $ */ \"$\" `$`")
}

func TestExpandRefuses(t *testing.T) {
	f := func(sql, want string) {
		t.Helper()
		if _, _, err := expand(sql, testScope); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", sql, err, want)
		}
	}
	f("$__table", "no such macro")
	f("$__nonsense(x)", "$__nonsense: no such macro")
	f("$__timeFilter(a, b)", "2 arguments, want 1")
	f("$__timeFilter()", "0 arguments, want 1")
	f("$__timeFilter(a", "no closing parenthesis")
	f("x = $one", "write ${one:singlequote}")
	f("x = ${one}", "write ${one:singlequote}")
	f("x = ${one:csv}", "write ${one:singlequote}")
	f("x = ${one", "no closing brace")
	f("x = ${unknown:singlequote}", "no variable unknown")
	f("x = '$one'", "within quotes")
	f("x = '${one:singlequote}'", "within quotes")
	f("-- $__timeFilter(ts)", "within quotes or a comment")
	f("x IN (${all:singlequote})", "outside of $__conditionalAll")
	f("$__conditionalAll(1, one)", "want a plain $variable")
	f("$__conditionalAll(1, ${one})", "want a plain $variable")
	f("$__conditionalAll(1, $unknown)", "no variable unknown")
	f("$__conditionalAll(1)", "1 arguments, want 2")
}

// What a reader sends comes back from the server as it was sent: it is a value, whatever it looks like.
func TestValuesStayValues(t *testing.T) {
	db := migrated(t)
	text, params, err := expand("SELECT arrayJoin([${nasty:singlequote}]) AS value", testScope)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "OR 1=1") {
		t.Errorf("a value is part of the statement: %s", text)
	}
	_, rows, err := db.QueryJSON(t.Context(), text, params, clickhouse.Limits{Rows: 100, Time: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, row := range rows {
		got = append(got, fmt.Sprint(row[0]))
	}
	if want := testScope.Vars["nasty"].Values; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Whatever text a dashboard holds, expanding it ends, and no value of a variable becomes text of the statement.
func FuzzExpand(f *testing.F) {
	for _, d := range mustBoards(f) {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				f.Add(target.RawSQL)
			}
		}
	}
	const secret = "5a1c0de5"
	f.Fuzz(func(t *testing.T, sql string) {
		if strings.Contains(sql, secret) {
			return // the text holds the marker itself
		}
		vars := map[string]choice{}
		for name := range maps.Keys(testScope.Vars) {
			vars[name] = choice{Values: []string{secret}}
		}
		text, params, err := expand(sql, scope{From: testScope.From, To: testScope.To, Interval: time.Minute, Vars: vars})
		if err != nil {
			return
		}
		if strings.Contains(text, secret) {
			t.Errorf("a value is part of the statement: %s", text)
		}
		for _, m := range parameter.FindAllStringSubmatch(text, -1) {
			if _, ok := params[m[1]]; !ok && !strings.Contains(sql, m[0]) {
				t.Errorf("parameter %s has no value in %s", m[1], text)
			}
		}
	})
}
