package clickhouse

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	driver "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
)

// flush sends the chunk until the server takes it, as a worker does.
func flush(ctx context.Context, s pipeline.Sink, c pipeline.Chunk) (retries int, _ error) {
	for {
		err := s.Flush(ctx, c)
		if err == nil || ctx.Err() != nil || Classify(err) != Retry {
			return retries, err
		}
		retries++
		time.Sleep(20 * time.Millisecond)
	}
}

// ofPartition makes the batch's events others than those of another partition, or merges would replace them.
func ofPartition(p int32, b *pipeline.Batch) *pipeline.Batch {
	b.Partition = p
	for i := range b.Events {
		e := &b.Events[i]
		e.Partition, e.ID[0] = p, byte(p)
	}
	return b
}

var serverKills = flag.Int("kills", 4, "how often TestKilledServerLosesAndDoublesNothing kills the server")

func TestKilledServerLosesAndDoublesNothing(t *testing.T) {
	const partitions, rows = 2, 2000
	cfg := embedded.ClickHouseConfig{Dir: t.TempDir()}
	ch, err := embedded.StartClickHouse(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { ch.Stop(context.Background()) }()
	addr, err := net.ResolveTCPAddr("tcp", ch.TCPAddr)
	if err != nil {
		t.Fatal(err)
	}
	cfg.TCPPort = addr.Port
	db := open(t, Config{Addrs: []string{ch.TCPAddr}, Conns: 2})
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(*serverKills)*20*time.Second)
	defer cancel()
	stop := hammer(ctx, t, db, partitions, rows)
	for i := range *serverKills {
		time.Sleep(time.Duration(300+100*(i%4)) * time.Millisecond)
		ch.Kill()
		<-ch.Done()
		if ch, err = embedded.StartClickHouse(ctx, cfg); err != nil {
			t.Fatal(err)
		}
	}
	want, retries := stop()
	for _, query := range []string{"SELECT count() FROM events", "SELECT sum(n) FROM events_1m", "SELECT sum(rows) FROM ledger"} {
		if got := number(t, db, query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	if retries == 0 {
		t.Errorf("no INSERT had to be retried in %d kills: the test shows nothing", *serverKills)
	}
	t.Logf("%d rows, %d kills, %d retries", want, *serverKills, retries)
}

// hammer writes chunks of so many rows to each partition, one after the other and each until it is stored, until stop is
// called. That returns how many rows were stored, and how often a chunk had to be sent again.
func hammer(ctx context.Context, t *testing.T, db *DB, partitions, rows int) (stop func() (stored, retries uint64)) {
	var wg sync.WaitGroup
	var stored, retries atomic.Uint64
	stopped := make(chan struct{})
	for p := range int32(partitions) {
		wg.Go(func() {
			s := db.EventSink()
			defer s.Close()
			for n := int64(0); ; n += int64(rows) {
				select {
				case <-stopped:
					return
				default:
				}
				c := chunk(n, n+int64(rows), 0)
				c.Partition = p
				if err := s.Append(ofPartition(p, typical(n, rows))); err != nil {
					t.Error(err)
					return
				}
				again, err := flush(ctx, s, c)
				if err != nil {
					t.Error(err)
					return
				}
				stored.Add(uint64(rows))
				retries.Add(uint64(again))
			}
		})
	}
	return func() (uint64, uint64) {
		close(stopped)
		wg.Wait()
		return stored.Load(), retries.Load()
	}
}

// TestServerShortOfSomething: the table, or only the target of a view, takes nothing for a while, for its disk is full or it has
// too many parts. The block is the worker's to send again; in the end it is stored once everywhere.
func TestServerShortOfSomething(t *testing.T) {
	db := migrated(t)
	s := db.EventSink()
	defer s.Close()
	store(t, s, typical(0, 10), chunk(0, 10, 0)) // a part that there is already
	from := int64(10)
	f := func(table, setting string, code proto.Error) {
		t.Helper()
		c := chunk(from, from+10, 0)
		alter(t, db, "ALTER TABLE "+table+" MODIFY SETTING "+setting)
		if err := s.Append(typical(from, 10)); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			err := s.Flush(t.Context(), c)
			if got, _ := Code(err); got != int32(code) || Classify(err) != Retry {
				t.Errorf("%s, %s: %v, want %v to be retried", table, setting, err, code)
			}
		}
		name, _, _ := strings.Cut(setting, " ")
		alter(t, db, "ALTER TABLE "+table+" RESET SETTING "+name)
		if err := s.Flush(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		from += 10
		wantRows(t, db, uint64(from))
	}
	for _, table := range []string{"events", "events_1m", "ledger"} {
		f(table, "min_free_disk_bytes_to_perform_insert = 1000000000000000", proto.ErrNotEnoughSpace)
		f(table, "parts_to_throw_insert = 1", proto.ErrTooManyParts)
	}
}

// The server has the block, the acknowledgement is lost.
func TestLostAcknowledgement(t *testing.T) {
	proxy := newProxy(t, server.TCPAddr)
	direct := migrated(t)
	db := open(t, Config{Addrs: []string{proxy.addr}, Database: direct.cfg.Database})
	s := db.EventSink()
	defer s.Close()
	// Enough for the query and for the first bytes of the block, which is of some 300 kB.
	proxy.deafAfter(30_000)
	if err := s.Append(typical(0, 10_000)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	failed := make(chan error, 1)
	go func() { failed <- s.Flush(ctx, chunk(0, 10_000, 0)) }()
	for number(t, direct, "SELECT sum(rows) FROM ledger") < 10_000 && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := <-failed; err == nil || Classify(err) != Retry || !errors.Is(err, context.Canceled) {
		t.Fatalf("flush without an answer: %v, want one to retry", err)
	}
	proxy.hear()
	if err := s.Flush(t.Context(), chunk(0, 10_000, 0)); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{"SELECT count() FROM events", "SELECT sum(n) FROM events_1m", "SELECT sum(rows) FROM ledger"} {
		if got := number(t, direct, query); got != 10_000 {
			t.Errorf("%s: %d, want 10000", query, got)
		}
	}
}

// A server that never answers must not hold a worker longer than the insert's deadline.
func TestSilentServer(t *testing.T) {
	proxy := newProxy(t, server.TCPAddr)
	direct := migrated(t)
	db := open(t, Config{Addrs: []string{proxy.addr}, Database: direct.cfg.Database, InsertTimeout: time.Second})
	proxy.deafAfter(0)
	s := db.EventSink()
	defer s.Close()
	if err := s.Append(typical(0, 10)); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	err := s.Flush(t.Context(), chunk(0, 10, 0))
	if err == nil || Classify(err) != Retry {
		t.Errorf("flush: %v, want one to retry", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("flush gave up after %v, want about 1s", took)
	}
}

func TestManySinksShareFewConnections(t *testing.T) {
	direct := migrated(t)
	db := open(t, Config{Database: direct.cfg.Database, Conns: 2})
	var wg sync.WaitGroup
	for p := range int32(8) {
		wg.Go(func() {
			s := db.EventSink()
			defer s.Close()
			for n := int64(0); n < 300; n += 100 {
				c := chunk(n, n+100, 0)
				c.Partition = p
				if err := s.Append(ofPartition(p, typical(n, 100))); err != nil {
					t.Error(err)
				}
				if err := s.Flush(t.Context(), c); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := number(t, db, "SELECT count() FROM events"); got != 2400 {
		t.Errorf("%d rows, want 2400", got)
	}
	if n := len(db.inserts.idle); n > 2 {
		t.Errorf("%d connections are open, want 2 at most", n)
	}
}

// A server that is away is asked by one insert at a time, not by every partition's; when it is back, all are stored.
func TestBreaker(t *testing.T) {
	proxy := newProxy(t, server.TCPAddr)
	direct := migrated(t)
	db := open(t, Config{Addrs: []string{proxy.addr}, Database: direct.cfg.Database, Conns: 2})
	proxy.away.Store(true)
	var wg sync.WaitGroup
	var refused atomic.Int64
	for p := range int32(16) {
		wg.Go(func() {
			s := db.EventSink()
			defer s.Close()
			c := chunk(0, 10, 0)
			c.Partition = p
			if err := s.Append(ofPartition(p, typical(0, 10))); err != nil {
				t.Error(err)
			}
			for err := s.Flush(t.Context(), c); err != nil; err = s.Flush(t.Context(), c) {
				if Classify(err) != Retry {
					t.Error(err)
					return
				}
				if refused.Add(1) == 1000 {
					proxy.away.Store(false)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	started := time.Now()
	wg.Wait()
	if bound := tripAfter + 2 + int64(time.Since(started)/probeEvery); proxy.met.Load() < tripAfter || proxy.met.Load() > bound {
		t.Errorf("%d connections were tried in %v, want %d to %d", proxy.met.Load(), time.Since(started), tripAfter, bound)
	}
	if got := number(t, direct, "SELECT count() FROM events"); got != 160 {
		t.Errorf("%d rows, want 160", got)
	}
}

// Two workers send the same block at the same time: a zombie and its successor.
func TestSameTokenAtOnce(t *testing.T) {
	db := migrated(t)
	for n := int64(0); n < 5; n++ {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				s := db.EventSink()
				defer s.Close()
				if err := s.Append(typical(n*1000, 1000)); err != nil {
					t.Error(err)
				}
				if _, err := flush(t.Context(), s, chunk(n*1000, n*1000+1000, 0)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	for _, query := range []string{"SELECT count() FROM events", "SELECT sum(n) FROM events_1m", "SELECT sum(rows) FROM ledger"} {
		if got := number(t, db, query); got != 5000 {
			t.Errorf("%s: %d, want 5000", query, got)
		}
	}
}

func TestClassify(t *testing.T) {
	f := func(err error, want Reaction) {
		t.Helper()
		if got := Classify(fmt.Errorf("insert: %w", err)); got != want {
			t.Errorf("Classify(%v) = %v, want %v", err, got, want)
		}
	}
	native := func(code proto.Error, message string) error { return &ch.Exception{Code: code, Message: message} }
	f(native(proto.ErrTooManyParts, ""), Retry)
	f(native(proto.ErrNotEnoughSpace, ""), Retry)
	f(native(proto.ErrTimeoutExceeded, ""), Retry)
	f(native(proto.ErrNetworkError, ""), Retry)
	f(native(proto.ErrTableIsReadOnly, ""), Retry)
	f(native(proto.ErrKeeperException, ""), Retry)
	f(native(proto.ErrMemoryLimitExceeded, "(total) memory limit exceeded: would use 8 GiB"), Retry)
	f(native(proto.ErrMemoryLimitExceeded, "Query memory limit exceeded: would use 8 GiB"), Halt)
	f(native(proto.ErrTooManyRows, ""), Halt)
	f(native(proto.ErrTooLargeStringSize, ""), Isolate)
	f(native(proto.ErrIncorrectData, ""), Isolate)
	f(native(proto.ErrViolatedConstraint, ""), Isolate)
	f(native(proto.ErrAuthenticationFailed, ""), Halt)
	f(native(proto.ErrAccessDenied, ""), Halt)
	f(native(proto.ErrUnknownTable, ""), Halt)
	f(native(proto.ErrUnknownDatabase, ""), Halt)
	f(native(proto.ErrNoSuchColumnInTable, ""), Halt)
	f(native(proto.ErrTypeMismatch, ""), Halt)
	f(native(proto.ErrFunctionThrowIfValueIsNonZero, ""), Halt) // a view that throws must be mended
	f(native(proto.ErrLogicalError, ""), Halt)
	f(native(99_999, ""), Halt)

	f(&driver.Exception{Code: int32(proto.ErrTooManyParts)}, Retry)
	f(&driver.Exception{Code: int32(proto.ErrAccessDenied)}, Halt)
	f(&driver.HTTPError{StatusCode: 500, Err: &driver.Exception{Code: int32(proto.ErrNotEnoughSpace)}}, Retry)
	f(&driver.HTTPError{StatusCode: 403, Err: errors.New("who are you")}, Halt)

	f(context.DeadlineExceeded, Retry)
	f(context.Canceled, Retry)
	f(io.ErrUnexpectedEOF, Retry)
	f(syscall.ECONNRESET, Retry)
	f(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, Retry)
	f(&net.DNSError{Err: "no such host", IsNotFound: true}, Retry)
	f(errors.Join(context.Canceled, errors.New("else")), Retry)
	f(x509.UnknownAuthorityError{}, Halt)
	f(errors.New("else"), Halt)

	all := map[proto.Error]Reaction{}
	for reaction, codes := range reactions {
		for _, code := range codes {
			if other, twice := all[code]; twice {
				t.Errorf("%v is listed as %v and as %v", code, other, reaction)
			}
			all[code] = reaction
		}
	}
}

// What a real server says to what goes wrong in practice.
func TestClassifyByServer(t *testing.T) {
	db := migrated(t)
	f := func(what string, db *DB, want Reaction, wantCode proto.Error) {
		t.Helper()
		s := db.EventSink()
		defer s.Close()
		if err := s.Append(typical(0, 10)); err != nil {
			t.Fatal(err)
		}
		err := s.Flush(t.Context(), chunk(0, 10, 0))
		if err == nil {
			t.Errorf("%s: no error", what)
			return
		}
		if code, _ := Code(err); Classify(err) != want || code != int32(wantCode) {
			t.Errorf("%s: %v, code %d; want %v, code %d\n%v", what, Classify(err), code, want, wantCode, err)
		}
		var permanent *pipeline.Permanent
		if errors.As(err, &permanent) != (want != Retry) {
			t.Errorf("%s: %v is of type %T", what, want, err)
		}
		if rows, _ := s.Size(); rows != 10 {
			t.Errorf("%s: the chunk has %d rows after the error, want 10", what, rows)
		}
	}
	exec := func(statement string) {
		t.Helper()
		if err := db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	at := func(addr string) *DB {
		cfg := db.cfg
		cfg.Addrs = []string{addr}
		return &DB{cfg: cfg, inserts: newPool(cfg)}
	}
	f("wrong password", at(refuser(t, proto.ErrAuthenticationFailed)), Halt, proto.ErrAuthenticationFailed)
	f("no database", at(refuser(t, proto.ErrUnknownDatabase)), Halt, proto.ErrUnknownDatabase)
	f("nobody there", at("127.0.0.1:1"), Retry, 0)

	exec("CREATE MATERIALIZED VIEW thrower ENGINE = Memory AS SELECT throwIf(kafka_offset = 5) AS x FROM events")
	f("a view that throws", db, Halt, proto.ErrFunctionThrowIfValueIsNonZero)
	exec("DROP VIEW thrower")
	// The block that was half-way in is completed by the retry, everywhere.
	s := db.EventSink()
	defer s.Close()
	for range 2 {
		store(t, s, typical(0, 10), chunk(0, 10, 0))
	}
	for _, query := range []string{"SELECT count() FROM events", "SELECT sum(n) FROM events_1m", "SELECT sum(rows) FROM ledger"} {
		if got := number(t, db, query); got != 10 {
			t.Errorf("%s after the view was mended: %d, want 10", query, got)
		}
	}

	exec("ALTER TABLE events DROP COLUMN raw")
	f("a column is missing", db, Halt, proto.ErrNoSuchColumnInTable)
	exec("DROP TABLE events")
	f("a table is missing", db, Halt, proto.ErrUnknownTable)
}

// refuser answers every session with an exception. The embedded server cannot be asked for one: a handshake that fails
// aborts it.
func refuser(t *testing.T, code proto.Error) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var answer proto.Buffer
	proto.ServerCodeException.Encode(&answer)
	(&proto.Exception{Code: code, Name: "DB::Exception", Message: "DB::Exception: no"}).EncodeAware(&answer, 0)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 1<<12)) // the hello
			c.Write(answer.Buf)
			c.Close()
		}
	}()
	return l.Addr().String()
}

// proxy passes bytes on to a server, and its answers back until deafAfter's bytes were sent; then it swallows them.
type proxy struct {
	addr string
	left atomic.Int64 // bytes that may be sent until answers are swallowed
	away atomic.Bool  // connections are refused
	met  atomic.Int64 // so many
}

func newProxy(t *testing.T, to string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &proxy{addr: l.Addr().String()}
	p.hear()
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			if p.away.Load() {
				p.met.Add(1)
				client.Close()
				continue
			}
			upstream, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			go pass(upstream, client, func(n int) bool { p.left.Add(-int64(n)); return true })
			go pass(client, upstream, func(int) bool { return p.left.Load() > 0 })
		}
	}()
	return p
}

// pass copies those pieces that let says yes to.
func pass(to, from net.Conn, let func(n int) bool) {
	defer to.Close()
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if !let(n) {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// deafAfter stops answers once clients have sent n more bytes.
func (p *proxy) deafAfter(n int64) { p.left.Store(n) }

// hear lets answers through again.
func (p *proxy) hear() { p.left.Store(math.MaxInt64) }
