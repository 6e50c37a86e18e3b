package clickhouse

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"
)

// column is one column of a table whose rows are made from values of type R: a line of the tables in event.go and
// record.go.
type column[R any] struct {
	name string
	open func() cell[R]
}

// cell is one column of one block. Values are copied in; what was appended from may go away afterwards.
type cell[R any] struct {
	data proto.ColInput
	add  func(*R)
	size func() int                      // bytes of memory in use
	pick func(rows []int) proto.ColInput // a copy that holds those rows only; they rise
	// check says why the row's value does not fit the column, and is called before add; nil where every value fits.
	check func(*R) error
}

// fixed makes a column of one of ch-go's columns whose values take width bytes.
func fixed[R, E any, S ~[]E, C interface {
	*S
	proto.ColInput
	proto.Resettable
}](name, typ string, width int, get func(*R) E) column[R] {
	return column[R]{name: name, open: func() cell[R] {
		rows := new(S)
		as := func(rows *S) typed { return typed{C(rows), C(rows), proto.ColumnType(typ)} }
		return cell[R]{
			data: as(rows), add: func(r *R) { *rows = append(*rows, get(r)) }, size: func() int { return width * len(*rows) },
			pick: func(of []int) proto.ColInput { return as(pick(rows, of)) },
		}
	}}
}

// pick returns a copy of those rows.
func pick[S ~[]E, E any](rows *S, of []int) *S {
	picked := make(S, len(of))
	for i, row := range of {
		picked[i] = (*rows)[row]
	}
	return &picked
}

// typed gives a column the very type that the table's column has, so that the server converts nothing.
type typed struct {
	proto.ColInput
	proto.Resettable
	typ proto.ColumnType
}

func (t typed) Type() proto.ColumnType { return t.typ }

func u8[R any](name string, get func(*R) uint8) column[R] {
	return fixed[R, uint8, proto.ColUInt8](name, "UInt8", 1, get)
}

func u16[R any](name string, get func(*R) uint16) column[R] {
	return fixed[R, uint16, proto.ColUInt16](name, "UInt16", 2, get)
}

func u32[R any](name string, get func(*R) uint32) column[R] {
	return fixed[R, uint32, proto.ColUInt32](name, "UInt32", 4, get)
}

func u64[R any](name string, get func(*R) uint64) column[R] {
	return fixed[R, uint64, proto.ColUInt64](name, "UInt64", 8, get)
}

func i32[R any](name string, get func(*R) int32) column[R] {
	return fixed[R, int32, proto.ColInt32](name, "Int32", 4, get)
}

func i64[R any](name string, get func(*R) int64) column[R] {
	return fixed[R, int64, proto.ColInt64](name, "Int64", 8, get)
}

func f64[R any](name string, get func(*R) float64) column[R] {
	return fixed[R, float64, proto.ColFloat64](name, "Float64", 8, get)
}

func id[R any](name string, get func(*R) uuid.UUID) column[R] {
	return fixed[R, uuid.UUID, proto.ColUUID](name, "UUID", 16, get)
}

// ip stores the zero Addr as ::, and IPv4 mapped.
func ip[R any](name string, get func(*R) netip.Addr) column[R] {
	return fixed[R, proto.IPv6, proto.ColIPv6](name, "IPv6", 16, func(r *R) proto.IPv6 { return get(r).As16() })
}

// millis is a DateTime64 in milliseconds, which on the wire is their number since 1970. A time outside of what the type
// holds becomes the nearest that it does: 1970 also for the zero time.Time.
func millis[R any](name string, get func(*R) time.Time) column[R] {
	return fixed[R, int64, proto.ColInt64](name, "DateTime64(3, 'UTC')", 8, func(r *R) int64 {
		return min(max(get(r).UnixMilli(), 0), lastMilli)
	})
}

// lastMilli is the end of the range of a Date, which tables are partitioned by and which is narrower than DateTime64's.
var lastMilli = time.Date(2149, 6, 6, 23, 59, 59, 999e6, time.UTC).UnixMilli()

// word is an Enum8 of words, numbered from first. The empty string is the word 0, where there is one.
func word[R any](name string, first int, words []string, get func(*R) string) column[R] {
	var typ []string
	for i, w := range words {
		typ = append(typ, fmt.Sprintf("'%s' = %d", w, first+i))
	}
	return column[R]{name: name, open: func() cell[R] {
		c := &enum{first: first, words: words, word: words[0], number: int8(first)}
		as := func(rows *proto.ColInt8) typed {
			return typed{rows, rows, proto.ColumnType("Enum8(" + strings.Join(typ, ", ") + ")")}
		}
		return cell[R]{
			data: as(&c.rows),
			size: c.rows.Rows,
			pick: func(of []int) proto.ColInput { return as(pick(&c.rows, of)) },
			check: func(r *R) error {
				if w := get(r); !c.find(w) {
					return fmt.Errorf("column %s: %q is none of %s", name, w, strings.Join(words, ", "))
				}
				return nil
			},
			add: func(*R) { c.rows.Append(c.number) },
		}
	}}
}

// enum is an Enum8 column. Each value is found first, and added then.
type enum struct {
	rows   proto.ColInt8
	first  int
	words  []string
	word   string // the one that was found last, which the next is often equal to
	number int8
}

// find reports whether the column knows the word, and remembers its number.
func (c *enum) find(w string) bool {
	if w == c.word {
		return true
	}
	if w == "" && c.first == 0 {
		c.word, c.number = "", 0
		return true
	}
	i := slices.Index(c.words, w)
	if i < 0 {
		return false
	}
	c.word, c.number = c.words[i], int8(c.first+i)
	return true
}

func str[R any](name string, get func(*R) string) column[R] {
	return column[R]{name: name, open: func() cell[R] {
		c := new(text)
		return cell[R]{data: c, add: func(r *R) { c.add(get(r)) }, size: c.size, pick: func(of []int) proto.ColInput { return c.pick(of) }}
	}}
}

func low[R any](name string, get func(*R) string) column[R] {
	return column[R]{name: name, open: func() cell[R] {
		c := new(lowCard)
		return cell[R]{data: c, add: func(r *R) { c.add(get(r)) }, size: c.size, pick: func(of []int) proto.ColInput { return c.pick(of) }}
	}}
}

func lows[R any](name string, get func(*R) []string) column[R] {
	return list(name, get, func() *lowCard { return new(lowCard) })
}

func strs[R any](name string, get func(*R) []string) column[R] {
	return list(name, get, func() *text { return new(text) })
}

func list[R any, V words[V]](name string, get func(*R) []string, open func() V) column[R] {
	return column[R]{name: name, open: func() cell[R] {
		c := &lists[V]{values: open()}
		return cell[R]{data: c, size: c.size, pick: func(of []int) proto.ColInput { return c.pick(of) }, add: func(r *R) {
			for _, s := range get(r) {
				c.values.add(s)
			}
			c.end()
		}}
	}}
}

// text is a String column that holds its values as they go over the wire, so that encoding it is one copy, or none. Its memory is in
// pieces: one that grows as a whole is copied again and again, and takes twice its size meanwhile.
type text struct {
	wire  [][]byte // each value with its length before it, none in two pieces
	rows  int
	bytes int
}

// textPiece is the size from which on a piece does not grow; a value that is longer has one of its own.
const textPiece = 64 << 10

func (c *text) add(s string) {
	c.rows++
	last := len(c.wire) - 1
	need := len(s) + binary.MaxVarintLen32
	if last < 0 || len(c.wire[last])+need > max(cap(c.wire[last]), textPiece) {
		last++
		if last < cap(c.wire) {
			c.wire = c.wire[:last+1] // one from before the Reset, or nil
			c.wire[last] = c.wire[last][:0]
		} else {
			c.wire = append(c.wire, nil)
		}
		if last > 0 && cap(c.wire[last]) < need {
			c.wire[last] = make([]byte, 0, max(textPiece, need))
		}
	}
	piece := c.wire[last]
	before := len(piece)
	piece = append(binary.AppendUvarint(piece, uint64(len(s))), s...)
	c.bytes += len(piece) - before
	c.wire[last] = piece
}

func (c *text) Type() proto.ColumnType { return proto.ColumnTypeString }
func (c *text) Rows() int              { return c.rows }
func (c *text) Reset()                 { c.wire, c.rows, c.bytes = c.wire[:0], 0, 0 }
func (c *text) size() int              { return c.bytes }

func (c *text) EncodeColumn(b *proto.Buffer) {
	for _, piece := range c.wire {
		b.Buf = append(b.Buf, piece...)
	}
}

func (c *text) WriteColumn(w *proto.Writer) {
	for _, piece := range c.wire {
		w.ChainWrite(piece)
	}
}

// values returns the column's values; they point into it.
func (c *text) values() [][]byte {
	values := make([][]byte, 0, c.rows)
	for _, piece := range c.wire {
		for len(piece) > 0 {
			length, n := binary.Uvarint(piece)
			piece = piece[n:]
			values, piece = append(values, piece[:length]), piece[length:]
		}
	}
	return values
}

func (c *text) pick(rows []int) *text {
	picked, values := new(text), c.values()
	for _, row := range rows {
		picked.add(string(values[row]))
	}
	return picked
}

// lowCard is a LowCardinality(String) column. ch-go's own keeps the strings that are appended until it is encoded; this
// one numbers them at once, keeps a copy of each distinct one from block to block, and so neither holds on to a batch nor
// allocates once it knows the words.
type lowCard struct {
	rows  []uint32 // index into words, by row
	words text     // those of the open block
	known map[string]*lowWord
	last  *lowWord // the newest row's: neighbours are often equal
	block uint32   // number of the open block
}

// lowWord is a string that was seen, in this block or an earlier one.
type lowWord struct {
	text  string
	index uint32 // in words, if block is the open one
	block uint32
}

// maxKnownWords bounds what a column remembers beyond a block; about 100 bytes each.
const maxKnownWords = 4096

func (c *lowCard) add(s string) {
	if c.last == nil || c.last.text != s {
		c.last = c.word(s)
	}
	c.rows = append(c.rows, c.last.index)
}

// word returns the word for s, numbered in the open block.
func (c *lowCard) word(s string) *lowWord {
	w := c.known[s]
	if w == nil {
		if c.known == nil {
			c.known, c.block = map[string]*lowWord{}, 1
		}
		w = &lowWord{text: strings.Clone(s)}
		c.known[w.text] = w
	}
	if w.block != c.block {
		w.block, w.index = c.block, uint32(c.words.rows)
		c.words.add(w.text)
	}
	return w
}

func (c *lowCard) Reset() {
	c.rows, c.last = c.rows[:0], nil
	c.words.Reset()
	c.block++
	if len(c.known) > maxKnownWords || c.block == 0 {
		c.known = nil
	}
}

func (c *lowCard) Type() proto.ColumnType {
	return proto.ColumnTypeLowCardinality.Sub(proto.ColumnTypeString)
}
func (c *lowCard) Rows() int { return len(c.rows) }
func (c *lowCard) size() int { return c.words.size() + 4*len(c.rows) }

// EncodeState writes the version of the serialization: shared dictionaries with additional keys, the only one.
func (c *lowCard) EncodeState(b *proto.Buffer) { b.PutInt64(1) }

// EncodeColumn writes the block's dictionary and, in the narrowest integers that will do, each row's index into it.
// https://github.com/ClickHouse/ClickHouse/blob/master/src/DataTypes/Serializations/SerializationLowCardinality.cpp
func (c *lowCard) EncodeColumn(b *proto.Buffer) {
	if len(c.rows) == 0 {
		return
	}
	const hasAdditionalKeys, needUpdateDictionary = 1 << 9, 1 << 10
	width := proto.KeyUInt32
	switch n := c.words.rows; {
	case n <= 1<<8:
		width = proto.KeyUInt8
	case n <= 1<<16:
		width = proto.KeyUInt16
	}
	b.PutInt64(hasAdditionalKeys | needUpdateDictionary | int64(width))
	b.PutInt64(int64(c.words.rows))
	c.words.EncodeColumn(b)
	b.PutInt64(int64(len(c.rows)))
	b.Buf = slices.Grow(b.Buf, len(c.rows)<<width)
	switch width {
	case proto.KeyUInt8:
		for _, i := range c.rows {
			b.Buf = append(b.Buf, byte(i))
		}
	case proto.KeyUInt16:
		for _, i := range c.rows {
			b.Buf = binary.LittleEndian.AppendUint16(b.Buf, uint16(i))
		}
	default:
		for _, i := range c.rows {
			b.Buf = binary.LittleEndian.AppendUint32(b.Buf, i)
		}
	}
}

func (c *lowCard) WriteColumn(w *proto.Writer) { w.ChainBuffer(c.EncodeColumn) }

func (c *lowCard) pick(rows []int) *lowCard {
	picked, words := new(lowCard), c.words.values()
	for _, row := range rows {
		picked.add(string(words[c.rows[row]]))
	}
	return picked
}

// words is a column of text of either kind.
type words[V any] interface {
	proto.ColInput
	proto.Resettable
	add(string)
	size() int
	pick(rows []int) V
}

// lists is an Array(V) column.
type lists[V words[V]] struct {
	ends   proto.ColUInt64 // index behind each row's last value
	values V
}

// end ends the row whose values were added.
func (c *lists[V]) end() { c.ends.Append(uint64(c.values.Rows())) }

func (c *lists[V]) Type() proto.ColumnType { return proto.ColumnTypeArray.Sub(c.values.Type()) }
func (c *lists[V]) Rows() int              { return c.ends.Rows() }

// EncodeState implements proto.StateEncoder for values that have a state.
func (c *lists[V]) EncodeState(b *proto.Buffer) {
	if values, ok := any(c.values).(proto.StateEncoder); ok {
		values.EncodeState(b)
	}
}

func (c *lists[V]) EncodeColumn(b *proto.Buffer) {
	c.ends.EncodeColumn(b)
	c.values.EncodeColumn(b)
}
func (c *lists[V]) WriteColumn(w *proto.Writer) {
	c.ends.WriteColumn(w)
	c.values.WriteColumn(w)
}
func (c *lists[V]) Reset() {
	c.ends.Reset()
	c.values.Reset()
}
func (c *lists[V]) size() int { return 8*c.ends.Rows() + c.values.size() }

// members returns the indexes of the values of those rows.
func (c *lists[V]) members(rows []int) (values []int) {
	for _, row := range rows {
		first := 0
		if row > 0 {
			first = int(c.ends[row-1])
		}
		for i := first; i < int(c.ends[row]); i++ {
			values = append(values, i)
		}
	}
	return values
}

func (c *lists[V]) pick(rows []int) *lists[V] {
	picked := &lists[V]{values: c.values.pick(c.members(rows))}
	end := 0
	for _, row := range rows {
		end += len(c.members([]int{row}))
		picked.ends.Append(uint64(end))
	}
	return picked
}

// pairs is a Map(LowCardinality(String), V) column. Values are added to values, one for each key.
type pairs[V interface {
	proto.ColInput
	proto.Resettable
}] struct {
	keys   *lists[*lowCard]
	values V
}

// pick returns a copy of those rows; of picks values.
func (c *pairs[V]) pick(rows []int, of func(V, []int) V) *pairs[V] {
	return &pairs[V]{keys: c.keys.pick(rows), values: of(c.values, c.keys.members(rows))}
}

func (c *pairs[V]) Type() proto.ColumnType {
	return proto.ColumnTypeMap.Sub(c.keys.values.Type(), c.values.Type())
}
func (c *pairs[V]) Rows() int                   { return c.keys.Rows() }
func (c *pairs[V]) EncodeState(b *proto.Buffer) { c.keys.EncodeState(b) }
func (c *pairs[V]) EncodeColumn(b *proto.Buffer) {
	c.keys.EncodeColumn(b)
	c.values.EncodeColumn(b)
}
func (c *pairs[V]) WriteColumn(w *proto.Writer) {
	c.keys.WriteColumn(w)
	c.values.WriteColumn(w)
}
func (c *pairs[V]) Reset() {
	c.keys.Reset()
	c.values.Reset()
}
