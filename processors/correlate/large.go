package correlate

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"slices"
	"strings"
)

// large is what a window of many entries has beside them, so that neither its aggregates nor its encoding are made anew
// from all of them with every signal and transaction.
type large struct {
	running []running // the aggregates of the window, by place
	chunks  []chunk   // encodings of the first entries
	covered int       // how many entries the chunks have
	memory  []entry   // what the window's entries are part of, empty: those that were dropped leave room before them
	texts   strings.Builder
}

// chunk is the encoding of n entries side by side.
type chunk struct {
	n           int
	first, last int64  // times of its first entry and of its last, where there is a text
	text        []byte // never changed: a transaction may hold it as well. Nil where an entry has changed
}

const (
	chunkEntries = 256  // of a new chunk. By late ones it grows to twice as many
	entryBytes   = 40   // about what an entry takes when it is encoded
	textBlock    = 4096 // bytes of values that are allocated at a time: they go about as they came
)

// text returns the bytes as a text to keep.
func (l *large) text(b []byte) string {
	if l.texts.Cap()-l.texts.Len() < len(b) {
		l.texts = strings.Builder{}
		l.texts.Grow(max(textBlock, len(b)))
	}
	from := l.texts.Len()
	l.texts.Write(b)
	return l.texts.String()[from:]
}

// room returns the entries with room for one more behind them.
func (l *large) room(entries []entry) []entry {
	if len(entries) < cap(entries) {
		return entries
	}
	if dropped := cap(l.memory) - cap(entries); dropped < len(entries)/2 {
		l.memory = make([]entry, 0, len(entries)+len(entries)/2)
	}
	return append(l.memory, entries...)
}

// settle makes the texts of all chunks. It returns how many entries they have, and the time of the last one.
func (l *large) settle(entries []entry) (n int, last int64) {
	for ; len(entries)-l.covered >= chunkEntries; l.covered += chunkEntries {
		l.chunks = append(l.chunks, chunk{n: chunkEntries})
	}
	for i := range l.chunks {
		c := &l.chunks[i]
		if c.text == nil {
			in := entries[n : n+c.n]
			c.first, c.last = in[0].time, in[c.n-1].time
			c.text = appendEntries(make([]byte, 0, entryBytes*c.n), in, c.first)
		}
		n, last = n+c.n, c.last
	}
	return n, last
}

// appendChunks appends the encodings of entries that are in chunks with texts.
func appendChunks(b []byte, chunks []chunk) []byte {
	size, before := 0, int64(0)
	for i := range chunks {
		size += len(chunks[i].text) + binary.MaxVarintLen64
	}
	b = slices.Grow(b, size)
	for i := range chunks {
		c := &chunks[i]
		// The first entry's time is told from that of the one before it, which may be another one by now.
		b = binary.AppendVarint(b, c.first-before)
		b = append(b, c.text[1:]...)
		before = c.last
	}
	return b
}

// withChunks returns the whole of a saved encoding.
func withChunks(saved []byte, chunks []chunk) []byte {
	_, n := binary.Uvarint(saved)
	whole := appendChunks(bytes.Clone(saved[:n]), chunks)
	return append(whole, saved[n:]...)
}

// appendEntries appends encodings of entries; before is the time that the first one's is told from.
func appendEntries(b []byte, entries []entry, before int64) []byte {
	for i := range entries {
		e := &entries[i]
		b = binary.AppendVarint(b, e.time-before)
		before = e.time
		b = binary.AppendUvarint(b, uint64(e.n))
		b = append(b, e.id[:]...)
		b = appendText(b, e.values)
	}
	return b
}

// change tells that an entry is another one, or by how many there are more at its place.
func (l *large) change(at, more int) {
	if at >= l.covered {
		return
	}
	start := l.covered
	for i := len(l.chunks) - 1; ; i-- {
		c := &l.chunks[i]
		if start -= c.n; at < start {
			continue
		}
		c.n, c.text = c.n+more, nil
		l.covered += more
		if c.n > 2*chunkEntries {
			half := chunk{n: c.n - chunkEntries}
			c.n = chunkEntries
			l.chunks = append(l.chunks[:i+1], append([]chunk{half}, l.chunks[i+1:]...)...)
		}
		return
	}
}

// drop tells that the n oldest entries are gone.
func (l *large) drop(n int) {
	l.covered = max(l.covered-n, 0)
	for n > 0 && len(l.chunks) > 0 {
		c := &l.chunks[0]
		if c.n > n {
			c.n, c.text = c.n-n, nil
			return
		}
		n -= c.n
		*c = chunk{}
		l.chunks = l.chunks[1:]
	}
}

// tally counts how many entries there are with each value. It keeps hashes of 64 bits of the values, by open addressing with
// linear probing: of a million values, the chance that two are taken for one is one in thirty million. The zero value is empty.
type tally struct {
	slots  []tallied
	values int
}

type tallied struct {
	hash    uint64 // 0 for nothing
	entries uint32
}

// hashSeed keeps who chooses values from knowing their hashes.
var hashSeed = maphash.MakeSeed()

// add counts so many entries more of the value, or less.
func (t *tally) add(value string, entries int) {
	if 4*t.values >= 3*len(t.slots) {
		t.grow()
	}
	h := max(maphash.String(hashSeed, value), 1)
	i := t.find(h)
	s := &t.slots[i]
	if s.hash == 0 {
		s.hash = h
		t.values++
	}
	if s.entries += uint32(entries); s.entries == 0 {
		t.remove(i)
	}
}

// find returns where the hash is, or where it is to be put.
func (t *tally) find(hash uint64) uint64 {
	mask := uint64(len(t.slots) - 1)
	i := hash & mask
	for t.slots[i].hash != hash && t.slots[i].hash != 0 {
		i = (i + 1) & mask
	}
	return i
}

func (t *tally) grow() {
	old := t.slots
	t.slots = make([]tallied, max(1<<bits.Len(uint(2*t.values)), 64))
	for _, s := range old {
		if s.hash != 0 {
			t.slots[t.find(s.hash)] = s
		}
	}
}

// remove empties a slot and moves up those behind it that stand there only because it was taken (Knuth, The Art of Computer
// Programming 3, algorithm 6.4R).
func (t *tally) remove(i uint64) {
	t.values--
	mask := uint64(len(t.slots) - 1)
	for j := (i + 1) & mask; t.slots[j].hash != 0; j = (j + 1) & mask {
		if home := t.slots[j].hash & mask; (j-home)&mask >= (j-i)&mask {
			t.slots[i] = t.slots[j]
			i = j
		}
	}
	t.slots[i] = tallied{}
}
