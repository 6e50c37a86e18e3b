package parse

import (
	"bytes"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// Shape is what can be seen of a payload without reading it whole: enough to tell formats apart.
type Shape struct {
	// Array says that the payload is a JSON array.
	Array bool
	// Root is the local name of the XML root element; empty when the payload is no XML.
	Root string

	record  *pipeline.Record
	data    []byte
	object  []byte
	line    string
	formats []Format      // that the payload may be of, for those that carry others
	members []shapeMember // of the object; every format asks for some, so they are found once
	keys    uint64        // a bit for each member's key, see keyBit
	read    bool          // a format has looked at more than Array, Root, the object's keys, the line's first byte and which headers there are
}

// Record returns the record that the payload came with.
func (s *Shape) Record() *pipeline.Record {
	s.read = true
	return s.record
}

// Data returns the payload.
func (s *Shape) Data() []byte {
	s.read = true
	return s.data
}

// Object returns the first JSON object: the payload's own, or the first member of its array; nil when there is none.
func (s *Shape) Object() []byte {
	s.read = true
	return s.object
}

// IsObject reports whether there is one.
func (s *Shape) IsObject() bool { return s.object != nil }

// Line returns the first line that is not empty.
func (s *Shape) Line() string {
	s.read = true
	return s.line
}

// shapeMember is one member of the object.
type shapeMember struct {
	key   string
	value []byte
}

// maxMembers bounds how many members of the object are looked at: no format is told by a later one.
const maxMembers = 512

// newShape looks at a payload.
func newShape(r *pipeline.Record, data []byte) *Shape {
	s := &Shape{}
	s.look(r, data)
	return s
}

// shapeOf looks at a JSON object within a payload.
func shapeOf(object []byte) *Shape {
	s := &Shape{object: object}
	s.index()
	return s
}

func (s *Shape) look(r *pipeline.Record, data []byte) {
	*s = Shape{record: r, data: data, members: s.members[:0]}
	b := data[skipSpace(data):]
	line, _ := cutLine(b)
	s.line = alias(line)
	if len(b) == 0 {
		return
	}
	switch b[0] {
	case '{':
		s.object = b
	case '[':
		s.Array = true
		if inner := b[1:]; len(inner) > 0 {
			if inner = inner[skipSpace(inner):]; len(inner) > 0 && inner[0] == '{' {
				s.object = inner
			}
		}
	case '<':
		s.Root = xmlRoot(b)
	}
	s.index()
}

// Begins reports whether the first line that is not empty begins with one of these.
func (s *Shape) Begins(prefixes ...string) bool {
	for _, p := range prefixes {
		if s.line != "" && s.line[0] == p[0] {
			s.read = true
			if strings.HasPrefix(s.line, p) {
				return true
			}
		}
	}
	return false
}

// isText reports whether the payload is neither a JSON object, nor an array of them, nor XML.
func (s *Shape) isText() bool { return s.object == nil && s.Root == "" }

// Header returns a header of the record, whatever the case of its name: bridges carry HTTP headers over as they like.
func (s *Shape) Header(name string) string {
	for i := range s.record.Headers {
		if strings.EqualFold(s.record.Headers[i].Key, name) {
			s.read = true
			return string(s.record.Headers[i].Value)
		}
	}
	return ""
}

// Has reports whether the object has all of these keys at its top.
func (s *Shape) Has(keys ...string) bool {
	for _, k := range keys {
		if s.top(k) == nil {
			return false
		}
	}
	return true
}

// Raw returns the JSON of the value at that path of keys in the object, nil where there is none.
func (s *Shape) Raw(path ...string) []byte {
	v := s.top(path[0])
	if v == nil {
		return nil
	}
	s.read = true
	for _, k := range path[1:] {
		if v = member(v, k); v == nil {
			return nil
		}
	}
	return v
}

// top returns the value of one key of the object. It is small enough to be inlined.
func (s *Shape) top(key string) []byte {
	if s.keys&keyBit(key) == 0 {
		return nil
	}
	return s.find(key)
}

// index finds the object's members.
func (s *Shape) index() {
	scanMembers(s.object, func(name string, value []byte) bool {
		s.members = append(s.members, shapeMember{name, value})
		s.keys |= keyBit(name)
		return len(s.members) < maxMembers
	})
}

// find returns the value of a key that the object may have.
//
//go:noinline
func (s *Shape) find(key string) []byte {
	for i := range s.members {
		if s.members[i].key == key {
			return s.members[i].value
		}
	}
	return nil
}

// keyBit is one of 64 bits, by the key's length and ends. Formats ask an object for some 300 keys, nearly all of which it has
// not: without the bits that took half of the time that a record took in all.
func keyBit(key string) uint64 {
	n := len(key)
	if n == 0 {
		return 1
	}
	return 1 << ((uint(key[0])*7 + uint(key[n-1])*3 + uint(n)*5) % 64)
}

// String returns the text of the JSON string at that path, "" where there is none. Escapes are left as they are.
func (s *Shape) String(path ...string) string {
	v := s.Raw(path...)
	if len(v) < 2 || v[0] != '"' {
		return ""
	}
	return alias(v[1 : len(v)-1])
}

// member returns the value of one key of the JSON object b, nil where there is none or the object is broken before it.
func member(b []byte, key string) (value []byte) {
	scanMembers(b, func(name string, v []byte) bool {
		if name == key {
			value = v
			return false
		}
		return true
	})
	return value
}

// scanMembers calls f with the members of the JSON object b until it returns false or the object is broken. The value of
// the last member may be cut off; what it begins with still tells.
func scanMembers(b []byte, f func(name string, value []byte) bool) {
	if len(b) == 0 || b[0] != '{' {
		return
	}
	for i := 1; i < len(b); {
		i += skipSpace(b[i:])
		if i >= len(b) || b[i] != '"' {
			return
		}
		end, err := stringEnd(b, i)
		if err != nil {
			return
		}
		name := alias(b[i+1 : end-1])
		i = end + skipSpace(b[end:])
		if i >= len(b) || b[i] != ':' {
			return
		}
		i++
		i += skipSpace(b[i:])
		if i >= len(b) {
			return
		}
		end, err = valueEnd(b[i:])
		if err != nil {
			f(name, b[i:])
			return
		}
		if !f(name, b[i:i+end]) {
			return
		}
		i += end
		i += skipSpace(b[i:])
		if i >= len(b) || b[i] != ',' {
			return
		}
		i++
	}
}

// firstMember returns the first member of the JSON array b when that is an object, nil otherwise.
func firstMember(b []byte) []byte {
	if len(b) == 0 || b[0] != '[' {
		return nil
	}
	if b = b[1:]; len(b) == 0 {
		return nil
	}
	if b = b[skipSpace(b):]; len(b) == 0 || b[0] != '{' {
		return nil
	}
	return b
}

// isEmptyArray reports whether b is a JSON array without a member.
func isEmptyArray(b []byte) bool {
	return len(b) > 1 && b[0] == '[' && bytes.HasPrefix(b[1+skipSpace(b[1:]):], []byte("]"))
}

// xmlRoot returns the local name of the first element, past declaration, comments and DOCTYPE.
func xmlRoot(b []byte) string {
	for {
		b = b[skipSpace(b):]
		if len(b) < 2 || b[0] != '<' {
			return ""
		}
		switch {
		case bytes.HasPrefix(b, []byte("<!--")):
			i := bytes.Index(b, []byte("-->"))
			if i < 0 {
				return ""
			}
			b = b[i+3:]
		case b[1] == '?' || b[1] == '!':
			depth := 0 // a DOCTYPE may hold declarations in brackets
			i := 0
			for ; i < len(b); i++ {
				if b[i] == '[' {
					depth++
				} else if b[i] == ']' {
					depth--
				} else if b[i] == '>' && depth <= 0 {
					break
				}
			}
			if i == len(b) {
				return ""
			}
			b = b[i+1:]
		default:
			i := bytes.IndexAny(b, " \t\r\n/>")
			if i < 1 {
				return ""
			}
			name := string(b[1:i])
			if j := strings.LastIndexByte(name, ':'); j >= 0 {
				name = name[j+1:]
			}
			return name
		}
	}
}

// choose returns the format of a record: by its header, by its topic's binding, by its shape. nil is none.
func (p *Parser) choose(topic string, r *pipeline.Record, data []byte) *Format {
	for i := range r.Headers {
		if h := &r.Headers[i]; h.Key == "tocsin_source" && len(h.Value) > 0 {
			return lookup(p.formats, alias(h.Value))
		}
	}
	if f := p.topics[topic]; f != nil {
		return f
	}
	p.shape.look(r, data)
	return p.recognise(&p.shape)
}
