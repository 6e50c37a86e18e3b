package rule

import (
	"errors"
	"fmt"

	"github.com/expr-lang/expr/parser"
)

// windowSteps is how many steps a window slides over its own length; package correlate counts by it.
const windowSteps = 120

func (q *query) threshold() string {
	r := q.rule
	if r.Behind && q.err == nil {
		q.err = errors.New("it asks for what does not come, which no row of the table shows")
	}
	extra, columns := "", ""
	for i, v := range r.Steps[0].values {
		arg := ""
		if v.when != nil {
			arg = q.sql(v.text, "bool")
		} else {
			arg = q.text(v)
		}
		extra += fmt.Sprintf(", %s AS a%d", arg, i)
	}
	for _, a := range r.Aggregates {
		columns += fmt.Sprintf(", toFloat64(%s) AS g_%s", aggregateSQL(a), a.Name)
	}
	tree, err := parser.Parse(r.Having.Text)
	if err != nil {
		panic("BUG: a condition that was checked is refused: " + err.Error())
	}
	having := havingSQL(tree.Node)
	source := q.source(0, extra)
	window := fmt.Sprintf("PARTITION BY key ORDER BY s RANGE BETWEEN %d PRECEDING AND CURRENT ROW", windowSteps-1)
	switch r.Windows {
	case Tumbling:
		window = fmt.Sprintf("PARTITION BY key, intDiv(s, %d) ORDER BY s RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW", windowSteps)
	case Session:
		source = fmt.Sprintf(`SELECT *, countIf(s - before >= %d) OVER (PARTITION BY key ORDER BY s RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS session FROM (
    SELECT *, %s AS s, lagInFrame(s, 1, s) OVER (PARTITION BY key ORDER BY s ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before FROM (%s))`,
			windowSteps, q.slice(), source)
		window = "PARTITION BY key, session ORDER BY s RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
	}
	return fmt.Sprintf(`SELECT key, fromUnixTimestamp64Milli(min(t), 'UTC') AS fired, count() AS events
FROM (
  SELECT key, t, %s AS s%s
  FROM (%s)
  WINDOW w AS (%s)
)
WHERE %s
GROUP BY key ORDER BY fired, key`, q.slice(), columns, source, window, having)
}

// slice is the number of the step of the window's length that an event is in.
func (q *query) slice() string {
	return fmt.Sprintf("intDiv(t * 1000000, %d)", int64(q.rule.Window)/windowSteps)
}

// aggregateSQL is an aggregate over the window w.
func aggregateSQL(a Aggregate) string {
	switch a.Op {
	case Count:
		if a.Value >= 0 {
			return fmt.Sprintf("countIf(a%d) OVER w", a.Value)
		}
	case Distinct:
		return fmt.Sprintf("uniqExactIf(a%d, a%d != '') OVER w", a.Value, a.Value)
	case Sum:
		return fmt.Sprintf("sum(toFloat64OrZero(a%d)) OVER w", a.Value)
	case Avg:
		return fmt.Sprintf("ifNull(avg(toFloat64OrNull(a%d)) OVER w, nan)", a.Value)
	case Median:
		list := sortedSQL(a)
		return fmt.Sprintf("if(empty(%[1]s), nan, (%[1]s[intDiv(length(%[1]s) + 1, 2)] + %[1]s[intDiv(length(%[1]s), 2) + 1]) / 2)", list)
	case Percentile: // that of the rank, which the stream may know within 1 %
		list := sortedSQL(a)
		return fmt.Sprintf("if(empty(%s), nan, arrayElement(%s, toUInt64(greatest(ceil(%g * length(%s)), 1))))", list, list, a.Quantile, list)
	}
	return "count() OVER w"
}

// sortedSQL are the numbers of the window w, sorted.
func sortedSQL(a Aggregate) string {
	return fmt.Sprintf("arraySort(groupArray(toFloat64OrNull(a%d)) OVER w)", a.Value)
}
