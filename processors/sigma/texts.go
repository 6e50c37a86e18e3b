package sigma

import "slices"

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
		x.prefix.add(k.text, rule)
	case keySuffix:
		x.suffix.add(k.text, rule)
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
		for _, n := range x.prefix.lengths {
			if n > len(low) {
				break
			}
			if rules := x.prefix.rules[low[:n]]; rules != nil && !yield(rules) {
				return
			}
		}
		for _, n := range x.suffix.lengths {
			if n > len(low) {
				break
			}
			if rules := x.suffix.rules[low[len(low)-n:]]; rules != nil && !yield(rules) {
				return
			}
		}
		x.contains.in(low, yield)
	}
}

// affixes finds rules by beginnings, or by ends: one look-up for each length that there is, in rising order.
type affixes struct {
	lengths []int
	rules   map[string][]int32
}

func (a *affixes) add(text string, rule int32) {
	if a.rules == nil {
		a.rules = map[string][]int32{}
	}
	if i, known := slices.BinarySearch(a.lengths, len(text)); !known {
		a.lengths = slices.Insert(a.lengths, i, len(text))
	}
	a.rules[text] = append(a.rules[text], rule)
}
