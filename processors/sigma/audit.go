package sigma

import (
	"encoding/hex"
	"slices"
	"strings"
)

// readAudit takes the fields of a record of the Linux audit daemon: "type=EXECVE msg=audit(...): argc=2 a0=\"ls\"", with
// what user-space programs say in msg='...', and the daemon's own translation behind a group separator. Texts that the
// kernel wrote as hexadecimal digits are decoded.
func (m *Matcher) readAudit(line string) {
	if m.program.keywords {
		m.add(nil, newText(strings.TrimRight(line, "\r\n")))
	}
	kind := ""
	for rest := line; ; {
		rest = strings.TrimLeft(rest, " \t\r\n\x1d'")
		if rest == "" {
			return
		}
		name, after, ok := strings.Cut(rest, "=")
		if !ok {
			return
		}
		if i := strings.LastIndexAny(name, " \x1d"); i >= 0 { // words without a value
			name = name[i+1:]
		}
		var v string
		switch {
		case strings.HasPrefix(after, `"`):
			v, rest, _ = strings.Cut(after[1:], `"`)
		case name == "msg" && strings.HasPrefix(after, "'"):
			rest = after
			continue
		default:
			end := strings.IndexAny(after, " \x1d'\r\n")
			if end < 0 {
				end = len(after)
			}
			v, rest = after[:end], after[end:]
			v = m.unhex(kind, name, v)
		}
		if name == "type" {
			kind = v
		}
		if v != "" && v != "(null)" && v != "?" {
			if at := m.program.fields.kids[name]; at != nil {
				m.add(at, newText(v))
			}
		}
	}
}

// hexNames are the fields that the kernel writes as hexadecimal digits where they hold blanks or worse.
var hexNames = []string{"name", "exe", "comm", "cwd", "proctitle", "cmd", "key", "acct", "data"}

func (m *Matcher) unhex(kind, name, v string) string {
	if len(v) < 2 || len(v)%2 != 0 || !(kind == "EXECVE" && isArgument(name)) && !slices.Contains(hexNames, name) {
		return v
	}
	b, err := hex.DecodeString(v)
	if err != nil {
		return v
	}
	return strings.ReplaceAll(string(b), "\x00", " ")
}

// isArgument tells the fields a0, a1 and so on, which are texts in records of the type EXECVE only.
func isArgument(name string) bool {
	return len(name) > 1 && name[0] == 'a' && '0' <= name[1] && name[1] <= '9'
}
