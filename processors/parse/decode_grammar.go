package parse

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// eachKey calls f with the keys of the JSON object that opens at b[i] and with where their values begin. f returns where
// the value ends.
func eachKey(b []byte, i, depth int, f func(key jsonKey, i, depth int) (int, error)) (end int, err error) {
	if depth++; depth > maxDepth {
		return 0, errTooDeep
	}
	i = blank(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1, nil
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return 0, errObject
		}
		end, plain, err := checkString(b, i)
		if err != nil {
			return 0, err
		}
		key := jsonKey{b[i+1 : end-1], plain}
		if i = blank(b, end); i >= len(b) || b[i] != ':' {
			return 0, errObject
		}
		if i = blank(b, i+1); i >= len(b) {
			return 0, errObject
		}
		if i, err = f(key, i, depth); err != nil {
			return 0, err
		}
		if i = blank(b, i); i >= len(b) {
			return 0, errObject
		}
		switch b[i] {
		case '}':
			return i + 1, nil
		case ',':
			i = blank(b, i+1)
		default:
			return 0, errObject
		}
	}
}

// jsonKey is a key as it is written, and whether that is its text.
type jsonKey struct {
	written []byte
	plain   bool
}

func (k jsonKey) text() []byte {
	if k.plain {
		return k.written
	}
	return unescape(k.written)
}

// eachItem calls f with where the items of the JSON array begin that opens at b[i]. f returns where the item ends.
func eachItem(b []byte, i, depth int, f func(i, depth int) (int, error)) (end int, err error) {
	if depth++; depth > maxDepth {
		return 0, errTooDeep
	}
	i = blank(b, i+1)
	if i < len(b) && b[i] == ']' {
		return i + 1, nil
	}
	for {
		if i >= len(b) {
			return 0, errObject
		}
		if i, err = f(i, depth); err != nil {
			return 0, err
		}
		if i = blank(b, i); i >= len(b) {
			return 0, errObject
		}
		switch b[i] {
		case ']':
			return i + 1, nil
		case ',':
			i = blank(b, i+1)
		default:
			return 0, errObject
		}
	}
}

// blank returns the index of the first byte from i on that is not blank.
func blank(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// checkValue returns where the JSON value at b[i] ends, or an error where it is not well-formed.
func checkValue(b []byte, i, depth int) (end int, err error) {
	if i >= len(b) {
		return 0, errObject
	}
	switch c := b[i]; c {
	case '"':
		end, _, err = checkString(b, i)
		return end, err
	case '{':
		return eachKey(b, i, depth, func(_ jsonKey, i, depth int) (int, error) { return checkValue(b, i, depth) })
	case '[':
		return eachItem(b, i, depth, func(i, depth int) (int, error) { return checkValue(b, i, depth) })
	case 't', 'f', 'n':
		for _, word := range [...]string{"true", "false", "null"} {
			if word[0] == c && len(b) >= i+len(word) && string(b[i:i+len(word)]) == word {
				return i + len(word), nil
			}
		}
		return 0, errObject
	default:
		return checkNumber(b, i)
	}
}

func checkNumber(b []byte, i int) (end int, err error) {
	if b[i] == '-' {
		i++
	}
	whole := i
	i = numerals(b, i)
	if i == whole || i > whole+1 && b[whole] == '0' {
		return 0, errObject
	}
	if i < len(b) && b[i] == '.' {
		fraction := i + 1
		if i = numerals(b, fraction); i == fraction {
			return 0, errObject
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		exponent := i
		if i = numerals(b, i); i == exponent {
			return 0, errObject
		}
	}
	return i, nil
}

func numerals(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// checkString returns where the JSON string ends that opens at b[i], behind its closing quote, and whether it is plain:
// its text is what stands between the quotes, without escapes and in UTF-8.
func checkString(b []byte, i int) (end int, plain bool, err error) {
	const (
		ones   = 0x0101010101010101
		tops   = 0x80 * ones
		quotes = '"' * ones
		slants = '\\' * ones
		blanks = ' ' * ones
	)
	escapes, ascii := false, true
	j := i + 1
	for {
		// Eight bytes at a time: where none is a quote, a backslash, a control or beyond ASCII, none of them matters. A
		// subtraction borrows from higher bytes only, so the first that is found is one.
		for j+8 <= len(b) {
			x := binary.LittleEndian.Uint64(b[j:])
			q, s := x^quotes, x^slants
			if found := ((q-ones)&^q | (s-ones)&^s | (x-blanks)&^x | x) & tops; found != 0 {
				j += bits.TrailingZeros64(found) / 8
				break
			}
			j += 8
		}
		if j >= len(b) {
			return 0, false, errString
		}
		switch c := b[j]; {
		case c == '"':
			return j + 1, !escapes && (ascii || utf8.Valid(b[i+1:j])), nil
		case c == '\\':
			escapes = true
			if j+1 >= len(b) {
				return 0, false, errString
			}
			switch b[j+1] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				j += 2
			case 'u':
				if j+6 > len(b) || !isHex(b[j+2]) || !isHex(b[j+3]) || !isHex(b[j+4]) || !isHex(b[j+5]) {
					return 0, false, errObject
				}
				j += 6
			default:
				return 0, false, errObject
			}
		case c < ' ':
			return 0, false, errObject
		default:
			ascii = ascii && c < 0x80
			j++
		}
	}
}

var errString = errors.New("JSON ends within a string")

// unquote returns the text of a JSON string.
func unquote(b []byte) (string, error) {
	end, plain, err := checkString(b, 0)
	switch {
	case err != nil:
		return "", err
	case end < len(b):
		return "", errObject
	case plain:
		return alias(b[1 : end-1]), nil
	}
	return alias(unescape(b[1 : end-1])), nil
}

// unescape returns the text that stands between the quotes of a well-formed JSON string. What is no UTF-8, and half of a
// surrogate pair, becomes U+FFFD.
func unescape(s []byte) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '\\' && s[i+1] == 'u':
			r := hexRune(s[i+2:])
			i += 6
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if i+6 <= len(s) && s[i] == '\\' && s[i+1] == 'u' {
					low = hexRune(s[i+2:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			out = utf8.AppendRune(out, r)
		case c == '\\':
			c = s[i+1]
			if at := strings.IndexByte("bfnrt", c); at >= 0 {
				c = "\b\f\n\r\t"[at]
			}
			out = append(out, c)
			i += 2
		case c < utf8.RuneSelf:
			out = append(out, c)
			i++
		default:
			r, n := utf8.DecodeRune(s[i:])
			out = utf8.AppendRune(out, r)
			i += n
		}
	}
	return out
}

// hexRune reads four hex digits.
func hexRune(s []byte) (r rune) {
	for _, c := range s[:4] {
		switch {
		case c <= '9':
			c -= '0'
		default:
			c = c&0xf + 9
		}
		r = r<<4 | rune(c)
	}
	return r
}
