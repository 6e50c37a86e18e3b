package top

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Silent says of each rule that has not fired since the processes began why that is, as far as their metrics tell, in the
// order in which an event would come through: types, fields, index, condition, exceptions, key, state. Then it names the
// exceptions that have kept nothing from counting.
func (s *Sample) Silent(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	matched := s.by("tocsin_rule_matched_total", "rule")
	silent := 0
	for _, rule := range slices.Sorted(maps.Keys(matched)) {
		why := s.why(rule)
		if len(why) == 0 {
			continue
		}
		silent++
		fmt.Fprintf(t, "%s\t%s\n", rule, strings.Join(why, "; "))
	}
	fmt.Fprintf(t, "%d of %d rules have not fired since the processes began\n", silent, len(matched))
	hits := s.by("tocsin_exception_hits_total", "exception")
	for _, exception := range slices.Sorted(maps.Keys(hits)) {
		if hits[exception] == 0 {
			fmt.Fprintf(t, "exception %s has kept nothing from counting\n", exception)
		}
	}
	_ = t.Flush() // who does not read any more needs no more lines
}

// why returns what keeps a rule from firing; nothing where it fires.
func (s *Sample) why(rule string) (why []string) {
	of := func(metric string) float64 { return s.by(metric, "rule")[rule] }
	say := func(format string, args ...any) []string { return append(why, fmt.Sprintf(format, args...)) }
	if s.values["tocsin_rule_alerts_total"]["rule="+rule+",status=firing"] > 0 {
		return nil
	}
	if n := s.values["tocsin_rule_alerts_total"]["rule="+rule+",status=suppressed"]; n > 0 {
		return say("its %s alerts are suppressed by a label of their events", number(n))
	}
	if n := of("tocsin_rule_errors_total"); n > 0 {
		why = say("%s times an expression ended with an error", number(n))
	}
	var fields []string
	for labels := range s.values["tocsin_rule_missing_field"] {
		if field, ok := strings.CutSuffix(labels, ",rule="+rule); ok {
			fields = append(fields, strings.TrimPrefix(field, "field="))
		}
	}
	slices.Sort(fields)
	heard, takesEvents := s.by("tocsin_rule_events_total", "rule")[rule]
	candidates, evaluated, matched := of("tocsin_rule_candidates_total"), of("tocsin_rule_evaluated_total"), of("tocsin_rule_matched_total")
	keys := of("tocsin_rule_keys")
	switch {
	case keys > 0:
	case !takesEvents && candidates == 0:
		return say("none of the alerts that it takes has come")
	case takesEvents && heard == 0:
		return say("no event of the types that it asks for: is the source connected?")
	case len(fields) > 0:
		return say("none of %s events of its types carries %s", number(heard), strings.Join(fields, ", "))
	case candidates == 0:
		return say("none of %s events of its types has a value that its condition needs", number(heard))
	case evaluated == 0:
		return say("all %s candidates are of the playground", number(candidates))
	case matched == 0 && of("tocsin_rule_excepted_total") > 0:
		return say("all %s events that meet its condition are excepted", number(of("tocsin_rule_excepted_total")))
	case matched == 0:
		return say("none of %s candidates meets its condition", number(candidates))
	case of("tocsin_rule_keyless_total") == matched:
		return say("all %s matches lack a part of the key", number(matched))
	}
	if keys == 0 {
		return say("%s matches, of which no state is left: they are too old, or nobody detects", number(matched))
	}
	return say("%s matches, %s keys are on their way", number(matched), number(keys))
}
