package sigma

import "strings"

// texts finds, in one look at a folded text, everything filed under what it is, begins with, ends with or contains. The
// index files rules in it; an atom with many values files its values, and asks whether anything is found.
type texts struct {
	equal    map[string][]int32
	prefix   affixes
	suffix   affixes
	contains substrings
}

func (x *texts) add(k indexKey, rule int32) {
	switch k.op {
	case keyEqual:
		if x.equal == nil {
			x.equal = map[string][]int32{}
		}
		x.equal[k.text] = append(x.equal[k.text], rule)
	case keyPrefix:
		x.prefix.add(k.text, rule, false)
	case keySuffix:
		x.suffix.add(k.text, rule, true)
	case keyContains:
		x.contains.add(k.text, rule)
	}
}

// in yields what is filed under each key that the text has; a rule may come more than once.
func (x *texts) in(low string) func(yield func([]int32) bool) {
	return func(yield func([]int32) bool) {
		if x.equal != nil {
			if rules := x.equal[low]; rules != nil && !yield(rules) {
				return
			}
		}
		if x.prefix.in(low, false, yield) && x.suffix.in(low, true, yield) {
			x.contains.in(low, yield)
		}
	}
}

// affixes finds rules by beginnings, or by ends. Texts are filed under their outermost eight bytes, or four: one look-up
// each, whatever their lengths.
type affixes struct {
	eight map[uint64][]affix
	four  map[uint32][]affix
	short []affix // of less than four bytes
}

type affix struct {
	text  string
	rules []int32
}

func (a *affixes) add(text string, rule int32, end bool) {
	file := func(list []affix) []affix {
		for i := range list {
			if list[i].text == text {
				list[i].rules = append(list[i].rules, rule)
				return list
			}
		}
		return append(list, affix{text, []int32{rule}})
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
	}
}

// in yields the rules of each text that low begins with, or with end set ends with.
func (a *affixes) in(low string, end bool, yield func([]int32) bool) bool {
	has := strings.HasPrefix
	if end {
		has = strings.HasSuffix
	}
	give := func(list []affix) bool {
		for i := range list {
			if has(low, list[i].text) && !yield(list[i].rules) {
				return false
			}
		}
		return true
	}
	if len(low) >= 8 && a.eight != nil && !give(a.eight[outer8(low, end)]) {
		return false
	}
	if len(low) >= 4 && a.four != nil && !give(a.four[outer4(low, end)]) {
		return false
	}
	return give(a.short)
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
