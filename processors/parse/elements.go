package parse

import (
	"bytes"
	"errors"
)

// eachElement calls f with every element of a JSON array within the piece, so that each event's raw is its own record. An
// error refuses that element alone.
func eachElement(in *Input, out *Out, array []byte, f func(element []byte) error) error {
	line, counted := in.Line, 0 // newlines are counted once: all members may be refused
	for i := 1; ; {
		i += skipSpace(array[i:])
		switch {
		case i >= len(array):
			return errors.New("JSON ends within an array")
		case array[i] == ']':
			return nil
		case array[i] == ',':
			i++
			continue
		}
		end, err := valueEnd(array[i:])
		if err != nil {
			return err
		}
		if err := f(array[i : i+end]); err != nil {
			line, counted = line+bytes.Count(array[counted:i], newline), i
			out.reject(line, array[i:i+end], err.Error())
		}
		i += end
	}
}

// eachPair calls f with every key and value of a JSON object, in its order.
func eachPair(b []byte, f func(key string, value []byte) error) error {
	if len(b) == 0 || b[0] != '{' {
		return errors.New("JSON is no object where one is expected")
	}
	for i := 1; ; {
		i += skipSpace(b[i:])
		switch {
		case i >= len(b):
			return errObject
		case b[i] == '}':
			if i++; i+skipSpace(b[i:]) < len(b) {
				return errObject
			}
			return nil
		case b[i] == ',':
			i++
			continue
		case b[i] != '"':
			return errObject
		}
		end, err := stringEnd(b, i)
		if err != nil {
			return err
		}
		key := textOf(b[i:end])
		if i = end + skipSpace(b[end:]); i >= len(b) || b[i] != ':' {
			return errObject
		}
		i++
		if i += skipSpace(b[i:]); i >= len(b) {
			return errObject
		}
		end, err = valueEnd(b[i:])
		if err != nil {
			return err
		}
		if err := f(key, b[i:i+end]); err != nil {
			return err
		}
		i += end
	}
}

// eachMember is eachPair for what cannot fail.
func eachMember(b []byte, f func(key string, value []byte)) error {
	return eachPair(b, func(key string, value []byte) error { f(key, value); return nil })
}

var errObject = errors.New("not well-formed JSON")

// eachLeaf calls f with every value below a JSON object that is no object itself, under its keys joined by points: nested
// and dotted keys come out alike. An array is a leaf.
func (o *Out) eachLeaf(b []byte, prefix string, f func(path string, value []byte)) error {
	return eachPair(b, func(key string, value []byte) error {
		if prefix != "" {
			key = o.join(prefix, ".", key)
		}
		if value[0] == '{' {
			return o.eachLeaf(value, key, f)
		}
		f(key, value)
		return nil
	})
}

// listOf returns a JSON array of texts, or a single text as a list of one.
func listOf(b []byte) []string {
	var s Strings
	if s.UnmarshalJSON(b) != nil {
		return nil
	}
	return s
}
