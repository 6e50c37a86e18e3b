package sigma

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"unsafe"
)

type valueKind uint8

const (
	valueText valueKind = iota // also numbers and booleans, in canonical form
	valueNull
	valueObject // a field that holds an object is there, but equals nothing
)

// value is one scalar of the event. Its texts point into the line or the matcher's arena: they live until the next event.
type value struct {
	kind     valueKind
	isFolded bool
	searched bool  // for keywords
	next     int32 // the next value of the same field, or -1
	raw, low string
}

func (v *value) addr() (netip.Addr, bool) {
	if len(v.raw) < 2 || len(v.raw) > 64 { // an error would be allocated
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(v.raw)
	return addr.WithZone(""), err == nil
}

// slot holds the values of one field in the current event.
type slot struct {
	epoch      uint32 // of the event in which the field was seen last
	head, tail int32
	exact      bool // the key was the whole dotted name, which goes before a path
}

// fieldTree finds the fields that rules read by the keys on the way to them.
type fieldTree struct {
	slot  int32 // -1: no rule reads this
	exact bool
	kids  map[string]*fieldTree
}

// add enters a field: a key of its whole name, or a path of its parts.
func (t *fieldTree) add(name string, slot int32) {
	kid := t.kid(name)
	kid.slot, kid.exact = slot, true
	at := t
	for rest := []byte(name); rest != nil; {
		part, after, dotted := bytes.Cut(rest, []byte("."))
		at = at.kid(string(part))
		rest = after
		if !dotted {
			rest = nil
		}
	}
	if at.slot < 0 {
		at.slot = slot
	}
}

// alias makes the fields of the object at the path count as if they stood outside of it.
func (t *fieldTree) alias(path []string) {
	at := t
	for _, key := range path {
		at = at.kid(key)
	}
	if at.kids == nil {
		at.kids = map[string]*fieldTree{}
	}
	for key, kid := range t.kids {
		if at.kids[key] == nil {
			at.kids[key] = kid
		}
	}
}

func (t *fieldTree) kid(key string) *fieldTree {
	if t.kids == nil {
		t.kids = map[string]*fieldTree{}
	}
	k := t.kids[key]
	if k == nil {
		k = &fieldTree{slot: -1}
		t.kids[key] = k
	}
	return k
}

// maxDepth bounds the nesting of an event.
const maxDepth = 256

// readJSON takes the fields that rules read, and for keywords all values, from one JSON object. It checks the grammar as it
// goes: after an error part of the values is there.
func (m *Matcher) readJSON(line []byte) error {
	m.scan = scanner{data: line}
	if !m.scan.take('{') {
		return errors.New("no JSON object")
	}
	if err := m.readObject(&m.program.fields, 1); err != nil {
		return err
	}
	if m.scan.next(); m.scan.at < len(line) { // something stands behind it
		return errJSON
	}
	return nil
}

// readObject reads an object from behind its brace.
func (m *Matcher) readObject(at *fieldTree, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("nested more than %d levels", maxDepth)
	}
	s := &m.scan
	if s.take('}') {
		return nil
	}
	for {
		if s.next() != '"' {
			return errJSON
		}
		key, escaped, err := s.text()
		if err != nil {
			return err
		}
		var kid *fieldTree
		if at != nil && at.kids != nil {
			kid = at.kids[string(m.key(key, escaped))]
		}
		if !s.take(':') {
			return errJSON
		}
		if err := m.readValue(kid, depth); err != nil {
			return err
		}
		if s.take('}') {
			return nil
		}
		if !s.take(',') {
			return errJSON
		}
	}
}

// key returns a key without its blanks: rules write them so.
func (m *Matcher) key(key []byte, escaped bool) []byte {
	if escaped {
		m.keyBuf = appendUnescaped(m.keyBuf[:0], key)
		key = m.keyBuf
	}
	if bytes.IndexByte(key, ' ') < 0 {
		return key
	}
	buf := m.keyBuf[:0] // may be key itself: what is written never overtakes what is read
	for _, c := range key {
		if c != ' ' {
			buf = append(buf, c)
		}
	}
	m.keyBuf = buf
	return buf
}

// readValue reads a value. Members of an array are values of its field.
func (m *Matcher) readValue(at *fieldTree, depth int) error {
	s := &m.scan
	wanted := m.program.keywords || at != nil && at.slot >= 0
	switch c := s.next(); c {
	case '{':
		s.at++
		m.add(at, value{kind: valueObject})
		return m.readObject(at, depth+1)
	case '[':
		s.at++
		return m.readArray(at, depth+1)
	case '"':
		raw, escaped, err := s.text()
		if err == nil && wanted {
			m.add(at, newText(m.unescape(raw, escaped)))
		}
		return err
	case 't', 'f', 'n':
		raw, err := s.word()
		switch {
		case err != nil || !wanted:
		case c == 'n':
			m.add(at, value{kind: valueNull})
		default:
			m.add(at, newText(alias(raw)))
		}
		return err
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		raw, err := s.number()
		if err == nil && wanted {
			m.add(at, newText(m.number(raw)))
		}
		return err
	}
	return errJSON
}

// readArray reads an array from behind its bracket.
func (m *Matcher) readArray(at *fieldTree, depth int) error {
	m.touch(at)
	if depth > maxDepth {
		return fmt.Errorf("nested more than %d levels", maxDepth)
	}
	s := &m.scan
	if s.take(']') {
		return nil
	}
	for {
		if err := m.readValue(at, depth); err != nil {
			return err
		}
		if s.take(']') {
			return nil
		}
		if !s.take(',') {
			return errJSON
		}
	}
}

// touch notes that the field is there, and returns its slot; nil where another one goes before.
func (m *Matcher) touch(at *fieldTree) *slot {
	if at == nil || at.slot < 0 {
		return nil
	}
	s := &m.slots[at.slot]
	switch {
	case s.epoch != m.epoch:
		*s = slot{epoch: m.epoch, head: -1, tail: -1, exact: at.exact}
		m.seen = append(m.seen, at.slot)
	case s.exact && !at.exact:
		return nil
	case at.exact && !s.exact:
		s.head, s.tail, s.exact = -1, -1, true
	}
	return s
}

// add keeps a value for its field and for keywords.
func (m *Matcher) add(at *fieldTree, v value) {
	s := m.touch(at)
	if s == nil && (!m.program.keywords || v.kind != valueText) {
		return
	}
	v.next = -1
	i := int32(len(m.values))
	m.values = append(m.values, v)
	if s == nil {
		return
	}
	if s.head < 0 {
		s.head = i
	} else {
		m.values[s.tail].next = i
	}
	s.tail = i
}

func (m *Matcher) unescape(raw []byte, escaped bool) string {
	if !escaped {
		return alias(raw)
	}
	from := len(m.arena)
	m.arena = appendUnescaped(m.arena, raw)
	return alias(m.arena[from:])
}

// number returns a number's canonical text: integers are kept digit by digit, 1.0 and 1e0 are 1.
func (m *Matcher) number(raw []byte) string {
	for i, c := range raw {
		if (c < '0' || c > '9') && (i > 0 || c != '-') || len(raw) == 2 && i == 0 && c == '-' && raw[1] == '0' {
			f, err := strconv.ParseFloat(alias(raw), 64)
			if err != nil {
				return alias(raw) // beyond what a float holds
			}
			from := len(m.arena)
			m.arena = appendFloat(m.arena, f)
			return alias(m.arena[from:])
		}
	}
	return alias(raw)
}

// folded returns the value's text in one spelling for all cases, made once.
func (m *Matcher) folded(v *value) string {
	if !v.isFolded {
		v.isFolded = true
		v.low = v.raw
		if !isFolded(v.raw) {
			from := len(m.arena)
			m.arena = appendFold(m.arena, v.raw)
			v.low = alias(m.arena[from:])
		}
	}
	return v.low
}

// alias returns the bytes as a string without a copy. It is the only place where that is done here: the line and the
// arena are not changed before the next event, and nothing keeps a value longer.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// bytesOf is the contrary, for readers that want bytes and do not change them.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

func newText(s string) value { return value{raw: s} }
