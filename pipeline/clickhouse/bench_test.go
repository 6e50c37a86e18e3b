package clickhouse

import (
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
)

// encode is what goes over the wire, before compression.
func encode(t testing.TB, buf *proto.Buffer, input proto.Input) {
	buf.Reset()
	if err := (proto.Block{Columns: len(input), Rows: input[0].Data.Rows()}).EncodeBlock(buf, proto.Version, input); err != nil {
		t.Fatal(err)
	}
}

// cpu returns the processor time that this process has used; unlike the clock's, it is the same on a busy machine.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAppendEncode is the sink's work on an event, but for LZ4 and the socket.
func BenchmarkAppendEncode(b *testing.B) {
	const rows = 1 << 16
	batch := typical(0, 1000)
	s := (&DB{}).EventSink()
	defer s.Close()
	var buf proto.Buffer
	n := 0
	work := func() {
		for at := 0; at < rows; at += len(batch.Events) {
			if err := s.Append(batch); err != nil {
				b.Fatal(err)
			}
			n += len(batch.Events)
		}
		encode(b, &buf, s.open.input)
		b.SetBytes(int64(len(buf.Buf) / s.open.rows))
		s.forget()
	}
	work() // finds the block's memory
	n = 0
	b.ReportAllocs()
	b.ResetTimer()
	start := cpu(b)
	for n < b.N {
		work()
	}
	b.ReportMetric(float64(n)/(cpu(b)-start).Seconds(), "events/cpu-s")
}

// BenchmarkInsert is the whole way of a block of 65,536 events until the server has it, views included.
func BenchmarkInsert(b *testing.B) {
	const rows = 1 << 16
	db := migrated(b)
	s := db.EventSink()
	defer s.Close()
	batch := typical(0, rows)
	const served = "SELECT sum(value) FROM system.events WHERE event = 'OSCPUVirtualTimeMicroseconds'"
	b.ResetTimer()
	start, servedBefore := cpu(b), number(b, db, served)
	n := 0
	for n < b.N {
		store(b, s, batch, chunk(int64(n), int64(n+rows), 0))
		n += rows
	}
	b.ReportMetric(float64(number(b, db, served)-servedBefore)/float64(n), "server-cpu-s/M")
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(n)/(cpu(b)-start).Seconds(), "events/cpu-s")
}
