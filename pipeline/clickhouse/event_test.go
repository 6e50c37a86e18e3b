package clickhouse

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/ClickHouse/ch-go/proto"
	driver "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/schemas"
)

// noon is the time of most records in these tests: today, for TTL would drop what is older.
var noon = time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour)

var partition0 = pipeline.TopicPartition{Topic: "raw.sshd", ID: uuid.MustParse("0192aaaa-0000-4000-8000-000000000001")}

// typical returns a batch of n events as sshd and CI give them, from offset from on.
func typical(from int64, n int) *pipeline.Batch {
	b := &pipeline.Batch{TopicPartition: partition0}
	for i := range n {
		o := from + int64(i)
		b.Records = append(b.Records, pipeline.Record{Offset: o, Time: noon.Add(time.Duration(o) * time.Millisecond)})
		e := b.Next(i)
		e.ID = pipeline.NewID("typical", fmt.Sprint(o))
		e.Time = e.IngestTime.Add(-time.Second)
		e.Phase, e.Team, e.Outcome, e.NetScope = pipeline.PhaseOperation, pipeline.TeamOps, pipeline.OutcomeFailure, pipeline.NetIngress
		e.Source, e.Type, e.Class, e.Severity = "sshd", "auth.failed", 3002, pipeline.SeverityLow
		e.Title = fmt.Sprintf("Failed password for user%d from 203.0.113.%d", o%50, o%250)
		e.Project, e.Environment, e.Service = "payments", "production", fmt.Sprintf("svc-%d", o%7)
		e.Actor, e.Host = fmt.Sprintf("user%d", o%50), fmt.Sprintf("host-%d.example.com", o%20)
		e.SrcIP = netip.AddrFrom4([4]byte{203, 0, 113, byte(o % 250)})
		e.DstIP = netip.MustParseAddr("2001:db8::5")
		e.Bytes = uint64(o % 1500)
		e.Labels = append(e.Labels, "simulated")
		e.Attrs = append(e.Attrs, pipeline.Attr{Key: "ssh.port", Value: fmt.Sprint(30000 + o%1000)}, pipeline.Attr{Key: "ssh.method", Value: "password"})
		e.Raw = fmt.Sprintf("Nov 23 10:14:%02d host-%d sshd[%d]: Failed password for user%d from 203.0.113.%d port %d ssh2 and some more text that records tend to have, so that the whole is of a usual length for its kind", o%60, o%20, o, o%50, o%250, 30000+o%1000)
	}
	return b
}

func chunk(from, to int64, epoch int) pipeline.Chunk {
	return pipeline.Chunk{Span: pipeline.Span{TopicPartition: partition0, From: from, To: to}, Epoch: epoch}
}

// store appends the batch and flushes it as the chunk.
func store(t testing.TB, s pipeline.Sink, b *pipeline.Batch, c pipeline.Chunk) {
	t.Helper()
	if err := s.Append(b); err != nil {
		t.Fatal(err)
	}
	if len(b.Failures) > 0 {
		t.Fatalf("failed %d records, the first: %s", len(b.Failures), b.Failures[0].Reason)
	}
	if err := s.Flush(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func TestChunkIsStoredOnce(t *testing.T) {
	db := migrated(t)
	s := db.EventSink()
	defer s.Close()
	// A merge may replace the copies that a second epoch makes; rows are to be counted as they were written.
	if err := db.Exec(t.Context(), "SYSTEM STOP MERGES events"); err != nil {
		t.Fatal(err)
	}
	want := func(rows uint64, after string) {
		t.Helper()
		for _, query := range []string{"SELECT count() FROM events", "SELECT sum(n) FROM events_1m", "SELECT sum(rows) FROM ledger"} {
			if got := number(t, db, query); got != rows {
				t.Errorf("%s after %s: %d, want %d", query, after, got, rows)
			}
		}
	}
	for range 3 {
		store(t, s, typical(0, 1000), chunk(0, 1000, 0))
	}
	want(1000, "one chunk three times")
	store(t, s, typical(1000, 500), chunk(1000, 1500, 0))
	want(1500, "the next chunk")
	store(t, s, typical(0, 1000), chunk(0, 1000, 1))
	want(2500, "the first chunk in another epoch")

	recreated := chunk(1000, 1500, 0)
	recreated.ID = uuid.MustParse("0192aaaa-0000-4000-8000-000000000002")
	store(t, s, typical(1000, 500), recreated)
	want(3000, "the same offsets of a topic made anew")

	if got := number(t, db, "SELECT count() FROM v_events"); got != 1500 {
		t.Errorf("v_events has %d events, want 1500, each once", got)
	}
	if got := number(t, db, "SELECT sum(n) FROM v_events_1m WHERE event_type = 'auth.failed' AND project = 'payments'"); got != 3000 {
		t.Errorf("v_events_1m counts %d, want 3000", got)
	}
	if got := number(t, db, "SELECT max(actors) FROM v_events_1m"); got != 50 {
		t.Errorf("v_events_1m has %d actors, want 50", got)
	}
}

// A token over several blocks would lose or double rows when a retry is cut elsewhere.
func TestChunkIsOneBlock(t *testing.T) {
	db := migrated(t)
	s := db.EventSink()
	defer s.Close()
	const rows = 70_000
	if err := db.Exec(t.Context(), "SYSTEM STOP MERGES events"); err != nil {
		t.Fatal(err)
	}
	b := typical(0, rows)
	for i := range b.Events {
		b.Events[i].Time = noon
	}
	store(t, s, b, chunk(0, rows, 0))
	if got := number(t, db, "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'events' AND active"); got != 1 {
		t.Errorf("%d parts, want 1", got)
	}
	if got := number(t, db, "SELECT count() FROM ledger WHERE rows = ?", uint64(rows)); got != 1 {
		t.Errorf("%d ledger rows of %d, want 1", got, rows)
	}
}

func TestLedgerTellsWhatBlocksHeld(t *testing.T) {
	db := migrated(t)
	s := db.EventSink()
	defer s.Close()
	b := typical(0, 100)
	b.Events[10].Drop("opted out")
	for i := range 40 { // offsets 60 to 99 are of the day before
		b.Events[60+i].Time = noon.Add(-24 * time.Hour)
	}
	twin := b.Next(99) // a second event of the last record
	twin.ID = pipeline.NewID("twin")
	store(t, s, b, chunk(0, 100, 0))

	rows, err := db.Query(t.Context(), `SELECT toString(tuple(kafka_topic, kafka_partition, toUInt8(day = toDate({noon:DateTime})), first_offset, last_offset, records, rows))
		FROM ledger ORDER BY first_offset, day`, driver.Named("noon", noon))
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
	want := []string{"('raw.sshd',0,1,0,99,60,60)", "('raw.sshd',0,0,60,99,40,40)"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("ledger is\n\t%v, want\n\t%v", got, want)
	}
}

// TestEveryFieldComesBack stores events that use every field in every way and reads them back as text.
func TestEveryFieldComesBack(t *testing.T) {
	db := migrated(t)
	b := &pipeline.Batch{TopicPartition: partition0}
	var want []string
	add := func(set func(*event)) {
		i := len(b.Records)
		b.Records = append(b.Records, pipeline.Record{Offset: int64(i), Time: noon})
		e := b.Next(i)
		e.ID = pipeline.NewID(fmt.Sprint(i))
		set(e)
		want = append(want, literal(e))
	}
	add(func(e *event) {
		*e = event{ID: e.ID, Time: noon, IngestTime: noon, Offset: e.Offset} // every other field zero
	})
	for _, w := range schemas.Phases {
		add(func(e *event) { e.Phase = w })
	}
	for _, w := range schemas.Teams {
		add(func(e *event) { e.Team = w })
	}
	for _, w := range schemas.Outcomes {
		add(func(e *event) { e.Outcome = w })
	}
	for _, w := range schemas.NetScopes {
		add(func(e *event) { e.NetScope = w })
	}
	for _, addr := range []string{"203.0.113.7", "::ffff:203.0.113.7", "::1", "2001:db8::1", "fe80::1%eth0", "255.255.255.255"} {
		add(func(e *event) { e.SrcIP, e.DstIP = netip.MustParseAddr(addr), netip.MustParseAddr("10.0.0.1") })
	}
	for _, text := range []string{"Grüße, 日本語, 🔔, \u0000, \u202e", "it's \\ \"quoted\"\t\r\n", "broken \xff\xfe utf-8", strings.Repeat("long ", 20_000)} {
		add(func(e *event) {
			v := reflect.ValueOf(e).Elem()
			for i := range v.NumField() {
				switch name := v.Type().Field(i).Name; name {
				case "Phase", "Team", "Outcome", "NetScope":
				default:
					if v.Field(i).Kind() == reflect.String && v.Type().Field(i).IsExported() {
						v.Field(i).SetString(text + name)
					}
				}
			}
			e.Vulns, e.Attacks, e.Labels = []string{text, "CVE-2026-1"}, []string{text}, []string{text, "", text}
			e.Attrs = append(e.Attrs, pipeline.Attr{Key: text, Value: text}, pipeline.Attr{Key: "k", Value: ""})
		})
	}
	add(func(e *event) {
		e.Time = noon.Add(-36*time.Hour + 7*time.Millisecond)
		e.Class, e.Severity, e.Disposition = math.MaxUint16, math.MaxUint8, math.MaxUint8
		e.FindingKey, e.Bytes, e.Value = math.MaxUint64, math.MaxUint64, -math.MaxFloat64
		e.Partition, e.Offset = math.MaxInt32, math.MaxInt64
	})
	s := db.EventSink()
	defer s.Close()
	store(t, s, b, chunk(0, int64(len(b.Records)), 0))

	got := map[string]string{}
	var list []string
	for _, f := range schemas.EventFields {
		list = append(list, "toString("+f.Column+")")
	}
	rows, err := db.Query(t.Context(), "SELECT toString(event_id), arrayStringConcat(["+strings.Join(list, ",")+"], '\\n') FROM v_events")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, row string
		if err := rows.Scan(&id, &row); err != nil {
			t.Fatal(err)
		}
		got[id] = row
	}
	if len(got) != len(want) {
		t.Fatalf("%d events came back, want %d", len(got), len(want))
	}
	for i, w := range want {
		if g := got[b.Events[i].ID.String()]; g != w {
			t.Errorf("event %d is\n%.2000q, want\n%.2000q", i, g, w)
		}
	}
}

// literal writes an event as toString of each of its columns does.
func literal(e *event) string {
	enum := func(s string, words []string) string {
		if s == "" {
			return words[0]
		}
		return s
	}
	escape := strings.NewReplacer(`\`, `\\`, "'", `\'`, "\t", `\t`, "\r", `\r`, "\n", `\n`, "\x00", `\0`)
	quoted := func(s string) string { return "'" + escape.Replace(s) + "'" }
	list := func(l []string) string {
		var q []string
		for _, s := range l {
			q = append(q, quoted(s))
		}
		return "[" + strings.Join(q, ",") + "]"
	}
	attrs := []string{}
	for _, a := range e.Attrs {
		attrs = append(attrs, quoted(a.Key)+":"+quoted(a.Value))
	}
	addr := func(a netip.Addr) string {
		if !a.IsValid() {
			return "::"
		}
		return netip.AddrFrom16(a.As16()).String()
	}
	const milli = "2006-01-02 15:04:05.000"
	return strings.Join([]string{
		e.ID.String(), e.Time.Format(milli), e.IngestTime.Format(milli),
		enum(e.Phase, schemas.Phases), enum(e.Team, schemas.Teams), e.Source, e.Type, fmt.Sprint(e.Class), fmt.Sprint(e.Severity),
		enum(e.Outcome, schemas.Outcomes), fmt.Sprint(e.Disposition), e.Title,
		e.Project, e.Environment, e.Service, e.Repo, e.Ref, e.Commit, e.Change, e.Pipeline, e.Run, e.Task,
		e.Artifact, e.Digest, e.Purl, e.Rule, list(e.Vulns), fmt.Sprint(e.FindingKey),
		e.Actor, e.Host, addr(e.SrcIP), addr(e.DstIP), e.DstDomain, enum(e.NetScope, schemas.NetScopes), fmt.Sprint(e.Bytes),
		e.DBName, e.DBObject, e.Metric, strings.Replace(strconv.FormatFloat(e.Value, 'g', -1, 64), "e+", "e", 1), e.Campaign,
		list(e.Attacks), list(e.Labels), "{" + strings.Join(attrs, ",") + "}", e.Raw,
		e.Topic, fmt.Sprint(e.Partition), fmt.Sprint(e.Offset),
	}, "\n")
}

func TestUnknownWordIsFailed(t *testing.T) {
	s := (&DB{}).EventSink()
	defer s.Close()
	b := typical(0, 3)
	b.Events[1].Phase = "lunch"
	if err := s.Append(b); err != nil {
		t.Fatal(err)
	}
	if rows, _ := s.Size(); rows != 2 {
		t.Errorf("%d rows, want 2", rows)
	}
	want := `column phase: "lunch" is none of unknown, requirements, writing, testing, packaging, release, deployment, operation, monitoring`
	if len(b.Failures) != 1 || b.Failures[0].Record != 1 || b.Failures[0].Reason != want || string(b.Failures[0].Data) != b.Events[1].Raw {
		t.Errorf("failures %+v, want record 1 with %s", b.Failures, want)
	}
}

func TestAppendedBatchMayGoAway(t *testing.T) {
	db := migrated(t)
	s := db.EventSink()
	defer s.Close()
	value := []byte("sshd auth.failed a title")
	b := &pipeline.Batch{TopicPartition: partition0, Records: []pipeline.Record{{Time: noon}}}
	e := b.Next(0)
	text := unsafe.String(&value[0], len(value))
	e.Source, e.Type, e.Title, e.Labels = text[:4], text[5:16], text[17:], []string{text[:4]}
	e.Attrs = []pipeline.Attr{{Key: text[:4], Value: text[5:]}}
	if err := s.Append(b); err != nil {
		t.Fatal(err)
	}
	for i := range value {
		value[i] = 'X'
	}
	if err := s.Flush(t.Context(), chunk(0, 1, 0)); err != nil {
		t.Fatal(err)
	}
	var got string
	if err := db.QueryRow(t.Context(), "SELECT toString(tuple(source, event_type, title, labels, attributes)) FROM events").Scan(&got); err != nil {
		t.Fatal(err)
	}
	if want := "('sshd','auth.failed','a title',['sshd'],{'sshd':'auth.failed a title'})"; got != want {
		t.Errorf("row %s, want %s", got, want)
	}
}

func TestTimesAreClamped(t *testing.T) {
	f := func(t1 time.Time, want time.Time, ok bool) {
		t.Helper()
		if got, gotOK := clampTime(t1, noon); !got.Equal(want) || gotOK != ok {
			t.Errorf("clampTime(%v) = %v, %v; want %v, %v", t1, got, gotOK, want, ok)
		}
	}
	f(noon, noon, true)
	f(noon.Add(-maxLate), noon.Add(-maxLate), true)
	f(noon.Add(-maxLate-1), noon, false)
	f(noon.Add(maxEarly), noon.Add(maxEarly), true)
	f(noon.Add(maxEarly+1), noon, false)
	f(time.Time{}, noon, false)
	f(time.Unix(1<<40, 0), noon, false)
}

func TestSkewedRowsAreLabelled(t *testing.T) {
	db := migrated(t)
	s := db.EventSink()
	defer s.Close()
	b := typical(0, 4)
	b.Events[0].Time = time.Unix(0, 0)
	b.Events[1].Time = noon.Add(2 * time.Hour)
	b.Events[1].Labels = append(b.Events[1].Labels, "clock-skew")
	b.Events[2].Time = noon.Add(30 * time.Minute)
	store(t, s, b, chunk(0, 4, 0))
	if !b.Events[0].Time.Equal(time.Unix(0, 0)) || len(b.Events[0].Labels) != 1 {
		t.Errorf("the batch's event became %v %v", b.Events[0].Time, b.Events[0].Labels)
	}
	if got := number(t, db, "SELECT toUInt64(groupBitOr(bitShiftLeft(toUInt64(1), kafka_offset))) FROM events WHERE arrayCount(l -> l = 'clock-skew', labels) = 1 AND event_time = ingest_time"); got != 0b0011 {
		t.Errorf("skewed rows are %04b, want 0011", got)
	}
	if got := number(t, db, "SELECT toUInt64(groupBitOr(bitShiftLeft(toUInt64(1), kafka_offset))) FROM events WHERE NOT has(labels, 'clock-skew') AND event_time != ingest_time"); got != 0b1100 {
		t.Errorf("true rows are %04b, want 1100", got)
	}
}

// Kafka's time may be anything where a producer sets it, so the window around it does not bound a block's days.
func TestBlockSpansFewDays(t *testing.T) {
	db := migrated(t)
	if err := db.Exec(t.Context(), "ALTER TABLE events REMOVE TTL"); err != nil {
		t.Fatal(err)
	}
	s := db.EventSink()
	defer s.Close()
	for i := range 2 {
		b := &pipeline.Batch{TopicPartition: partition0}
		for o := range int64(500) {
			b.Records = append(b.Records, pipeline.Record{Offset: o, Time: noon.Add(-time.Duration(o) * 24 * time.Hour)})
			b.Next(int(o)).ID = pipeline.NewID(fmt.Sprint(o))
		}
		b.Records = append(b.Records, pipeline.Record{Offset: 500, Time: time.Unix(-1<<40, 0)}, pipeline.Record{Offset: 501, Time: time.Unix(1<<40, 0)})
		b.Next(500)
		b.Next(501)
		store(t, s, b, chunk(int64(i), 502, 0))
	}
	if got := number(t, db, "SELECT count() FROM events"); got != 1004 {
		t.Errorf("%d rows, want 1004", got)
	}
	if got := number(t, db, "SELECT uniqExact(toDate(event_time)) FROM events"); got != maxDays {
		t.Errorf("%d days, want %d", got, maxDays)
	}
	if got := number(t, db, "SELECT count() FROM events WHERE has(labels, 'clock-skew') AND toDate(event_time) != toDate({noon:DateTime})", driver.Named("noon", noon)); got != 0 {
		t.Errorf("%d skewed rows are not at the block's first row", got)
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	b := typical(0, 1000)
	b.Events[0].Time = time.Unix(0, 0) // one that is clamped
	s := (&DB{}).EventSink()
	defer s.Close()
	fill := func() {
		for range 4 {
			if err := s.Append(b); err != nil {
				t.Fatal(err)
			}
		}
		s.Size()
	}
	// The block's memory is found in the first chunks; later ones are no bigger.
	fill()
	keep := s.open
	// The count is the process's: what other goroutines allocate meanwhile is not ours, so the least of some runs is.
	least := math.Inf(1)
	for range 5 {
		least = min(least, testing.AllocsPerRun(10, func() {
			keep.input.Reset()
			keep.rows = 0
			fill()
		}))
	}
	if least > 0 {
		t.Errorf("%v allocations for 4000 events, want none", least)
	}
}

func TestClosedSink(t *testing.T) {
	db := migrated(t)
	s := db.EventSink()
	if err := s.Append(typical(0, 10)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if rows, bytes := s.Size(); rows != 0 || bytes != 0 {
		t.Errorf("a closed sink has %d rows, %d bytes", rows, bytes)
	}
	if err := s.Append(typical(0, 10)); !errors.Is(err, ErrClosed) {
		t.Errorf("Append: %v, want %v", err, ErrClosed)
	}
	if err := s.Flush(t.Context(), chunk(0, 10, 0)); !errors.Is(err, ErrClosed) {
		t.Errorf("Flush: %v, want %v", err, ErrClosed)
	}
	if got := number(t, db, "SELECT count() FROM events"); got != 0 {
		t.Errorf("%d rows were stored", got)
	}
}

func TestSizeGrowsWithWhatIsAppended(t *testing.T) {
	s := (&DB{}).EventSink()
	defer s.Close()
	for n := 1; n <= 3; n++ {
		if err := s.Append(typical(0, 1000)); err != nil {
			t.Fatal(err)
		}
		var buf proto.Buffer
		encode(t, &buf, s.open.input)
		rows, bytes := s.Size()
		if rows != 1000*n || bytes < len(buf.Buf)*8/10 || bytes > len(buf.Buf)*2 {
			t.Errorf("%d rows, %d bytes; %d go over the wire", rows, bytes, len(buf.Buf))
		}
	}
}
