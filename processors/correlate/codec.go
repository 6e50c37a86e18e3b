package correlate

import (
	"encoding"
	"encoding/binary"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/processors/alert"
)

// States are encoded as integers in varints and texts with their length before them. An episode is JSON: there is one
// only while an alert is open, and its fields change more often than the rest.

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendContext(b []byte, c *alert.Context) []byte {
	b = binary.AppendUvarint(b, uint64(len(c.Steps)))
	for i := range c.Steps {
		b = binary.AppendVarint(b, c.Steps[i].Time)
		b = appendText(b, c.Steps[i].Packed)
	}
	b = binary.AppendUvarint(b, uint64(len(c.Entities)))
	for _, list := range c.Entities {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, v := range list {
			b = appendText(b, v)
		}
	}
	return b
}

func appendEpisode(b []byte, e *alert.Episode) []byte {
	if e == nil {
		return binary.AppendUvarint(b, 0)
	}
	j, err := json.Marshal(e)
	if err != nil {
		panic("BUG: an episode cannot be encoded: " + err.Error())
	}
	return append(binary.AppendUvarint(b, uint64(len(j))), j...)
}

// decoder takes fields off the front of rest. After the first field that is not whole, bad is set and every further
// field is empty.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) fail() {
	d.bad, d.rest = true, nil
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count reads the length of a list. Each member takes a byte at least, which bounds what a broken length can allocate.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) bytes(n int) []byte {
	if n > len(d.rest) {
		d.fail()
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) text() string { return string(d.bytes(d.count())) }

func (d *decoder) uuid() (id uuid.UUID) {
	copy(id[:], d.bytes(len(id)))
	return id
}

func (d *decoder) uint64() uint64 {
	b := d.bytes(8)
	if d.bad {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

func (d *decoder) context() (c alert.Context) {
	if n := d.count(); n > 0 {
		c.Steps = make([]alert.Fields, n)
		for i := range c.Steps {
			c.Steps[i] = alert.Fields{Time: d.varint(), Packed: d.text()}
		}
	}
	if n := d.count(); n > 0 {
		c.Entities = make([][]string, n)
		for i := range c.Entities {
			for range d.count() {
				c.Entities[i] = append(c.Entities[i], d.text())
			}
		}
	}
	return c
}

func (d *decoder) episode() *alert.Episode {
	n := d.count()
	if n == 0 {
		return nil
	}
	e := &alert.Episode{}
	if err := json.Unmarshal(d.bytes(n), e); err != nil {
		d.fail()
		return nil
	}
	return e
}

func appendTimes(b []byte, list []int64) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, t := range list {
		b = binary.AppendVarint(b, t)
	}
	return b
}

func (d *decoder) times() (list []int64) {
	for range d.count() {
		list = append(list, d.varint())
	}
	return list
}

// appendState appends the state of a detector, with its length before it.
func appendState(b []byte, detector encoding.BinaryAppender) []byte {
	state, err := detector.AppendBinary(nil)
	if err != nil {
		panic("BUG: a detector cannot be encoded: " + err.Error())
	}
	return append(binary.AppendUvarint(b, uint64(len(state))), state...)
}

// state reads the state of a detector.
func (d *decoder) state(detector encoding.BinaryUnmarshaler) {
	if state := d.bytes(d.count()); !d.bad && detector.UnmarshalBinary(state) != nil {
		d.fail()
	}
}
