package pipeline

import (
	"time"

	"github.com/google/uuid"
)

// Record is bytes as Kafka, or a file, gave them. Value, Key and Headers are read-only and live until the Batch is released.
type Record struct {
	Offset  int64
	Time    time.Time // when the broker or the producer stamped it: the pipeline's only "now"
	Key     []byte
	Value   []byte
	Headers []Header
}

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Header returns the value of the header of that name, or "".
func (r *Record) Header(key string) string {
	for i := range r.Headers {
		if r.Headers[i].Key == key {
			return string(r.Headers[i].Value)
		}
	}
	return ""
}

// TopicPartition names a partition. ID tells a topic from a later one of the same name.
type TopicPartition struct {
	Topic     string
	ID        uuid.UUID
	Partition int32
}

// Span is the range [From, To) of one partition's offsets.
type Span struct {
	TopicPartition
	From, To int64
}

// Failure is a record, or a part of one, that could not become an event. It becomes a dead letter.
type Failure struct {
	Record int    // index into Batch.Records
	Line   int    // line within the record's value, from 1; 0 when the whole record is meant
	Stage  string // which step refused it: parse, rule, sink ...
	Source string // format it was read as; empty when none was recognised
	Reason string // what is wrong and, where the user can mend it, how
	Data   []byte // the refused part, redacted; owned by the Failure
}

// Batch is the unit of work: consecutive records of one partition, the events parsed from them, what was refused and
// what the rules signal. It has exactly one owner; passing the pointer on gives it up.
//
// Strings and slices of its events point into its records and live until Release. Whoever keeps something longer clones
// it, at the line that keeps it.
type Batch struct {
	TopicPartition
	Records  []Record
	Events   []Event
	Failures []Failure
	Signals  []Signal
	Polled   time.Time // when the records came here; zero where nobody noted it

	// Free is called once by Release, with the records' memory; nil where nobody wants it back.
	Free func()
}

// Next appends an empty event that stems from record i and returns it. The pointer is valid until the next call.
func (b *Batch) Next(i int) *Event {
	if len(b.Events) < cap(b.Events) {
		b.Events = b.Events[:len(b.Events)+1]
	} else {
		b.Events = append(b.Events, Event{})
	}
	e := &b.Events[len(b.Events)-1]
	attrs, labels, vulns, attacks := e.Attrs[:0], e.Labels[:0], e.Vulns[:0], e.Attacks[:0] // reuse what an earlier batch allocated
	r := &b.Records[i]
	*e = Event{} // in place: a literal with fields is built elsewhere and copied
	e.Time, e.IngestTime = r.Time, r.Time
	e.Phase, e.Team, e.Outcome, e.NetScope = PhaseUnknown, TeamNone, OutcomeUnknown, NetNone
	e.Attrs, e.Labels, e.Vulns, e.Attacks = attrs, labels, vulns, attacks
	e.Topic, e.Partition, e.Offset = b.Topic, b.Partition, r.Offset
	e.record = i
	return e
}

// Record returns the record that the event stems from.
func (b *Batch) Record(e *Event) *Record { return &b.Records[e.record] }

// RecordIndex returns the index in b.Records of the record that the event stems from.
func (b *Batch) RecordIndex(e *Event) int { return e.record }

// Fail notes that a part of a record goes to the dead letters.
func (b *Batch) Fail(f Failure) { b.Failures = append(b.Failures, f) }

// Span returns the offsets that the batch covers.
func (b *Batch) Span() Span {
	if len(b.Records) == 0 {
		return Span{TopicPartition: b.TopicPartition}
	}
	return Span{b.TopicPartition, b.Records[0].Offset, b.Records[len(b.Records)-1].Offset + 1}
}

// Split parts the batch before the first record at or behind the offset. It is for batches that were not processed yet.
// Either half may be nil. The records' memory goes back when the second half is released, or the first if it is alone.
func (b *Batch) Split(offset int64) (before, behind *Batch) {
	i := 0
	for i < len(b.Records) && b.Records[i].Offset < offset {
		i++
	}
	switch i {
	case 0:
		return nil, b
	case len(b.Records):
		return b, nil
	}
	behind = &Batch{TopicPartition: b.TopicPartition, Records: append([]Record(nil), b.Records[i:]...), Polled: b.Polled, Free: b.Free}
	b.Records, b.Free = b.Records[:i], nil
	return b, behind
}

// Reset empties the batch for another use, keeping its memory.
func (b *Batch) Reset() {
	clear(b.Records)
	b.TopicPartition, b.Polled, b.Free = TopicPartition{}, time.Time{}, nil
	b.Records, b.Events, b.Failures, b.Signals = b.Records[:0], b.Events[:0], b.Failures[:0], b.Signals[:0]
}

// Release ends the life of everything in the batch and gives the records' memory back. The batch itself is empty and may
// be used again.
func (b *Batch) Release() {
	if b.Free != nil {
		b.Free()
	}
	b.Reset()
}
