package sigma_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/correlate"
	"github.com/tocsin-project/tocsin/processors/parse"
	"github.com/tocsin-project/tocsin/processors/rule"
	"github.com/tocsin-project/tocsin/processors/sigma"
)

// views show events of the source "app" as three log sources.
const views = `- logsource: {product: app, service: json}
  events: {source: app, event_type: [api.call, auth.*]}
  raw: json
  under: [event.data]
  names: [verb, spec.*, user, n]
  fields:
    HostPath: raw.spec.volumes.path
    Actor: [actor, attributes.login]
    Path: {column: attributes.url.path, before: "?"}
    Query: {column: attributes.url.path, after: "?"}
  key: [actor, src_ip]
- logsource: {product: app, service: lines}
  events: {source: app, event_type: process.exec}
  raw: audit
- logsource: {product: app, service: words}
  events: {source: app}
`

func detect(t *testing.T, rules string) *sigma.Detector {
	t.Helper()
	d, _ := load(t, rules)
	return d
}

func load(t *testing.T, rules string) (*sigma.Detector, *sigma.Set) {
	t.Helper()
	taxonomy := &sigma.Taxonomy{}
	if err := taxonomy.Add("v.taxonomy.yaml", []byte(views)); err != nil {
		t.Fatal(err)
	}
	set := sigma.Load([]sigma.File{{Path: "r.yml", Data: []byte(rules)}}, sigma.Options{})
	for _, r := range set.Results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	return sigma.NewDetector(set, taxonomy), set
}

func detection(id, service, selection string) string {
	return fmt.Sprintf("title: T %s\nid: %s\nlogsource: {product: app, service: %s}\ndetection:\n  sel: %s\n  condition: sel\n---\n", id, id, service, selection)
}

// event makes an event of columns and values.
func event(t *testing.T, b *pipeline.Batch, columns ...string) *pipeline.Event {
	t.Helper()
	b.Records = append(b.Records, pipeline.Record{Offset: int64(len(b.Records))})
	e := b.Next(len(b.Records) - 1)
	e.Source, e.ID = "app", pipeline.NewID("test", fmt.Sprint(len(b.Records)))
	for i := 0; i < len(columns); i += 2 {
		if err := e.SetField(columns[i], columns[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// TestViews: what a rule sees of an event, through columns and through its raw record.
func TestViews(t *testing.T) {
	api := []string{"event_type", "api.call"}
	run := []string{"event_type", "process.exec"}
	for _, c := range []struct {
		name, service, selection string
		columns                  []string
		want                     bool
	}{
		{"raw field", "json", "{verb: create}", append(api, "raw", `{"verb":"create"}`), true},
		{"behind a syslog header", "json", "{verb: create}", append(api, "raw", `<13>Nov 23 10:00:00 h app: {"verb":"create"}`), true},
		{"raw path", "json", "{spec.a.b: 1}", append(api, "raw", `{"spec":{"a":[{"b":1}]}}`), true},
		{"another name", "json", "{HostPath: '*'}", append(api, "raw", `{"spec":{"volumes":[{"path":"/"}]}}`), true},
		{"its field is absent", "json", "{HostPath: '*'}", append(api, "raw", `{"spec":{"volumes":[{"empty":{}}]}}`), false},
		{"under", "json", "{verb: create}", append(api, "raw", `{"event":{"data":{"verb":"create"}}}`), true},
		{"not under", "json", "{verb: create}", append(api, "raw", `{"event":{"verb":"create"}}`), false},
		{"column", "json", "{Actor: ann}", append(api, "actor", "Ann"), true},
		{"second column", "json", "{Actor: ann}", append(api, "actor", "bob", "attributes.login", "ann"), true},
		{"before", "json", "{Path: /a}", append(api, "attributes.url.path", "/a?b=c"), true},
		{"after", "json", "{Query: b=c}", append(api, "attributes.url.path", "/a?b=c"), true},
		{"nothing after", "json", "{Query: '*'}", append(api, "attributes.url.path", "/a"), false},
		{"type by prefix", "json", "{verb: create}", []string{"event_type", "auth.failed", "raw", `{"verb":"create"}`}, true},
		{"other type", "json", "{verb: create}", append(run, "raw", `{"verb":"create"}`), false},
		{"broken record", "json", "{verb: create}", append(api, "raw", `{"verb":"create"`), false},
		{"broken record, column", "json", "{Actor: ann}", append(api, "actor", "ann", "raw", `{"verb":`), true},
		{"keyword in a raw value", "json", "[needle]", append(api, "raw", `{"x":"a needle"}`), true},
		{"keyword is no key", "json", "[needle]", append(api, "raw", `{"needle":"x"}`), false},
		{"keyword in a text", "words", "[needle]", append(api, "raw", "a needle in a line"), true},
		{"audit", "lines", "{type: EXECVE, a0: ls, a1: '-l'}", append(run, "raw", `type=EXECVE msg=audit(1.1:1): argc=2 a0="ls" a1="-l"`), true},
		{"audit, hexadecimal", "lines", "{a1: 'a b'}", append(run, "raw", `type=EXECVE msg=audit(1.1:1): argc=2 a0="ls" a1=612062`), true},
		{"audit, a pointer is no text", "lines", "{a1: 'a b'}", append(run, "raw", `type=SYSCALL msg=audit(1.1:1): a1=612062`), false},
		{"audit, lines are events", "lines", "{type: EXECVE, cwd: /tmp}", append(run, "raw", "type=EXECVE msg=audit(1.1:1): a0=\"ls\"\ntype=CWD msg=audit(1.1:1): cwd=\"/tmp\""), false},
		{"audit, inner message", "lines", "{acct: root, res: failed}", append(run, "raw", `type=USER_LOGIN msg=audit(1.1:1): pid=1 msg='op=login acct="root" res=failed'`), true},
		{"audit, translation", "lines", "{SYSCALL: execve}", append(run, "raw", "type=SYSCALL msg=audit(1.1:1): key=(null)\x1dARCH=x86_64 SYSCALL=execve"), true},
		{"audit, no value", "lines", "{key: '*'}", append(run, "raw", "type=SYSCALL msg=audit(1.1:1): key=(null)"), false},
		{"playground", "json", "{Actor: ann}", append(api, "actor", "ann", "labels", "playground"), false},
	} {
		p := detect(t, detection("r", c.service, c.selection)).Processor()
		b := &pipeline.Batch{}
		event(t, b, c.columns...)
		if err := p.Process(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		if got := len(b.Signals) == 1; got != c.want {
			t.Errorf("%s: %d signals, want a match: %t", c.name, len(b.Signals), c.want)
		}
	}
}

// TestSignals: signals come in the order of records after those of our own rules, each rule once an event.
func TestSignals(t *testing.T) {
	p := detect(t, detection("a", "json", "{Actor: ann}")+detection("b", "words", "[line]")+
		"title: both\nid: both\nlogsource: {product: app, service: words}\ndetection: {sel: [lin*], condition: sel}\n---\ntitle: twice\nid: twice\nlogsource: {product: app}\ndetection: {sel: [line], condition: sel}").Processor()
	b := &pipeline.Batch{TopicPartition: pipeline.TopicPartition{Topic: "t"}}
	for range 2 {
		event(t, b, "event_type", "api.call", "actor", "ann", "src_ip", "192.0.2.1", "raw", "line")
	}
	b.Events[0].Drop("opted out")
	event(t, b, "event_type", "api.call", "actor", "ann|x", "raw", "line")
	b.Signals = []pipeline.Signal{{Rule: "own", Offset: 1, Seq: 0}, {Rule: "own", Offset: 2, Seq: 0}, {Rule: "own", Offset: 2, Seq: 1}}
	if err := p.Process(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range b.Signals {
		got = append(got, fmt.Sprintf("%d.%d %s %s", s.Offset, s.Seq, s.Rule, s.Key))
	}
	want := []string{"1.0 own ", "1.1 a ann|192.0.2.1", "1.2 twice ann|192.0.2.1", "1.3 both |ann", "1.4 b |ann",
		"2.0 own ", "2.1 own ", `2.2 twice ann\|x|`, `2.3 both |ann\|x`, `2.4 b |ann\|x`}
	if !slices.Equal(got, want) {
		t.Errorf("signals\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestSilent: a rule that no event can make fire is named, with what is missing.
func TestSilent(t *testing.T) {
	for _, c := range []struct{ rules, want string }{
		{detection("r", "other", "{a: b}"), "no events of log source product=app,service=other"},
		{detection("r", "json", "{verb: x, Image: y, Parent: z}"), "events of product=app,service=json have no Image, Parent"},
		{detection("r", "json", "[{verb: x}, {Image: y}]"), ""},
		{detection("r", "json", "{verb: x, Image: null}"), ""},
		{detection("r", "json", "{verb|fieldref: Image}"), "events of product=app,service=json have no Image"},
		{strings.Replace(detection("r", "json", "{verb: x}\n  no: {Image: y}"), "condition: sel", "condition: sel and not no", 1), ""},
		{strings.Replace(detection("r", "json", "{verb: x}\n  no: {Image|exists: false}"), "condition: sel", "condition: sel and not no", 1), "have no Image"},
		{detection("r", "words", "{Image: y}"), "events of product=app,service=words have no Image"},
		{detection("r", "lines", "{anything: y}"), ""},
		{detection("r", "other", "{a: b}") + "title: c\nid: c\ncorrelation: {type: event_count, rules: [r], timespan: 1m, condition: {gte: 2}}", "none of its rules can ever fire"},
	} {
		var got []string
		for _, s := range detect(t, c.rules).Silent() {
			got = append(got, s.Reason)
		}
		if all := strings.Join(got, "\n"); (all == "") != (c.want == "") || !strings.Contains(all, c.want) {
			t.Errorf("%s\ngot  %q\nwant %q", c.rules, all, c.want)
		}
	}
}

// TestPipelineCorrelations plays "second verb user n" through matcher and engine: at how many keys does the correlation
// alert, and of how many events does the alert speak at last?
func TestPipelineCorrelations(t *testing.T) {
	const head = "---\ntitle: c\nid: c\nlevel: high\nauthor: Ann\ncorrelation: "
	const many = "title: many\nname: many\nid: many\ncorrelation: {type: event_count, rules: [failed], group-by: [user], timespan: 10s, condition: {gte: 2}}"
	rules := detection("failed", "json", "{verb: fail}") + detection("worked", "json", "{verb: [ok, fail-ok]}") + detection("either", "json", "{verb: [fail, fail-ok]}")
	for _, c := range []struct {
		name, correlation, events, want string
	}{
		{"count", "{type: event_count, rules: [failed, either], group-by: [user], timespan: 2m, condition: {gte: 3}}",
			"1 fail a, 8 fail a, 11 fail a, 12 fail b, 13 fail b", "a"},
		{"too slow", "{type: event_count, rules: [failed], group-by: [user], timespan: 10s, condition: {gte: 2}}", "1 fail a, 12 fail a", ""},
		{"range", "{type: event_count, rules: [failed], timespan: 1m, condition: {gt: 1, lt: 9}}", "1 fail a, 2 fail b", "."},
		{"values", "{type: value_count, rules: [failed], group-by: [user], timespan: 1m, condition: {field: n, gte: 2}}",
			"1 fail a 1, 2 fail a 1, 3 fail b 1, 4 fail b 2, 5 fail c", "b"},
		{"sum", "{type: value_sum, rules: [failed], group-by: [user], timespan: 1m, condition: {field: n, gt: 10}}",
			"1 fail a 5, 2 fail a 5.5, 3 fail b 5, 4 fail b x", "a"},
		{"average", "{type: value_avg, rules: [failed], group-by: [user], timespan: 1m, condition: {field: n, gt: 10}}",
			"1 fail a 8, 2 fail a 13, 3 fail b 8, 4 fail b 11", "a"},
		{"temporal", "{type: temporal, rules: [failed, worked], group-by: [user], timespan: 1m}", "1 ok a, 2 fail a, 3 ok b, 4 ok b", "a"},
		{"presence", "{type: temporal, rules: [failed, worked, either], group-by: [user], timespan: 1m, condition: 'worked and (failed or either)'}",
			"1 ok a, 2 fail-ok b, 3 fail c", "b"},
		{"ordered", "{type: temporal_ordered, rules: [failed, worked], group-by: [user], timespan: 1m}", "1 ok a, 2 fail a, 3 fail b, 4 ok b", "b"},
		{"three in their order", "{type: temporal_ordered, rules: [failed, worked, failed], group-by: [user], timespan: 1m}",
			"1 fail a, 2 ok a, 3 ok b, 4 fail b, 5 ok b, 50 fail a", "a"},
		{"all of them within the timespan", "{type: temporal_ordered, rules: [failed, worked, failed], group-by: [user], timespan: 1m}",
			"1 fail a, 40 ok a, 70 fail a, 1 fail b, 30 fail b, 40 ok b, 70 fail b", "b"},
		{"median", "{type: value_median, rules: [failed], group-by: [user], timespan: 1m, condition: {field: n, gte: 4}}",
			"1 fail a 1, 2 fail a 7, 3 fail b 1, 4 fail b 2, 5 fail b 100", "a"},
		{"percentile", "{type: value_percentile, rules: [failed], group-by: [user], timespan: 1m, condition: {field: n, percentile: 75, gte: 7}}",
			"1 fail a 1, 2 fail a 2, 3 fail a 3, 4 fail a 7, 5 fail a 7, 3 fail b 6.99", "a"},
		{"one event is not two steps", "{type: temporal_ordered, rules: [either, worked], group-by: [user], timespan: 1m}", "1 fail-ok a, 2 fail-ok b, 3 fail-ok b", "b"},
		{"fewer", "{type: event_count, rules: [failed], group-by: [user], timespan: 1m, condition: {lt: 2}}", "1 fail a, 30 fail a, 60 fail a, 89 fail a", "a"},
		{"never fewer until its time", "{type: event_count, rules: [failed], group-by: [user], timespan: 2h, condition: {lt: 2}}", "1 fail a", ""},
		{"no two rules", "{type: temporal, rules: [failed, worked], group-by: [user], timespan: 1m, condition: not (failed and worked)}", "1 fail a", "a"},
		{"one without the other", "{type: temporal, rules: [failed, worked, either], group-by: [user], timespan: 1m, condition: failed and not worked}",
			"1 fail a, 2 fail b, 3 ok b, 61 ok a, 100 ok c, 140 fail c", "a"},
		{"a correlation of a correlation", "{type: temporal_ordered, rules: [many, worked], group-by: [user], timespan: 1m}\n---\n" + many,
			"1 fail a, 2 ok a, 3 fail b, 4 fail b, 5 ok b", "b"},
		{"a correlation of a group by another name", "{type: value_count, rules: [who, either], group-by: [whom], aliases: {whom: {either: user}}, timespan: 1m, condition: {field: n, gte: 2}}\n---\n" +
			"title: w\nname: who\nid: who\ncorrelation: {type: temporal, rules: [failed, worked], group-by: [whom], aliases: {whom: {failed: user, worked: n}}, timespan: 5s}",
			"1 fail a 1, 2 ok x a, 11 fail b 1, 21 ok x a, 22 fail a 2", "a"},
		{"a correlation that goes on is counted again", "{type: event_count, rules: [many], group-by: [user], timespan: 1h, condition: {gte: 3}}\n---\n" + many,
			"1 fail a, 2 fail a, 8 fail a, 13 fail a, 18 fail a, 22 fail a, 27 fail a, 30 fail a, 1 fail b, 2 fail b, 300 fail b, 301 fail b", "a"},
		{"three, one above the other", "{type: event_count, rules: [two], group-by: [user], timespan: 1h, condition: {gte: 1}}\n---\n" + many +
			"\n---\ntitle: two\nname: two\nid: two\ncorrelation: {type: event_count, rules: [many], group-by: [n], timespan: 1h, condition: {gte: 2}}",
			"1 fail a 1, 2 fail a 1, 3 fail b 1, 4 fail b 1, 5 fail c 2, 6 fail c 2", "b"},
		{"without the group's field", "{type: event_count, rules: [failed], group-by: [n], timespan: 1m, condition: {gte: 1}}", "1 fail a, 2 fail a 7", "7"},
	} {
		d := detect(t, rules+strings.TrimPrefix(head, "---\n")+c.correlation)
		b := &pipeline.Batch{}
		for line := range strings.SplitSeq(c.events, ", ") {
			f := append(strings.Fields(line), "")
			seconds, _ := time.ParseDuration(f[0] + "s")
			raw := fmt.Sprintf(`{"verb":%q,"user":%q,"n":%q}`, f[1], f[2], f[3])
			if f[3] == "" {
				raw = fmt.Sprintf(`{"verb":%q,"user":%q}`, f[1], f[2])
			}
			event(t, b, "event_type", "api.call", "raw", raw).Time = time.Unix(1e9, 0).Add(seconds)
		}
		alerts := correlated(t, d, b, time.Unix(1e9+3600, 0))
		keys := map[string]bool{}
		for _, a := range alerts {
			if a.Rule != "c" && strings.Contains(c.correlation, "name: "+a.Rule) {
				t.Errorf("%s: an alert of %s, which only serves another", c.name, a.Rule)
			}
			if a.Rule == "c" {
				keys[strings.TrimPrefix(a.DedupKey, "c|")+"."] = true
				if a.Severity != pipeline.SeverityHigh || a.Team != pipeline.TeamSec || !strings.HasPrefix(a.Summary, "Sigma rule c by Ann (DRL 1.1)") {
					t.Errorf("%s: severity %d, team %s, summary %q", c.name, a.Severity, a.Team, a.Summary)
				}
			}
		}
		want := map[string]bool{}
		if c.want != "" {
			want[strings.TrimSuffix(c.want, ".")+"."] = true
		}
		if fmt.Sprint(keys) != fmt.Sprint(want) {
			t.Errorf("%s: alerts of %v, want %v", c.name, keys, want)
		}
	}
}

// correlated takes the batch through matchers and engine, and the watermark to an end.
func correlated(t *testing.T, d *sigma.Detector, b *pipeline.Batch, end time.Time) (alerts []*pipeline.Alert) {
	t.Helper()
	set, err := rule.LoadWith(nil, rule.Judged{Rules: d.Rules(), Hear: d.Hear})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []pipeline.Processor{set.NewMatcher(), d.Processor()} {
		if err := m.Process(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	engine := correlate.New(set, correlate.Config{})
	var out pipeline.Output
	for _, s := range append(b.Signals, pipeline.Signal{Kind: pipeline.SignalWatermark, Time: end}) {
		out.Reset(time.Unix(2e9, 0))
		engine.Process(&s, &out)
		engine.Feed(&out) // what is said to correlations comes before what follows
		alerts = append(alerts, out.Alerts...)
		engine.Commit()
	}
	return alerts
}

// TestAlert: a match is an alert like ours, and says whose rule it is.
func TestAlert(t *testing.T) {
	d := detect(t, `title: Runner changed
id: 5e6c1d5e-0000-4000-8000-000000000001
status: test
level: critical
author: Ann, Bob
description: |
  Somebody changed
  a runner.
references: [https://example.com/runner]
tags: [attack.persistence, attack.t1098.001, attack.T1078]
logsource: {product: app, service: json}
detection: {sel: {verb: x}, condition: sel}
`)
	set, err := rule.LoadWith(nil, rule.Judged{Rules: d.Rules()})
	if err != nil {
		t.Fatal(err)
	}
	b := &pipeline.Batch{}
	event(t, b, "event_type", "api.call", "raw", `{"verb":"x"}`, "actor", "eve", "title", "runner added").Time = time.Unix(1e9, 0)
	if err := d.Processor().Process(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	var out pipeline.Output
	out.Reset(time.Unix(1e9, 0))
	correlate.New(set, correlate.Config{}).Process(&b.Signals[0], &out)
	a := out.Alerts[0]
	got := fmt.Sprintln(a.Title, a.Severity, a.Confidence, a.Team, a.Attacks, a.Entities, a.Links.Runbook) + a.Summary
	want := "Runner changed 5 80 sec [T1098.001 T1078] map[actor:eve] https://example.com/runner\n" +
		"Sigma rule 5e6c1d5e-0000-4000-8000-000000000001 by Ann, Bob (DRL 1.1, https://example.com/runner): Somebody changed a runner. Event: runner added"
	if got != want {
		t.Errorf("alert\n%s\nwant\n%s", got, want)
	}
}

func TestTaxonomyRefused(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"a: b", "v.yaml:1:1: unknown key \"a\" of a view"},
		{"- 1", "v.yaml:1:3: a view is a number"},
		{"- events: {source: x}", "has no logsource"},
		{"- logsource: {product: x}", "a view wants events"},
		{"- logsource: {product: x}\n  events: {event_type: x}", "source among them"},
		{"- logsource: {product: x}\n  events: {source: x, colour: red}", "v.yaml:2:23: \"colour\" is no column"},
		{"- logsource: {product: x}\n  events: {source: x}\n  raw: xml", "v.yaml:3:8: raw \"xml\" is none of json, audit"},
		{"- logsource: {product: x}\n  events: {source: x}\n  under: [a]", "under is for raw: json"},
		{"- logsource: {product: x}\n  events: {source: x}\n  fields: {A: colour}", "\"colour\" is no column"},
		{"- logsource: {product: x}\n  events: {source: x}\n  fields: {A: raw.b}", "wants raw: json"},
		{"- logsource: {product: x}\n  events: {source: x}\n  fields: {A: []}", "A wants a column"},
		{"- logsource: {product: x}\n  events: {source: x}\n  key: [colour]", "\"colour\" is no column"},
		{"- {", "v.yaml:1:"},
	} {
		err := (&sigma.Taxonomy{}).Add("v.yaml", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\ngot  %v\nwant %s", c.text, err, c.want)
		}
	}
}

// TestShippedTaxonomy: its sources are formats that tocsin parses, but for those that docs/sigma.md has mapping files for.
func TestShippedTaxonomy(t *testing.T) {
	known := []string{"okta", "bitbucket-audit"}
	for _, s := range sigma.DefaultTaxonomy().Sources() {
		if parse.Lookup(s) == nil && !slices.Contains(known, s) {
			t.Errorf("source %s is no format", s)
		}
	}
}

// TestShippedViews: records of the sources' own form, through our parsers, make rules of their log sources fire.
func TestShippedViews(t *testing.T) {
	parser, err := parse.New(parse.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ source, selection, sample string }{
		{"product: github, service: audit", "{action: org.add_member}", "github/made-audit.jsonl"},
		{"product: aws, service: cloudtrail", "{eventSource: signin.amazonaws.com, eventName: ConsoleLogin, responseElements.ConsoleLogin: Failure}", "cloudtrail/crowdsec-cloudtrail.jsonl"},
		{"product: aws, service: cloudtrail", "{eventSource: iam.amazonaws.com, eventName: CreateUser, userIdentity.type: AssumedRole}", "ocsf/aws-cloudtrail-account-change.json"},
		{"product: kubernetes, service: audit", "{verb: create, objectRef.resource: pods, responseStatus.code: 201}", "k8s-audit/crowdsec-priv-pod.jsonl"},
		{"product: linux, service: auditd", "{type: SYSCALL, exe|endswith: /perl}", "linux-auditd/crowdsec-base64-exec.log"},
		{"product: linux, category: process_creation", "{Image|endswith: /perl}", "linux-auditd/crowdsec-base64-exec.log"},
		{"product: linux, service: sshd", "[Invalid user pascal]", "sshd-auth/crowdsec-sshd.log"},
		{"product: linux", "[Invalid user pascal]", "sshd-auth/crowdsec-sshd.log"},
		{"category: webserver", "{cs-user-agent|contains: '${jndi:'}", "access-log/apache-log4shell.log"},
		{"category: webserver", "{cs-user-agent|contains: Googlebot, sc-status: 500}", "access-log/nginx-crowdsec.log"},
		{"product: windows, service: security", "{EventID: 4625, TargetUserName: administrator, LogonType: 3}", "security-datasets/others.jsonl"},
		{"product: windows, category: network_connection", "{Image|endswith: x.exe, DestinationPort: 443}", "security-datasets/others.jsonl"},
		{"product: zeek, service: conn", "{id.orig_h: 192.168.86.167, service: dns}", "zeek/conn-json.jsonl"},
		{"category: firewall", "{src_ip: 192.168.86.167, dst_port: 53}", "zeek/conn-json.jsonl"},
	} {
		set := sigma.Load([]sigma.File{{Path: "r.yml", Data: fmt.Appendf(nil, "title: t\nid: r\nlogsource: {%s}\ndetection: {sel: %s, condition: sel}", c.source, c.selection)}}, sigma.Options{})
		if set.Results[0].Err != nil {
			t.Fatal(set.Results[0].Err)
		}
		data, err := os.ReadFile("../parse/testdata/" + c.sample)
		if err != nil {
			t.Fatal(err)
		}
		b := &pipeline.Batch{Records: []pipeline.Record{{Value: data, Time: time.Unix(2e9, 0)}}}
		for _, p := range []pipeline.Processor{parser, sigma.NewDetector(set, sigma.DefaultTaxonomy()).Processor()} {
			if err := p.Process(context.Background(), b); err != nil {
				t.Fatal(err)
			}
		}
		if len(b.Signals) == 0 {
			t.Errorf("%s: no event of %s matches %s", c.source, c.sample, c.selection)
		}
	}
}
