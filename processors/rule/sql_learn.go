package rule

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxNumber is below what values that are added up or compared must be; package correlate leaves out the others as well.
const maxNumber = "9007199254740992"

// firings is the outermost query of rules of which each row is a firing: key, t, and n events.
const firings = "SELECT key, fromUnixTimestamp64Milli(min(t), 'UTC') AS fired, sum(n) AS events\nFROM (%s)\nWHERE %s\nGROUP BY key ORDER BY fired, key"

// amount is the number that events of the rule's first step carry; one each where the rule has no value.
func (q *query) amount() string {
	if len(q.rule.Steps[0].values) == 0 {
		return "toFloat64(1)"
	}
	return "ifNull(toFloat64OrNull(" + q.text(q.rule.Steps[0].values[0]) + "), nan)"
}

// buckets is a subquery with the buckets of a spike that hold something: their number b, the amount in them, how many
// events that is, and the time of the newest.
func (q *query) buckets() string {
	return fmt.Sprintf("SELECT key, intDiv(t * 1000000, %d) AS b, sum(v) AS amount, count() AS n, max(t) AS newest\n  FROM (%s)\n  WHERE v >= 0 AND v < %s GROUP BY key, b",
		int64(q.rule.Window), q.source(0, ", "+q.amount()+" AS v"), maxNumber)
}

func (q *query) spike() string {
	r := q.rule
	history := r.Memory / r.Window
	// The history's quantile is that of all its buckets, of which the empty ones come first and are not in the list.
	return fmt.Sprintf(firings, fmt.Sprintf(`
  SELECT key, newest AS t, n, amount, age, before, least(age, %[1]d) AS past,
    toInt64(greatest(ceil(%[2]v * past), 1)) - (past - toInt64(length(before))) AS rank,
    if(past = 0 OR rank <= 0, 0, before[rank]) AS usual
  FROM (
    SELECT key, newest, n, amount, b - min(b) OVER (PARTITION BY key) AS age,
      arraySort(groupArray(amount) OVER (PARTITION BY key ORDER BY b RANGE BETWEEN %[1]d PRECEDING AND 1 PRECEDING)) AS before
    FROM (%[3]s)
  )`, history, r.Quantile, q.buckets()),
		fmt.Sprintf("age * %d >= %d AND amount > greatest(%v * usual, %v)", r.Window.Milliseconds(), r.Learn.Milliseconds(), r.Factor, r.Min))
}

// readings is a subquery with the values of an anomaly: key, t, amount.
func (q *query) readings() string {
	return fmt.Sprintf("SELECT key, t, v AS amount FROM (%s) WHERE abs(v) < %s", q.source(0, ", "+q.amount()+" AS v"), maxNumber)
}

// deviation is an anomaly that is compared with the last values.
func (q *query) deviation() string {
	r := q.rule
	middle := func(list string) string {
		return fmt.Sprintf("(%[1]s[%[2]d] + %[1]s[%[3]d]) / 2", list, (r.Last-1)/2+1, r.Last/2+1)
	}
	return fmt.Sprintf(firings, fmt.Sprintf(`
  SELECT key, t, 1 AS n, amount, mean, arraySort(arrayMap(x -> abs(x - middle), sorted)) AS away, %s AS mad
  FROM (
    SELECT key, t, amount, arrayAvg(sorted) AS mean, sorted, %s AS middle
    FROM (
      SELECT key, t, amount, arraySort(groupArray(amount) OVER (PARTITION BY key ORDER BY t, amount ROWS BETWEEN %[3]d PRECEDING AND 1 PRECEDING)) AS sorted
      FROM (%[4]s)
    )
    WHERE length(sorted) = %[3]d
  )`, middle("away"), middle("sorted"), r.Last, q.readings()),
		fmt.Sprintf("amount > mean AND amount - mean >= greatest(%v * mad, %v * abs(mean))", r.Factor, r.Min))
}

// risk scores each sign with those of four half-lives before it, as package correlate does.
func (q *query) risk() string {
	const halves = 4
	r := q.rule
	var signs, phases, techniques, numbers []string
	for i := range r.Steps {
		s := &r.Steps[i]
		weight := strconv.Itoa(s.Weight)
		if s.Weight == 0 {
			weight = "[0, 1, 2, 5, 10, 20, 40][severity_id + 1]"
		}
		signs = append(signs, q.source(i, fmt.Sprintf(", %d AS sign, toFloat64(%s) AS weight", i, weight)))
		phases, techniques = append(phases, sqlWords(s.values[RiskPhases])), append(techniques, sqlWords(s.values[RiskTechniques]))
		numbers = append(numbers, strconv.Itoa(i))
	}
	order, unit := frame(halves * r.HalfLife)
	different := func(lists []string) string {
		return "length(arrayDistinct(arrayFlatten(arrayMap((w, l) -> if(w > 0, l, emptyArrayString()), weights, [" + strings.Join(lists, ", ") + "]))))"
	}
	return fmt.Sprintf(firings, fmt.Sprintf(`
  SELECT key, t, 1 AS n, arrayMap(i -> arrayMax(arrayMap(s -> if(s.1 = i, s.3 * exp2((s.2 - t) / %d), 0), signs)), [%s]) AS weights
  FROM (
    SELECT key, t, groupArray((sign, t, weight)) OVER (PARTITION BY key ORDER BY %s RANGE BETWEEN %d PRECEDING AND CURRENT ROW) AS signs
    FROM (%s) WHERE weight > 0
  )`, r.HalfLife.Milliseconds(), strings.Join(numbers, ", "), order, halves*r.HalfLife/unit, strings.Join(signs, "\n    UNION ALL ")),
		fmt.Sprintf("arraySum(weights) * arrayCount(w -> w > 0, weights) >= %v AND greatest(%s, %s) >= %d", r.Score, different(phases), different(techniques), r.Distinct))
}

// sqlWords is a constant list of words, joined by commas, as an array.
func sqlWords(v *value) string {
	text, err := strconv.Unquote(v.text)
	if err != nil || text == "" {
		return "emptyArrayString()"
	}
	var words []string
	for word := range strings.SplitSeq(text, ",") {
		words = append(words, SQLText(word))
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// pastOfLast is how far back the last values of an anomaly are looked for.
const pastOfLast = 90 * 24 * time.Hour

// PastSQL returns a query for what a rule that learns from a key's own past would know by now, and how far back it has to
// look; "" for rules of other kinds. Its parameters are from and to (DateTime64) and rows, its rows key, value, first and
// last (Int64, Unix milliseconds), amount (Float64): a value of a new_value, a bucket of a spike, a reading of an anomaly with
// `last`. The newest come first, so that a bound on rows leaves out what is oldest. It reads the table events of the
// connection's own database.
func (r *Rule) PastSQL() (text string, span time.Duration, err error) {
	if r.IsJudgedElsewhere() {
		return "", 0, nil
	}
	q := &query{rule: r, unmerged: true}
	switch {
	case r.Kind == NewValue:
		span = r.Memory
		text = fmt.Sprintf("SELECT key, value, min(t) AS first, max(t) AS last, toFloat64(count()) AS amount\nFROM (%s)\nWHERE value != ''\nGROUP BY key, value ORDER BY last DESC, key, value LIMIT {rows:UInt64}",
			q.source(0, ", "+q.text(r.Steps[0].values[0])+" AS value"))
	case r.Kind == Spike:
		span = r.Memory
		text = fmt.Sprintf("SELECT key, '' AS value, toInt64(b * %[1]d) AS first, toInt64((b + 1) * %[1]d) AS last, amount\nFROM (%[2]s)\nORDER BY b DESC, key LIMIT {rows:UInt64}",
			r.Window.Milliseconds(), q.buckets())
	case r.Kind == Anomaly && r.Last > 0:
		span = pastOfLast
		text = fmt.Sprintf("SELECT key, '' AS value, t AS first, t AS last, amount\nFROM (%s)\nORDER BY t DESC, amount DESC, key LIMIT %d BY key LIMIT {rows:UInt64}",
			q.readings(), r.Last)
	default:
		return "", 0, nil
	}
	if q.err != nil {
		return "", 0, fmt.Errorf("rule %s: %w", r.ID, q.err)
	}
	return text, span, nil
}
