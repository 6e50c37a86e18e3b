package pipeline

import (
	"context"
	"fmt"
	"time"
)

// Processor is one step on the way of a batch: parse, opt-out, enrich, match rules. It works in place and serves one
// worker: it needs no lock.
//
// A record gives one or more events or one or more failures, never nothing. An event that must go no further is dropped
// with a reason (Event.Drop); a record or part of it that cannot be read is failed (Batch.Fail). An error means that the
// batch cannot go on at all: the worker stops, and nothing of the batch is committed.
//
// A processor that keeps a string or slice of the batch longer than the call clones it, at the line that keeps it.
type Processor interface {
	Process(ctx context.Context, b *Batch) error
}

// Sink is where batches end, as rows. It serves one worker, and one chunk at a time.
type Sink interface {
	// Append copies what the batch holds into the open chunk; the batch may be released afterwards. Parts that are no
	// rows for this sink are failed in the batch.
	Append(b *Batch) error
	// Size returns the rows and bytes in the open chunk.
	Size() (rows, bytes int)
	// Flush sends the open chunk as one block and returns when it is stored for good; then the chunk is empty. On an
	// error the chunk is kept as it is, and a further Flush of the same chunk is a retry: it stores nothing twice. Of the
	// errors, Refused and Permanent call for something else than a retry.
	Flush(ctx context.Context, c Chunk) error
	// Close gives back what the sink holds. Rows that were not flushed are forgotten: they were not committed either.
	Close() error
}

// Refused is what Sink.Flush returns when the warehouse refuses rows for what is in them. They were taken out of the open
// chunk. The caller publishes the dead letters, waits until they are stored, and calls Flush again for the other rows. In
// that order nothing is lost, for the chunk's name is the same with those rows and without.
type Refused struct{ Letters []DeadLetter }

func (r *Refused) Error() string { return fmt.Sprintf("%d rows are refused", len(r.Letters)) }

// Chunk names what one Flush stores: one partition's offsets [From, To), read by one epoch of the pipeline. A retry and a
// replay after a crash carry the same chunk.
type Chunk struct {
	Span
	// Epoch tells a deliberate second reading of the same offsets (a backfill) from a replay.
	Epoch int
	// Planned is when the chunk was first about to be sent, by whoever did so; zero for chunks that nobody plans. What was
	// planned long ago may be stored already, under a name that the warehouse has forgotten by now.
	Planned time.Time
}

// Publisher sends what a batch has to say to other topics: signals and dead letters.
type Publisher interface {
	// Publish hands the batch's signals and failures over. It copies what it needs.
	Publish(ctx context.Context, b *Batch) error
	// Barrier returns what waits until all that was published before is stored by the broker, and says if some is not. It is
	// waited for beside what is published meanwhile.
	Barrier() func(ctx context.Context) error
	// Bury returns when the broker has stored dead letters that no batch holds any more. It may be called beside the others.
	Bury(ctx context.Context, letters []DeadLetter) error
}

// Stateful is the state of one partition of a topic that is read in transactions. Everything since the last Commit is undone
// by Rollback: a transaction that was aborted must leave no trace, or its records count twice. It serves one goroutine.
type Stateful interface {
	Commit()
	Rollback()
	// Dirty calls f for every state that has changed since the last Commit, as records of a compacted changelog; a nil
	// value means that the state is gone. The slices are valid until f returns.
	Dirty(f func(key, value []byte))
	// Restore takes a record of the changelog, in its order, before the first record.
	Restore(key, value []byte) error
}

// Correlator is the state of one partition of the signals topic.
type Correlator interface {
	Stateful
	// Process takes the next signal of the partition and appends what it brings about to out.
	Process(s *Signal, out *Output)
	// Tick moves on past input partitions that have gone silent. It is called after each poll's signals.
	Tick(out *Output)
}

// Desk is the state of the alerts of a partition's teams: it decides what of that which was found reaches whom. Its time
// is that of the records, out.Now.
type Desk interface {
	Stateful
	// Found takes an alert that the correlator found, and may change it.
	Found(a *Alert, out *Output)
	// Control takes what a person said.
	Control(c *Control, out *Output)
	// Tick does what is due by time. It is called after each record.
	Tick(out *Output)
}

// Output is what detect's state says. The caller sets Now, its clock, and takes the rest.
type Output struct {
	Now    time.Time
	Alerts []*Alert
	Growth []*Growth
	// Signals are those of rules that take the alerts of others, for the signals topic.
	Signals []Signal
	// Controls are what rules say of alerts: windows that events opened or closed.
	Controls []Control
	Letters  []DeadLetter // records that nothing could be made of
}

// Reset empties the output for the next poll.
func (o *Output) Reset(now time.Time) {
	clear(o.Alerts)
	clear(o.Growth)
	clear(o.Signals)
	clear(o.Controls)
	clear(o.Letters)
	o.Now, o.Alerts, o.Growth, o.Signals = now, o.Alerts[:0], o.Growth[:0], o.Signals[:0]
	o.Controls, o.Letters = o.Controls[:0], o.Letters[:0]
}
