package pipeline_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/pipelinetest"
)

var partition = pipeline.TopicPartition{Topic: "raw", Partition: 3}

// eventEach is a processor that makes one event of each record.
type eventEach struct{}

func (eventEach) Process(_ context.Context, b *pipeline.Batch) error {
	for i := range b.Records {
		b.Next(i)
	}
	return nil
}

// signalEach is a processor that makes one signal of each record.
type signalEach struct{}

func (signalEach) Process(_ context.Context, b *pipeline.Batch) error {
	for i := range b.Records {
		b.Signals = append(b.Signals, pipeline.Signal{Kind: pipeline.SignalMatch, Offset: b.Records[i].Offset})
	}
	return nil
}

func newWorker(w *pipelinetest.Warehouse, o *pipelinetest.Offsets, limits pipeline.Limits) (*pipeline.Worker, *pipelinetest.Sink) {
	sink := &pipelinetest.Sink{Warehouse: w}
	return &pipeline.Worker{
		Partition: partition, Processors: []pipeline.Processor{eventEach{}}, NewSink: func() pipeline.Sink { return sink.Copy() }, Publisher: &pipelinetest.Publisher{},
		Offsets: o, Limits: limits, Now: time.Now, End: new(pipeline.EndOffset), Log: zap.NewNop(), Metrics: pipeline.NewMetrics(prometheus.NewRegistry()),
	}, sink
}

// batch makes one of the given offsets.
func batch(offsets ...int64) *pipeline.Batch {
	b := &pipeline.Batch{TopicPartition: partition}
	for _, o := range offsets {
		b.Records = append(b.Records, pipeline.Record{Offset: o, Time: time.Now(), Value: []byte("x")})
	}
	return b
}

func TestWorkerStoresAfterTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		warehouse, offsets := pipelinetest.NewWarehouse(), pipelinetest.NewOffsets()
		w, _ := newWorker(warehouse, offsets, pipeline.Limits{Rows: 100, Bytes: 1 << 20, Interval: 2 * time.Second})
		in := make(chan *pipeline.Batch, 1)
		done := make(chan error)
		go func() { done <- w.Run(t.Context(), in, 0, nil) }()
		in <- batch(7, 8, 10)
		time.Sleep(1900 * time.Millisecond)
		if n := len(warehouse.Offsets()); n != 0 {
			t.Fatalf("%d rows before the interval was over", n)
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if n := len(warehouse.Offsets()); n != 3 {
			t.Fatalf("%d rows after the interval, want 3", n)
		}
		if next, plan := offsets.Position(); next != 11 || plan != nil {
			t.Fatalf("committed %d with plan %v, want 11 with none", next, plan)
		}
		close(in)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// TestWorkerIsPatientWhileItLags: a partition that is a minute behind sends larger chunks, until it is read to its end.
func TestWorkerIsPatientWhileItLags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		warehouse, offsets := pipelinetest.NewWarehouse(), pipelinetest.NewOffsets()
		w, _ := newWorker(warehouse, offsets, pipeline.Limits{Rows: 100, Bytes: 1 << 20, Interval: time.Second})
		w.End.Seen(4)
		in := make(chan *pipeline.Batch, 1)
		done := make(chan error)
		go func() { done <- w.Run(t.Context(), in, 0, nil) }()
		send := func(offset int64) {
			b := batch(offset)
			b.Records[0].Time = time.Now().Add(-time.Minute)
			in <- b
		}
		stored := func(after time.Duration, want int) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if n := len(warehouse.Offsets()); n != want {
				t.Fatalf("%d rows are stored, want %d", n, want)
			}
		}
		send(0)
		stored(9900*time.Millisecond, 0)
		send(1)
		stored(200*time.Millisecond, 2)
		send(2)
		stored(2*time.Second, 2)
		send(3) // the last one
		stored(time.Second, 4)
		close(in)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestWorkerStoresWhatItHoldsAtTheEnd(t *testing.T) {
	warehouse, offsets := pipelinetest.NewWarehouse(), pipelinetest.NewOffsets()
	w, _ := newWorker(warehouse, offsets, pipeline.Limits{Rows: 100, Bytes: 1 << 20, Interval: time.Hour})
	in := make(chan *pipeline.Batch, 1)
	in <- batch(0, 1)
	close(in)
	if err := w.Run(t.Context(), in, 0, nil); err != nil {
		t.Fatal(err)
	}
	if next, _ := offsets.Position(); next != 2 || len(warehouse.Offsets()) != 2 {
		t.Fatalf("committed %d with %d rows", next, len(warehouse.Offsets()))
	}
}

// TestWorkerHaltsWhereTheTopicGoesBack: after an unclean election the offsets of what is stored come again, with other records.
func TestWorkerHaltsWhereTheTopicGoesBack(t *testing.T) {
	warehouse, offsets := pipelinetest.NewWarehouse(), pipelinetest.NewOffsets()
	w, _ := newWorker(warehouse, offsets, pipeline.Limits{Rows: 2, Bytes: 1 << 20, Interval: time.Hour})
	in := make(chan *pipeline.Batch, 2)
	in <- batch(5, 6)
	in <- batch(3)
	var permanent *pipeline.Permanent
	if err := w.Run(t.Context(), in, 5, nil); !errors.As(err, &permanent) || !strings.Contains(err.Error(), "offset 3 comes after offset 6") {
		t.Errorf("ended with %v", err)
	}
	if next, _ := offsets.Position(); next != 7 {
		t.Errorf("committed %d, want 7", next)
	}
}

func TestWorkerRetriesUntilTheWarehouseIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		warehouse, offsets := pipelinetest.NewWarehouse(), pipelinetest.NewOffsets()
		w, sink := newWorker(warehouse, offsets, pipeline.Limits{Rows: 1, Bytes: 1 << 20, Interval: time.Hour})
		down := time.Now().Add(3 * time.Minute)
		sink.Fail = func(stored bool) error {
			if !stored && time.Now().Before(down) {
				return errors.New("connection refused")
			}
			return nil
		}
		in := make(chan *pipeline.Batch, 1)
		in <- batch(0, 1)
		close(in)
		if err := w.Run(t.Context(), in, 0, nil); err != nil {
			t.Fatal(err)
		}
		if got := warehouse.Offsets(); got[0] != 1 || got[1] != 1 {
			t.Fatalf("rows %v", got)
		}
	})
}

// TestWorkerGoesOnWhileItStores: what a record has to say does not wait for the chunk before it, but one chunk is stored at a time.
func TestWorkerGoesOnWhileItStores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		warehouse, offsets, publisher := pipelinetest.NewWarehouse(), pipelinetest.NewOffsets(), &pipelinetest.Publisher{}
		w, sink := newWorker(warehouse, offsets, pipeline.Limits{Rows: 2, Bytes: 1 << 20, Interval: time.Second})
		w.Processors, w.Publisher = append(w.Processors, signalEach{}), publisher
		sink.Fail = func(stored bool) error {
			if !stored {
				time.Sleep(10 * time.Second)
			}
			return nil
		}
		in, done := make(chan *pipeline.Batch, 8), make(chan error)
		go func() { done <- w.Run(t.Context(), in, 0, nil) }()
		is := func(after time.Duration, signals, rows int) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if s, r := len(publisher.Signals), len(warehouse.Offsets()); s != signals || r != rows {
				t.Fatalf("%d signals and %d rows, want %d and %d", s, r, signals, rows)
			}
		}
		in <- batch(0, 1)
		in <- batch(2)
		is(5*time.Second, 3, 0) // the interval of the second chunk is over, the first one is not stored
		in <- batch(3)
		in <- batch(4)
		is(0, 4, 0) // the second one is full: the worker waits
		is(6*time.Second, 5, 2)
		is(10*time.Second, 5, 4)
		close(in)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if next, plan := offsets.Position(); next != 5 || plan != nil || len(warehouse.Offsets()) != 5 {
			t.Errorf("committed %d with plan %v and %d rows, want all five", next, plan, len(warehouse.Offsets()))
		}
	})
}

// TestWorkerExactlyOnce crashes workers at random moments (before and after each plan, insert and commit) under random
// batch sizes and limits, restarts them from what was committed, and expects every record exactly once.
func TestWorkerExactlyOnce(t *testing.T) {
	seeds := uint64(1000)
	if testing.Short() {
		seeds = 100
	}
	for seed := range seeds {
		if got := crashing(t, seed); got != "" {
			t.Fatalf("seed %d: %s", seed, got)
		}
	}
}

// TestWorkerLosesNoRefusedRow lets the warehouse refuse some rows, crashes workers around everything that follows, and lets
// it refuse others or none at a random moment. Each record must be a row at most once, and a dead letter otherwise.
func TestWorkerLosesNoRefusedRow(t *testing.T) {
	for seed := range uint64(1000) {
		rng := rand.New(rand.NewPCG(seed, 2))
		warehouse, offsets, publisher := pipelinetest.NewWarehouse(), pipelinetest.NewOffsets(), &pipelinetest.Publisher{}
		const records = 40
		step, mendAt := 0, rng.IntN(30)
		every, later := int64(2+rng.IntN(4)), int64(2+rng.IntN(9))
		for crashes := 0; ; crashes++ {
			crashAt := step + 1 + rng.IntN(12)
			if crashes > 20 {
				crashAt = 1 << 30
			}
			crash := func() error {
				if step++; step == crashAt {
					return pipelinetest.ErrCrash
				}
				return nil
			}
			w, sink := newWorker(warehouse, offsets, pipeline.Limits{Rows: 1 + rng.IntN(10), Bytes: 1 << 20, Interval: time.Hour})
			w.Publisher, publisher.Fail = publisher, crash
			sink.Fail = func(bool) error { return crash() }
			sink.Refuse = func(offset int64) bool {
				if step > mendAt {
					return offset%later == 0 && later < 6 // or none any more
				}
				return offset%every == 0
			}
			offsets.Fail = func(bool, *pipeline.Chunk) error { return crash() }
			next, plan := offsets.Position()
			in := make(chan *pipeline.Batch, records)
			for o := next; o < records; o++ {
				in <- batch(o)
			}
			close(in)
			err := w.Run(t.Context(), in, next, plan)
			if err == nil {
				break
			}
			if !errors.Is(err, pipelinetest.ErrCrash.Err) {
				t.Fatal(err)
			}
		}
		rows, letters := warehouse.Offsets(), map[int64]bool{}
		for _, d := range publisher.Letters {
			letters[d.Offset] = true
		}
		for o := range int64(records) {
			if n := rows[o]; n > 1 || n == 0 && !letters[o] {
				t.Fatalf("seed %d: offset %d is stored %d times, in the dead letters: %v", seed, o, n, letters[o])
			}
		}
	}
}

func crashing(t *testing.T, seed uint64) string {
	rng := rand.New(rand.NewPCG(seed, 1))
	var topic []int64 // with gaps, as compaction and transaction markers leave them
	for o := int64(rng.IntN(5)); len(topic) < 200; o += 1 + int64(rng.IntN(3))/2 {
		topic = append(topic, o)
	}
	warehouse, offsets := pipelinetest.NewWarehouse(), pipelinetest.NewOffsets()
	for crashes := 0; ; crashes++ {
		step, crashAt := 0, 1+rng.IntN(12)
		if crashes > 40 {
			crashAt = 1 << 30
		}
		crash := func() error {
			if step++; step == crashAt {
				return pipelinetest.ErrCrash
			}
			return nil
		}
		w, sink := newWorker(warehouse, offsets, pipeline.Limits{Rows: 1 + rng.IntN(30), Bytes: 1 << 20, Interval: time.Hour})
		sink.Fail = func(bool) error { return crash() }
		offsets.Fail = func(bool, *pipeline.Chunk) error { return crash() }

		next, plan := offsets.Position()
		in := make(chan *pipeline.Batch, len(topic))
		var b *pipeline.Batch
		for _, o := range topic {
			if o < next {
				continue
			}
			if b == nil {
				b = batch()
			}
			b.Records = append(b.Records, pipeline.Record{Offset: o, Time: time.Now()})
			if rng.IntN(4) == 0 {
				in <- b
				b = nil
			}
		}
		if b != nil {
			in <- b
		}
		close(in)
		err := w.Run(t.Context(), in, next, plan)
		if err == nil {
			break
		}
		if !errors.Is(err, pipelinetest.ErrCrash.Err) {
			return err.Error()
		}
	}
	got := warehouse.Offsets()
	for _, o := range topic {
		if got[o] != 1 {
			return "an offset is stored " + string(rune('0'+got[o])) + " times"
		}
	}
	if len(got) != len(topic) {
		return "rows of offsets that the topic does not have"
	}
	return ""
}

// TestProgress: a worker whose warehouse is away is behind and stuck, by the clock of others; when it is back, neither.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		warehouse, offsets := pipelinetest.NewWarehouse(), pipelinetest.NewOffsets()
		w, sink := newWorker(warehouse, offsets, pipeline.Limits{Rows: 2, Bytes: 1 << 20, Interval: time.Second})
		reg := prometheus.NewRegistry()
		w.Metrics = pipeline.NewMetrics(reg)
		w.End.Seen(12)
		var away atomic.Bool
		away.Store(true)
		sink.Fail = func(bool) error {
			if away.Load() {
				return errors.New("connection refused")
			}
			return nil
		}
		in := make(chan *pipeline.Batch, 1)
		done := make(chan error)
		go func() { done <- w.Run(t.Context(), in, 10, nil) }()
		synctest.Wait()
		if errs := w.Metrics.Progress.Stuck(0); len(errs) > 0 {
			t.Errorf("an idle worker is stuck: %v", errs)
		}
		in <- batch(10, 11)
		time.Sleep(90 * time.Second)
		errs := w.Metrics.Progress.Stuck(time.Minute)
		if len(errs) != 1 || !strings.Contains(errs[0].Error(), "raw/3: nothing behind offset 10 has been stored for 1m30s; insert is retried") {
			t.Errorf("stuck: %v", errs)
		}
		if offsets, seconds := gauge(t, reg, "tocsin_ingest_lag_offsets"), gauge(t, reg, "tocsin_ingest_lag_seconds"); offsets != 2 || seconds != 90 {
			t.Errorf("lag %v offsets, %v seconds; want 2, 90", offsets, seconds)
		}
		away.Store(false)
		time.Sleep(10 * time.Second)
		if errs := w.Metrics.Progress.Stuck(0); len(errs) > 0 {
			t.Errorf("still stuck: %v", errs)
		}
		if offsets, seconds := gauge(t, reg, "tocsin_ingest_lag_offsets"), gauge(t, reg, "tocsin_ingest_lag_seconds"); offsets != 0 || seconds != 0 {
			t.Errorf("lag %v offsets, %v seconds at the end; want none", offsets, seconds)
		}
		close(in)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// gauge returns the only value of a metric.
func gauge(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestWorkerMakesRoom: the largest chunk under a tight budget is sent, however small it is and young.
func TestWorkerMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		warehouse, offsets := pipelinetest.NewWarehouse(), pipelinetest.NewOffsets()
		w, _ := newWorker(warehouse, offsets, pipeline.Limits{Rows: 1000, Bytes: 1 << 20, Interval: time.Hour})
		w.Budget = pipeline.NewBudget(600, 1<<20) // a row takes 100
		in := make(chan *pipeline.Batch, 1)
		done := make(chan error)
		go func() { done <- w.Run(t.Context(), in, 0, nil) }()
		in <- batch(0, 1, 2)
		synctest.Wait()
		if n := len(warehouse.Offsets()); n != 0 || w.Budget.Used() != 300 {
			t.Errorf("%d rows are stored and %d bytes under way, want 0 and 300", n, w.Budget.Used())
		}
		in <- batch(3, 4)
		synctest.Wait()
		if n := len(warehouse.Offsets()); n != 5 || w.Budget.Used() != 0 {
			t.Errorf("%d rows are stored and %d bytes under way, want 5 and 0", n, w.Budget.Used())
		}
		close(in)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// TestWorkersTakeTurns: of partitions with much to catch up with, as many fill and store chunks at the same time as the budget has room
// for. One that reads with its producers waits for nobody, and one that waits ends at once when its partition moves on.
func TestWorkersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const room = 2
		budget := pipeline.NewBudget(1<<20, 1<<20)
		var inserts, most, released, stuck atomic.Int64
		stored := make(chan struct{})
		start := func(end int64, insert func()) (in chan *pipeline.Batch, ended chan error, offsets *pipelinetest.Offsets) {
			in, ended, offsets = make(chan *pipeline.Batch), make(chan error, 1), pipelinetest.NewOffsets()
			w, sink := newWorker(pipelinetest.NewWarehouse(), offsets, pipeline.Limits{Rows: 8, Bytes: 1 << 20, Interval: time.Hour})
			sink.Fail = func(applied bool) error {
				if !applied {
					insert()
				}
				return nil
			}
			w.NewSink, w.Budget = func() pipeline.Sink { return sink.Copy() }, budget
			w.End.Seen(end)
			time.AfterFunc(time.Minute, func() { stuck.Add(int64(len(w.Metrics.Progress.Stuck(30 * time.Second)))) })
			go func() { ended <- w.Run(t.Context(), in, 0, nil) }()
			return in, ended, offsets
		}
		rows := func(from int64) *pipeline.Batch {
			b := batch(from, from+1, from+2, from+3, from+4, from+5, from+6, from+7)
			b.Free = func() { released.Add(1) }
			return b
		}
		var lagging []chan *pipeline.Batch
		var all []chan error
		for range 4 {
			in, ended, _ := start(1000, func() {
				if n := inserts.Add(1); n > most.Load() {
					most.Store(n)
				}
				<-stored
				inserts.Add(-1)
			})
			in <- rows(0)
			synctest.Wait()
			lagging, all = append(lagging, in), append(all, ended)
		}
		if inserts.Load() != room || released.Load() != room {
			t.Errorf("%d chunks are stored and %d batches were taken, want %d of each", inserts.Load(), released.Load(), room)
		}

		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if stuck.Load() != 4 {
			t.Errorf("%d partitions are told to have waited for a minute, want 4: two that are stored and two that wait", stuck.Load())
		}

		in, ended, offsets := start(0, func() {})
		in <- rows(0)
		synctest.Wait()
		if next, _ := offsets.Position(); next != 8 {
			t.Errorf("one that does not lag has stored up to offset %d, want 8", next)
		}
		close(in)
		if err := <-ended; err != nil {
			t.Error(err)
		}

		close(lagging[3])
		if err := <-all[3]; err != nil {
			t.Error(err)
		}
		if released.Load() != room+2 {
			t.Errorf("%d batches were released, want %d with that of the one that waited", released.Load(), room+2)
		}
		for range 3 { // each stores one chunk, then all may have another
			stored <- struct{}{}
			synctest.Wait()
		}
		for _, in := range lagging[:3] {
			in <- rows(8)
		}
		synctest.Wait()
		if inserts.Load() != room {
			t.Errorf("%d chunks are stored in the second round, want %d", inserts.Load(), room)
		}
		close(stored)
		for i, in := range lagging[:3] {
			synctest.Wait()
			close(in)
			if err := <-all[i]; err != nil {
				t.Error(err)
			}
		}
		if most.Load() != room || budget.Used() != 0 {
			t.Errorf("%d chunks were stored at the same time, want %d; %d bytes are left in the budget, want 0", most.Load(), room, budget.Used())
		}
	})
}

// TestWorkerDoesNotWaitForRoomWithAPlan: a planned chunk is only sent whole, however large it is.
func TestWorkerDoesNotWaitForRoomWithAPlan(t *testing.T) {
	warehouse, offsets := pipelinetest.NewWarehouse(), pipelinetest.NewOffsets()
	w, _ := newWorker(warehouse, offsets, pipeline.Limits{Rows: 1000, Bytes: 1 << 20, Interval: time.Hour})
	w.Budget = pipeline.NewBudget(100, 1<<20)
	in := make(chan *pipeline.Batch)
	done := make(chan error)
	go func() {
		done <- w.Run(t.Context(), in, 0, &pipeline.Chunk{Span: pipeline.Span{TopicPartition: partition, To: 9}})
	}()
	for o := range int64(9) {
		w.Budget.Wait(t.Context())
		in <- batch(o)
	}
	close(in)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := len(warehouse.Offsets()); n != 9 {
		t.Errorf("%d rows are stored, want 9", n)
	}
}

// TestIdleWatermark: a partition follows the clock when it is known to be read to its end as of then, and not before.
func TestIdleWatermark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := newWorker(pipelinetest.NewWarehouse(), pipelinetest.NewOffsets(), pipeline.Limits{Rows: 1, Bytes: 1 << 20, Interval: time.Second})
		var reached atomic.Int64
		w.Watermark = func(_ context.Context, _ pipeline.TopicPartition, _ int64, t time.Time) error {
			if !t.IsZero() {
				reached.Store(t.Unix())
			}
			return nil
		}
		in, ctx := make(chan *pipeline.Batch, 1), t.Context()
		go func() { _ = w.Run(ctx, in, 10, nil) }()
		in <- batch(10, 11)
		time.Sleep(1500 * time.Millisecond) // the watermark is that of the records
		step := func(what string, end int64, asked time.Time, moves bool) {
			t.Helper()
			before := reached.Load()
			w.End.Asked(end, asked)
			time.Sleep(10 * time.Second)
			if moved := reached.Load() > before; moved != moves {
				t.Errorf("%s: the watermark moves: %v, want %v", what, moved, moves)
			}
		}
		late := time.Now().Add(time.Hour)
		step("asked before it was quiet", 12, time.Now(), false)
		step("there is more", 13, late, false)
		in <- batch(12, 13)
		step("read to its end", 13, late, true)
		step("asked before", 13, time.Now().Add(-time.Minute), false)
	})
}
