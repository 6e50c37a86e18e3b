package alert

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// maxSamples is how many values of one entity are kept; what comes after is not told apart any more.
const maxSamples = 20

// Context is what the signals of a key said besides that they matched: the newest fields of each step, and the values
// of each entity. The zero value is ready for use.
type Context struct {
	Steps    []Fields   `json:"s,omitempty"` // by step
	Entities [][]string `json:"e,omitempty"` // by entity; nil while each has one value at most, which Steps has
}

// Fields are a step's newest fields, packed: for each a byte with the column's place in Rule.Columns, the length of the
// value and the value.
type Fields struct {
	Time   int64  `json:"t"` // event time, Unix nanoseconds
	Packed string `json:"p"`
}

// Note takes the fields of a signal. It copies what it keeps.
func (c *Context) Note(r *rule.Rule, s *pipeline.Signal) {
	if len(s.Fields) == 0 {
		return
	}
	for len(c.Steps) <= s.Step {
		c.Steps = append(c.Steps, Fields{})
	}
	f := &c.Steps[s.Step]
	for i, e := range r.Entities {
		c.noteEntity(i, len(r.Entities), c.Column(r, -1, e.Column), s.Field(e.Column))
	}
	if t := s.Time.UnixNano(); t >= f.Time {
		f.Time = t
		f.pack(r, s.Fields)
	}
}

func (f *Fields) pack(r *rule.Rule, fields []pipeline.Attr) {
	var stack [512]byte
	b := stack[:0]
	for i := range fields {
		if at, ok := slices.BinarySearch(r.Columns, fields[i].Key); ok {
			b = append(b, byte(at))
			b = binary.AppendUvarint(b, uint64(len(fields[i].Value)))
			b = append(b, fields[i].Value...)
		}
	}
	if f.Packed != string(b) {
		f.Packed = string(b)
	}
}

// column returns the value of a column, or "".
func (f *Fields) column(r *rule.Rule, name string) string {
	at, ok := slices.BinarySearch(r.Columns, name)
	for p := f.Packed; ok && len(p) > 1; {
		place := int(p[0])
		n, width := uvarint(p[1:])
		p = p[1+width:]
		if width == 0 || n > uint64(len(p)) {
			return ""
		}
		if place == at {
			return p[:n]
		}
		p = p[n:]
	}
	return ""
}

func uvarint(s string) (v uint64, width int) {
	for i := 0; i < len(s) && i < binary.MaxVarintLen64; i++ {
		v |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

// noteEntity adds a value of entity i to those seen. before is the value that only Steps knows so far.
func (c *Context) noteEntity(i, n int, before, value string) {
	if value == "" || value == before {
		return
	}
	if c.Entities == nil {
		if before == "" {
			return
		}
		c.Entities = make([][]string, n)
	}
	for _, v := range [...]string{before, value} {
		if list := c.Entities[i]; v != "" && len(list) < maxSamples && !slices.Contains(list, v) {
			c.Entities[i] = append(list, strings.Clone(v))
		}
	}
}

// Column returns the newest value of a column: of the step, or with step -1 of the last step that has it.
func (c *Context) Column(r *rule.Rule, step int, name string) string {
	if step >= 0 {
		if step >= len(c.Steps) {
			return ""
		}
		return c.Steps[step].column(r, name)
	}
	for i := len(c.Steps) - 1; i >= 0; i-- {
		if v := c.Steps[i].column(r, name); v != "" {
			return v
		}
	}
	return ""
}

// Join returns what both say; they are of different steps.
func Join(a, b *Context) Context {
	x := Context{Steps: make([]Fields, max(len(a.Steps), len(b.Steps)))}
	copy(x.Steps, b.Steps)
	for i, f := range a.Steps {
		if f.Packed != "" {
			x.Steps[i] = f
		}
	}
	if n := max(len(a.Entities), len(b.Entities)); n > 0 {
		x.Entities = make([][]string, n)
		for i := range x.Entities {
			if i < len(a.Entities) && len(a.Entities[i]) > 0 {
				x.Entities[i] = a.Entities[i]
			} else if i < len(b.Entities) {
				x.Entities[i] = b.Entities[i]
			}
		}
	}
	return x
}

// entities returns the alert's entities: the first value, and how many more there are.
func (c *Context) entities(r *rule.Rule) map[string]string {
	out := make(map[string]string, len(r.Entities))
	for i, e := range r.Entities {
		switch {
		case i < len(c.Entities) && len(c.Entities[i]) > 1:
			list := c.Entities[i]
			out[e.Name] = clip(list[0], maxEntityBytes) + ",+" + strconv.Itoa(len(list)-1)
			if len(list) == maxSamples {
				out[e.Name] += " or more"
			}
		default:
			if v := c.Column(r, -1, e.Column); v != "" {
				out[e.Name] = clip(v, maxEntityBytes)
			}
		}
	}
	return out
}
