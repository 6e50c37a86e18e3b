package clickhouse

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/tocsin-project/tocsin/pipeline"
)

// flushRefused flushes as a worker does and returns the dead letters that it would publish.
func flushRefused(t *testing.T, s pipeline.Sink, c pipeline.Chunk) []pipeline.DeadLetter {
	t.Helper()
	var letters []pipeline.DeadLetter
	for {
		err := s.Flush(t.Context(), c)
		var refused *pipeline.Refused
		if errors.As(err, &refused) {
			letters = append(letters, refused.Letters...)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return letters
	}
}

func alter(t *testing.T, db *DB, statement string) {
	t.Helper()
	if err := db.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// wantRows expects the same number in the table and in all that its views keep.
func wantRows(t *testing.T, db *DB, want uint64) {
	t.Helper()
	for _, query := range []string{"SELECT count() FROM events", "SELECT sum(n) FROM events_1m", "SELECT sum(rows) FROM ledger"} {
		if got := number(t, db, query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
}

func TestOnlyGuiltyRowsAreRefused(t *testing.T) {
	db := migrated(t)
	alter(t, db, "ALTER TABLE events ADD CONSTRAINT c CHECK kafka_offset % 300 != 5 AND kafka_offset != 999")
	s := db.EventSink()
	defer s.Close()
	const rows = 1000
	b := typical(0, rows)
	if err := s.Append(b); err != nil {
		t.Fatal(err)
	}
	raw := b.Events[305].Raw
	letters := flushRefused(t, s, chunk(0, rows, 0))
	var offsets []int64
	for _, d := range letters {
		offsets = append(offsets, d.Offset)
		if d.Topic != partition0.Topic || d.Stage != "sink" || d.Code != int32(proto.ErrViolatedConstraint) || d.Column != "kafka_offset" || !strings.Contains(d.Reason, "Constraint `c`") {
			t.Errorf("dead letter %+v", d)
		}
	}
	if want := []int64{5, 305, 605, 905, 999}; !slices.Equal(offsets, want) {
		t.Errorf("offsets %v are refused, want %v", offsets, want)
	}
	if d := letters[1]; string(d.Data) != raw || d.Source == "" || !d.Time.Equal(b.Records[305].Time) {
		t.Errorf("dead letter %+v, want data %q", d, raw)
	}
	wantRows(t, db, rows-5)
	if got := number(t, db, "SELECT count() FROM events WHERE kafka_offset IN (5, 305, 605, 905, 999)"); got != 0 {
		t.Errorf("%d refused rows are stored", got)
	}
}

// What remains must be what was appended: the rows around a refused one are compared column by column.
func TestRowsAroundARefusedOneAreWhole(t *testing.T) {
	whole, part := migrated(t), migrated(t)
	alter(t, part, "ALTER TABLE events ADD CONSTRAINT c CHECK kafka_offset != 50")
	for _, db := range []*DB{whole, part} {
		s := db.EventSink()
		defer s.Close()
		if err := s.Append(typical(0, 100)); err != nil {
			t.Fatal(err)
		}
		flushRefused(t, s, chunk(0, 100, 0))
	}
	const sum = "SELECT groupBitXor(cityHash64(*)) FROM events WHERE kafka_offset != 50"
	if a, b := number(t, whole, sum), number(t, part, sum); a != b || number(t, part, "SELECT count() FROM events") != 99 {
		t.Errorf("checksum %x, want %x", b, a)
	}
}

// A crash comes between any two steps, and the constraint goes away meanwhile: the block of the replay is another, its name
// is the same.
func TestReplayAfterTheConstraintIsGone(t *testing.T) {
	db := migrated(t)
	const constrain, mend = "ALTER TABLE events ADD CONSTRAINT c CHECK kafka_offset != 5", "ALTER TABLE events DROP CONSTRAINT c"
	for i := range int64(2) {
		c := chunk(100*i, 100*i+10, 0)
		alter(t, db, strings.Replace(constrain, "5", fmt.Sprint(100*i+5), 1))
		s := db.EventSink()
		defer s.Close()
		if err := s.Append(typical(100*i, 10)); err != nil {
			t.Fatal(err)
		}
		var refused *pipeline.Refused
		if err := s.Flush(t.Context(), c); !errors.As(err, &refused) {
			t.Fatal(err)
		}
		if i == 1 { // this time the crash comes after the insert
			if err := s.Flush(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		alter(t, db, mend)
		again := db.EventSink()
		defer again.Close()
		store(t, again, typical(100*i, 10), c)
	}
	wantRows(t, db, 10+9)
}

func TestWhatIsNotARowsFaultHalts(t *testing.T) {
	halts := func(db *DB, s pipeline.Sink, c pipeline.Chunk, want string) {
		t.Helper()
		err := s.Flush(t.Context(), c)
		var permanent *pipeline.Permanent
		if !errors.As(err, &permanent) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want a permanent error with %q", err, want)
		}
	}
	db := migrated(t)
	s := db.EventSink()
	defer s.Close()
	if err := s.Append(typical(0, 1000)); err != nil {
		t.Fatal(err)
	}
	// A table that refuses everything is not to drain its topic.
	alter(t, db, "ALTER TABLE events ADD CONSTRAINT c CHECK kafka_offset < 0")
	halts(db, s, chunk(0, 1000, 0), "more than 128 of 1000 rows are refused")
	alter(t, db, "ALTER TABLE events DROP CONSTRAINT c")
	// A view throws what would be a row's fault elsewhere; its table has the rows by then.
	alter(t, db, "CREATE MATERIALIZED VIEW thrower ENGINE = Memory AS SELECT toUInt8(concat('x', toString(kafka_offset))) AS x FROM events")
	halts(db, s, chunk(0, 1000, 0), "while pushing to view")
	alter(t, db, "DROP VIEW thrower")
	if letters := flushRefused(t, s, chunk(0, 1000, 0)); letters != nil {
		t.Errorf("dead letters %v", letters)
	}
	wantRows(t, db, 1000)

	// A dead letter that is refused has nowhere to go.
	alter(t, db, "ALTER TABLE dead_letters ADD CONSTRAINT c CHECK kafka_offset != 3")
	value, err := pipeline.EncodeDeadLetter(&pipeline.DeadLetter{Topic: "raw", Offset: 3})
	if err != nil {
		t.Fatal(err)
	}
	last := db.DeadLetterSink()
	defer last.Close()
	if err := last.Append(&pipeline.Batch{Records: []pipeline.Record{{Value: value}}}); err != nil {
		t.Fatal(err)
	}
	halts(db, last, chunk(0, 1, 0), "Constraint `c`")
}

// Records of tocsin's own topics have rows with maps and arrays; those that stay must come out as they were.
func TestARefusedAlert(t *testing.T) {
	db := migrated(t)
	alter(t, db, "ALTER TABLE alerts ADD CONSTRAINT c CHECK version != 2")
	s := db.AlertSink()
	defer s.Close()
	b := &pipeline.Batch{}
	for i := range int64(3) {
		a := &pipeline.Alert{
			ID: pipeline.NewID(fmt.Sprint(i)), Version: uint64(i + 1), Status: pipeline.StatusFiring, Team: pipeline.TeamSec, Class: pipeline.ClassNormal,
			Visibility: pipeline.VisibilityTeam, Entities: map[string]string{"host": fmt.Sprint("web-", i)}, Metrics: map[string]float64{"n": float64(i)}, Phases: []int8{int8(i), 7},
		}
		value, err := pipeline.EncodeAlert(a, "test", noon)
		if err != nil {
			t.Fatal(err)
		}
		b.Records = append(b.Records, pipeline.Record{Offset: 10 + i, Time: noon, Value: value})
	}
	if err := s.Append(b); err != nil || len(b.Failures) > 0 {
		t.Fatal(err, b.Failures)
	}
	letters := flushRefused(t, s, chunk(10, 13, 0))
	if len(letters) != 1 || letters[0].Offset != 11 || letters[0].Column != "version" {
		t.Errorf("dead letters %+v", letters)
	}
	if got := number(t, db, "SELECT count() FROM alerts WHERE entities['host'] = concat('web-', toString(version - 1)) AND metrics['n'] = version - 1 AND phases = [version - 1, 7]"); got != 2 {
		t.Errorf("%d rows are as they were sent, want 2", got)
	}
}
