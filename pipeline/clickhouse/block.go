package clickhouse

import (
	"sync"

	"github.com/ClickHouse/ch-go/proto"
)

// table is where a sink's rows go.
type table[R any] struct {
	name    string
	columns []column[R]

	mu   sync.Mutex
	free []*block[R] // emptied: between chunks a sink holds no memory, and the next chunk allocates none
}

// maxFree bounds the blocks that a table keeps for later. It is no sync.Pool: the collector empties one, and to make a large
// block anew costs more than to collect.
const maxFree = 3

// block returns an empty block.
func (t *table[R]) block() *block[R] {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.free); n > 0 {
		b := t.free[n-1]
		t.free[n-1], t.free = nil, t.free[:n-1]
		return b
	}
	return newBlock(t)
}

// giveBack ends the use of a block. One that once held much more than it was used for is not kept: a lag is over.
func (t *table[R]) giveBack(b *block[R]) {
	size := b.size()
	b.most = max(b.most, size)
	b.input.Reset()
	b.origins, b.rows = b.origins[:0], 0
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.free) < maxFree && size >= b.most/8 {
		t.free = append(t.free, b)
	}
}

// block is the rows of one chunk, column by column. It is what one INSERT sends, as often as it takes.
type block[R any] struct {
	input   proto.Input
	checks  []func(*R) error
	adds    []func(*R)
	sizes   []func() int
	picks   []func(rows []int) proto.ColInput
	origins []origin // by row
	rows    int
	most    int // bytes that it ever held
}

// origin is the record that a row stems from.
type origin struct {
	offset int64
	millis int64 // its Kafka time, since 1970
	day    int64 // of the row's event, as dayOf has it; 0 where the table has no events
}

func newBlock[R any](t *table[R]) *block[R] {
	b := new(block[R])
	for _, c := range t.columns {
		cell := c.open()
		b.input = append(b.input, proto.InputColumn{Name: c.name, Data: cell.data})
		b.adds = append(b.adds, cell.add)
		if cell.check != nil {
			b.checks = append(b.checks, cell.check)
		}
		b.sizes = append(b.sizes, cell.size)
		b.picks = append(b.picks, cell.pick)
	}
	return b
}

// add copies a row in, or says why it does not fit the table.
func (b *block[R]) add(r *R, from origin) error {
	for _, check := range b.checks {
		if err := check(r); err != nil {
			return err
		}
	}
	for _, add := range b.adds {
		add(r)
	}
	b.origins = append(b.origins, from)
	b.rows++
	return nil
}

// size returns the bytes that the rows take in memory.
func (b *block[R]) size() int {
	n := 24 * len(b.origins)
	for _, size := range b.sizes {
		n += size()
	}
	return n
}

// pick returns a copy of the block that holds those rows only.
func (b *block[R]) pick(rows []int) proto.Input {
	input := make(proto.Input, len(b.input))
	for i, pick := range b.picks {
		input[i] = proto.InputColumn{Name: b.input[i].Name, Data: pick(rows)}
	}
	return input
}

// value returns what a row has in a column of text.
func (b *block[R]) value(column string, row int) []byte {
	for i := range b.input {
		if b.input[i].Name != column {
			continue
		}
		switch c := b.picks[i]([]int{row}).(type) {
		case *text:
			return c.values()[0]
		case *lowCard:
			return c.words.values()[0]
		}
	}
	panic("BUG: no column of text is named " + column)
}
