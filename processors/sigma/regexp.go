package sigma

import "regexp/syntax"

// regexpNeeds returns necessary conditions of a regular expression: literals of which every match holds one.
func regexpNeeds(expression string) []need {
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil
	}
	return literals(re.Simplify(), nil)
}

// maxAlternatives bounds the literals of one need.
const maxAlternatives = 64

// literals appends the needs of the expression; each stands for itself.
func literals(re *syntax.Regexp, into []need) []need {
	switch re.Op {
	case syntax.OpLiteral:
		return append(into, need{{op: keyContains, text: fold(string(re.Rune))}})
	case syntax.OpCapture, syntax.OpPlus:
		return literals(re.Sub[0], into)
	case syntax.OpRepeat:
		if re.Min > 0 {
			return literals(re.Sub[0], into)
		}
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			into = literals(sub, into)
		}
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

// longest returns the need whose shortest literal is longest.
func longest(needs []need) need {
	var best need
	length := 0
	for _, n := range needs {
		shortest := len(n[0].text)
		for _, k := range n {
			shortest = min(shortest, len(k.text))
		}
		if shortest > length {
			best, length = n, shortest
		}
	}
	return best
}
