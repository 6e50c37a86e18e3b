package enrich

import (
	"fmt"
	"strings"
)

// maxErrors is how many mistakes of a table are told one by one: a list in the wrong format has a million.
const maxErrors = 20

// mistakes collects what is wrong in the files of one table, so that it is all told at once.
type mistakes struct {
	texts []string
	more  int
}

// at notes a mistake. Line and column count from 1; line 0 means the file as a whole. mend says how to put it right, and
// may be empty.
func (m *mistakes) at(path string, line, column int, what, mend string) {
	if len(m.texts) == maxErrors {
		m.more++
		return
	}
	text := path
	if line > 0 {
		text += fmt.Sprintf(":%d:%d", line, max(column, 1))
	}
	text += ": " + what
	if mend != "" {
		text += "; " + mend
	}
	m.texts = append(m.texts, text)
}

// err returns all of them as one error, a line each, or nil.
func (m *mistakes) err() error {
	if len(m.texts) == 0 {
		return nil
	}
	return m
}

// Error returns a line for each mistake.
func (m *mistakes) Error() string {
	text := strings.Join(m.texts, "\n")
	if m.more > 0 {
		text += fmt.Sprintf("\nand %d more", m.more)
	}
	return text
}
