package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tocsin-project/tocsin/cmd/tocsin/internal/demo"
	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// requirement is the acceptance check of one requirement of the mission, from testdata/mission/<id>.yaml. Everything it
// sends has its id, in lower case, as project.
type requirement struct {
	id   string
	Says string
	// Input is what the tools send, at times after the start of the story.
	Input []missionInput
	// Answers are questions and what the warehouse must answer.
	Answers []missionAnswer
	// Alerts are all that the teams are told about the project, as "team rule severity" of the worst version; nil where
	// that is not the point.
	Alerts []string
	// Unseen are texts that stand in the input and in nothing that comes of it: no table, no topic of tocsin's, no log.
	Unseen []string
}

// missionInput is a record in its tool's form, from a file or written out, or an event of ours. {i} in a text is the number
// of the repetition, {at} its time in RFC 3339, {start} that of the story's beginning.
type missionInput struct {
	At      time.Duration
	Repeat  int
	Every   time.Duration
	Source  string
	Headers map[string]string
	File    string // relative to processors/parse/testdata
	Record  string
	Event   map[string]string // columns and attributes.*
}

// missionAnswer is a query and the rows it must give: columns apart by a blank, rows by a new line.
type missionAnswer struct {
	SQL      string
	Question string // of sql/queries, in place of SQL; With are its parameters, Pick the columns (and WHERE) to look at
	Pick     string
	With     map[string]string
	Want     string
	Holds    string // in place of Want: a row of the answer
}

const missionLength = 3 * time.Hour

// TestMission sends what the requirements' checks send through one pipeline with the rules of the library, from Kafka to
// ClickHouse and the teams' topics, and asks both. The checks share the pipeline and its clock, and nothing else.
func TestMission(t *testing.T) {
	t.Parallel()
	requirements := readMission(t)
	m := startMission(t)
	m.send(t, requirements)
	m.watches(t)
	for _, r := range requirements {
		t.Run(r.id, func(t *testing.T) {
			for _, a := range r.Answers {
				m.answers(t, r, a)
			}
			m.hides(t, r)
			if r.Alerts != nil {
				var got []string
				for what, severity := range m.told[r.project()] {
					got = append(got, fmt.Sprintf("%s %d", what, severity))
				}
				if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(r.Alerts))) {
					t.Errorf("%s\nthe teams were told %q, want %q", r.Says, got, r.Alerts)
				}
			}
		})
	}
	t.Run("R60", func(t *testing.T) { m.suggests(t) })
	t.Run("detect", func(t *testing.T) { m.forgets(t) })
}

// watches looks once, as a running process does from time to time, whether what was corrected has been released and which
// subscriptions have run out, and sends what it has found.
func (m *mission) watches(t *testing.T) {
	t.Helper()
	w := &watch{instance: "mission", topic: "events", log: zap.NewNop(), ended: map[string]bool{}}
	w.expire(m.rules, time.Now())
	released := func(e cloudEvent) bool { return e.Type == "tocsin.finding.verified" } // the last of what settles findings
	for began, n := time.Now(), 0; !slices.ContainsFunc(w.settled, released); n++ {    // what was sent may be stored a moment later
		if time.Since(began) > time.Minute {
			t.Fatal("nothing that was corrected has been released")
		}
		w.settle(t.Context(), m.db, began.Add(time.Duration(n)*askSettled))
	}
	record, err := w.events(nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.client.ProduceSync(t.Context(), &kgo.Record{Topic: "events", Value: record}).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// forgets asks what a detector has learnt of a hook in a repository, lets it forget that, and asks again.
func (m *mission) forgets(t *testing.T) {
	const rule, repo = "hook-silent", "git.example/r20/3"
	shown := m.tocsin(t, "detect", "show", "-c", m.config, repo)
	key, _, _ := strings.Cut(strings.TrimPrefix(shown, rule+" "), "\n")
	if !strings.HasPrefix(shown, rule+" ") || !strings.Contains(key, repo) {
		t.Fatalf("want what %s has learnt of %s, got\n%s", rule, repo, shown)
	}
	m.tocsin(t, "detect", "forget", "-c", m.config, rule, key)
	for deadline := time.Now().Add(time.Minute); strings.Contains(m.tocsin(t, "detect", "show", "-c", m.config), key); {
		if time.Now().After(deadline) {
			t.Fatalf("%s still knows %s", rule, key)
		}
	}
}

// suggests asks for rules that notice when a source stops, until there is nothing left to suggest: a source that no rule
// watched, and for each a rule that is ready for use.
func (m *mission) suggests(t *testing.T) {
	suggested := m.tocsin(t, "rules", "suggest", "-c", m.config)
	if !strings.Contains(suggested, "id: silence-docker-bench\n") || strings.Contains(suggested, "silence-git-secrets") {
		t.Errorf("want a rule for docker-bench, which none watches, and none for git-secrets, which hook-silent does:\n%s", suggested)
	}
	dir := filepath.Join(filepath.Dir(m.config), "suggested")
	for _, text := range strings.Split(suggested, "---\n") {
		_, rest, _ := strings.Cut(text, "id: ")
		id, _, _ := strings.Cut(rest, "\n")
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, id+".yaml"), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	m.tocsin(t, "rules", "check", dir)
	config, err := os.ReadFile(m.config)
	if err != nil {
		t.Fatal(err)
	}
	watched := filepath.Join(filepath.Dir(m.config), "watched.yaml")
	if err := os.WriteFile(watched, append(config, "rules: {dirs: ["+strconv.Quote(dir)+"]}\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if again := m.tocsin(t, "rules", "suggest", "-c", watched); !strings.HasPrefix(again, "# ") || strings.Contains(again, "id:") {
		t.Errorf("with all that was suggested, this is left:\n%s", again)
	}
}

// tocsin runs a command and returns what it printed.
func (m *mission) tocsin(t *testing.T, args ...string) string {
	t.Helper()
	out := &bytes.Buffer{}
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(out)
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("tocsin %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out.String()
}

func readMission(t *testing.T) []requirement {
	t.Helper()
	paths, err := filepath.Glob("testdata/mission/R*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no requirements: %v", err)
	}
	var all []requirement
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r := requirement{id: strings.TrimSuffix(filepath.Base(path), ".yaml")}
		if err := yaml.UnmarshalWithOptions(text, &r, yaml.Strict()); err != nil {
			t.Fatalf("%s: %s", path, yaml.FormatError(err, false, true))
		}
		if len(r.Answers) == 0 && r.Alerts == nil {
			t.Fatalf("%s asks nothing", path)
		}
		all = append(all, r)
	}
	return all
}

// mission is the pipeline that the requirements share.
type mission struct {
	start   time.Time
	config  string // a configuration file for commands
	rules   *rule.Set
	brokers []string
	client  *kgo.Client // writes records, reads the teams' topics
	db      *clickhouse.DB
	told    map[string]map[string]uint8 // by project, team and rule: the highest severity
	logs    *observer.ObservedLogs
}

// requested is a rule that security asks for: by the one who asked first no longer, as of yesterday.
var requested = fmt.Sprintf(`
id: R34
kind: match
title: t
why: w
key: ev.Actor
when: ev.Project == "r34" && ev.Type == "auth.success"
subscriptions:
  - {team: ops, class: sec_requested, severity: 4, by: "sec:maria", ticket: SEC-34, expires: 2999-01-31}
  - {team: dev, class: sec_requested, severity: 4, by: "sec:ben", ticket: SEC-33, expires: %s}
alert: {title: "{actor} logs in", summary: s}
`, time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly))

func startMission(t *testing.T) *mission {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Instance, cfg.Admin.Listen = "mission", "127.0.0.1:0"
	cfg.Kafka.Topics, cfg.Kafka.Partitions = []string{"events"}, 1
	cfg.Alerts.PerMinute = 10_000
	cfg.Parse.FingerprintKey = "mission's key"
	cfg.Flush.Interval = 100 * time.Millisecond
	table := func(name, text string) []string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{path}
	}
	cfg.Enrich.Networks = table("networks.csv", "cidr,name\n10.0.0.0/8,ours\n")
	cfg.Enrich.Assets = table("assets.csv", "kind,name,infra_kind\nhost,pod-*.r03,container\n")
	cfg.Enrich.OptOut = table("opt-out.csv", "id,owner,reason,suite\nOO-49,sec,a drill,redline-*\n")
	cfg.Enrich.GeoIP = []string{"../../processors/enrich/testdata/geoip/GeoLite2-ASN-Test.mmdb"}
	cfg.Rules.Dirs = append(cfg.Rules.Dirs, filepath.Dir(table("R34.yaml", requested)[0]))
	servers, err := startServers(t.Context(), t.TempDir(), &cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(servers.stop)
	core, logs := observer.New(zap.DebugLevel)
	a, err := newApp(t.Context(), cfg, time.Now, zaptest.NewLogger(t, zaptest.WrapOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return zapcore.NewTee(c, core) }))))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.run(ctx, kafka.AllRoles) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		a.close()
	})
	config := filepath.Join(t.TempDir(), "tocsin.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "clickhouse: {addrs: [%q]}\nkafka: {brokers: [%q]}\n", cfg.ClickHouse.Addrs[0], cfg.Kafka.Brokers[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	m := &mission{rules: a.rules.Set(), brokers: cfg.Kafka.Brokers, logs: logs, config: config, start: time.Now().UTC().Add(-missionLength).Truncate(time.Minute), db: a.db, told: map[string]map[string]uint8{}}
	var topics []string
	for _, team := range []string{"dev", "sec", "ops", "mon"} {
		topics = append(topics, kafka.AlertsPrefix+team)
	}
	if m.client, err = kgo.NewClient(kgo.SeedBrokers(cfg.Kafka.Brokers...), kgo.ConsumeTopics(topics...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.client.Close)
	return m
}

// timed is a record and its place in the story.
type timed struct {
	at     time.Time
	record *kgo.Record
}

// send writes all records in the order of their times, ends the story, and reads what the teams were told.
func (m *mission) send(t *testing.T, requirements []requirement) {
	t.Helper()
	var all []timed
	for _, r := range requirements {
		for n, in := range r.Input {
			for i := range max(in.Repeat, 1) {
				at := m.start.Add(in.At + time.Duration(i)*in.Every)
				all = append(all, timed{at, in.toRecord(t, r.project(), fmt.Sprintf("%s-%d-%d", r.id, n, i), at, i)})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b timed) int { return a.at.Compare(b.at) })
	for _, one := range all {
		m.client.Produce(t.Context(), one.record, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	// The first of these is of this minute: it ends every window of the story. What that raises comes before the second.
	for n := range 2 {
		end := missionInput{Event: map[string]string{"event_type": "secret.detected", "severity_id": "4", "title": "the end", "finding_key": strconv.Itoa(n + 1), "repo": fmt.Sprintf("git.example/the/end%d", n)}}
		if err := m.client.ProduceSync(t.Context(), end.toRecord(t, fmt.Sprintf("end%d", n), "end", time.Now().UTC(), n)).FirstErr(); err != nil {
			t.Fatal(err)
		}
		for m.told[fmt.Sprintf("end%d", n)] == nil {
			m.hear(t)
		}
	}
}

// hear reads what has come on the teams' topics.
func (m *mission) hear(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	fetches := m.client.PollFetches(ctx)
	if err := fetches.Err(); err != nil {
		t.Fatalf("nothing comes any more on the teams' topics: %v", err)
	}
	fetches.EachRecord(func(rec *kgo.Record) {
		a, err := pipeline.DecodeAlert(rec.Value)
		if err != nil {
			t.Fatal(err)
		}
		if m.told[a.Project] == nil {
			m.told[a.Project] = map[string]uint8{}
		}
		what := a.Team + " " + a.Rule
		m.told[a.Project][what] = max(m.told[a.Project][what], a.Severity)
	})
}

func (r *requirement) project() string { return strings.ToLower(r.id) }

// toRecord is the i-th repetition of an input, as Kafka has it. id tells an event of ours from all others of the project.
func (in *missionInput) toRecord(t *testing.T, project, id string, at time.Time, i int) *kgo.Record {
	t.Helper()
	start := at.Add(-in.At - time.Duration(i)*in.Every)
	fill := func(text string) string {
		return strings.NewReplacer("{start}", start.Format(time.RFC3339), "{i}", strconv.Itoa(i), "{at}", at.Format(time.RFC3339), "{unix}", strconv.FormatInt(at.Unix(), 10)).Replace(text)
	}
	rec := &kgo.Record{Topic: "events", Key: []byte(project), Timestamp: at}
	header := func(key, value string) {
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: key, Value: []byte(fill(value))})
	}
	for key, value := range in.Headers {
		header(key, value)
	}
	if in.Source != "" {
		header("tocsin_source", in.Source)
	}
	switch {
	case in.Event != nil:
		data := map[string]string{"project": project}
		for column, value := range in.Event {
			data[column] = fill(value)
		}
		typ := data["event_type"]
		delete(data, "event_type")
		value, err := json.Marshal(map[string]any{
			"specversion": "1.0", "type": "dev.tocsin." + typ, "id": id, "source": "/" + project,
			"time": at.Format(time.RFC3339Nano), "datacontenttype": "application/json", "data": data,
		})
		if err != nil {
			t.Fatal(err)
		}
		header("content-type", "application/cloudevents+json")
		rec.Value = value
	case in.File != "":
		value, err := os.ReadFile(filepath.Join("../../processors/parse/testdata", in.File))
		if err != nil {
			t.Fatal(err)
		}
		header("tocsin_project", project)
		rec.Value = value
	default:
		header("tocsin_project", project)
		rec.Value = []byte(fill(in.Record))
	}
	return rec
}

// hides fails where a text is seen that must not be.
func (m *mission) hides(t *testing.T, r requirement) {
	t.Helper()
	for _, text := range r.Unseen {
		for _, entry := range m.logs.All() {
			if said := fmt.Sprint(entry.Message, entry.ContextMap()); strings.Contains(said, text) {
				t.Errorf("%q is logged: %s", text, said)
			}
		}
	}
	if len(r.Unseen) > 0 {
		if err := demo.Search(t.Context(), m.db, m.brokers, r.Unseen); err != nil {
			t.Error(err)
		}
	}
}

// answers asks the warehouse until it says what it should; what comes from the topics may be a moment late.
func (m *mission) answers(t *testing.T, r requirement, a missionAnswer) {
	t.Helper()
	query, params := a.SQL, map[string]any{"project": r.project()}
	if a.Question != "" {
		q, err := question(a.Question)
		if err != nil {
			t.Fatal(err)
		}
		query = strings.TrimSuffix(strings.TrimSpace(q.Text), ";")
		if a.Pick != "" {
			columns, rest, _ := strings.Cut(a.Pick, " WHERE ")
			query = "SELECT " + columns + " FROM (" + query + ")"
			if rest != "" {
				query += " WHERE " + rest
			}
		}
		for _, p := range q.Params {
			params[p.Name] = p.Default
		}
		for name, value := range a.With {
			params[name] = value
		}
	}
	var got string
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		_, rows, err := m.db.QueryJSON(t.Context(), query, params, clickhouse.Limits{Rows: 1000, Time: time.Minute})
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		var lines []string
		for _, row := range rows {
			var cells []string
			for _, v := range row {
				cells = append(cells, fmt.Sprint(v))
			}
			lines = append(lines, strings.Join(cells, " "))
		}
		got = strings.TrimSpace(strings.Join(lines, "\n"))
		if a.Holds == "" && got == strings.TrimSpace(a.Want) || a.Holds != "" && slices.Contains(lines, a.Holds) {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s\n%s%s\ngives\n%s\nwant\n%s%s", r.Says, a.Question, a.SQL, got, a.Want, a.Holds)
			return
		}
	}
}
