package sigma

import (
	"regexp/syntax"
	"slices"
)

// regexpNeeds returns necessary conditions of a regular expression: literals of which every match holds one, and the
// number of bytes that it has at least.
func regexpNeeds(expression string) (needs []need, length int) {
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		panic("BUG: an expression that was compiled cannot be parsed: " + err.Error())
	}
	return literals(re.Simplify(), nil), shortest(re)
}

// maxAlternatives bounds the literals of one need, maxSpelled those that a part of an expression is spelled out as.
const (
	maxAlternatives = 64
	maxSpelled      = 16
)

// literals appends the needs of the expression; each stands for itself.
func literals(re *syntax.Regexp, into []need) []need {
	switch re.Op {
	case syntax.OpLiteral, syntax.OpCharClass:
		return spelled(spell(re), into)
	case syntax.OpCapture, syntax.OpPlus:
		return literals(re.Sub[0], into)
	case syntax.OpRepeat:
		if re.Min > 0 {
			return literals(re.Sub[0], into)
		}
	case syntax.OpConcat:
		run := []string{""} // what the parts up to here are spelled as
		for _, sub := range re.Sub {
			next := spell(sub)
			if next != nil && len(run)*len(next) <= maxSpelled {
				var all []string
				for _, head := range run {
					for _, tail := range next {
						all = append(all, head+tail)
					}
				}
				run = all
				continue
			}
			into = spelled(run, into)
			if run = next; next == nil {
				into, run = literals(sub, into), []string{""}
			}
		}
		return spelled(run, into)
	case syntax.OpAlternate:
		var union need
		for _, sub := range re.Sub {
			best := longest(literals(sub, nil))
			if best == nil || len(union)+len(best) > maxAlternatives {
				return into
			}
			union = append(union, best...)
		}
		return append(into, union)
	}
	return into
}

// spell returns all texts that the expression stands for, folded; nil where they are too many.
func spell(re *syntax.Regexp) (all []string) {
	switch re.Op {
	case syntax.OpLiteral:
		return []string{fold(string(re.Rune))}
	case syntax.OpCapture:
		return spell(re.Sub[0])
	case syntax.OpCharClass:
		for i := 0; i < len(re.Rune); i += 2 {
			if re.Rune[i+1]-re.Rune[i] >= maxSpelled {
				return nil
			}
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				all = append(all, string(foldRune(r)))
			}
		}
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			texts := spell(sub)
			if texts == nil {
				return nil
			}
			all = append(all, texts...)
		}
	}
	slices.Sort(all)
	if all = slices.Compact(all); len(all) > maxSpelled {
		return nil
	}
	return all
}

// spelled appends the need for one of the texts; where one of them is empty there is none.
func spelled(texts []string, into []need) []need {
	if len(texts) == 0 || slices.Contains(texts, "") {
		return into
	}
	n := make(need, len(texts))
	for i, t := range texts {
		n[i] = indexKey{op: keyContains, text: t}
	}
	return append(into, n)
}

// shortest returns a number of bytes below which no text matches.
func shortest(re *syntax.Regexp) (n int) {
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpCapture, syntax.OpPlus:
		return shortest(re.Sub[0])
	case syntax.OpRepeat:
		return re.Min * shortest(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			n += shortest(sub)
		}
	case syntax.OpAlternate:
		n = shortest(re.Sub[0])
		for _, sub := range re.Sub[1:] {
			n = min(n, shortest(sub))
		}
	}
	return n
}

// longest returns the need whose shortest literal is longest.
func longest(needs []need) need {
	var best need
	length := 0
	for _, n := range needs {
		least := len(n[0].text)
		for _, k := range n {
			least = min(least, len(k.text))
		}
		if least > length {
			best, length = n, least
		}
	}
	return best
}
