package parse

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// first returns the first of its arguments that is not empty.
func first(s ...string) string {
	for _, v := range s {
		if v != "" {
			return v
		}
	}
	return ""
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
