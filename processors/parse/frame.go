package parse

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Bounds of a payload. Beyond them a record is refused before anything reads it.
const (
	maxPayload = 64 << 20 // bytes after decompression
	maxDepth   = 128      // nesting of JSON: segmentio/encoding recurses, and overflows the stack at some millions
)

// inflate holds the decompressors of one worker.
type inflate struct {
	gz *gzip.Reader
	zs *zstd.Decoder
}

// payload returns a record's value decompressed, as UTF-8 text without a byte order mark.
func (d *inflate) payload(b []byte) ([]byte, error) {
	var err error
	switch {
	case bytes.HasPrefix(b, []byte{0x1f, 0x8b}):
		if b, err = d.gunzip(b); err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
	case bytes.HasPrefix(b, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		if d.zs == nil {
			if d.zs, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPayload)); err != nil {
				return nil, fmt.Errorf("zstd: %w", err)
			}
		}
		if b, err = d.zs.DecodeAll(b, nil); err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
	}
	if len(b) > maxPayload {
		return nil, fmt.Errorf("payload of %d bytes, at most %d are read", len(b), maxPayload)
	}
	switch {
	case bytes.HasPrefix(b, []byte{0xef, 0xbb, 0xbf}):
		b = b[3:]
	case bytes.HasPrefix(b, []byte{0xff, 0xfe}):
		b = fromUTF16(b[2:], false)
	case bytes.HasPrefix(b, []byte{0xfe, 0xff}):
		b = fromUTF16(b[2:], true)
	}
	if skipSpace(b) == len(b) || len(bytes.TrimSpace(b)) == 0 {
		return nil, errors.New("empty payload")
	}
	return b, nil
}

func (d *inflate) gunzip(b []byte) ([]byte, error) {
	var err error
	if d.gz == nil {
		d.gz, err = gzip.NewReader(bytes.NewReader(b))
	} else {
		err = d.gz.Reset(bytes.NewReader(b))
	}
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(d.gz, maxPayload+1))
	if err != nil {
		return nil, err
	}
	return out, nil
}

func fromUTF16(b []byte, bigEndian bool) []byte {
	units := make([]uint16, 0, len(b)/2)
	for i := 0; i+1 < len(b); i += 2 {
		if bigEndian {
			units = append(units, uint16(b[i])<<8|uint16(b[i+1]))
		} else {
			units = append(units, uint16(b[i+1])<<8|uint16(b[i]))
		}
	}
	var out []byte
	for _, r := range utf16.Decode(units) {
		out = utf8.AppendRune(out, r)
	}
	return out
}

// cutLine returns the first line without its end (\n or \r\n) and what follows.
func cutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		line, rest = b, nil
	} else {
		line, rest = b[:i], b[i+1:]
	}
	return bytes.TrimSuffix(line, []byte{'\r'}), rest
}

func skipSpace(b []byte) int {
	for i, c := range b {
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' && c != 0x1e { // 0x1e: RFC 7464 text sequences
			return i
		}
	}
	return len(b)
}

// isJSON reports whether b begins as a JSON object or array does. Text such as "[WARN] ..." does not.
func isJSON(b []byte) bool {
	b = b[skipSpace(b):]
	if len(b) == 0 || b[0] != '{' && b[0] != '[' {
		return false
	}
	rest := b[1:]
	if rest = rest[skipSpace(rest):]; len(rest) == 0 {
		return true
	}
	switch c := rest[0]; c {
	case '"', '}', ']':
		return true
	case '{', '[', '-', 't', 'f', 'n':
		return b[0] == '['
	default:
		rest = bytes.TrimLeft(rest, "0123456789") // "[2026-11-23 ..." is a log's date
		return b[0] == '[' && c >= '0' && c <= '9' && (len(rest) == 0 || bytes.IndexByte([]byte(",].eE \t\r\n"), rest[0]) >= 0)
	}
}

// valueEnd returns where the JSON value that starts at b[0] ends. It finds the end only; the parser that reads the value
// checks its grammar.
func valueEnd(b []byte) (int, error) {
	switch b[0] {
	case '{', '[':
	case '"':
		return stringEnd(b, 0)
	default: // number or word
		for i, c := range b {
			if c == ',' || c == '}' || c == ']' || c <= ' ' {
				return max(i, 1), nil
			}
		}
		return len(b), nil
	}
	depth := 0
	for i := 0; i < len(b); i++ {
		switch brackets[b[i]] {
		case noBracket:
		case quoteMark:
			end, err := stringEnd(b, i)
			if err != nil {
				return 0, err
			}
			i = end - 1
		case opens:
			if depth++; depth > maxDepth {
				return 0, errTooDeep
			}
		case closes:
			if depth--; depth == 0 {
				return i + 1, nil
			}
		}
	}
	return 0, errors.New("JSON ends within a value")
}

const (
	noBracket = iota
	quoteMark
	opens
	closes
)

// brackets are the bytes that tell where a JSON value ends.
var brackets = [256]uint8{'"': quoteMark, '{': opens, '[': opens, '}': closes, ']': closes}

// eachValue calls f with every JSON value of b, one after the other, until it returns an error.
func eachValue(b []byte, f func([]byte) error) error {
	for {
		b = b[skipSpace(b):]
		if len(b) == 0 {
			return nil
		}
		end, err := valueEnd(b)
		if err != nil {
			return err
		}
		if err := f(b[:end]); err != nil {
			return err
		}
		b = b[end:]
	}
}

var errTooDeep = fmt.Errorf("nested deeper than %d levels", maxDepth)

// stringEnd returns the index behind the closing quote of the JSON string that opens at b[i].
func stringEnd(b []byte, i int) (int, error) {
	for j := i + 1; ; j++ {
		if j = nextQuote(b, j); j == len(b) {
			return 0, errors.New("JSON ends within a string")
		}
		n := 0
		for b[j-1-n] == '\\' {
			n++
		}
		if n%2 == 0 {
			return j + 1, nil
		}
	}
}

// nextQuote returns the index of the first quote from i on, len(b) where there is none. Keys and most values are short:
// eight bytes at a time find their end before bytes.IndexByte is set up, which is better at long ones.
func nextQuote(b []byte, i int) int {
	const (
		ones   = 0x0101010101010101
		tops   = 0x80 * ones
		quotes = '"' * ones
	)
	for end := i + 32; i+8 <= len(b) && i < end; i += 8 {
		x := binary.LittleEndian.Uint64(b[i:]) ^ quotes
		if found := (x - ones) &^ x & tops; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	if n := bytes.IndexByte(b[i:], '"'); n >= 0 {
		return i + n
	}
	return len(b)
}

// guardDepth refuses JSON that nests too deep for a recursive parser. Text that is no JSON passes.
func guardDepth(b []byte) error {
	i := skipSpace(b)
	if i == len(b) || b[i] != '{' && b[i] != '[' {
		return nil
	}
	if _, err := valueEnd(b[i:]); errors.Is(err, errTooDeep) {
		return err
	}
	return nil
}
