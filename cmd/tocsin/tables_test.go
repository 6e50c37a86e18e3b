package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tocsin-project/tocsin/processors/enrich"
)

// TestTablesThroughThePipeline: while events flow all tables change. Each event is stored, once, with what the tables said before or,
// from one on, with what they say now (R66); of what is opted out nothing is kept until the policy goes (R49); and nobody is
// named, in no row, dead letter or alert (R63).
func TestTablesThroughThePipeline(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path("new"), []byte(text), 0o600), os.Rename(path("new"), path(name))); err != nil {
			t.Fatal(err)
		}
	}
	tables := func(version, threat, optOut string) {
		write("networks.csv", "cidr,name\n198.51.100.0/24,"+version+"\n")
		write("assets.csv", "kind,name,owner\nhost,web-1,"+version+"\n")
		write("aliases.csv", "alias,user\nann@laptop.example,user-"+version+"\n")
		write("list.txt", threat+"\n")
		write("opt-out.csv", "id,owner,reason,suite\n"+optOut)
	}
	tables("one", "198.51.100.9", "OO-1,sec,a drill,redline-*\n")
	rule := strings.NewReplacer("key: ev.Host", "key: ev.Actor", "t {host}", "{actor} fails: {title}").Replace(matchRule("R", "auth.failed", "subscriptions: [{team: sec, severity: 4}]\n"))
	r := preparePipelineAs(t, func(cfg *Config) {
		cfg.Alerts.PerMinute = 100
		cfg.Enrich = enrich.Config{
			Networks: []string{path("networks.csv")}, Assets: []string{path("assets.csv")}, Aliases: []string{path("aliases.csv")}, OptOut: []string{path("opt-out.csv")},
			Threats: []enrich.ThreatList{{List: "seen", File: path("list.txt")}}, Privacy: enrich.Privacy{HashActors: true, Key: strings.Repeat("k", 32)},
		}
	}, rule)
	r.start()
	sent := 0
	send := func() {
		t.Helper()
		sent++
		r.produce(
			r.record(time.Now(), "auth.failed", `"host":"web-1","src_ip":"198.51.100.9","actor":"ann@laptop.example","title":"mail to eve@mail.example"`),
			r.record(time.Now(), "testsuiterun.finished", `"pipeline":"redline-auth","outcome":"success"`))
	}
	ask := func(query string) (n uint64) {
		t.Helper()
		if err := r.app.db.QueryRow(t.Context(), query).Scan(&n); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return n
	}
	for range 20 {
		send()
	}
	r.produce(&kgo.Record{Topic: "events", Value: []byte(`{"torn": "eve@mail.example"`)})
	r.await("the first events and the dead letter", func() bool {
		return ask("SELECT count() FROM v_events WHERE event_type = 'auth.failed'") == 20 && ask("SELECT count() FROM dead_letters") == 1 && r.said()["sec"] != ""
	})
	if n := ask("SELECT countIf(attributes['source.network'] = 'one' AND attributes['owner'] = 'one' AND has(labels, 'threat:seen') AND startsWith(actor, 'anon-')) FROM v_events"); n != 20 {
		t.Errorf("%d of 20 events say what the tables say", n)
	}
	if n := ask("SELECT (SELECT count() FROM events WHERE pipeline != '') + (SELECT count() FROM dead_letters WHERE position(data, 'redline') > 0)"); n != 0 {
		t.Errorf("%d traces of what is opted out", n)
	}

	tables("two", "192.0.2.1", "")
	r.await("an event with what all tables say now", func() bool {
		send()
		return ask(`SELECT toUInt64(countIf(event_type = 'auth.failed' AND attributes['source.network'] = 'two' AND attributes['owner'] = 'two' AND empty(labels)) > 0
			AND countIf(pipeline = 'redline-auth') > 0 AND uniqExactIf(actor, event_type = 'auth.failed') = 2) FROM v_events`) == 1
	})
	r.await("all that was sent", func() bool {
		return ask("SELECT count() FROM events WHERE event_type = 'auth.failed'") >= uint64(sent)
	})
	if n := ask("SELECT count() FROM events WHERE event_type = 'auth.failed'"); n != uint64(sent) {
		t.Errorf("%d events are stored of %d", n, sent)
	}
	for _, attribute := range []string{"source.network", "owner"} {
		if n := ask(fmt.Sprintf(`SELECT count() FROM (SELECT maxIf(kafka_offset, attributes['%[1]s'] = 'one') AS last, minIf(kafka_offset, attributes['%[1]s'] = 'two') AS first
			FROM v_events WHERE event_type = 'auth.failed' GROUP BY kafka_partition HAVING countIf(attributes['%[1]s'] = 'two') > 0 AND last > first)`, attribute)); n != 0 {
			t.Errorf("%s is of the old table behind one of the new in %d partitions", attribute, n)
		}
	}
	for _, name := range []string{"ann@laptop", "eve@mail", "user-one", "user-two"} {
		for _, table := range []string{"events", "v_alerts", "dead_letters"} {
			if n := ask(fmt.Sprintf("SELECT count() FROM %s AS r WHERE position(formatRowNoNewline('JSONEachRow', r.*), '%s') > 0", table, name)); n != 0 {
				t.Errorf("%s is named in %d rows of %s", name, n, table)
			}
		}
		said, err := json.Marshal(r.topics)
		if err != nil || strings.Contains(string(said), name) {
			t.Errorf("%s is named in an alert: %v", name, err)
		}
	}
}
