package clickhouse

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
)

// records returns a batch of records with these values, a second apart.
func records(values ...[]byte) *pipeline.Batch {
	b := &pipeline.Batch{TopicPartition: partition0}
	for i, v := range values {
		b.Records = append(b.Records, pipeline.Record{Offset: int64(i), Time: noon.Add(time.Duration(i) * time.Second), Value: v})
	}
	return b
}

func must(t *testing.T) func([]byte, error) []byte {
	return func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

// fullAlert uses every field.
func fullAlert() *pipeline.Alert {
	return &pipeline.Alert{
		ID: uuid.MustParse("0192bbbb-0000-5000-8000-000000000001"), Version: 1, Status: pipeline.StatusFiring, Team: pipeline.TeamSec,
		Class: pipeline.ClassSecRequested, Visibility: pipeline.VisibilitySecOnly, RequestedBy: "ana",
		Rule: "C02", RuleVersion: 3, Severity: 5, Confidence: 90, Phases: []int8{2, 7, 8},
		Title: "pay.audit_log grows", Summary: "doubles every 1.0 min",
		Project: "payments", Environment: "production",
		Entities:       map[string]string{"ip": "203.0.113.7", "database": "db-1/pay"},
		Metrics:        map[string]float64{"rate_per_min": 0.69, "doubling_min": 1},
		FirstEventTime: noon.Add(-time.Minute), LastEventTime: noon, EventCount: 1252,
		EventIDs: []uuid.UUID{uuid.MustParse("0192cccc-0000-5000-8000-000000000001"), {}},
		DedupKey: "C02|payments|db-1/pay", Incident: "inc-31", Campaign: "camp-1", Attacks: []string{"T1110", "T1499"},
		Labels: []string{"simulated"}, SuppressedBy: "S1", DetectLatencyMS: 820,
		Links:    pipeline.AlertLinks{Dashboard: "/d/x", Runbook: "docs/runbooks/C02.md", Query: "SELECT 'it''s'"},
		Reopened: 2, ChangedBy: "ops:jim", Reason: "known", Until: &noon, Disposition: "benign",
	}
}

func TestAlertsComeBack(t *testing.T) {
	db := migrated(t)
	s := db.AlertSink()
	defer s.Close()
	full := fullAlert()
	least := &pipeline.Alert{Status: "resolved", Team: "dev", Class: "normal", Visibility: "team"}
	encode := func(a *pipeline.Alert) []byte { return must(t)(pipeline.EncodeAlert(a, "test", noon)) }
	values := [][]byte{encode(full), encode(least)}
	full.Version, full.Status, full.EventCount = 2, pipeline.StatusUpdated, 2000
	values = append(values, encode(full))
	for range 2 {
		store(t, s, records(values...), chunk(0, 3, 0))
	}

	const milli = "2006-01-02 15:04:05.000"
	var columns []string
	for _, c := range columnsOf(t, db, "alerts") {
		columns = append(columns, "toString("+c.name+")")
	}
	get := func(version uint64) string {
		t.Helper()
		var row string
		err := db.QueryRow(t.Context(), "SELECT arrayStringConcat(["+strings.Join(columns, ",")+"], '|') FROM v_alerts WHERE version = ?", version).Scan(&row)
		if err != nil {
			t.Fatal(err)
		}
		return row
	}
	want := strings.Join([]string{
		full.ID.String(), "2", noon.Add(2 * time.Second).Format(milli), noon.Add(-time.Minute).Format(milli), noon.Format(milli),
		"updated|sec|sec_requested|sec_only|C02|3|5|90|[2,7,8]|pay.audit_log grows|doubles every 1.0 min|C02|payments|db-1/pay|inc-31|ana|payments|production",
		"{'database':'db-1/pay','ip':'203.0.113.7'}|{'doubling_min':1,'rate_per_min':0.69}",
		"['0192cccc-0000-5000-8000-000000000001','00000000-0000-0000-0000-000000000000']|2000|camp-1|['T1110','T1499']|['simulated']|S1|820",
		"docs/runbooks/C02.md|/d/x|SELECT 'it''s'|2|ops:jim|known", noon.Format(milli), "benign",
	}, "|")
	if got := get(2); got != want {
		t.Errorf("alert is\n\t%s, want\n\t%s", got, want)
	}
	epoch := time.Unix(0, 0).UTC().Format(milli)
	want = strings.Join([]string{
		uuid.Nil.String(), "0", noon.Add(time.Second).Format(milli), epoch, epoch, "resolved|dev|normal|team||0|0|0|[]||||||||{}|{}|[]|0||[]|[]||0||||0||", epoch, "",
	}, "|")
	if got := get(0); got != want {
		t.Errorf("least alert is\n\t%s, want\n\t%s", got, want)
	}
	if got := number(t, db, "SELECT count() FROM v_alerts"); got != 2 {
		t.Errorf("%d alerts, want 2", got)
	}
	if got := number(t, db, "SELECT count() FROM alert_versions"); got != 3 {
		t.Errorf("%d versions, want 3", got)
	}
	if got := number(t, db, "SELECT toUInt64(toUnixTimestamp(min(ts))) FROM alert_versions WHERE alert_id = ?", full.ID); got != uint64(noon.Unix()) {
		t.Errorf("first raised at %d, want %d", got, noon.Unix())
	}
}

func TestControlsComeBack(t *testing.T) {
	db := migrated(t)
	encode := func(a *pipeline.Alert) []byte { return must(t)(pipeline.EncodeAlert(a, "test", noon)) }
	right, wrong := fullAlert(), fullAlert()
	wrong.ID = uuid.MustParse("0192bbbb-0000-5000-8000-000000000002")
	alerts := db.AlertSink()
	defer alerts.Close()
	store(t, alerts, records(encode(right), encode(wrong)), chunk(0, 2, 0))

	s := db.ControlSink()
	defer s.Close()
	silence := &pipeline.Control{
		ID: uuid.New(), Time: noon, Action: pipeline.ControlSilence, Team: "sec", By: "maria", Reason: "known", Until: noon.Add(time.Hour),
		Silence: uuid.New(), Window: "chaos", Match: pipeline.Matcher{Rule: "C02", Project: "pay", Environment: "prod", Entity: "host=a"},
	}
	judge := func(of uuid.UUID, as string) []byte {
		return must(t)(pipeline.EncodeControl(&pipeline.Control{ID: uuid.New(), Time: noon, Action: pipeline.ControlResolve, Team: "sec", By: "maria", Alert: of, Disposition: as}))
	}
	values := [][]byte{must(t)(pipeline.EncodeControl(silence)), judge(right.ID, "true_positive"), judge(wrong.ID, pipeline.FalsePositive)}
	for range 2 {
		store(t, s, records(values...), chunk(0, 3, 0))
	}
	var got string
	if err := db.QueryRow(t.Context(), `SELECT concat(action, '|', team, '|', said_by, '|', reason, '|', toString(until - ts), '|', window, '|', rule_id, '|', project, '|', environment, '|', entity)
		FROM alert_controls WHERE silence_id = ?`, silence.Silence).Scan(&got); err != nil {
		t.Fatal(err)
	}
	if want := "silence|sec|maria|known|3600|chaos|C02|pay|prod|host=a"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if n := number(t, db, "SELECT toUInt64(100 * precision) FROM v_rule_precision WHERE rule_id = 'C02' AND judged = 2 AND false_positives = 1"); n != 50 {
		t.Errorf("the rule is right in %d %%, want 50", n)
	}
}

func TestGrowthComesBack(t *testing.T) {
	db := migrated(t)
	s := db.GrowthSink()
	defer s.Close()
	g := &pipeline.Growth{
		Time: noon.Add(-10 * time.Second), Project: "payments", Host: "db-1", DBName: "pay", DBObject: "public.audit_log",
		SizeBytes: 1 << 40, DeltaBytes: -5, RatePerMin: 0.69, DoublingMin: 1, MinutesToFull: 9.3, Score: 0.97, AttackEvents: 1240, State: "crit",
	}
	encode := func(g *pipeline.Growth) []byte { return must(t)(pipeline.EncodeGrowth(g)) }
	values := [][]byte{encode(g)}
	g.Time = noon.Add(90 * 24 * time.Hour) // a broken clock
	values = append(values, encode(g), encode(&pipeline.Growth{Time: noon}))
	for range 2 {
		store(t, s, records(values...), chunk(0, 3, 0))
	}

	rows, err := db.Query(t.Context(), "SELECT toString(tuple(*)) FROM v_db_growth ORDER BY project DESC, ts")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var row string
		if err := rows.Scan(&row); err != nil {
			t.Fatal(err)
		}
		got = append(got, row)
	}
	const milli = "2006-01-02 15:04:05.000"
	const rest = "','payments','db-1','pay','public.audit_log',1099511627776,-5,0.69,1,9.3,0.97,1240,'crit')"
	want := []string{
		"('" + noon.Add(-10*time.Second).Format(milli) + rest,
		"('" + noon.Add(time.Second).Format(milli) + rest,
		"('" + noon.Format(milli) + "','','','','',0,0,0,0,0,0,0,'ok')",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("rows are\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestDeadLettersComeBack(t *testing.T) {
	db := migrated(t)
	s := db.DeadLetterSink()
	defer s.Close()
	d := &pipeline.DeadLetter{
		Topic: "raw.ci", Partition: 3, Offset: 77, Seq: 1, Line: 4, Time: noon, Stage: "sink", Source: "jenkins",
		Reason: "column phase: …", Rule: "C01", Column: "phase", Code: 117, Data: []byte("no\xfftext\x00"),
	}
	values := [][]byte{must(t)(pipeline.EncodeDeadLetter(d)), must(t)(pipeline.EncodeDeadLetter(&pipeline.DeadLetter{Time: noon}))}
	for epoch := range 2 { // read twice, each dead letter once
		store(t, s, records(values...), chunk(0, 2, epoch))
	}
	var got string
	if err := db.QueryRow(t.Context(), "SELECT toString(tuple(*)) FROM v_dead_letters WHERE kafka_topic = 'raw.ci'").Scan(&got); err != nil {
		t.Fatal(err)
	}
	want := "('" + noon.Format("2006-01-02 15:04:05.000") + "','raw.ci',3,77,1,4,'sink','jenkins','column phase: …','C01','phase',117,'no\xfftext\\0')"
	if got != want {
		t.Errorf("row is\n\t%q, want\n\t%q", got, want)
	}
	if got := number(t, db, "SELECT count() FROM v_dead_letters"); got != 2 {
		t.Errorf("%d dead letters, want 2", got)
	}
}

func TestUnreadableRecordsAreFailed(t *testing.T) {
	db := &DB{}
	alert := func(set func(*pipeline.Alert)) []byte {
		a := fullAlert()
		set(a)
		return must(t)(pipeline.EncodeAlert(a, "test", noon))
	}
	f := func(s pipeline.Sink, good, bad []byte, want string) {
		t.Helper()
		defer s.Close()
		b := records(bad, good)
		if err := s.Append(b); err != nil {
			t.Fatal(err)
		}
		if rows, _ := s.Size(); rows != 1 {
			t.Errorf("%T: %d rows, want 1", s, rows)
		}
		if len(b.Failures) != 1 {
			t.Fatalf("%T: %d failures, want 1", s, len(b.Failures))
		}
		if got := b.Failures[0]; got.Record != 0 || got.Stage != "sink" || string(got.Data) != string(bad) || !strings.HasPrefix(got.Reason, want) {
			t.Errorf("%T: failure %+v, want record 0 with %s", s, got, want)
		}
	}
	good := alert(func(*pipeline.Alert) {})
	f(db.AlertSink(), good, []byte("{"), "decode alert: ")
	f(db.AlertSink(), good, []byte(`{"type":"tocsin.alert.v2","data":{}}`), `decode alert: type "tocsin.alert.v2"`)
	f(db.AlertSink(), good, alert(func(a *pipeline.Alert) { a.Team = "red" }), `column team: "red" is none of dev, sec, ops, mon`)
	f(db.AlertSink(), good, alert(func(a *pipeline.Alert) { a.Status = "" }), `column status: "" is none of firing, `)
	f(db.GrowthSink(), []byte(`{}`), []byte(`[]`), "decode growth: ")
	f(db.GrowthSink(), []byte(`{}`), []byte(`{"state":"panic"}`), `column state: "panic" is none of ok, `)
	f(db.DeadLetterSink(), []byte(`{}`), []byte(``), "decode dead letter: ")
}

func TestEmptyChunkIsNothingToSend(t *testing.T) {
	for _, s := range []pipeline.Sink{(&DB{}).EventSink(), (&DB{}).AlertSink(), (&DB{}).GrowthSink(), (&DB{}).DeadLetterSink()} {
		if err := s.Append(&pipeline.Batch{}); err != nil {
			t.Error(err)
		}
		if err := s.Flush(t.Context(), chunk(0, 100, 0)); err != nil { // a DB without a server
			t.Errorf("%T: %v", s, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestToken(t *testing.T) {
	c := chunk(65536, 131072, 2)
	c.Partition = 7
	got := Token("tocsin", "events", c)
	if want := fmt.Sprintf("tocsin/events/%s/7/65536-131072/e2", partition0.ID); got != want {
		t.Errorf("token %s, want %s", got, want)
	}
}
