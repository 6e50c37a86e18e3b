package sigma

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
	"github.com/tocsin-project/tocsin/processors/correlate"
	"github.com/tocsin-project/tocsin/processors/rule"
)

func TestMain(m *testing.M) {
	embedded.MaybeChild()
	os.Exit(m.Run())
}

// huntViews show JSON records, whole and below an object, mapped columns, lines of the audit daemon, and plain text.
const huntViews = `- logsource: {product: p}
  events: {source: app, event_type: [api.call, auth.*]}
  raw: json
  under: [inner.data]
  fields: {N: attributes.n, B: raw.b.e}
  key: [event_id]
- logsource: {product: audit}
  events: {source: audit}
  raw: audit
  key: [event_id, host]
- logsource: {product: columns}
  events: {source: app}
  fields:
    Actor: [actor, attributes.n]
    Path: {column: title, before: "?"}
    Query: {column: title, after: "?"}
    Address: src_ip
    Scope: net_scope
  key: [event_id]
- logsource: {product: columns}
  events: {source: audit}
  fields: {Actor: host}
  key: [event_id]
`

// huntRules are what the generated ones do not have.
const huntRules = `
columns {Actor|startswith: a, Address|cidr: 192.0.2.0/28}
columns {Path: /a*, Query|re: '^b=\d+$'}
columns {Scope: [private, egress]}
columns [needle]
columns {Actor|re: '^A'}
audit {type: EXECVE, a1|contains: 'a b'}
audit {a1: 612062}
audit {name: '/tmp/x y', host: null}
audit {res: failed, acct|exists: true}
audit [groups]
p {d.e|minute: 1}
p {time|hour|gte: 12, time|day: 23}
p {time|week: 48, ts|year: 2026}
p {'A|cidr': ['10.1.0.0/16', 'fe80::/10']}
`

// TestSQLFindsWhatTheStreamFinds: generated rules, and correlations over them, say the same of generated events in the
// pipeline and, as SQL, in the warehouse.
func TestSQLFindsWhatTheStreamFinds(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	server, err := embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop(context.Background())
	db, err := clickhouse.Open(ctx, clickhouse.Config{Addrs: []string{server.TCPAddr}, Database: "elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		t.Fatal(err)
	}

	r := maker{rand.New(rand.NewPCG(21, 22))}
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	b := huntEvents(t, r, start)
	sink := db.EventSink()
	if err := sink.Append(b); err != nil {
		t.Fatal(err)
	}
	if err := sink.Flush(ctx, pipeline.Chunk{}); err != nil {
		t.Fatal(err)
	}

	d := huntDetector(t, r)
	set, err := rule.LoadWith(nil, rule.Judged{Rules: d.Rules(), Source: d.Source})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Processor().Process(ctx, b); err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]bool{} // the keys of each rule
	engine := correlate.New(set, correlate.Config{})
	var out pipeline.Output
	for i := range b.Signals {
		s := &b.Signals[i]
		out.Now = s.Ingest
		engine.Process(s, &out)
	}
	for _, a := range out.Alerts {
		if want[a.Rule] == nil {
			want[a.Rule] = map[string]bool{}
		}
		want[a.Rule][strings.TrimPrefix(a.DedupKey, a.Rule+"|")] = true
	}
	const layout = "2006-01-02 15:04:05.000"
	params := map[string]any{"from": start.Add(-time.Hour).Format(layout), "to": start.Add(24 * time.Hour).Format(layout)}
	fired := 0
	for _, r := range set.Rules {
		query, err := r.SQL()
		if err != nil {
			t.Fatal(err)
		}
		_, rows, err := db.QueryJSON(ctx, query, params, clickhouse.Limits{Rows: 100_000, Time: time.Minute})
		if err != nil {
			t.Fatalf("%s\n%v", query, err)
		}
		got := map[string]bool{}
		for _, row := range rows {
			got[row[0].(string)] = true
		}
		if !maps.Equal(got, want[r.ID]) {
			t.Errorf("%s: SQL finds %d keys, the stream %d; the first that only one has: %s\n%s", r.ID, len(got), len(want[r.ID]), firstOnly(b, got, want[r.ID]), query)
		}
		if len(got) > 0 {
			fired++
		}
	}
	if fired < len(set.Rules)*2/3 {
		t.Errorf("only %d of %d rules fire: the worlds do not meet", fired, len(set.Rules))
	}
}

// firstOnly names the first key that only one of the sets has, with the record of its event.
func firstOnly(b *pipeline.Batch, a, c map[string]bool) string {
	all := maps.Clone(a)
	maps.Copy(all, c)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if a[k] == c[k] {
			continue
		}
		for i := range b.Events {
			if e := &b.Events[i]; strings.HasPrefix(k, e.ID.String()) {
				return k + " " + e.Raw + fmt.Sprint(e.Attrs)
			}
		}
		return k
	}
	return ""
}

func huntDetector(t *testing.T, r maker) *Detector {
	t.Helper()
	var files []File
	for id := range 25 {
		files = append(files, File{Path: fmt.Sprint(id), Data: r.rule(id)})
	}
	for i, line := range strings.Split(strings.TrimSpace(huntRules), "\n") {
		product, selection, _ := strings.Cut(line, " ")
		files = append(files, File{Path: line, Data: fmt.Appendf(nil, "title: t\nid: own%d\nlogsource: {product: %s}\ndetection:\n  sel: %s\n  condition: sel\n", i, product, selection)})
	}
	const head = "title: t\nid: c%d\ncorrelation: {timespan: %s, %s}\n"
	for i, c := range []string{
		"type: event_count, rules: ['1', '2', '3'], group-by: [A], condition: {gte: 2}",
		"type: value_count, rules: ['1', '4'], group-by: [B], condition: {field: [A, d.e], gte: 2}",
		"type: value_sum, rules: ['1', '2', '5', '6'], condition: {field: N, gte: 30}",
		"type: value_avg, rules: ['1', '2', '5', '6'], condition: {field: N, gte: 12}",
		"type: value_median, rules: ['1', '2', '5', '6'], group-by: [A], condition: {field: N, gte: 12}",
		"type: value_percentile, rules: ['1', '2', '5', '6'], condition: {field: N, percentile: 90, gte: 18}",
		"type: temporal, rules: ['1', '2', own3], condition: {gte: 2}",
		"type: temporal, rules: ['1', '2', own5], condition: (1 and 2) or own5",
		"type: temporal_ordered, rules: ['1', '2'], group-by: [A]",
		"type: event_count, rules: [own5, own8], group-by: [type, pid], condition: {gte: 2}",
	} {
		files = append(files, File{Path: c, Data: fmt.Appendf(nil, head, i, "2m", c+", generate: true")})
	}
	s := Load(files, Options{})
	for _, r := range s.Results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	taxonomy := &Taxonomy{}
	if err := taxonomy.Add("v.yaml", []byte(huntViews)); err != nil {
		t.Fatal(err)
	}
	return NewDetector(s, taxonomy)
}

// huntEvents are generated JSON records and a few lines of the audit daemon.
func huntEvents(t *testing.T, r maker, start time.Time) *pipeline.Batch {
	t.Helper()
	b := &pipeline.Batch{}
	add := func(source, raw string) *pipeline.Event {
		n := len(b.Records)
		b.Records = append(b.Records, pipeline.Record{Offset: int64(n)})
		e := b.Next(n)
		e.ID, e.Source, e.Raw, e.Type = pipeline.NewID("hunt", fmt.Sprint(n)), source, raw, r.pick("api.call", "api.call", "auth.failed", "file.changed")
		e.Time = start.Add(time.Duration(n) * 7 * time.Second)
		e.IngestTime = e.Time
		return e
	}
	for range 500 {
		raw := string(r.event())
		switch r.IntN(12) {
		case 0:
			raw = `{"inner":{"data":` + raw + `,"data":[{"A":"é"}]},"A":null}`
		case 1:
			raw = `<13>Nov 23 10:00:00 h app: ` + raw
		case 2:
			raw = raw[:len(raw)-1] // broken
		case 3:
			raw = `{"b":{"e":"power"},"A":[],"B ":"cmd\u002f -x","time":"2026-11-23T13:00:00+05:00","ts":` + fmt.Sprint(start.UnixMilli()) + `}`
		case 4:
			raw = `{"d":[{"e":"2026-11-23 00:01:00"},{"e":[1.0,1e1]}],"A":"10.1.2.3"}`
		}
		e := add("app", raw)
		for _, f := range [][2]string{{"actor", "ann"}, {"actor", `b|o\b`}, {"src_ip", "192.0.2.7"}, {"net_scope", "egress"}, {"title", "/a/b?b=1"}, {"title", "a needle"}, {"attributes.n", "15"}} {
			if r.IntN(4) == 0 {
				if err := e.SetField(f[0], f[1]); err != nil {
					t.Fatal(err)
				}
			}
		}
		if r.IntN(10) == 0 {
			e.Labels = []string{"playground"}
		}
		if r.IntN(9) == 0 {
			e.Raw = "a needle in plain text"
		}
	}
	for _, raw := range []string{
		`type=EXECVE msg=audit(1.1:1): argc=2 a0="ls" a1=612062 pid=7`,
		`type=SYSCALL msg=audit(1.1:1): a1=612062 pid=7`,
		"type=SYSCALL msg=audit(1.1:2): a0=1 key=(null)\ntype=EXECVE msg=audit(1.1:2): a0=\"ls\" a1=\"a b\" pid=8\ntype=PATH msg=audit(1.1:2): name=2F746D702F782079",
		`type=USER_LOGIN msg=audit(1.1:1): pid=1 msg='op=login acct="root" res=failed'`,
		`type=EXECVE msg=audit(1.1:3): a1="type=x a b" pid=7`,
		"type=ADD_USER msg=audit(1.1:4): op=add groups\x1dUID=\"root\"",
	} {
		for range 2 {
			add("audit", raw).Host = "alpha"
		}
	}
	return b
}
