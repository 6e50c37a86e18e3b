package parse

import (
	"net/netip"
	"time"
)

// What formats outside of this package need to read values as the built-in ones do.

// Severity converts a word that scanners use, in any case; 0 where it is unknown.
func Severity(word string) uint8 { return severityWord(word) }

// SeverityCVSS converts a CVSS base score, 0 to 10.
func SeverityCVSS(score float64) uint8 { return severityCVSS(score) }

// Repo returns the canonical form of a repository's URL: host/org/name in lower case.
func Repo(url string) string { return repoOf(url) }

// Ref returns a branch or tag without refs/heads/ or refs/tags/.
func Ref(ref string) string { return refOf(ref) }

// Time reads the times that tools print, Unix times of any unit among them. The zero time is "none".
func Time(s string) time.Time { return parseTime(s) }

// Addr reads an IP address, with a port, brackets or zone. The zero Addr is "none".
func Addr(s string) netip.Addr { return addrOf(s) }
