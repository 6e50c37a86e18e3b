package pipeline

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"
)

// SignalKind says what a signal carries.
type SignalKind uint8

const (
	SignalMatch SignalKind = 1 // a step of a rule matched an event
	// SignalWatermark: an input partition's event time has reached Time. The zero Time says that the partition has an
	// owner who has not read anything yet: whoever waits for the slowest partition waits for it.
	SignalWatermark SignalKind = 2
	// SignalAlert: a step of a rule matched an alert of another rule. Detect writes it in the transaction of the alert. Its
	// origin is the partition of the signals topic whose state found the alert, which numbers such signals by Offset: a reader
	// that is sent back to what it has read drops them. It moves no watermark.
	SignalAlert SignalKind = 3
	// SignalDismiss: a person called the alert EventID of the rule a false positive. The desk writes it to every partition;
	// who holds the series that the alert is of asks more of it for a time. It has no origin and moves no watermark.
	SignalDismiss SignalKind = 4
	// SignalForget: a person wants what was learnt of the key forgotten. It has no origin and moves no watermark.
	SignalForget SignalKind = 5
	// SignalQuarantine: ingest does not judge the rule any more, for the reason that is the first of Values. It has no origin
	// and moves no watermark.
	SignalQuarantine SignalKind = 6
	// SignalPassed: the watermark of rules that are Step alerts deep has reached Time in partition Origin.Partition of the signals
	// topic, and the signals of the alerts that they gave before are before this one. Detect writes it to every partition, in
	// the transaction of those alerts; it is the watermark of whoever takes them.
	SignalPassed SignalKind = 7
)

// Signal is what ingest tells detect, and detect itself where a rule takes alerts of another: a step of a rule matched an
// event, or an input partition's watermark moved. It is
// keyed by the rule's correlation key, so that all state of one key lands on one partition of the signals topic.
//
// A signal owns its strings: it may be kept.
type Signal struct {
	Kind SignalKind

	// Origin is the input record. Signals of one input partition come in the order of (Offset, Seq) whoever produces
	// them, so a reader drops what it has seen by one high-water mark for each input partition.
	Origin TopicPartition
	Offset int64
	Seq    uint32 // number of the signal among those of its record, from 0

	// After names the match that its worker sent before this one, of the same input partition to the same partition of the
	// signals topic: a reader that has not seen it takes neither a match nor a watermark that follows it, for the broker has
	// refused it and whoever reads the input next sends both again. Seq counts from 1 there; the zero Place is before all.
	After Place

	Rule    string
	Version int
	Digest  uint64 // of the rule's definition: who holds another one under the same name must not count the signal
	Step    int    // index of the step in the rule
	Key     string // the correlation key
	Time    time.Time
	Ingest  time.Time
	EventID uuid.UUID

	// Values are what the rule's step takes from the event, in the order of the step's own list: the members of a
	// distinct count, the numbers of a sum, the value of a metric.
	Values []string
	// Fields are the event's fields that the rule's alert speaks of, by column name.
	Fields []Attr
}

// Place is that of a signal among those of its input partition.
type Place struct {
	Offset int64
	Seq    uint32
}

// Before reports whether p comes before q.
func (p Place) Before(q Place) bool {
	return p.Offset < q.Offset || p.Offset == q.Offset && p.Seq < q.Seq
}

// Field returns the captured field of that column name, or "".
func (s *Signal) Field(column string) string {
	for i := range s.Fields {
		if s.Fields[i].Key == column {
			return s.Fields[i].Value
		}
	}
	return ""
}

// signalVersion is the first byte of every encoded signal. A reader refuses what it does not know: the topic is private
// to one version of tocsin at a time, and an upgrade drains it first.
const signalVersion = 3

var errShortSignal = errors.New("signal ends too early")

// AppendSignal appends the signal's encoding to dst: a version byte, then fields in the order of the struct; integers as
// varints, strings and lists with their length before them.
func AppendSignal(dst []byte, s *Signal) []byte {
	dst = append(dst, signalVersion, byte(s.Kind))
	dst = appendString(dst, s.Origin.Topic)
	dst = append(dst, s.Origin.ID[:]...)
	dst = binary.AppendVarint(dst, int64(s.Origin.Partition))
	dst = binary.AppendVarint(dst, s.Offset)
	dst = binary.AppendUvarint(dst, uint64(s.Seq))
	dst = binary.AppendUvarint(dst, uint64(s.After.Seq))
	if s.After.Seq > 0 {
		dst = binary.AppendVarint(dst, s.Offset-s.After.Offset)
	}
	dst = binary.AppendVarint(dst, nanos(s.Time))
	dst = binary.AppendVarint(dst, nanos(s.Ingest))
	if s.Kind == SignalWatermark {
		return dst
	}
	dst = appendString(dst, s.Rule)
	dst = binary.AppendVarint(dst, int64(s.Version))
	dst = binary.LittleEndian.AppendUint64(dst, s.Digest)
	dst = binary.AppendVarint(dst, int64(s.Step))
	dst = appendString(dst, s.Key)
	dst = append(dst, s.EventID[:]...)
	dst = binary.AppendUvarint(dst, uint64(len(s.Values)))
	for _, v := range s.Values {
		dst = appendString(dst, v)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.Fields)))
	for _, f := range s.Fields {
		dst = appendString(appendString(dst, f.Key), f.Value)
	}
	return dst
}

// DecodeSignal reads what AppendSignal wrote. It copies b once; the signal does not point into b.
func DecodeSignal(b []byte) (Signal, error) {
	var s Signal
	if len(b) < 2 {
		return s, errShortSignal
	}
	if b[0] != signalVersion {
		return s, fmt.Errorf("signal of version %d, want %d", b[0], signalVersion)
	}
	d := signalReader{rest: string(b[2:])}
	s.Kind = SignalKind(b[1])
	s.Origin.Topic = d.str()
	s.Origin.ID = d.uuid()
	s.Origin.Partition = int32(d.varint())
	s.Offset = d.varint()
	s.Seq = uint32(d.uvarint())
	if s.After.Seq = uint32(d.uvarint()); s.After.Seq > 0 {
		s.After.Offset = s.Offset - d.varint()
	}
	s.Time = timeOf(d.varint())
	s.Ingest = timeOf(d.varint())
	switch s.Kind {
	case SignalWatermark:
	case SignalMatch, SignalAlert, SignalDismiss, SignalForget, SignalQuarantine, SignalPassed:
		s.Rule = d.str()
		s.Version = int(d.varint())
		s.Digest = d.uint64()
		s.Step = int(d.varint())
		s.Key = d.str()
		s.EventID = d.uuid()
		if n := d.count(); n > 0 {
			s.Values = make([]string, n)
			for i := range s.Values {
				s.Values[i] = d.str()
			}
		}
		if n := d.count(); n > 0 {
			s.Fields = make([]Attr, n)
			for i := range s.Fields {
				s.Fields[i] = Attr{d.str(), d.str()}
			}
		}
	default:
		return s, fmt.Errorf("signal of unknown kind %d", s.Kind)
	}
	if d.bad {
		return s, errShortSignal
	}
	if d.rest != "" {
		return s, fmt.Errorf("signal has %d bytes too many", len(d.rest))
	}
	return s, nil
}

// nanos is the Unix time in nanoseconds; the zero time, which lies outside of their range, is the smallest number.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return math.MinInt64
	}
	return t.UnixNano()
}

func timeOf(nanos int64) time.Time {
	if nanos == math.MinInt64 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// signalReader takes fields off the front of rest. After the first field that is not whole, bad is set and every further
// field is empty.
type signalReader struct {
	rest string
	bad  bool
}

func (d *signalReader) take(n int) string {
	if n < 0 || n > len(d.rest) {
		d.bad, d.rest = true, ""
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *signalReader) uvarint() uint64 {
	var v uint64
	for i := 0; i < len(d.rest) && i < binary.MaxVarintLen64; i++ {
		c := d.rest[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			d.rest = d.rest[i+1:]
			return v
		}
	}
	d.bad, d.rest = true, ""
	return 0
}

func (d *signalReader) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (d *signalReader) uint64() uint64 {
	var b [8]byte
	copy(b[:], d.take(len(b)))
	return binary.LittleEndian.Uint64(b[:])
}

// count reads the length of a list. Each member takes a byte at least, which bounds what a broken length can allocate.
func (d *signalReader) count() int {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, ""
		return 0
	}
	return int(n)
}

func (d *signalReader) str() string {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, ""
		return ""
	}
	return d.take(int(n))
}

func (d *signalReader) uuid() uuid.UUID {
	var u uuid.UUID
	copy(u[:], d.take(len(u)))
	return u
}

// Clone returns a signal whose strings are its own, for a matcher that built it from a batch's strings.
func (s Signal) Clone() Signal {
	s.Origin.Topic = strings.Clone(s.Origin.Topic)
	s.Rule, s.Key = strings.Clone(s.Rule), strings.Clone(s.Key)
	s.Values = append([]string(nil), s.Values...)
	for i, v := range s.Values {
		s.Values[i] = strings.Clone(v)
	}
	s.Fields = append([]Attr(nil), s.Fields...)
	for i, f := range s.Fields {
		s.Fields[i] = Attr{strings.Clone(f.Key), strings.Clone(f.Value)}
	}
	return s
}
