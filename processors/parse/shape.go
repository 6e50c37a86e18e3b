package parse

import (
	"bytes"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// Shape is what can be seen of a payload without reading it whole: enough to tell formats apart.
type Shape struct {
	Record *pipeline.Record
	// Data is the payload.
	Data []byte
	// Object is the first JSON object: the payload's own, or the first member of its array. Empty when there is none.
	Object []byte
	// Array says that the payload is a JSON array.
	Array bool
	// Root is the local name of the XML root element; empty when the payload is no XML.
	Root string
	// Line is the first line that is not empty.
	Line string
}

// newShape looks at a payload.
func newShape(r *pipeline.Record, data []byte) *Shape {
	s := &Shape{Record: r, Data: data}
	b := data[skipSpace(data):]
	line, _ := cutLine(b)
	s.Line = alias(line)
	if len(b) == 0 {
		return s
	}
	switch b[0] {
	case '{':
		s.Object = b
	case '[':
		s.Array = true
		if inner := b[1:]; len(inner) > 0 {
			if inner = inner[skipSpace(inner):]; len(inner) > 0 && inner[0] == '{' {
				s.Object = inner
			}
		}
	case '<':
		s.Root = xmlRoot(b)
	}
	return s
}

// Header returns a header of the record, whatever the case of its name: bridges carry HTTP headers over as they like.
func (s *Shape) Header(name string) string {
	for i := range s.Record.Headers {
		if strings.EqualFold(s.Record.Headers[i].Key, name) {
			return string(s.Record.Headers[i].Value)
		}
	}
	return ""
}

// Has reports whether the object has all of these keys at its top.
func (s *Shape) Has(keys ...string) bool {
	for _, k := range keys {
		if s.Raw(k) == nil {
			return false
		}
	}
	return true
}

// Raw returns the JSON of the value at that path of keys in the object, nil where there is none.
func (s *Shape) Raw(path ...string) []byte {
	v := s.Object
	for _, k := range path {
		if v = member(v, k); v == nil {
			return nil
		}
	}
	return v
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
func member(b []byte, key string) []byte {
	if len(b) == 0 || b[0] != '{' {
		return nil
	}
	for i := 1; i < len(b); {
		i += skipSpace(b[i:])
		if i >= len(b) || b[i] != '"' {
			return nil
		}
		end, err := stringEnd(b, i)
		if err != nil {
			return nil
		}
		name := b[i+1 : end-1]
		i = end + skipSpace(b[end:])
		if i >= len(b) || b[i] != ':' {
			return nil
		}
		i++
		i += skipSpace(b[i:])
		if i >= len(b) {
			return nil
		}
		end, err = valueEnd(b[i:])
		if alias(name) == key {
			if err != nil {
				return b[i:] // the value may be cut off; what it begins with still tells
			}
			return b[i : i+end]
		}
		if err != nil {
			return nil
		}
		i += end
		i += skipSpace(b[i:])
		if i >= len(b) || b[i] != ',' {
			return nil
		}
		i++
	}
	return nil
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
	if name := r.Header("tocsin_source"); name != "" {
		return lookup(p.formats, name)
	}
	if f := p.topics[topic]; f != nil {
		return f
	}
	return recognise(p.formats, newShape(r, data))
}

// recognise returns the first format that the shape is of, nil where there is none.
func recognise(formats []Format, s *Shape) *Format {
	for i := range formats {
		if f := &formats[i]; f.Match != nil && f.Match(s) {
			return f
		}
	}
	return nil
}
