package rule

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error is one thing that is wrong in a file that a user wrote. Its text is a line "path:line:column: message", the
// source line, a pointer below the column, and a hint where there is one.
type Error struct {
	Path         string
	Line, Column int // from 1; 0 where the whole file is meant
	Source       string
	Message      string
	Hint         string
}

// Error returns the text that people read.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Path)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": " + e.Message)
	if e.Line > 0 {
		number := fmt.Sprintf("%5d", e.Line)
		fmt.Fprintf(&b, "\n%s | %s\n%s | ", number, e.Source, strings.Repeat(" ", len(number)))
		// Tabs stay tabs, so that the pointer is below its column whatever their width.
		for i, r := range []rune(e.Source) {
			if i >= e.Column-1 {
				break
			}
			if r == '\t' {
				b.WriteByte('\t')
			} else {
				b.WriteByte(' ')
			}
		}
		b.WriteString("^")
		if e.Hint != "" {
			b.WriteString(" " + e.Hint)
		}
	} else if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Errors is everything that is wrong, in the order of files and lines.
type Errors []*Error

// Error returns the texts of all errors, one below the other.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// nearest returns the word of the list that was probably meant, or "".
func nearest(got string, words []string) string {
	best, bestCost := "", 1+max(1, utf8.RuneCountInString(got)/3)
	for _, w := range words {
		if cost := distance(strings.ToLower(got), strings.ToLower(w)); cost < bestCost {
			best, bestCost = w, cost
		}
	}
	return best
}

// didYouMean is the hint for an unknown word: the word that was probably meant, or all that there are.
func didYouMean(got string, words []string) string {
	if w := nearest(got, words); w != "" {
		return fmt.Sprintf("did you mean %q?", w)
	}
	if 0 < len(words) && len(words) <= 16 {
		return "expected one of " + strings.Join(words, ", ")
	}
	return ""
}

// distance is the number of runes to insert, remove, replace or swap with their neighbour to make b of a.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 64 || len(y) > 64 {
		return 64
	}
	older, old, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range old {
		old[j] = j
	}
	for i := range x {
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			row[j+1] = min(old[j+1]+1, row[j]+1, old[j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], older[j-1]+1)
			}
		}
		older, old, row = old, row, older
	}
	return old[len(y)]
}
