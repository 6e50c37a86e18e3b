package sigma

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads JSON where it stands. It is our own for its speed: with a library's tokenizer, reading an event took
// longer than judging it by all rules. A test holds it against encoding/json.
type scanner struct {
	data []byte
	at   int
}

var errJSON = errors.New("no valid JSON")

// next skips white space and returns the byte behind it; 0 at the end.
func (s *scanner) next() byte {
	for s.at < len(s.data) {
		switch c := s.data[s.at]; c {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// take reports whether the next byte is c, and goes behind it if so.
func (s *scanner) take(c byte) bool {
	if s.next() != c {
		return false
	}
	s.at++
	return true
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plainText reads up to the first quote, backslash or control character, eight bytes at a time: a byte's high bit is set in
// found where it is one of them, and in none before the first.
func (s *scanner) plainText() {
	for ; s.at+8 <= len(s.data); s.at += 8 {
		w := binary.LittleEndian.Uint64(s.data[s.at:])
		quote, escape := w^(ones*'"'), w^(ones*'\\')
		found := ((quote-ones)&^quote | (escape-ones)&^escape | (w-ones*' ')&^w) & highs
		if found != 0 {
			s.at += bits.TrailingZeros64(found) / 8
			return
		}
	}
	for s.at < len(s.data) && s.data[s.at] != '"' && s.data[s.at] != '\\' && s.data[s.at] >= ' ' {
		s.at++
	}
}

// text reads a string, its quotes included; escaped tells that it is not what it stands for.
func (s *scanner) text() (raw []byte, escaped bool, err error) {
	from := s.at + 1
	s.at = from
	for {
		s.plainText()
		switch {
		case s.at >= len(s.data) || s.data[s.at] < ' ':
			return nil, false, errJSON
		case s.data[s.at] == '"':
			s.at++
			return s.data[from : s.at-1], escaped, nil
		}
		escaped = true
		if s.at+1 >= len(s.data) {
			return nil, false, errJSON
		}
		switch s.data[s.at+1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			s.at += 2
		case 'u':
			if _, ok := hex4(s.data[s.at+2:]); !ok {
				return nil, false, errJSON
			}
			s.at += 6
		default:
			return nil, false, errJSON
		}
	}
}

// appendUnescaped appends what a string stands for whose escapes are valid.
func appendUnescaped(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		c := raw[i+1]
		raw = raw[i+2:]
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, _ := hex4(raw)
			raw = raw[4:]
			if utf16.IsSurrogate(r) {
				pair := rune(utf8.RuneError)
				if len(raw) >= 6 && raw[0] == '\\' && raw[1] == 'u' {
					low, _ := hex4(raw[2:])
					pair = utf16.DecodeRune(r, low)
				}
				if r = pair; r != utf8.RuneError {
					raw = raw[6:]
				}
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, c)
	}
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// number reads a number.
func (s *scanner) number() (raw []byte, err error) {
	from := s.at
	if s.data[s.at] == '-' {
		s.at++
	}
	zero := s.at < len(s.data) && s.data[s.at] == '0'
	if n := s.digits(); n == 0 || zero && n > 1 {
		return nil, errJSON
	}
	if s.at < len(s.data) && s.data[s.at] == '.' {
		s.at++
		if s.digits() == 0 {
			return nil, errJSON
		}
	}
	if s.at < len(s.data) && s.data[s.at]|' ' == 'e' {
		s.at++
		if s.at < len(s.data) && (s.data[s.at] == '+' || s.data[s.at] == '-') {
			s.at++
		}
		if s.digits() == 0 {
			return nil, errJSON
		}
	}
	return s.data[from:s.at], nil
}

func (s *scanner) digits() (n int) {
	for s.at < len(s.data) && '0' <= s.data[s.at] && s.data[s.at] <= '9' {
		s.at++
		n++
	}
	return n
}

// word reads true, false or null.
func (s *scanner) word() (raw []byte, err error) {
	for _, w := range [...]string{"true", "false", "null"} {
		if bytes.HasPrefix(s.data[s.at:], []byte(w)) {
			s.at += len(w)
			return s.data[s.at-len(w) : s.at], nil
		}
	}
	return nil, errJSON
}
