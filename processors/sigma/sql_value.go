package sigma

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/tocsin-project/tocsin/processors/rule"
)

// maxSQLPatterns is how many patterns become one regular expression.
const maxSQLPatterns = 50

// sqlTests are the tests as conditions over a text x: any may hold. Patterns become regular expressions: RE2 folds cases as
// package regexp and we do.
func sqlTests(tests []test) (all []string) {
	patterns := map[bool][]string{} // by cased
	for _, t := range tests {
		if p, ok := t.(*pattern); ok {
			patterns[p.cased] = append(patterns[p.cased], p.expression())
		} else {
			all = append(all, t.sql())
		}
	}
	for _, cased := range []bool{false, true} {
		flags := "(?is)"
		if cased {
			flags = "(?s)"
		}
		for list := patterns[cased]; len(list) > 0; {
			n := min(len(list), maxSQLPatterns)
			body := strings.Join(list[:n], "|")
			if n > 1 {
				body = "(?:" + body + ")"
			}
			all = append(all, "match(x, "+rule.SQLText(flags+body)+")")
			list = list[n:]
		}
	}
	return all
}

func (p *pattern) sql() string { return sqlTests([]test{p})[0] }

// expression is a regular expression that says the same as the pattern.
func (p *pattern) expression() string {
	var b strings.Builder
	if p.start {
		b.WriteByte('^')
	}
	for i, g := range p.segments {
		if i > 0 {
			b.WriteString(".*")
		}
		for _, e := range g.elems {
			switch e.kind {
			case elemText:
				b.WriteString(regexp.QuoteMeta(e.text))
			case elemDash:
				b.WriteString(`[-/\x{2013}\x{2014}\x{2015}]`)
			default:
				b.WriteByte('.')
			}
		}
	}
	if p.end {
		b.WriteByte('$')
	}
	return b.String()
}

// To ClickHouse a dot is any character unless the expression says otherwise; to Sigma it is none that breaks a line.
func (t *regexpTest) sql() string { return "match(x, " + rule.SQLText("(?-s)"+t.re.String()) + ")" }

func (t *cidrTest) sql() string {
	is, none := "isIPv6String", "'::'"
	if t.network.Addr().Is4() {
		is, none = "isIPv4String", "'0.0.0.0'"
	}
	return fmt.Sprintf("(%s(x) AND isIPAddressInRange(if(%s(x), x, %s), %s))", is, is, none, rule.SQLText(t.network.String()))
}

func (t *rangeTest) sql() string {
	return fmt.Sprintf("(%s AND toFloat64OrZero(x) %s %g)", sqlIsNumber("x"), sqlOps[t.compare], t.limit)
}

var sqlOps = map[string]string{"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "eq": "=", "neq": "!="}

// sqlIsNumber holds for what function number takes.
func sqlIsNumber(text string) string {
	return "match(" + text + ", " + rule.SQLText(`^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$`) + ")"
}

// A date is read as it is written: what says its zone is cut off.
func (t *partTest) sql() string {
	part := map[string]string{"minute": "toMinute", "hour": "toHour", "day": "toDayOfMonth", "week": "toISOWeek", "month": "toMonth", "year": "toYear"}[t.part]
	date := `multiIf(NOT ` + sqlIsNumber("x") + `, parseDateTimeBestEffortOrNull(extract(x, '^[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9:]{5,8})?'), 'UTC'), ` +
		`toFloat64OrZero(x) >= 1e11 AND toFloat64OrZero(x) < 1e14, toDateTime(intDiv(toInt64OrZero(x), 1000), 'UTC'), ` +
		`toFloat64OrZero(x) >= 1e8 AND toFloat64OrZero(x) < 1e11, toDateTime(toInt64(toFloat64OrZero(x)), 'UTC'), NULL)`
	return fmt.Sprintf("ifNull(%s(%s) %s %g, 0)", part, date, sqlOps[t.compare], t.limit)
}
