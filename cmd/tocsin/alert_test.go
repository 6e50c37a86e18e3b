package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
	"github.com/tocsin-project/tocsin/schemas"
)

// running is a pipeline with rules of the test's own, and its alert topics.
type running struct {
	t      *testing.T
	config string
	app    *app
	client *kgo.Client
	schema *jsonschema.Schema
	topics map[string][]*pipeline.Alert // what came, by topic
	seq    int
}

// runPipeline starts the pipeline on embedded servers.
func runPipeline(t *testing.T, perMinute int, rules ...string) *running {
	t.Helper()
	r := preparePipeline(t, perMinute, false, rules...)
	r.start()
	return r
}

// start lets the pipeline run until the test ends.
func (r *running) start() {
	ctx, stop := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- r.app.run(ctx, kafka.AllRoles) }()
	r.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
		r.app.close()
	})
}

// preparePipeline starts embedded servers and connects a pipeline to them, with the library's rules or without.
func preparePipeline(t *testing.T, perMinute int, library bool, rules ...string) *running {
	t.Helper()
	return preparePipelineAs(t, func(cfg *Config) { cfg.Alerts.PerMinute, cfg.Rules.Library = perMinute, library }, rules...)
}

// preparePipelineAs is preparePipeline with any configuration.
func preparePipelineAs(t *testing.T, configure func(*Config), rules ...string) *running {
	t.Helper()
	dir, data := t.TempDir(), t.TempDir()
	for i, r := range rules {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("r%d.yaml", i)), []byte(r), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cfg := DefaultConfig()
	cfg.Instance, cfg.Admin.Listen = "test", "127.0.0.1:0"
	cfg.Kafka.Topics, cfg.Kafka.Partitions = []string{"events"}, 2
	cfg.Rules = RulesConfig{Dirs: []string{dir}, Lateness: time.Second}
	cfg.Flush.Interval = 100 * time.Millisecond
	configure(&cfg)
	servers, err := startServers(t.Context(), filepath.Join(data, "servers"), &cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(servers.stop)
	r := &running{t: t, config: filepath.Join(data, "config.yaml"), topics: map[string][]*pipeline.Alert{}}
	config := fmt.Sprintf("kafka: {brokers: [%q], topics: [events]}\nclickhouse: {addrs: [%q]}\n", cfg.Kafka.Brokers[0], cfg.ClickHouse.Addrs[0])
	if err := os.WriteFile(r.config, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if r.app, err = newApp(t.Context(), cfg, time.Now, zaptest.NewLogger(t)); err != nil {
		t.Fatal(err)
	}
	var topics []string
	for _, team := range []string{"dev", "sec", "ops", "mon"} {
		topics = append(topics, kafka.AlertsPrefix+team)
	}
	if r.client, err = kgo.NewClient(kgo.SeedBrokers(cfg.Kafka.Brokers...), kgo.ConsumeTopics(topics...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.client.Close)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemas.AlertSchema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("alert.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	if r.schema, err = compiler.Compile("alert.schema.json"); err != nil {
		t.Fatal(err)
	}
	return r
}

// event sends events of a type, one for each host.
func (r *running) event(typ string, hosts ...string) {
	r.t.Helper()
	var records []*kgo.Record
	for _, host := range hosts {
		records = append(records, r.record(time.Now(), typ, fmt.Sprintf(`"host":%q`, host)))
	}
	r.produce(records...)
}

// record is an event of a type at a time, with fields of its data as JSON.
func (r *running) record(at time.Time, typ, fields string) *kgo.Record {
	r.seq++
	value := fmt.Sprintf(`{"specversion":"1.0","type":"dev.tocsin.%s","id":"%d","source":"/test","time":"%s","datacontenttype":"application/json","data":{"project":"pay",%s}}`,
		typ, r.seq, at.UTC().Format(time.RFC3339Nano), fields)
	return &kgo.Record{Topic: "events", Value: []byte(value), Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/cloudevents+json")}}}
}

func (r *running) produce(records ...*kgo.Record) {
	r.t.Helper()
	if err := r.client.ProduceSync(r.t.Context(), records...).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
}

// await reads the teams' topics until ok, and checks each record against the published schema.
func (r *running) await(what string, ok func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	for !ok() {
		if ctx.Err() != nil {
			r.t.Fatalf("waited in vain for %s; what came: %v", what, r.said())
		}
		poll, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		fetches := r.client.PollFetches(poll)
		cancel()
		fetches.EachRecord(func(rec *kgo.Record) {
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(rec.Value))
			if err == nil {
				err = r.schema.Validate(doc)
			}
			if err != nil {
				r.t.Errorf("%s: %v", rec.Value, err)
			}
			a, err := pipeline.DecodeAlert(rec.Value)
			if err != nil {
				r.t.Fatal(err)
			}
			if string(rec.Key) != a.DedupKey || rec.Topic != kafka.AlertsPrefix+a.Team {
				r.t.Errorf("the alert %s of %s has key %q on %s", a.DedupKey, a.Team, rec.Key, rec.Topic)
			}
			team := a.Team
			r.topics[team] = append(r.topics[team], a)
		})
	}
}

// silenced waits until the desk has taken a silence of a team, which reaches it by another topic than alerts do.
func (r *running) silenced(team, id string) {
	r.t.Helper()
	state, err := kgo.NewClient(kgo.SeedBrokers(r.app.cfg.Kafka.Brokers...), kgo.ConsumeTopics(kafka.DeskStateTopic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		r.t.Fatal(err)
	}
	defer state.Close()
	taken := false
	r.await("the desk to take silence "+id, func() bool {
		poll, cancel := context.WithTimeout(r.t.Context(), 100*time.Millisecond)
		defer cancel()
		state.PollFetches(poll).EachRecord(func(rec *kgo.Record) { taken = taken || string(rec.Key) == "s"+team+"/"+id })
		return taken
	})
}

// said lists what came.
func (r *running) said() map[string]string {
	said := map[string]string{}
	for team, list := range r.topics {
		var texts []string
		for _, a := range list {
			texts = append(texts, fmt.Sprintf("%s %s v%d", a.DedupKey, a.Status, a.Version))
		}
		said[team] = strings.Join(texts, ", ")
	}
	return said
}

// tocsin runs a command with the test's configuration, and returns what it printed.
func (r *running) tocsin(args ...string) string {
	r.t.Helper()
	out := &bytes.Buffer{}
	root := newRoot()
	root.SetArgs(append(args, "-c", r.config))
	root.SetOut(out)
	root.SetErr(out)
	if err := root.ExecuteContext(r.t.Context()); err != nil {
		r.t.Fatalf("tocsin %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out.String()
}

func matchRule(id, typ, more string) string {
	return "id: " + id + "\ntitle: t\nkind: match\nwhy: w\nwhen: ev.Type == \"" + typ + "\"\nkey: ev.Host\nentities: {host: host}\nalert: {title: \"t {host}\", summary: s}\n" + more
}

// TestAlertsThroughThePipeline: one rule for each team gives one record on each topic, none crossed (R33); an alert that
// security asked for reaches the team and security (R34); every record fits the published schema (R72); what people say
// with `tocsin alert` comes out on the topics and in the warehouse.
func TestAlertsThroughThePipeline(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(48 * time.Hour).Format(time.DateOnly)
	r := runPipeline(t, 30,
		matchRule("R-dev", "service.deployed", "subscriptions: [{team: dev, severity: 3}]\n"),
		matchRule("R-sec", "service.deployed", "attack: [T1110]\nsubscriptions: [{team: sec, severity: 4}]\n"),
		matchRule("R-ops", "service.deployed", "attack: [T1499]\nsubscriptions: [{team: ops, severity: 4}]\n"),
		matchRule("R-mon", "service.deployed", "subscriptions: [{team: mon, severity: 2}]\n"),
		matchRule("R-asked", "service.removed", "subscriptions: [{team: ops, class: sec_requested, severity: 3, by: \"sec:maria\", ticket: SEC-1, expires: "+soon+"}]\n"),
	)
	r.event("service.deployed", "web-1")
	r.event("service.removed", "web-2")
	want := map[string]string{
		"dev": "R-dev|web-1 firing v1", "sec": "R-sec|web-1 firing v1, R-asked|web-2 firing v1",
		"ops": "R-ops|web-1 firing v1, R-asked|web-2 firing v1", "mon": "R-mon|web-1 firing v1",
	}
	come := func() bool {
		n := 0
		for _, list := range r.topics {
			n += len(list)
		}
		return n >= 6
	}
	r.await("an alert of each team", come)
	for team, text := range want {
		for _, one := range strings.Split(text, ", ") {
			if strings.Count(r.said()[team], one) != 1 || len(r.topics[team]) != strings.Count(text, ",")+1 {
				t.Errorf("%s got %q, want %q", team, r.said()[team], text)
			}
		}
	}
	for _, team := range []string{"sec", "ops"} {
		for _, a := range r.topics[team] {
			if a.Rule == "R-asked" && (a.Class != pipeline.ClassSecRequested || a.RequestedBy != "sec:maria") {
				t.Errorf("%s got class %s, requested by %q", team, a.Class, a.RequestedBy)
			}
		}
	}

	id := r.topics["dev"][0].ID
	r.await("the alert in the warehouse", func() bool { return strings.Contains(r.tocsin("alert", "ls", "--team", "dev"), id.String()) })
	r.tocsin("alert", "ack", id.String(), "--by", "jim", "--reason", "mine", "--for", "1h")
	r.await("the acknowledgement", func() bool { return strings.HasSuffix(r.said()["dev"], "R-dev|web-1 acked v2") })
	r.tocsin("alert", "resolve", id.String(), "--by", "jim", "--false-positive")
	r.await("the resolution", func() bool { return strings.HasSuffix(r.said()["dev"], "R-dev|web-1 resolved v3") })
	r.await("all that was said of it", func() bool {
		shown := r.tocsin("alert", "show", id.String())
		return strings.Contains(shown, `"disposition":"false_positive"`) && strings.Contains(shown, `"action":"ack","said_by":"jim","reason":"mine"`) && strings.Contains(shown, `"status":"resolved"`)
	})

	// A chaos window quiets what is about availability, never a technique of security (C19).
	silence := strings.TrimSpace(r.tocsin("alert", "silence", "--by", "jim", "--reason", "game day", "--for", "1h", "--window", "chaos", "--entity", "host=web-9"))
	if _, err := uuid.Parse(silence); err != nil {
		t.Fatal(err)
	}
	r.silenced("ops", silence)
	r.silenced("sec", silence)
	r.event("service.deployed", "web-9")
	r.await("what the window must not hide", func() bool { return strings.Contains(r.said()["sec"], "R-sec|web-9 firing v1") })
	r.await("what the window hides, in the warehouse", func() bool {
		return strings.Contains(r.tocsin("alert", "ls", "--all", "--rule", "R-ops"), `"suppressed_by":"chaos:`+silence)
	})
	if strings.Contains(r.said()["ops"], "web-9") {
		t.Errorf("ops got %s within the window", r.said()["ops"])
	}
	r.tocsin("alert", "expire", silence, "--by", "jim")
	r.await("the alert after the window", func() bool { return strings.Contains(r.said()["ops"], "R-ops|web-9 firing v2") })
	for _, line := range strings.Split(strings.TrimSpace(r.tocsin("alert", "ls", "--all")), "\n") {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

// TestLibraryThroughThePipeline runs the library's rules with Kafka before them, and topics and ClickHouse behind.
func TestLibraryThroughThePipeline(t *testing.T) {
	t.Parallel()
	r := preparePipeline(t, 30, true,
		matchRule("R-sec", "training.completed", "attack: [T1110]\nsubscriptions: [{team: sec, severity: 4}]\n"),
		matchRule("R-ops", "training.completed", "attack: [T1499]\nsubscriptions: [{team: ops, severity: 4}]\n"))
	// What happened before the pipeline began is there when it begins: a backup of yesterday, and ten releases since.
	now := time.Now()
	records := []*kgo.Record{r.record(now.Add(-25*time.Hour), "backup.finished", `"outcome":"success","service":"tocsin"`)}
	for i := range 10 {
		digest := fmt.Sprintf(`"artifact_digest":"sha256:%064x","actor":"ci-bot","service":"pay-api"`, i+1)
		for j, typ := range []string{"artifact.packaged", "artifact.signed", "artifact.published"} {
			records = append(records, r.record(now.Add(-2*time.Hour+time.Duration(i)*time.Minute+time.Duration(j)*time.Second), typ, digest))
		}
		records = append(records, r.record(now.Add(-2*time.Hour+time.Duration(i)*time.Minute+4*time.Second), "component.added", digest+`,"purl":"pkg:gem/rack@2.2.8.1"`))
	}
	for i := range records {
		records[i].Key = []byte("one partition") // in the order of time
	}
	r.produce(records...)
	r.start()

	// C20: no verified backup for a day is told to monitoring and operations.
	r.await("that no backup was made", func() bool {
		return strings.Contains(r.said()["mon"], "C20|tocsin firing v1") && strings.Contains(r.said()["ops"], "C20|tocsin firing v1")
	})

	// R57: ten ordinary releases page nobody. All that could be absent has been waited for when the backup's day was over.
	var events, loud uint64
	if err := r.app.db.QueryRow(t.Context(), "SELECT (SELECT count() FROM events WHERE phase = 'release'), (SELECT countIf(severity_id >= 4 AND rule_id != 'C20') FROM alerts)").Scan(&events, &loud); err != nil {
		t.Fatal(err)
	}
	if events < 10 || loud != 0 {
		t.Errorf("%d events of phase 5, %d alerts of severity 4 or more", events, loud)
	}
	for team, list := range r.topics {
		for _, a := range list {
			if a.Severity >= 4 && a.Rule != "C20" {
				t.Errorf("%s is paged by %s: %s", team, a.Rule, a.Title)
			}
		}
	}

	// What a process says of itself is an alert by way of the topic as well, and it looks the backup up by itself.
	watch, err := newWatch(Config{Instance: "mon-1"}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if reason := watch.unsaved(t.Context(), r.app.db, now); !strings.Contains(reason, "ended 25h0m0s ago") {
		t.Errorf("of the backup: %q", reason)
	}
	for _, wrong := range []map[string]string{{"clock": "it is 40s ahead"}, nil} {
		watch.note(wrong, time.Now())
		value, err := watch.events(nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		r.produce(&kgo.Record{Topic: "events", Value: value})
	}
	r.await("what is wrong and over", func() bool {
		said := r.said()["ops"]
		return strings.Contains(said, "tocsin-trouble|tocsin clock mon-1 firing v1") && strings.Contains(said, "tocsin-trouble|tocsin clock mon-1 resolved v2")
	})

	// C19: an experiment holds back alerts of availability on its host, of no other host, and none of security.
	r.produce(r.record(time.Now(), "chaos.started", `"host":"web-7","title":"exp-12"`))
	var window string
	r.await("the window in the warehouse", func() bool {
		var teams uint64
		if err := r.app.db.QueryRow(t.Context(), "SELECT uniqExact(team), toString(any(silence_id)) FROM alert_controls WHERE said_by = 'rule C19' AND action = 'silence' AND window = 'chaos'").Scan(&teams, &window); err != nil {
			t.Fatal(err)
		}
		return teams == 4
	})
	r.silenced("ops", window)
	r.silenced("sec", window)
	r.event("training.completed", "web-7", "web-8")
	r.await("what the window must not hide", func() bool {
		return strings.Contains(r.said()["sec"], "R-sec|web-7 firing v1") && strings.Contains(r.said()["sec"], "R-sec|web-8 firing v1") && strings.Contains(r.said()["ops"], "R-ops|web-8 firing v1")
	})
	r.await("what the window hides, in the warehouse", func() bool {
		return strings.Contains(r.tocsin("alert", "ls", "--all", "--rule", "R-ops"), `"suppressed_by":"chaos:`)
	})
	if strings.Contains(r.said()["ops"], "R-ops|web-7") {
		t.Errorf("ops got %s within the window", r.said()["ops"])
	}
	r.produce(r.record(time.Now(), "chaos.finished", `"host":"web-7","title":"exp-12"`))
	r.await("the alert after the experiment", func() bool { return strings.Contains(r.said()["ops"], "R-ops|web-7 firing v2") })
}

// stormHosts is the size of the storm: make storm asks for 10,000 hosts and 100,000 events.
var stormHosts = storm()

func storm() int {
	if os.Getenv("STORM") != "" {
		return 10_000
	}
	return 400
}

// TestStorm: ten events of each of many hosts within a minute give each team at most its cap, and every alert is stored.
func TestStorm(t *testing.T) {
	t.Parallel()
	r := runPipeline(t, 30, matchRule("R", "service.deployed", "subscriptions: [{team: ops, severity: 4}, {team: mon, severity: 3}]\n"))
	for range 10 {
		var hosts []string
		for i := range stormHosts {
			hosts = append(hosts, fmt.Sprint("h-", i))
		}
		r.event("service.deployed", hosts...)
	}
	r.await("all alerts in the warehouse", func() bool {
		var n uint64
		if err := r.app.db.QueryRow(t.Context(), "SELECT uniqExact(alert_id) FROM alerts WHERE rule_id = 'R'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == uint64(2*stormHosts)
	})
	summaries := 0
	perMinute := map[string]int{}
	for team, list := range r.topics {
		for _, a := range list {
			if a.Rule == "tocsin.cap" {
				summaries++
			}
		}
		perMinute[team] = len(list)
		minutes := 1 + int(time.Since(list[0].FirstEventTime).Minutes()) + 1
		if len(list) > 30*minutes {
			t.Errorf("%s got %d records in %d minutes", team, len(list), minutes)
		}
	}
	if summaries < 2 {
		t.Errorf("%d summaries for two teams; records: %v", summaries, perMinute)
	}
}
