package ruletest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
	"github.com/tocsin-project/tocsin/processors/parse"
	"github.com/tocsin-project/tocsin/processors/rule"
)

func TestMain(m *testing.M) {
	embedded.MaybeChild()
	os.Exit(m.Run())
}

// post runs a query over HTTP.
func post(t *testing.T, addr, query string, params url.Values, body []byte) []byte {
	t.Helper()
	values := url.Values{"query": {query}, "date_time_input_format": {"best_effort"}}
	maps.Copy(values, params)
	res, err := http.Post("http://"+addr+"/?"+values.Encode(), "text/plain", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s\n%s %v", query, answer, err)
	}
	return answer
}

// A hunt over history finds the keys that the stream alerts on: each test of the library is played, and its events are
// asked for in the warehouse. Where a rule forgets (until, resolve) the hunt may find more.
func TestSQLAgreesWithTheStream(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	server, err := embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop(context.Background())
	db, err := clickhouse.Open(ctx, clickhouse.Config{Addrs: []string{server.TCPAddr}, Database: "tocsin"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	files, err := rule.ReadPaths("testdata/kinds")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := rule.ReadTests("testdata/kinds")
	if err != nil {
		t.Fatal(err)
	}
	set, err := rule.Load(append(files, rule.Library()...))
	if err != nil {
		t.Fatal(err)
	}
	cases, err := rule.ReadCases(set, append(tests, rule.LibraryTests()...))
	if err != nil {
		t.Fatal(err)
	}
	parser, err := parse.New(parse.Config{FingerprintKey: "test"})
	if err != nil {
		t.Fatal(err)
	}
	// The events of all tests are stored at once, each with the number of its test.
	post(t, server.HTTPAddr, "CREATE TABLE tocsin.staged ENGINE = MergeTree ORDER BY tuple() AS SELECT *, toUInt32(0) AS case_no FROM tocsin.events LIMIT 0", nil, nil)
	type hunt struct {
		rule     *rule.Rule
		name     string
		query    string
		from, to time.Time
		want     map[string]bool
	}
	var rows []byte
	var hunts []hunt
	found, asked := 0, map[rule.Kind]int{}
	for _, c := range cases {
		r := set.Rule(c.Rule)
		query, err := r.SQL()
		if r.Kind == rule.Growth || r.Kind == rule.Silence || r.Kind == rule.Anomaly && r.Last == 0 || r.Depth > 0 || r.Steps[r.LastStep()].Below {
			if err == nil || !strings.Contains(err.Error(), "tocsin") && !strings.Contains(err.Error(), "takes alerts") {
				t.Errorf("%s has SQL, or is refused without a reason: %v", c.Rule, err)
			}
			continue
		}
		asked[r.Kind]++
		if err != nil {
			t.Errorf("%s: %v", c.Rule, err)
			continue
		}
		last := c.Start.Add(c.Until)
		alerts, err := play(set, &c, parser, func(e *pipeline.Event) {
			if e.IngestTime.After(last) {
				last = e.IngestTime
			}
			rows = fmt.Appendf(rows, `{"case_no":%d,`, len(hunts))
			rows = append(append(rows, e.AppendJSON(nil)[1:]...), '\n')
		})
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]bool{}
		for _, a := range alerts {
			if a.Rule == c.Rule {
				want[strings.TrimPrefix(a.DedupKey, c.Rule+"|")] = true
			}
		}
		to := last.Add(365 * 24 * time.Hour)
		if r.Kind == rule.Absence { // what has not come by the end of the test may come after it
			to = last
		}
		const events = "FROM events FINAL"
		if !strings.Contains(query, events) {
			t.Fatalf("%s does not read %s", c.Rule, events)
		}
		query = strings.ReplaceAll(query, events, fmt.Sprintf("FROM (SELECT * FROM tocsin.staged WHERE case_no = %d)", len(hunts)))
		hunts = append(hunts, hunt{r, c.Name, query, c.Start.Add(-365 * 24 * time.Hour), to, want})
		found += len(want)
	}
	post(t, server.HTTPAddr, "INSERT INTO tocsin.staged FORMAT JSONEachRow", nil, rows)
	for _, h := range hunts {
		const layout = "2006-01-02 15:04:05.000"
		answer := post(t, server.HTTPAddr, h.query+" FORMAT JSONEachRow", url.Values{
			"param_from": {h.from.Format(layout)}, "param_to": {h.to.Format(layout)},
		}, nil)
		got := map[string]bool{}
		for line := range bytes.Lines(answer) {
			var row struct{ Key string }
			if err := json.Unmarshal(line, &row); err != nil {
				t.Fatal(err)
			}
			got[row.Key] = true
		}
		forgets := slices.ContainsFunc(h.rule.Steps, func(s rule.Step) bool { return s.Role >= rule.RoleUntil })
		for key := range h.want {
			if !got[key] {
				t.Errorf("%s: %s: the hunt misses %q\n%s", h.rule.ID, h.name, key, h.query)
			}
		}
		for key := range got {
			if !h.want[key] && !forgets {
				t.Errorf("%s: %s: the hunt finds %q, the stream did not\n%s", h.rule.ID, h.name, key, h.query)
			}
		}
	}
	t.Logf("%d tests asked for, %d keys found: %v", len(hunts), found, asked)
	for _, kind := range []rule.Kind{rule.Match, rule.Threshold, rule.Sequence, rule.Absence, rule.NewValue, rule.Spike, rule.Risk, rule.Anomaly} {
		if asked[kind] == 0 {
			t.Errorf("no rule of kind %s was asked for", kind)
		}
	}
}
