package alert

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

var t0 = time.Date(2026, 11, 23, 10, 20, 0, 0, time.UTC)

func load(t *testing.T, subscriptions string) *rule.Rule {
	t.Helper()
	set, err := rule.Load([]rule.File{{Name: "R.yaml", Data: []byte(`
id: R
version: 3
title: t
kind: growth
why: w
attack: [T1110]
phases: [operation]
key: ev.Host
sample: {when: ev.Type == "s", value: ev.Value, series: ev.Host}
evidence: {when: ev.Type == "e"}
entities: {ip: src_ip, user: actor}
alert: {title: "{sample.host} from {evidence.src_ip}", summary: "{rate_per_min} {minutes_to_full} {actor}"}
subscriptions: ` + subscriptions)}})
	if err != nil {
		t.Fatal(err)
	}
	return set.Rule("R")
}

// records writes what was sent since the last call: team, status, version, severity.
func records(out *Output) string {
	var list []string
	for _, a := range out.Alerts {
		list = append(list, fmt.Sprintf("%s %s v%d s%d", a.Team, a.Status, a.Version, a.Severity))
	}
	out.Alerts = nil
	return strings.Join(list, ", ")
}

func TestEpisodeLife(t *testing.T) {
	r := load(t, `[{team: sec, severity: {warn: 4, crit: 5, imminent: 6}}, {team: mon, severity: {crit: 3}}]`)
	e, x, out := &Episode{Key: "k"}, &Context{}, &Output{}
	fire := func(seconds int, level int) string {
		at := t0.Add(time.Duration(seconds) * time.Second)
		out.Now = at.Add(1500 * time.Millisecond)
		e.Add(at.UnixNano(), uuid.New(), 1)
		e.Fire(r, x, at.UnixNano(), at, level, out)
		return records(out)
	}
	for i, step := range []struct {
		seconds, level int
		want           string
	}{
		{0, rule.LevelWarn, "sec firing v1 s4"},
		{30, rule.LevelWarn, ""},                                          // too soon
		{59, rule.LevelWarn, ""},                                          //
		{60, rule.LevelWarn, "sec updated v2 s4"},                         // a minute later
		{61, rule.LevelCrit, "sec updated v3 s5, mon firing v1 s3"},       // worse: at once
		{62, rule.LevelWarn, ""},                                          // better is no reason
		{130, rule.LevelWarn, "sec updated v4 s5, mon updated v2 s3"},     // the highest level stays
		{131, rule.LevelImminent, "sec updated v5 s6, mon updated v3 s3"}, //
	} {
		if got := fire(step.seconds, step.level); got != step.want {
			t.Errorf("step %d: sent %q, want %q", i, got, step.want)
		}
	}
	e.Resolve(r, x, out)
	if got := records(out); got != "sec resolved v6 s6, mon resolved v4 s3" {
		t.Errorf("resolved: %q", got)
	}
	e.Resolve(r, x, out)
	if got := records(out); got != "" {
		t.Errorf("resolved twice: %q", got)
	}
	if !e.Belongs(r, t0.Add(59*time.Minute).UnixNano()) || e.Belongs(r, t0.Add(60*time.Minute).UnixNano()) {
		t.Error("a closed episode does not end with its dedup window")
	}
	if got := fire(1800, rule.LevelWarn); got != "sec firing v7 s4" {
		t.Errorf("fired again within the dedup window: %q", got)
	}
}

func TestAlertSaysWhatItIsAbout(t *testing.T) {
	r := load(t, `[{team: sec, class: sec_requested, severity: 5, by: "sec:maria", ticket: T-1, expires: 2027-01-01}]`)
	x := &Context{}
	for i, s := range []pipeline.Signal{
		{Step: 0, Time: t0, Fields: []pipeline.Attr{{Key: "src_ip", Value: "203.0.113.7"}, {Key: "actor", Value: "bob"}}},
		{Step: 0, Time: t0.Add(1), Fields: []pipeline.Attr{{Key: "src_ip", Value: "203.0.113.8"}, {Key: "campaign_id", Value: "camp-1"}}},
		{Step: 1, Time: t0.Add(2), Fields: []pipeline.Attr{{Key: "host", Value: "db-1"}, {Key: "project", Value: "pay"}, {Key: "labels", Value: "chaos:1,flaky"}}},
		{Step: 0, Time: t0.Add(-5), Fields: []pipeline.Attr{{Key: "src_ip", Value: "203.0.113.7"}}}, // came late
	} {
		if r.Steps[s.Step].Role == rule.RoleSample != (i == 2) {
			t.Fatal("the steps are not where the test expects them")
		}
		x.Note(r, &s)
	}
	e := &Episode{Key: "db-1", Metrics: []Metric{{"rate_per_min", 0.6931}, {"minutes_to_full", 9.28}}}
	for i := range 80 {
		e.Add(t0.Add(time.Duration(i)*time.Second).UnixNano(), pipeline.NewID(fmt.Sprint(i)), 2)
	}
	out := &Output{Now: t0.Add(3 * time.Second)}
	e.Fire(r, x, t0.UnixNano(), t0.Add(time.Second), rule.LevelWarn, out)
	a := out.Alerts[0]
	if a.Title != "db-1 from 203.0.113.8" || a.Summary != "0.69 9.3 –" {
		t.Errorf("title %q, summary %q", a.Title, a.Summary)
	}
	if a.Entities["ip"] != "203.0.113.7,+1" || a.Project != "pay" || a.Campaign != "camp-1" || len(a.Labels) != 2 {
		t.Errorf("entities %v, project %q, campaign %q, labels %v", a.Entities, a.Project, a.Campaign, a.Labels)
	}
	if a.EventCount != 160 || len(a.EventIDs) != pipeline.MaxAlertEvents || a.EventIDs[0] != pipeline.NewID("0") || a.DetectLatencyMS != 2000 {
		t.Errorf("%d events, %d ids, %d ms", a.EventCount, len(a.EventIDs), a.DetectLatencyMS)
	}
	if a.Class != pipeline.ClassSecRequested || a.RequestedBy != "sec:maria" || a.DedupKey != "R|db-1" || a.Links.Runbook != "docs/runbooks/R.md" {
		t.Errorf("got %+v", a)
	}
	want := pipeline.NewID("alert", "R", "3", "sec", "R|db-1", "2026-11-23T10:00:00Z")
	if a.ID != want {
		t.Errorf("id %s, want %s", a.ID, want)
	}
	if !strings.Contains(a.Links.Query, "'"+a.EventIDs[49].String()+"') AND event_time BETWEEN toDateTime64('2026-11-23 10:20:00.000', 3, 'UTC') AND toDateTime64('2026-11-23 10:21:19.001', 3, 'UTC')") {
		t.Errorf("query %s", a.Links.Query)
	}
	if _, err := pipeline.EncodeAlert(a, "test", t0); err != nil {
		t.Error(err)
	}
}

func TestExpiredSubscriptionsAreSilent(t *testing.T) {
	r := load(t, `[{team: sec, severity: 4, expires: 2026-11-23}, {team: ops, severity: 3, expires: 2026-11-24}]`)
	e, out := &Episode{Key: "k"}, &Output{}
	e.Add(t0.UnixNano(), uuid.New(), 1)
	e.Fire(r, &Context{}, t0.UnixNano(), t0, rule.LevelWarn, out)
	e.Resolve(r, &Context{}, out)
	if got := records(out); got != "ops firing v1 s3, ops resolved v2 s3" {
		t.Errorf("sent %q", got)
	}
}

func TestLongTextsAreClipped(t *testing.T) {
	r := load(t, `[{team: sec, severity: 4}]`)
	x := &Context{}
	long := strings.Repeat("<", 80_000)
	fields := []pipeline.Attr{{Key: "environment", Value: long}, {Key: "campaign_id", Value: long}}
	for _, e := range r.Entities {
		fields = append(fields, pipeline.Attr{Key: e.Column, Value: long})
	}
	x.Note(r, &pipeline.Signal{Step: 0, Time: t0, Fields: append(fields, []pipeline.Attr{{Key: "labels", Value: strings.Repeat(strings.Repeat("\x01", 2000)+",", 500)}}...)})
	e, out := &Episode{Key: strings.Repeat("<", 256)}, &Output{}
	e.Add(t0.UnixNano(), uuid.New(), 1)
	e.Fire(r, x, t0.UnixNano(), t0, rule.LevelWarn, out)
	for i := range rule.MaxEntities - len(out.Alerts[0].Entities) {
		out.Alerts[0].Entities[fmt.Sprint("entity-", i)] = out.Alerts[0].Entities["ip"]
	}
	b, err := pipeline.EncodeAlert(out.Alerts[0], "test", t0)
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d bytes at most", len(b))
	if labels := out.Alerts[0].Labels; len(labels) != maxLabels+1 || labels[maxLabels] != "…+469" {
		t.Errorf("%d labels, the last is %q", len(labels), labels[len(labels)-1])
	}
	for _, s := range []string{out.Alerts[0].Title, out.Alerts[0].Summary, out.Alerts[0].Entities["ip"]} {
		if len(s) > maxSummaryBytes || !strings.HasSuffix(s, "…") {
			t.Errorf("%d bytes, ends with %q", len(s), s[len(s)-3:])
		}
	}
}

func TestSuppressedByLabel(t *testing.T) {
	r := load(t, `[{team: sec, severity: 4}]`)
	loud := *r
	loud.Suppress = []string{"maintenance:"}
	quiet := *r
	quiet.Suppress = []string{"flaky", "chaos:"}
	for _, c := range []struct {
		rule *rule.Rule
		want string
	}{{&loud, "sec firing v1 s4"}, {&quiet, "sec suppressed v1 s4"}} {
		x, e, out := &Context{}, &Episode{Key: "k"}, &Output{}
		x.Note(c.rule, &pipeline.Signal{Step: 1, Time: t0, Fields: []pipeline.Attr{{Key: "labels", Value: "simulated,chaos:12"}}})
		e.Add(t0.UnixNano(), uuid.New(), 1)
		e.Fire(c.rule, x, t0.UnixNano(), t0, rule.LevelWarn, out)
		if c.rule == &quiet && out.Alerts[0].SuppressedBy != "chaos:12" {
			t.Errorf("suppressed by %q", out.Alerts[0].SuppressedBy)
		}
		if got := records(out); got != c.want {
			t.Errorf("sent %q, want %q", got, c.want)
		}
	}
}
