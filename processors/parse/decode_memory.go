package parse

import (
	"reflect"
	"unsafe"
)

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
