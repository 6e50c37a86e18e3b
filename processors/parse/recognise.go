package parse

import "math/bits"

// recogniser finds the format of a shape: one that is sure, or else the first that claims it. Most formats are not that of a JSON
// object for want of a key, nor that of a line for it is no object or begins otherwise, and payloads of the same keys come again and
// again: it remembers by keys, first byte and headers which formats have never looked at more than those before they said no, and
// does not ask them again.
type recogniser struct {
	formats []Format
	open    map[string][]uint64 // by frame, keys and headers: a bit for each format that is still asked
	key     []byte
}

const (
	// maxKeys bounds the keys of an object that is remembered, and maxKnown how many are.
	maxKeys  = 64
	maxKnown = 4096
)

// recognise returns the first format that the shape is of, nil where there is none.
func (r *recogniser) recognise(s *Shape) *Format {
	s.formats = r.formats
	if s.isText() {
		for i := range surest {
			if surest[i].Sure(s) {
				return &surest[i]
			}
		}
	}
	open := r.asked(s)
	if open == nil {
		for i := range r.formats {
			if f := &r.formats[i]; f.Match != nil && f.Match(s) {
				return f
			}
		}
		return nil
	}
	for word := range open {
		for rest := open[word]; rest != 0; rest &= rest - 1 {
			bit := bits.TrailingZeros64(rest)
			f := &r.formats[word*64+bit]
			s.read = false
			if f.Match(s) {
				return f
			}
			if !s.read {
				open[word] &^= 1 << bit
			}
		}
	}
	return nil
}

// asked returns the formats that payloads with the frame and keys of this one are asked of, nil where they are not remembered.
func (r *recogniser) asked(s *Shape) []uint64 {
	if len(s.members) > maxKeys {
		return nil
	}
	r.key = r.key[:0]
	switch {
	case s.Root != "":
		r.key = append(append(r.key, '<'), s.Root...)
	case s.Array:
		r.key = append(r.key, '[')
	}
	switch {
	case s.IsObject():
		r.key = append(r.key, '{')
	case s.line != "":
		r.key = append(r.key, '.', s.line[0])
	}
	for i := range s.members {
		r.key = append(append(r.key, s.members[i].key...), '"') // which no key has in it, as it stands in JSON
	}
	if s.record != nil {
		for i := range s.record.Headers {
			r.key = append(append(r.key, '\n'), s.record.Headers[i].Key...)
		}
	}
	if open := r.open[string(r.key)]; open != nil {
		return open
	}
	open := make([]uint64, (len(r.formats)+63)/64)
	for i := range r.formats {
		if r.formats[i].Match != nil {
			open[i/64] |= 1 << (i % 64)
		}
	}
	if r.open == nil || len(r.open) >= maxKnown {
		r.open = map[string][]uint64{}
	}
	r.open[string(r.key)] = open
	return open
}
