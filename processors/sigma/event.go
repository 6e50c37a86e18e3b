package sigma

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"unsafe"

	"github.com/segmentio/encoding/json"
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

var errJSON = errors.New("no valid JSON")

// readJSON takes the fields that rules read, and for keywords all values, from one JSON object. It checks the grammar as it
// goes: after an error part of the values is there.
func (m *Matcher) readJSON(line []byte) error {
	t := &m.tokens
	t.Reset(line)
	if !t.Next() || t.Delim != '{' {
		return errors.New("no JSON object")
	}
	if err := m.readObject(&m.program.fields, 1); err != nil {
		return err
	}
	if t.Next() || t.Err != nil { // something stands behind it
		return errJSON
	}
	return nil
}

// readObject reads the object whose brace is the current token.
func (m *Matcher) readObject(at *fieldTree, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("nested more than %d levels", maxDepth)
	}
	t := &m.tokens
	if !t.Next() {
		return errJSON
	}
	if t.Delim == '}' {
		return nil
	}
	for {
		if !t.IsKey || t.Value[0] != '"' {
			return errJSON
		}
		var kid *fieldTree
		if at != nil && at.kids != nil {
			kid = at.kids[string(m.key(t.Value))]
		}
		if !t.Next() || t.Delim != ':' || !t.Next() {
			return errJSON
		}
		if err := m.readValue(kid, depth); err != nil {
			return err
		}
		if more, err := m.readNext('}'); !more {
			return err
		}
	}
}

// readNext reads what follows a member: a comma and the first token of the next one, or the end.
func (m *Matcher) readNext(end json.Delim) (more bool, err error) {
	t := &m.tokens
	switch {
	case !t.Next():
	case t.Delim == end:
		return false, nil
	case t.Delim == ',' && t.Next():
		return true, nil
	}
	return false, errJSON
}

// key returns a key without its blanks: rules write them so.
func (m *Matcher) key(raw json.RawValue) []byte {
	key := []byte(raw[1 : len(raw)-1])
	if bytes.IndexByte(key, '\\') >= 0 {
		m.keyBuf = raw.AppendUnquote(m.keyBuf[:0])
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

// readValue reads the value that the current token begins. Members of an array are values of its field.
func (m *Matcher) readValue(at *fieldTree, depth int) error {
	t := &m.tokens
	switch t.Delim {
	case '{':
		m.add(at, value{kind: valueObject})
		return m.readObject(at, depth+1)
	case '[':
		m.touch(at)
		if depth++; depth > maxDepth {
			return fmt.Errorf("nested more than %d levels", maxDepth)
		}
		if !t.Next() {
			return errJSON
		}
		for more := t.Delim != ']'; more; {
			err := m.readValue(at, depth)
			if err == nil {
				more, err = m.readNext(']')
			}
			if err != nil {
				return err
			}
		}
		return nil
	case 0:
	default:
		return errJSON
	}
	if !m.program.keywords && (at == nil || at.slot < 0) {
		return nil
	}
	v := value{raw: alias(t.Value)}
	switch c := t.Value[0]; {
	case c == 'n':
		v = value{kind: valueNull}
	case c == '"':
		v.raw = m.unquote(t.Value)
	case c == '-' || '0' <= c && c <= '9':
		v.raw = m.number(t.Value)
	}
	m.add(at, v)
	return nil
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

func (m *Matcher) unquote(raw json.RawValue) string {
	text := raw[1 : len(raw)-1]
	if bytes.IndexByte(text, '\\') < 0 {
		return alias(text)
	}
	// AppendUnquote repeats what its argument holds before appending, so it is given the free end of the arena.
	from := len(m.arena)
	m.arena = slices.Grow(m.arena, len(raw))
	m.arena = append(m.arena, raw.AppendUnquote(m.arena[from:from])...)
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
