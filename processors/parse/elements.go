package parse

import (
	"bytes"
	"errors"
)

// eachElement calls f with every element of a JSON array within the piece, so that each event's raw is its own record. An
// error refuses that element alone.
func eachElement(in *Input, out *Out, array []byte, f func(element []byte) error) error {
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
			out.reject(in.Line+bytes.Count(array[:i], newline), array[i:i+end], err.Error())
		}
		i += end
	}
}
