package enrich

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gaissmai/bart"

	"github.com/tocsin-project/tocsin/pipeline"
)

// threats tells on which lists an indicator stands. A million entries are one map and one trie whatever the number of
// lists: an entry's value is the number of a combination of lists.
type threats struct {
	names   map[string]uint16 // domains, hashes and purls, in lower case
	trie    bart.Table[uint16]
	labels  [][]string // of each combination
	entries int
}

// threatBuilder puts lists together.
type threatBuilder struct {
	*threats
	combos map[string]uint16 // a combination's labels, joined, to its number
	joins  map[[2]uint16]uint16
}

// combo returns the number of the lists of both combinations.
func (t *threatBuilder) combo(a, b uint16) uint16 {
	if a == b {
		return a
	}
	key := [2]uint16{a, b}
	if n, known := t.joins[key]; known {
		return n
	}
	n := t.lists(append(slices.Clone(t.labels[a]), t.labels[b]...))
	t.joins[key] = n
	return n
}

// lists returns the number of the combination of these labels.
func (t *threatBuilder) lists(labels []string) uint16 {
	slices.Sort(labels)
	labels = slices.Compact(labels)
	key := strings.Join(labels, " ")
	n, known := t.combos[key]
	if !known && len(t.labels) <= math.MaxUint16 {
		n = uint16(len(t.labels))
		t.combos[key], t.labels = n, append(t.labels, labels)
	}
	return n // with more than 65,536 combinations, that of number 0: too many lists for anybody to read
}

var (
	hashPattern   = regexp.MustCompile(`^(sha256:)?([0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})$`)
	domainPattern = regexp.MustCompile(`^[a-z0-9_-]+(\.[a-z0-9_-]+)*\.[a-z][a-z0-9-]+$`)
)

// readThreats reads a list from each file: an indicator a line, first on it; what follows a blank, a comma or a # is a
// remark. An address range that lies within another is on the lists of both.
func readThreats(lists []string, files []*file) (part, error) {
	t := threatBuilder{
		threats: &threats{names: map[string]uint16{}},
		combos:  map[string]uint16{}, joins: map[[2]uint16]uint16{},
	}
	var m mistakes
	ranges := map[netip.Prefix]uint16{}
	for i, f := range files {
		own := t.lists([]string{"threat:" + lists[i]})
		text := string(bytes.TrimPrefix(f.data, []byte("\xef\xbb\xbf")))
		line := 0
		for l := range strings.SplitSeq(text, "\n") {
			line++
			word := indicator(l)
			if word == "" {
				continue
			}
			t.entries++
			if p, err := parsePrefix(word); err == nil {
				if p.Bits() == 0 {
					m.at(f.path, line, 1, fmt.Sprintf("%q is every address", word), "remove it")
				}
				if before, twice := ranges[p]; twice {
					ranges[p] = t.combo(before, own)
				} else {
					ranges[p] = own
				}
				continue
			}
			name := strings.ToLower(word)
			switch {
			case strings.HasPrefix(name, "pkg:"), hashPattern.MatchString(name):
				name = strings.TrimPrefix(name, "sha256:")
			case domainPattern.MatchString(name):
			default:
				m.at(f.path, line, 1, fmt.Sprintf("%.80q is no indicator", word), "expected an address, CIDR, domain, hash (MD5, SHA-1, SHA-256) or purl; remarks begin with #")
				continue
			}
			if before, twice := t.names[name]; twice {
				t.names[name] = t.combo(before, own)
			} else {
				t.names[name] = own
			}
		}
	}
	t.insert(ranges)
	return t.threats, m.err()
}

// indicator returns the first word of a line, "" where there is none.
func indicator(line string) string {
	line = strings.TrimSpace(line)
	if i := strings.IndexAny(line, " \t,;#"); i >= 0 && !strings.HasPrefix(line, "pkg:") {
		line = line[:i]
	}
	return strings.Trim(line, `"`)
}

// insert puts the ranges into the trie, wider ones first, so that each inherits the lists of those around it.
func (t *threatBuilder) insert(ranges map[netip.Prefix]uint16) {
	order := make([]netip.Prefix, 0, len(ranges))
	for p := range ranges {
		order = append(order, p)
	}
	slices.SortFunc(order, func(a, b netip.Prefix) int { return cmp.Compare(a.Bits(), b.Bits()) })
	for _, p := range order {
		n := ranges[p]
		if around, ok := t.trie.LookupPrefix(p); ok {
			n = t.combo(n, around)
		}
		t.trie.Insert(p, n)
	}
}

func (t *threats) install(s *set) { s.threats = t }

func (t *threats) size() (int, time.Time) { return t.entries, time.Time{} }

// enrich adds label threat:<list> for every list that an indicator of the event is on, and attribute threat.indicator
// with the first of them.
func (t *threats) enrich(e *pipeline.Event, l *lookups) {
	if t == nil {
		return
	}
	t.address(e, e.SrcIP)
	t.address(e, e.DstIP)
	if len(e.DstDomain) > 0 && len(e.DstDomain) <= 253 { // RFC 1035, 2.3.4
		l.buf = appendLower(l.buf[:0], strings.TrimSuffix(e.DstDomain, "."))
		t.domain(e, l.buf)
	}
	if e.Digest != "" {
		t.name(e, strings.TrimPrefix(e.Digest, "sha256:"), l)
	}
	if e.Purl != "" {
		t.name(e, e.Purl, l)
		if name := purlName(e.Purl); name != e.Purl {
			t.name(e, name, l) // every version of it
		}
	}
	for i := range e.Attrs { // those that are added on the way are no hashes
		if strings.HasPrefix(e.Attrs[i].Key, "file.hash.") {
			t.name(e, e.Attrs[i].Value, l)
		}
	}
}

// address looks an address up. Those that are private by nature are passed over: lists of bogons name them all.
func (t *threats) address(e *pipeline.Event, a netip.Addr) {
	if a = a.Unmap(); !a.IsGlobalUnicast() || a.IsPrivate() {
		return
	}
	if n, ok := t.trie.Lookup(a); ok {
		p, _, _ := t.trie.LookupPrefixLPM(netip.PrefixFrom(a, a.BitLen()))
		text := a.String()
		if !p.IsSingleIP() {
			text = p.String()
		}
		t.found(e, n, text)
	}
}

// domain looks a domain up, and every one that it is part of.
func (t *threats) domain(e *pipeline.Event, name []byte) {
	for {
		dot := bytes.IndexByte(name, '.')
		if dot < 0 {
			return // a top-level domain is on no list
		}
		if n, ok := t.names[string(name)]; ok {
			t.found(e, n, string(name))
			return
		}
		name = name[dot+1:]
	}
}

func (t *threats) name(e *pipeline.Event, name string, l *lookups) {
	l.buf = appendLower(l.buf[:0], name)
	if n, ok := t.names[string(l.buf)]; ok {
		t.found(e, n, string(l.buf))
	}
}

func (t *threats) found(e *pipeline.Event, n uint16, text string) {
	for _, label := range t.labels[n] {
		if !e.HasLabel(label) {
			e.Labels = append(e.Labels, label)
		}
	}
	setAttr(e, "threat.indicator", text)
}
