package clickhouse

import (
	"flag"
	"maps"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
)

var rollupChunks = flag.Int("rollup-chunks", 8, "chunks that TestR69RollupsEqualTheRaw writes")

// TestR69RollupsEqualTheRaw writes random chunks, with events that come days late and events that their source sends twice,
// sends some chunks again, and kills the server in the middle of some. What each rollup counts must be what was acknowledged,
// minute by minute, hour by hour, day by day; v_events has each event once.
func TestR69RollupsEqualTheRaw(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 69))
	cfg := embedded.ClickHouseConfig{Dir: t.TempDir()}
	server, err := embedded.StartClickHouse(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Stop(t.Context()) }()
	addr, err := net.ResolveTCPAddr("tcp", server.TCPAddr)
	if err != nil {
		t.Fatal(err)
	}
	cfg.TCPPort = addr.Port
	db := open(t, Config{Addrs: []string{server.TCPAddr}})
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := db.EventSink()
	defer s.Close()

	type cell struct {
		at   time.Time
		what string
	}
	type count struct{ rows, bytes uint64 }
	steps := map[string]time.Duration{"v_events_1m": time.Minute, "v_events_1h": time.Hour, "v_events_1d": 24 * time.Hour}
	want := map[string]map[cell]count{}
	for view := range steps {
		want[view] = map[cell]count{}
	}
	ids := map[uuid.UUID]bool{}
	var sent []pipeline.Event // what a source may send again
	rows, kills, again := uint64(0), 0, 0
	next := int64(0)
	for i := range *rollupChunks {
		n := 1 + rng.IntN(300)
		b := typical(next, n)
		c := chunk(next, next+int64(n), 0)
		next += int64(n)
		late := time.Duration(rng.IntN(29*24)) * time.Hour // each day more is a part more, in every table
		for j := range b.Events {
			e := &b.Events[j]
			e.Type = []string{"auth.failed", "auth.success", "http.request"}[rng.IntN(3)]
			switch rng.IntN(10) {
			case 0: // weeks late, not so late that the clock is doubted
				e.Time = e.IngestTime.Add(-late)
			case 1, 2, 3:
				e.Time = e.IngestTime.Add(-time.Duration(rng.IntN(24*3600)) * time.Second)
			case 4:
				if len(sent) > 0 {
					twin := sent[rng.IntN(len(sent))]
					e.ID, e.Time, e.Type, e.Bytes = twin.ID, twin.Time, twin.Type, twin.Bytes
				}
			}
			for view, step := range steps {
				at := cell{e.Time.Truncate(step), e.Type}
				sum := want[view][at]
				want[view][at] = count{sum.rows + 1, sum.bytes + e.Bytes}
			}
			ids[e.ID] = true
			sent = append(sent, pipeline.Event{ID: e.ID, Time: e.Time, Type: e.Type, Bytes: e.Bytes})
		}
		rows += uint64(n)
		if err := s.Append(b); err != nil {
			t.Fatal(err)
		}
		killed := make(chan struct{})
		if i%5 == 3 {
			kills++
			delay := time.Duration(rng.IntN(40)) * time.Millisecond
			go func() {
				defer close(killed)
				time.Sleep(delay)
				server.Kill()
				if server, err = embedded.StartClickHouse(t.Context(), cfg); err != nil {
					t.Error(err)
				}
			}()
		} else {
			close(killed)
		}
		if _, err := flush(t.Context(), s, c); err != nil {
			t.Fatal(err)
		}
		<-killed
		for range rng.IntN(2) { // the acknowledgement was lost
			again++
			if err := s.Append(b); err != nil {
				t.Fatal(err)
			}
			if _, err := flush(t.Context(), s, c); err != nil {
				t.Fatal(err)
			}
		}
	}

	for view := range steps {
		got := map[cell]count{}
		rows, err := db.Query(t.Context(), "SELECT ts, toString(event_type), n, bytes FROM "+view)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var at cell
			var sum count
			if err := rows.Scan(&at.at, &at.what, &sum.rows, &sum.bytes); err != nil {
				t.Fatal(err)
			}
			at.at = at.at.UTC()
			got[at] = sum
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(got, want[view]) {
			for at, sum := range want[view] {
				if got[at] != sum {
					t.Errorf("%s at %v, %s: %v, want %v", view, at.at, at.what, got[at], sum)
				}
			}
			t.Errorf("%s has %d rows, want %d", view, len(got), len(want[view]))
		}
	}
	for query, want := range map[string]uint64{
		"SELECT sum(rows) FROM ledger": rows, "SELECT count() FROM v_events": uint64(len(ids)),
		"SELECT uniqExact(kafka_offset) FROM ledger ARRAY JOIN range(toUInt64(first_offset), toUInt64(last_offset) + 1) AS kafka_offset": rows,
	} {
		if got := number(t, db, query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	t.Logf("%d rows of %d events in %d chunks, %d sent again, %d kills", rows, len(ids), *rollupChunks, again, kills)
}
