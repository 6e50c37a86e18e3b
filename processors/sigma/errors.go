package sigma

import "fmt"

// Error says why a document is refused, and where. A rule that cannot be honoured to the letter is refused: it is never
// loaded in a weaker form.
type Error struct {
	Path         string
	Line, Column int // from 1
	Reason       string
}

// Error returns "path:line:column: reason".
func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.Path, e.Line, e.Column, e.Reason)
}
