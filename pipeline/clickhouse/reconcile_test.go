package clickhouse

import (
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// TestReplayAfterTheWindow sends chunks again whose tokens ClickHouse has forgotten: one that is stored, one that is not, and
// one of which only a day is, as when the server ends in the middle of it.
func TestReplayAfterTheWindow(t *testing.T) {
	db := migrated(t)
	for _, table := range []string{"events", "events_1m", "events_1h", "ledger", "findings", "entity_links"} {
		alter(t, db, "ALTER TABLE "+table+" MODIFY SETTING non_replicated_deduplication_window = 3")
	}
	want := uint64(0)
	send := func(b *pipeline.Batch, c pipeline.Chunk, more uint64) {
		t.Helper()
		s := db.EventSink()
		defer s.Close()
		store(t, s, b, c)
		want += more
		wantRows(t, db, want)
	}
	other := int64(0)
	forget := func() { // four blocks of another partition
		for range 4 {
			c := chunk(other, other+10, 0)
			c.Partition = 1
			send(ofPartition(1, typical(other, 10)), c, 10)
			other += 10
		}
	}
	planned := func(from, to int64) pipeline.Chunk {
		c := chunk(from, to, 0)
		c.Planned = time.Now().Add(-20 * time.Second)
		return c
	}

	send(typical(0, 10), planned(0, 10), 10)
	forget()
	send(typical(0, 10), planned(0, 10), 0)
	send(typical(100, 10), planned(100, 110), 10)

	// Every second row is of the day before.
	days := func(both bool) *pipeline.Batch {
		b := typical(200, 20)
		for i := range b.Events {
			if i%2 == 1 {
				b.Events[i].Time = b.Events[i].Time.AddDate(0, 0, -1)
				if !both {
					b.Events[i].Drop("not stored yet")
				}
			}
		}
		return b
	}
	send(days(false), planned(200, 220), 10)
	forget()
	send(days(true), planned(200, 220), 10)
	forget()
	send(days(true), planned(200, 220), 0)

	// And what the ledger is asked for: who does not know that the chunk is old doubles it.
	again := planned(0, 10)
	again.Planned = time.Now()
	s := db.EventSink()
	defer s.Close()
	store(t, s, typical(0, 10), again)
	if got := number(t, db, "SELECT sum(n) FROM events_1m"); got != want+10 {
		t.Errorf("%d rows are counted, want %d: the token is still known, and the test shows nothing", got, want+10)
	}
}
