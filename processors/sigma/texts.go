package sigma

import "strings"

// texts finds, in one look at a folded text, everything filed under what it is, begins with, ends with or contains.
type texts struct {
	equal    map[string]filed
	lengths  uint64 // of the keys of equal: most texts have another, and are not hashed
	prefix   affixes
	suffix   affixes
	contains substrings
}

func (x *texts) add(k indexKey, what int32) {
	switch k.op {
	case keyEqual:
		if x.equal == nil {
			x.equal = map[string]filed{}
		}
		x.equal[k.text] = append(x.equal[k.text], what)
		x.lengths |= lengthBit(k.text)
	case keyPrefix:
		x.prefix.add(k.text, what, false)
	case keySuffix:
		x.suffix.add(k.text, what, true)
	case keyContains:
		x.contains.add(k.text, what)
	}
}

// lookup gives the matcher what is filed under each key that the text has; the same may come more than once.
func (x *texts) lookup(low string, m *Matcher) {
	if x.lengths&lengthBit(low) != 0 {
		m.found(x.equal[low])
	}
	x.prefix.lookup(low, false, m)
	x.suffix.lookup(low, true, m)
	x.contains.lookup(low, m)
}

func lengthBit(s string) uint64 { return 1 << min(len(s), 63) }

// affixes finds what is filed under beginnings, or ends. Texts are filed under their outermost eight bytes, or four: one
// look-up each, whatever their lengths.
type affixes struct {
	eight map[uint64][]affix
	four  map[uint32][]affix
	short []affix   // of less than four bytes
	outer [256]bool // outermost bytes of those
}

type affix struct {
	text  string
	filed filed
}

func (a *affixes) add(text string, what int32, end bool) {
	file := func(list []affix) []affix {
		for i := range list {
			if list[i].text == text {
				list[i].filed = append(list[i].filed, what)
				return list
			}
		}
		return append(list, affix{text, filed{what}})
	}
	switch n := len(text); {
	case n >= 8:
		if a.eight == nil {
			a.eight = map[uint64][]affix{}
		}
		k := outer8(text, end)
		a.eight[k] = file(a.eight[k])
	case n >= 4:
		if a.four == nil {
			a.four = map[uint32][]affix{}
		}
		k := outer4(text, end)
		a.four[k] = file(a.four[k])
	default:
		a.short = file(a.short)
		a.outer[outermost(text, end)] = true
	}
}

// lookup finds each text that low begins with, or with end set ends with.
func (a *affixes) lookup(low string, end bool, m *Matcher) {
	if len(low) >= 8 && a.eight != nil {
		m.foundAffixes(a.eight[outer8(low, end)], low, end)
	}
	if len(low) >= 4 && a.four != nil {
		m.foundAffixes(a.four[outer4(low, end)], low, end)
	}
	if low != "" && a.outer[outermost(low, end)] {
		m.foundAffixes(a.short, low, end)
	}
}

func (m *Matcher) foundAffixes(list []affix, low string, end bool) {
	for i := range list {
		if end && strings.HasSuffix(low, list[i].text) || !end && strings.HasPrefix(low, list[i].text) {
			m.found(list[i].filed)
		}
	}
}

func outermost(s string, end bool) byte {
	if end {
		return s[len(s)-1]
	}
	return s[0]
}

func outer8(s string, end bool) uint64 {
	if end {
		s = s[len(s)-8:]
	}
	return uint64(gram(s)) | uint64(gram(s[4:]))<<32
}

func outer4(s string, end bool) uint32 {
	if end {
		s = s[len(s)-4:]
	}
	return gram(s)
}
