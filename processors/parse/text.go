package parse

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// first returns the first of its arguments that is not its type's zero value.
func first[T comparable](s ...T) T {
	var none T
	for _, v := range s {
		if v != none {
			return v
		}
	}
	return none
}

// positive returns n in decimal, or "" where it is not above zero: what a tool leaves at zero it does not know.
func positive(n int) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// repoOf returns the canonical form of a repository, host/org/name in lower case, from any URL of it: https, ssh, git and
// scp-like ("git@host:org/name.git"). A bare name is only put in lower case.
func repoOf(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.Index(s, "://"); i >= 0 {
		if u, err := url.Parse(s); err == nil && u.Host != "" {
			s = u.Hostname() + u.Path
		} else {
			s = s[i+3:]
		}
	} else if at := strings.IndexByte(s, '@'); at >= 0 && strings.IndexByte(s[at:], ':') > 0 {
		s = strings.Replace(s[at+1:], ":", "/", 1)
	}
	s = strings.TrimSuffix(strings.TrimRight(s, "/"), ".git")
	return strings.ToLower(strings.Trim(s, "/"))
}

// refOf returns a branch or tag without its prefix.
func refOf(s string) string {
	for _, prefix := range []string{"refs/heads/", "refs/tags/", "refs/remotes/origin/"} {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			return rest
		}
	}
	return s
}

// addrOf returns an IP address from text: with a port, in brackets, with a zone. The zero Addr is "none".
func addrOf(s string) netip.Addr {
	s = strings.TrimSpace(s)
	if s == "" || strings.IndexByte("0123456789abcdefABCDEF:[", s[0]) < 0 {
		return netip.Addr{} // a name: netip's errors, which nobody reads, cost allocations
	}
	if strings.IndexByte(s, ':') < 0 {
		if s[0] > '9' || strings.IndexByte(s, '.') < 0 {
			return netip.Addr{}
		}
		a, _ := netip.ParseAddr(s)
		return a
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return a.WithZone("").Unmap()
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().WithZone("").Unmap()
	}
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.WithZone("").Unmap()
	}
	return netip.Addr{}
}

// plain returns a line without the escape sequences that colour it on a terminal.
func plain(line string) string {
	for {
		i := strings.IndexByte(line, 0x1b)
		if i < 0 {
			return line
		}
		end := i + 1
		if end < len(line) && line[end] == '[' {
			for end++; end < len(line) && (line[end] < 0x40 || line[end] > 0x7e); end++ {
			}
			end = min(end+1, len(line))
		}
		line = line[:i] + line[end:]
	}
}

// cutCell cuts the first cell off a row of CSV; more says that a comma followed. encoding/csv makes a reader, a buffer and
// a row for every line that it is asked for alone.
func cutCell(row string) (cell, rest string, more bool) {
	if row == "" || row[0] != '"' {
		return strings.Cut(row, ",")
	}
	doubled := false
	end := 1
	for ; end < len(row); end++ {
		if row[end] != '"' {
			continue
		}
		if end+1 == len(row) || row[end+1] != '"' {
			break
		}
		doubled = true
		end++
	}
	if cell = row[1:end]; doubled {
		cell = strings.ReplaceAll(cell, `""`, `"`)
	}
	_, rest, more = strings.Cut(row[end:], ",")
	return cell, rest, more
}
