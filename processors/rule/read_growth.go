package rule

import (
	"maps"
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// signals names what a growth rule may know of a series besides its size, as rule files do, and as which value of a sample.
var signals = map[string]int{
	"rows": SampleRows, "commits": SampleCommits, "failed_logins": SampleFailedLogins, "failed_tests": SampleFailedTests, "bytes_received": SampleNetIn,
}

// nothing is the value of a key that a rule does not have.
var nothing = &value{get: func(*event) string { return "" }}

// growth adds the keys of a growth rule.
func (r *reader) growth(known keys) {
	known["sample"] = func(n ast.Node) { r.sample(n) }
	known["evidence"] = func(n ast.Node) { r.step(n, Step{ID: "evidence", Role: RoleEvidence}) }
	known["readings"] = func(n ast.Node) { r.list(n, "readings", r.reading) }
	known["windows"] = func(n ast.Node) { r.list(n, "windows", r.plannedWindow) }
}

func (r *reader) sample(n ast.Node) {
	s := &Step{ID: "sample", Role: RoleSample, Count: 1, values: make([]*value, SampleNetIn+1)}
	for i := range s.values {
		s.values[i] = nothing
	}
	known := keys{
		"when":     func(n ast.Node) { s.when, s.When = r.condition(n, "when") },
		"value":    func(n ast.Node) { s.values[SampleValue] = r.value(n, "value") },
		"capacity": func(n ast.Node) { s.values[SampleCapacity] = r.value(n, "capacity") },
		"series":   func(n ast.Node) { s.values[SampleSeries] = r.value(n, "series") },
		"planned":  func(n ast.Node) { s.values[SamplePlanned] = r.value(n, "planned") },
		"key":      func(n ast.Node) { s.key = r.keyOf(n) },
	}
	for name, i := range signals {
		known[name] = func(n ast.Node) { s.values[i] = r.value(n, name) }
	}
	seen := r.mapping(n, "the sample", known)
	r.need(n, seen, "the sample", "when", "value", "series")
	s.columns = append(s.columns, "project", "host", "db_name", "db_object") // a row of the growth table is made of them
	r.add(s)
}

// reading reads a signal that comes by events of its own. Without a value each event counts as one.
func (r *reader) reading(n ast.Node) {
	s := &Step{Role: RoleReading, Count: 1, values: []*value{ReadingValue: nothing, ReadingSeries: nothing, ReadingPart: nothing}}
	seen := r.mapping(n, "a reading", keys{
		"of":     func(n ast.Node) { s.ID = r.word(n, "of", slices.Sorted(maps.Keys(signals))) },
		"when":   func(n ast.Node) { s.when, s.When = r.condition(n, "when") },
		"value":  func(n ast.Node) { s.values[ReadingValue] = r.value(n, "value") },
		"series": func(n ast.Node) { s.values[ReadingSeries] = r.value(n, "series") },
		"part":   func(n ast.Node) { s.values[ReadingPart] = r.value(n, "part") },
		"key":    func(n ast.Node) { s.key = r.keyOf(n) },
	})
	r.need(n, seen, "the reading", "of", "when")
	s.Of, s.Counts = signals[s.ID], seen["value"] == nil
	r.add(s)
}

// plannedWindow reads a kind of windows in which growth is expected: the step that begins one, and that which ends it.
func (r *reader) plannedWindow(n ast.Node) {
	begin := Step{ID: "begin", Role: RoleBegin, Count: 1, Of: 1 + len(r.rule.Steps), values: []*value{nothing}}
	end := begin
	end.ID, end.Role = "end", RoleEnd
	seen := r.mapping(n, "a window", keys{
		"begin":  func(n ast.Node) { begin.when, begin.When = r.condition(n, "begin") },
		"end":    func(n ast.Node) { end.when, end.When = r.condition(n, "end") },
		"id":     func(n ast.Node) { v := r.value(n, "id"); begin.values, end.values = []*value{v}, []*value{v} },
		"within": func(n ast.Node) { begin.Within = r.duration(n, "within", time.Minute, maxWithin) },
		"key":    func(n ast.Node) { begin.key = r.keyOf(n); end.key = begin.key },
	})
	r.need(n, seen, "the window", "begin", "within")
	r.add(&begin)
	if seen["end"] != nil {
		r.add(&end)
	}
}
