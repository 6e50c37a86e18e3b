package parse

import (
	"reflect"
	"unsafe"
)

// maxScratch is how many types a worker keeps memory for: as many formats of logs as take turns in one topic.
const maxScratch = 8

// kept is a value that was decoded into, to be used again.
type kept struct {
	value  any // a pointer, at
	at     unsafe.Pointer
	memory *memory
}

// scratch returns an empty T to decode into. It is the format's until it asks for a T again: a log has a record of the same
// type in every line, or in every third where others are between, and events keep texts of it only. Its lists are empty rather
// than nil, for their memory is used again.
func scratch[T any](o *Out) *T {
	v, m := keep[T](o)
	if len(m.lists) == 0 {
		var none T
		*v = none
		return v
	}
	m.empty(unsafe.Pointer(v))
	return v
}

// keep returns the T that the worker keeps, as it was left within the batch, and where it has lists.
func keep[T any](o *Out) (*T, *memory) {
	for i := range o.scratch {
		if v, ok := o.scratch[i].value.(*T); ok {
			return v, o.scratch[i].memory
		}
	}
	if len(o.scratch) < maxScratch {
		o.scratch = append(o.scratch, kept{})
	}
	v, m := new(T), memoryOf(reflect.TypeFor[T]())
	copy(o.scratch[1:], o.scratch) // the first that was made is the first to go
	o.scratch[0] = kept{v, unsafe.Pointer(v), m}
	return v, m
}

// forget empties what is kept: its texts would keep the records' memory.
func (o *Out) forget() {
	for i := range o.scratch {
		o.scratch[i].memory.empty(o.scratch[i].at)
	}
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
