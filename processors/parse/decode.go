package parse

import (
	"bytes"
	"encoding/binary"
	stdjson "encoding/json"
	"errors"
	"math/bits"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"github.com/segmentio/encoding/json"
)

// decode reads one JSON value into v, which is a pointer to a struct (or slice of structs) with json tags. Its strings
// share the piece's memory. Keys match exactly; unknown ones are passed over.
//
// It is one pass: what v has no field for is checked and left, text without escapes is not copied, and Text, Number and
// Strings are read where they stand. What is well-formed, what a key that stands twice means and what null does is as in
// encoding/json; a fuzz test holds the two together. But where a field cannot hold what stands there, it stays as it is:
// versions of a tool differ in what they write, and a record is read for the rest. A scalar becomes text, text a number, and a
// single value a list where that is what the field is.
func decode(b []byte, v any) error { return decodeWith(b, v, false) }

// decodeFold is decode for reports: keys match in any case, so structs need tags only where words are joined.
func decodeFold(b []byte, v any) error { return decodeWith(b, v, true) }

func decodeWith(b []byte, v any, fold bool) error {
	p := reflect.ValueOf(v)
	i := skipSpace(b)
	if i == len(b) {
		return errObject
	}
	t := p.Type().Elem()
	opens, want := byte('{'), "object"
	if t.Kind() == reflect.Slice {
		opens, want = '[', "array"
	}
	if b[i] != opens && b[i] != 'n' {
		return typeError(b, i, want)
	}
	end, err := readerOf(t)(reading{b, fold}, i, p.UnsafePointer(), 0)
	if err != nil {
		return err
	}
	if end += skipSpace(b[end:]); end < len(b) {
		return errors.New("JSON is followed by something else")
	}
	return nil
}

// reading is the text that is read.
type reading struct {
	b    []byte
	fold bool // keys match in any case
}

// readFunc reads the value at r.b[i] into what p points to and returns where it ends. There is a byte at i.
type readFunc func(r reading, i int, p unsafe.Pointer, depth int) (end int, err error)

// readers are the functions made so far, by type.
var readers sync.Map // reflect.Type -> readFunc

func readerOf(t reflect.Type) readFunc {
	if read, ok := readers.Load(t); ok {
		return read.(readFunc)
	}
	read := newReader(t)
	readers.Store(t, read)
	return read
}

func newReader(t reflect.Type) readFunc {
	switch t {
	case reflect.TypeFor[Text]():
		return readText
	case reflect.TypeFor[Number]():
		return readNumber
	case reflect.TypeFor[Strings]():
		return readStrings
	case reflect.TypeFor[json.RawMessage]():
		return readRaw
	}
	if unmarshals(t) {
		return func(r reading, i int, p unsafe.Pointer, depth int) (int, error) {
			end, err := checkValue(r.b, i, depth)
			if err != nil {
				return 0, err
			}
			return end, reflect.NewAt(t, p).Interface().(stdjson.Unmarshaler).UnmarshalJSON(r.b[i:end])
		}
	}
	switch t.Kind() {
	case reflect.String:
		return readString
	case reflect.Bool:
		return readBool
	case reflect.Int:
		return readInt
	case reflect.Struct:
		return newFields(t).read
	case reflect.Slice:
		return newListReader(t)
	case reflect.Pointer:
		return newPointerReader(t)
	case reflect.Map:
		return newMapReader(t)
	}
	panic("BUG: no reader of JSON for " + t.String())
}

// unmarshals reports whether a type reads itself.
func unmarshals(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[stdjson.Unmarshaler]())
}

// typeError says what stands where something else is expected.
func typeError(b []byte, i int, want string) error {
	is := "number"
	switch b[i] {
	case '"':
		is = "string"
	case '{':
		is = "object"
	case '[':
		is = "array"
	case 't', 'f':
		is = "bool"
	}
	if _, err := checkValue(b, i, 0); err != nil {
		return err
	}
	return errors.New("JSON " + is + " where " + want + " is expected")
}

func readString(r reading, i int, p unsafe.Pointer, depth int) (int, error) {
	if r.b[i] != '"' {
		end, err := checkValue(r.b, i, depth)
		if c := r.b[i]; err == nil && c != '{' && c != '[' && c != 'n' {
			*(*string)(p) = alias(r.b[i:end])
		}
		return end, err
	}
	end, plain, err := checkString(r.b, i)
	if err != nil {
		return 0, err
	}
	if plain {
		*(*string)(p) = alias(r.b[i+1 : end-1])
		return end, nil
	}
	*(*string)(p) = alias(unescape(r.b[i+1 : end-1]))
	return end, nil
}

func readText(r reading, i int, p unsafe.Pointer, depth int) (int, error) {
	if r.b[i] == '"' {
		return readString(r, i, p, depth)
	}
	end, err := checkValue(r.b, i, depth)
	if err != nil {
		return 0, err
	}
	if *(*Text)(p) = ""; r.b[i] != 'n' {
		*(*Text)(p) = Text(alias(r.b[i:end]))
	}
	return end, nil
}

func readNumber(r reading, i int, p unsafe.Pointer, depth int) (int, error) {
	end, err := checkValue(r.b, i, depth)
	if err == nil {
		(*Number)(p).set(scalar(r.b[i:end]))
	}
	return end, err
}

func readStrings(r reading, i int, p unsafe.Pointer, depth int) (int, error) {
	end, err := checkValue(r.b, i, depth)
	if err != nil {
		return 0, err
	}
	return end, (*Strings)(p).UnmarshalJSON(r.b[i:end])
}

func readRaw(r reading, i int, p unsafe.Pointer, depth int) (int, error) {
	end, err := checkValue(r.b, i, depth)
	if err == nil {
		*(*json.RawMessage)(p) = r.b[i:end:end]
	}
	return end, err
}

func readBool(r reading, i int, p unsafe.Pointer, depth int) (int, error) {
	end, err := checkValue(r.b, i, depth)
	if err == nil {
		switch scalar(r.b[i:end]) {
		case "true":
			*(*bool)(p) = true
		case "false":
			*(*bool)(p) = false
		}
	}
	return end, err
}

func readInt(r reading, i int, p unsafe.Pointer, depth int) (int, error) {
	end, err := checkValue(r.b, i, depth)
	if err == nil {
		if n, err := strconv.Atoi(scalar(r.b[i:end])); err == nil {
			*(*int)(p) = n
		}
	}
	return end, err
}

// scalar returns a JSON value without its quotes.
func scalar(b []byte) string {
	if b[0] == '"' {
		b = b[1 : len(b)-1]
	}
	return alias(b)
}

func newPointerReader(t reflect.Type) readFunc {
	read := lazyReader(t.Elem())
	return func(r reading, i int, p unsafe.Pointer, depth int) (int, error) {
		at := reflect.NewAt(t, p).Elem()
		if r.b[i] == 'n' {
			at.SetZero()
			return checkValue(r.b, i, depth)
		}
		if t.Elem().Kind() == reflect.Struct && r.b[i] != '{' && !unmarshals(t.Elem()) {
			return checkValue(r.b, i, depth)
		}
		if at.IsNil() {
			at.Set(reflect.New(t.Elem()))
		}
		return read()(r, i, at.UnsafePointer(), depth)
	}
}

func newMapReader(t reflect.Type) readFunc {
	read := lazyReader(t.Elem())
	return func(r reading, i int, p unsafe.Pointer, depth int) (int, error) {
		m := reflect.NewAt(t, p).Elem()
		if r.b[i] != '{' {
			if r.b[i] == 'n' {
				m.SetZero()
			}
			return checkValue(r.b, i, depth)
		}
		if m.IsNil() {
			m.Set(reflect.MakeMap(t))
		}
		return eachKey(r.b, i, depth, func(key jsonKey, i, depth int) (int, error) {
			value := reflect.New(t.Elem())
			end, err := read()(r, i, value.UnsafePointer(), depth)
			if err == nil {
				m.SetMapIndex(reflect.ValueOf(string(key.text())).Convert(t.Key()), value.Elem())
			}
			return end, err
		})
	}
}

// lazyReader returns the reader of a type when it is asked for: a type may hold others of its like.
func lazyReader(t reflect.Type) func() readFunc {
	return sync.OnceValue(func() readFunc { return readerOf(t) })
}

func newListReader(t reflect.Type) readFunc {
	read := lazyReader(t.Elem())
	return func(r reading, i int, p unsafe.Pointer, depth int) (int, error) {
		list, n := reflect.NewAt(t, p).Elem(), 0
		item := func(i, depth int) (int, error) {
			if n == list.Cap() {
				list.Grow(max(4, n))
			}
			n++
			list.SetLen(n)
			return read()(r, i, list.Index(n-1).Addr().UnsafePointer(), depth)
		}
		switch {
		case r.b[i] == 'n':
			list.SetZero()
			return checkValue(r.b, i, depth)
		case r.b[i] != '[' && (r.b[i] == '{') != (t.Elem().Kind() == reflect.Struct):
			return checkValue(r.b, i, depth)
		}
		list.SetLen(0)
		if r.b[i] != '[' {
			return item(i, depth)
		}
		end, err := eachItem(r.b, i, depth, item)
		if n == 0 && list.IsNil() { // an empty list is not none
			list.Set(reflect.MakeSlice(t, 0, 0))
		}
		return end, err
	}
}

// fields are those of a struct, to be found by their keys.
type fields struct {
	list  []field
	slots []uint16 // by the hash of a name, index+1 into list; 0 is free, another name's means the next
	lower []uint16 // the same for names in lower case
}

type field struct {
	name   string
	offset uintptr
	read   readFunc
}

func newFields(t reflect.Type) *fields {
	f := &fields{}
	f.add(t, 0)
	f.slots = f.index(func(name string) string { return name })
	f.lower = f.index(strings.ToLower)
	return f
}

func (f *fields) add(t reflect.Type, offset uintptr) {
	for i := range t.NumField() {
		at := t.Field(i)
		name, _, _ := strings.Cut(at.Tag.Get("json"), ",")
		switch {
		case name == "-" || !at.IsExported() && !at.Anonymous:
			continue
		case at.Anonymous && name == "" && at.Type.Kind() == reflect.Struct:
			f.add(at.Type, offset+at.Offset)
			continue
		}
		typ := at.Type
		read := readFunc(nil)
		if typ.Kind() == reflect.Struct {
			read = readerOf(typ)
		} else {
			read = newReader(typ)
		}
		f.list = append(f.list, field{first(name, at.Name), offset + at.Offset, read})
	}
}

func (f *fields) index(form func(string) string) []uint16 {
	slots := make([]uint16, 1<<bits.Len(uint(2*len(f.list))))
	for n := range f.list {
		name := form(f.list[n].name)
		at := keyHash([]byte(name)) & uint64(len(slots)-1)
		for slots[at] != 0 {
			if form(f.list[slots[at]-1].name) == name {
				break // the first of that name
			}
			at = (at + 1) & uint64(len(slots)-1)
		}
		if slots[at] == 0 {
			slots[at] = uint16(n + 1)
		}
	}
	return slots
}

// keyHash tells short names apart by their first and last bytes.
func keyHash(k []byte) uint64 {
	var head, tail uint64
	switch n := len(k); {
	case n >= 8:
		head, tail = binary.LittleEndian.Uint64(k), binary.LittleEndian.Uint64(k[n-8:])
	case n >= 4:
		head, tail = uint64(binary.LittleEndian.Uint32(k)), uint64(binary.LittleEndian.Uint32(k[n-4:]))
	case n > 0:
		head, tail = uint64(k[0]), uint64(k[n/2])<<8|uint64(k[n-1])
	}
	h := (head ^ bits.RotateLeft64(tail, 29) ^ uint64(len(k))) * 0x9e3779b97f4a7c15
	return h >> 32
}

// find returns the field of a key, nil where there is none.
func (f *fields) find(key []byte, fold bool) *field {
	for at := keyHash(key); ; at++ {
		n := f.slots[at&uint64(len(f.slots)-1)]
		if n == 0 {
			break
		}
		if found := &f.list[n-1]; found.name == string(key) {
			return found
		}
	}
	if !fold {
		return nil
	}
	key = bytes.ToLower(key)
	for at := keyHash(key); ; at++ {
		n := f.lower[at&uint64(len(f.lower)-1)]
		if n == 0 {
			return nil
		}
		if found := &f.list[n-1]; strings.EqualFold(found.name, alias(key)) {
			return found
		}
	}
}

func (f *fields) read(r reading, i int, p unsafe.Pointer, depth int) (int, error) {
	if r.b[i] != '{' {
		return checkValue(r.b, i, depth)
	}
	return eachKey(r.b, i, depth, func(key jsonKey, i, depth int) (int, error) {
		if found := f.find(key.text(), r.fold); found != nil {
			return found.read(r, i, unsafe.Add(p, found.offset), depth)
		}
		return checkValue(r.b, i, depth)
	})
}
