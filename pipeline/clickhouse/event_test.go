package clickhouse

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
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
	if err := db.Exec(t.Context(), "SYSTEM STOP MERGES events"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		store(t, s, typical(0, 1000), chunk(0, 1000, 0))
	}
	if got := number(t, db, "SELECT count() FROM events"); got != 1000 {
		t.Errorf("rows after the same chunk three times: %d, want 1000", got)
	}
	if got := number(t, db, "SELECT sum(n) FROM events_1m"); got != 1000 {
		t.Errorf("rollup after the same chunk three times: %d, want 1000", got)
	}
	if got := number(t, db, "SELECT sum(rows) FROM ledger"); got != 1000 {
		t.Errorf("ledger after the same chunk three times: %d, want 1000", got)
	}
}
