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
	"unicode/utf16"
	"unicode/utf8"
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

// scratch returns an empty T to decode into. It is the format's until it asks for the next: a log has a record of the same
// type in every line, and events keep texts of it only. Its lists are empty rather than nil, for their memory is used again.
func scratch[T any](o *Out) *T {
	v, ok := o.scratch.(*T)
	if !ok {
		v = new(T)
		o.scratch, o.memory = v, memoryOf(reflect.TypeFor[T]())
		return v
	}
	if len(o.memory.lists) == 0 {
		var none T
		*v = none
		return v
	}
	o.memory.empty(unsafe.Pointer(v))
	return v
}

// memory tells where a struct has lists.
type memory struct {
	typ   reflect.Type
	lists []listMemory
}

type listMemory struct {
	offset uintptr
	typ    reflect.Type
	elem   *memory // nil where elements have no lists themselves
}

// sliceHeader is what Go keeps of a slice.
type sliceHeader struct {
	data     unsafe.Pointer
	len, cap int
}

// empty makes the struct at p empty but for the memory of its lists, whose elements are made empty as well.
func (m *memory) empty(p unsafe.Pointer) {
	var kept [8]sliceHeader
	for i := range m.lists {
		l := &m.lists[i]
		at := (*sliceHeader)(unsafe.Add(p, l.offset))
		switch {
		case at.len == 0:
		case l.elem == nil:
			reflect.NewAt(l.typ, unsafe.Pointer(at)).Elem().Clear()
		default:
			for j := range at.len {
				l.elem.empty(unsafe.Add(at.data, uintptr(j)*l.elem.typ.Size()))
			}
		}
		kept[i] = sliceHeader{data: at.data, cap: at.cap}
	}
	reflect.NewAt(m.typ, p).Elem().SetZero()
	for i := range m.lists {
		*(*sliceHeader)(unsafe.Add(p, m.lists[i].offset)) = kept[i]
	}
}

func memoryOf(t reflect.Type) *memory {
	m := &memory{typ: t}
	m.add(t, 0)
	return m
}

// add notes the lists of a struct that begins at the offset, as far as there is room for them in empty.
func (m *memory) add(t reflect.Type, offset uintptr) {
	for i := range t.NumField() {
		f := t.Field(i)
		switch f.Type.Kind() {
		case reflect.Struct:
			m.add(f.Type, offset+f.Offset)
		case reflect.Slice:
			if elem := f.Type.Elem(); elem.Kind() != reflect.Uint8 && len(m.lists) < 8 {
				l := listMemory{offset: offset + f.Offset, typ: f.Type}
				if elem.Kind() == reflect.Struct {
					if of := memoryOf(elem); len(of.lists) > 0 {
						l.elem = of
					}
				}
				m.lists = append(m.lists, l)
			}
		}
	}
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

// eachKey calls f with the keys of the JSON object that opens at b[i] and with where their values begin. f returns where
// the value ends.
func eachKey(b []byte, i, depth int, f func(key jsonKey, i, depth int) (int, error)) (end int, err error) {
	if depth++; depth > maxDepth {
		return 0, errTooDeep
	}
	i = blank(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1, nil
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return 0, errObject
		}
		end, plain, err := checkString(b, i)
		if err != nil {
			return 0, err
		}
		key := jsonKey{b[i+1 : end-1], plain}
		if i = blank(b, end); i >= len(b) || b[i] != ':' {
			return 0, errObject
		}
		if i = blank(b, i+1); i >= len(b) {
			return 0, errObject
		}
		if i, err = f(key, i, depth); err != nil {
			return 0, err
		}
		if i = blank(b, i); i >= len(b) {
			return 0, errObject
		}
		switch b[i] {
		case '}':
			return i + 1, nil
		case ',':
			i = blank(b, i+1)
		default:
			return 0, errObject
		}
	}
}

// jsonKey is a key as it is written, and whether that is its text.
type jsonKey struct {
	written []byte
	plain   bool
}

func (k jsonKey) text() []byte {
	if k.plain {
		return k.written
	}
	return unescape(k.written)
}

// eachItem calls f with where the items of the JSON array begin that opens at b[i]. f returns where the item ends.
func eachItem(b []byte, i, depth int, f func(i, depth int) (int, error)) (end int, err error) {
	if depth++; depth > maxDepth {
		return 0, errTooDeep
	}
	i = blank(b, i+1)
	if i < len(b) && b[i] == ']' {
		return i + 1, nil
	}
	for {
		if i >= len(b) {
			return 0, errObject
		}
		if i, err = f(i, depth); err != nil {
			return 0, err
		}
		if i = blank(b, i); i >= len(b) {
			return 0, errObject
		}
		switch b[i] {
		case ']':
			return i + 1, nil
		case ',':
			i = blank(b, i+1)
		default:
			return 0, errObject
		}
	}
}

// blank returns the index of the first byte from i on that is not blank.
func blank(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// checkValue returns where the JSON value at b[i] ends, or an error where it is not well-formed.
func checkValue(b []byte, i, depth int) (end int, err error) {
	if i >= len(b) {
		return 0, errObject
	}
	switch c := b[i]; c {
	case '"':
		end, _, err = checkString(b, i)
		return end, err
	case '{':
		return eachKey(b, i, depth, func(_ jsonKey, i, depth int) (int, error) { return checkValue(b, i, depth) })
	case '[':
		return eachItem(b, i, depth, func(i, depth int) (int, error) { return checkValue(b, i, depth) })
	case 't', 'f', 'n':
		for _, word := range [...]string{"true", "false", "null"} {
			if word[0] == c && len(b) >= i+len(word) && string(b[i:i+len(word)]) == word {
				return i + len(word), nil
			}
		}
		return 0, errObject
	default:
		return checkNumber(b, i)
	}
}

func checkNumber(b []byte, i int) (end int, err error) {
	if b[i] == '-' {
		i++
	}
	whole := i
	i = numerals(b, i)
	if i == whole || i > whole+1 && b[whole] == '0' {
		return 0, errObject
	}
	if i < len(b) && b[i] == '.' {
		fraction := i + 1
		if i = numerals(b, fraction); i == fraction {
			return 0, errObject
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		exponent := i
		if i = numerals(b, i); i == exponent {
			return 0, errObject
		}
	}
	return i, nil
}

func numerals(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// checkString returns where the JSON string ends that opens at b[i], behind its closing quote, and whether it is plain:
// its text is what stands between the quotes, without escapes and in UTF-8.
func checkString(b []byte, i int) (end int, plain bool, err error) {
	const (
		ones   = 0x0101010101010101
		tops   = 0x80 * ones
		quotes = '"' * ones
		slants = '\\' * ones
		blanks = ' ' * ones
	)
	escapes, ascii := false, true
	j := i + 1
	for {
		// Eight bytes at a time: where none is a quote, a backslash, a control or beyond ASCII, none of them matters. A
		// subtraction borrows from higher bytes only, so the first that is found is one.
		for j+8 <= len(b) {
			x := binary.LittleEndian.Uint64(b[j:])
			q, s := x^quotes, x^slants
			if found := ((q-ones)&^q | (s-ones)&^s | (x-blanks)&^x | x) & tops; found != 0 {
				j += bits.TrailingZeros64(found) / 8
				break
			}
			j += 8
		}
		if j >= len(b) {
			return 0, false, errString
		}
		switch c := b[j]; {
		case c == '"':
			return j + 1, !escapes && (ascii || utf8.Valid(b[i+1:j])), nil
		case c == '\\':
			escapes = true
			if j+1 >= len(b) {
				return 0, false, errString
			}
			switch b[j+1] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				j += 2
			case 'u':
				if j+6 > len(b) || !isHex(b[j+2]) || !isHex(b[j+3]) || !isHex(b[j+4]) || !isHex(b[j+5]) {
					return 0, false, errObject
				}
				j += 6
			default:
				return 0, false, errObject
			}
		case c < ' ':
			return 0, false, errObject
		default:
			ascii = ascii && c < 0x80
			j++
		}
	}
}

var errString = errors.New("JSON ends within a string")

// unquote returns the text of a JSON string.
func unquote(b []byte) (string, error) {
	end, plain, err := checkString(b, 0)
	switch {
	case err != nil:
		return "", err
	case end < len(b):
		return "", errObject
	case plain:
		return alias(b[1 : end-1]), nil
	}
	return alias(unescape(b[1 : end-1])), nil
}

// unescape returns the text that stands between the quotes of a well-formed JSON string. What is no UTF-8, and half of a
// surrogate pair, becomes U+FFFD.
func unescape(s []byte) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '\\' && s[i+1] == 'u':
			r := hexRune(s[i+2:])
			i += 6
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if i+6 <= len(s) && s[i] == '\\' && s[i+1] == 'u' {
					low = hexRune(s[i+2:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			out = utf8.AppendRune(out, r)
		case c == '\\':
			c = s[i+1]
			if at := strings.IndexByte("bfnrt", c); at >= 0 {
				c = "\b\f\n\r\t"[at]
			}
			out = append(out, c)
			i += 2
		case c < utf8.RuneSelf:
			out = append(out, c)
			i++
		default:
			r, n := utf8.DecodeRune(s[i:])
			out = utf8.AppendRune(out, r)
			i += n
		}
	}
	return out
}

// hexRune reads four hex digits.
func hexRune(s []byte) (r rune) {
	for _, c := range s[:4] {
		switch {
		case c <= '9':
			c -= '0'
		default:
			c = c&0xf + 9
		}
		r = r<<4 | rune(c)
	}
	return r
}
