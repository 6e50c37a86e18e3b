package correlate

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"slices"
)

// large is what a window of many entries has beside them, so that neither its aggregates nor its encoding are made anew
// from all of them with every signal and transaction.
type large struct {
	running []running // the aggregates of the window, by place
	chunks  []chunk   // encodings of the first entries
	covered int       // how many entries the chunks have
}

// chunk is the encoding of n entries side by side.
type chunk struct {
	n    int
	text []byte // empty where one of them has changed
}

// chunkEntries is how many entries a new chunk has. By late ones it grows to twice as many.
const chunkEntries = 256

// entryBytes is about what an entry takes when it is encoded.
const entryBytes = 40

// encode appends the encodings of the entries. Chunks that have not changed are copied.
func (l *large) encode(b []byte, entries []entry) []byte {
	for ; len(entries)-l.covered >= chunkEntries; l.covered += chunkEntries {
		l.chunks = append(l.chunks, chunk{n: chunkEntries})
	}
	before := int64(0)
	for i := range l.chunks {
		c := &l.chunks[i]
		if len(c.text) == 0 {
			c.text = appendEntries(slices.Grow(c.text, entryBytes*c.n), entries[:c.n], entries[0].time)
		}
		// The first entry's time is told from that of the one before it, which may be another one by now.
		b = binary.AppendVarint(b, entries[0].time-before)
		b = append(b, c.text[1:]...)
		before, entries = entries[c.n-1].time, entries[c.n:]
	}
	return appendEntries(b, entries, before)
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
		c.n, c.text = c.n+more, c.text[:0]
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
			c.n, c.text = c.n-n, c.text[:0]
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

// tallySeed keeps who chooses values from knowing their hashes.
var tallySeed = maphash.MakeSeed()

// add counts so many entries more of the value, or less.
func (t *tally) add(value string, entries int) {
	if 4*t.values >= 3*len(t.slots) {
		t.grow()
	}
	h := max(maphash.String(tallySeed, value), 1)
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
