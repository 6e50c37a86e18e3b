package sql

import (
	"fmt"
	"strings"
)

// Split cuts text into its statements at the semicolons that stand in no string, quoted name or comment. Comments stay
// in the statement that follows them, so that query_log shows them too; what holds nothing but comments is left out.
//
// It knows ClickHouse's quotes ('…', "…" and `…`, with \ as escape and doubled quotes) and comments (-- and /* … */,
// nested as ClickHouse nests them). Here-documents ($tag$) are not used in migrations and not known.
func Split(text string) ([]string, error) {
	var (
		statements []string
		start      int  // of the open statement
		code       bool // the open statement has more than comments
	)
	end := func(i int) {
		if code {
			statements = append(statements, strings.TrimSpace(text[start:i]))
		}
		start, code = i+1, false
	}
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case strings.HasPrefix(text[i:], "--"):
			n := strings.IndexByte(text[i:], '\n')
			if n < 0 {
				n = len(text) - i
			}
			i += n
		case strings.HasPrefix(text[i:], "/*"):
			n := commentLen(text[i:])
			if n < 0 {
				return nil, fmt.Errorf("line %d: comment is not closed", line(text, i))
			}
			i += n
		case c == '\'' || c == '"' || c == '`':
			n := quotedLen(text[i:])
			if n < 0 {
				return nil, fmt.Errorf("line %d: %c is not closed", line(text, i), c)
			}
			i += n
			code = true
		case c == ';':
			end(i)
			i++
		default:
			code = code || !strings.ContainsRune(" \t\r\n", rune(c))
			i++
		}
	}
	end(len(text))
	return statements, nil
}

// quotedLen returns the length of the quoted string that s starts with, -1 if it does not end. A doubled quote reads as
// the end of one string and the start of the next: for cutting that is the same.
func quotedLen(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			return i + 1
		}
	}
	return -1
}

// commentLen returns the length of the /* comment that s starts with, -1 if it does not end.
func commentLen(s string) int {
	depth := 0
	for i := 0; i+1 < len(s); i++ {
		switch s[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

func line(text string, i int) int { return strings.Count(text[:i], "\n") + 1 }
