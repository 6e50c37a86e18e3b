package sql

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestQueries(t *testing.T) {
	all, err := Queries()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 40 {
		t.Errorf("%d queries, want 40 or more", len(all))
	}
	for _, q := range all {
		if !strings.HasSuffix(q.Question, "?") && !strings.HasSuffix(q.Question, ".") {
			t.Errorf("%s: %q is no question", q.Name, q.Question)
		}
		known := map[string]bool{}
		for _, p := range q.Params {
			known[p.Name] = true
		}
		for _, m := range paramUse.FindAllStringSubmatch(q.Text, -1) {
			if !known[m[1]] {
				t.Errorf("%s: {%s} has no value; write it as \"-- %s = value\" below the question", q.Name, m[1], m[1])
			}
		}
	}
}

func TestReadQueriesRefuses(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := readQueries(fstest.MapFS{"q/a.sql": {Data: []byte(text)}}, "q")
		if err == nil || err.Error() != want {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
	f("SELECT 1", `query a.sql: line 1: want the question, behind "-- "`)
	f("-- What?\nSELECT 1; SELECT 2", "query a.sql: 2 statements, want 1")
	f("-- What?\n-- days = 3\nSELECT 1", "query a.sql: days has a value and no use")
}
