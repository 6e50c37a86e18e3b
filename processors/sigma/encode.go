package sigma

import (
	"encoding/base64"
	"unicode/utf16"
)

// utf16Bytes returns the text in UTF-16 (modifiers wide, utf16le, utf16be, utf16), the bytes being held in a string.
func utf16Bytes(text string, bigEndian, mark bool) string {
	units := utf16.Encode([]rune(text))
	if mark {
		units = append([]uint16{0xfeff}, units...)
	}
	b := make([]byte, 0, 2*len(units))
	for _, u := range units {
		if bigEndian {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return string(b)
}

// base64Offsets returns how the bytes may look within a Base64 text, for the three places at which they may begin. What
// is cut off at either end depends on the neighbours (SEMANTICS 8).
func base64Offsets(text string) [3]string {
	startCut := [3]int{0, 2, 3}
	endCut := [3]int{0, 3, 2}
	var all [3]string
	for i := range all {
		b := make([]byte, i, i+len(text))
		enc := base64.StdEncoding.EncodeToString(append(b, text...))
		end := len(enc) - endCut[(len(text)+i)%3]
		all[i] = enc[min(startCut[i], end):end]
	}
	return all
}
