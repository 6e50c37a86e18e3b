package enrich

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/gaissmai/bart"

	"github.com/tocsin-project/tocsin/pipeline"
)

// inside lists what is ours wherever we are: it does not cross a border of the network.
var inside = []string{
	"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", // RFC 1918
	"fc00::/7",               // RFC 4193, unique local
	"127.0.0.0/8", "::1/128", // loopback
	"169.254.0.0/16", "fe80::/10", // link-local
	"0.0.0.0/8", "::/128", // this host
	"224.0.0.0/4", "ff00::/8", "255.255.255.255/32", // multicast and broadcast
}

// network is what is known of an address by the longest prefix that holds it.
type network struct {
	name    string // empty where nobody gave it one
	private bool   // traffic to and from it does not leave us
	proxy   bool   // its word about X-Forwarded-For is taken
}

// networks tells addresses' networks.
type networks struct {
	trie    bart.Table[*network]
	entries int
}

// newNetworks returns those that are known without a table.
func newNetworks() *networks {
	n := &networks{}
	for _, cidr := range inside {
		n.trie.Insert(netip.MustParsePrefix(cidr), &network{private: true})
	}
	return n
}

var networkColumns = []string{"cidr", "name", "private", "proxy"}

// readNetworks reads the tables of networks: rows of cidr, name, private (default true) and proxy (default false).
func readNetworks(files []*file) (part, error) {
	n := newNetworks()
	var m mistakes
	listed := map[netip.Prefix]string{}
	kinds := map[network]*network{} // rows of one network share it
	for _, f := range files {
		rows(f, networkColumns, 1, &m, func(c []cell) {
			prefix, err := parsePrefix(c[0].text)
			if err != nil {
				m.at(f.path, c[0].line, c[0].column, fmt.Sprintf("%q is no CIDR", c[0].text), "as in 10.1.0.0/16, 2001:db8::/32 or 192.0.2.7")
				return
			}
			if where, twice := listed[prefix]; twice {
				m.at(f.path, c[0].line, c[0].column, fmt.Sprintf("%s is listed twice", prefix), "first at "+where+"; remove one")
				return
			}
			listed[prefix] = fmt.Sprintf("%s:%d", f.path, c[0].line)
			row := network{name: c[1].text, private: truth(f, c[2], true, &m), proxy: truth(f, c[3], false, &m)}
			if kinds[row] == nil {
				kinds[row] = &row
			}
			n.trie.Insert(prefix, kinds[row])
			n.entries++
		})
	}
	return n, m.err()
}

// parsePrefix reads a CIDR, or an address as the prefix that holds nothing else. Bits behind the prefix are cut off, and
// IPv4 in IPv6 is IPv4.
func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is no address", s)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, err
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// truth reads a cell that is true or false; one that is left out is as usual.
func truth(f *file, c cell, usual bool, m *mistakes) bool {
	switch strings.ToLower(c.text) {
	case "":
		return usual
	case "true", "yes":
		return true
	case "false", "no":
		return false
	}
	m.at(f.path, c.line, c.column, fmt.Sprintf("%q is neither true nor false", c.text), "")
	return usual
}

func (n *networks) install(s *set) { s.networks = n }

func (n *networks) size() (int, time.Time) { return n.entries, time.Time{} }

// of returns the network of an address, one of nobody's where there is none.
func (n *networks) of(a netip.Addr) *network {
	if w, ok := n.trie.Lookup(a.Unmap()); ok {
		return w
	}
	return &elsewhere
}

var elsewhere network

// enrich tells the event's scope and the names of its networks, after it has put the client in place of a trusted proxy.
//
// An event that names one end only is about the host that reported it, which is ours: what comes from outside is ingress,
// what goes outside egress. Where the other end is a domain (but not that of a request to us), it may be anywhere, so
// traffic from inside is not judged.
func (n *networks) enrich(e *pipeline.Event) {
	hasSrc, hasDst := e.SrcIP.IsValid(), e.DstIP.IsValid()
	if !hasSrc && !hasDst {
		return
	}
	src, dst := &ours, &ours
	if hasSrc {
		if src = n.of(e.SrcIP); src.proxy {
			src = n.client(e, src)
		}
		setAttr(e, "source.network", src.name)
	}
	if hasDst {
		dst = n.of(e.DstIP)
		setAttr(e, "destination.network", dst.name)
	}
	if e.NetScope != pipeline.NetNone {
		return
	}
	switch {
	case src.private && dst.private:
		if hasDst || e.DstDomain == "" || e.Type == "http.request" {
			e.NetScope = pipeline.NetPrivate
		}
	case src.private:
		e.NetScope = pipeline.NetEgress
	case dst.private:
		e.NetScope = pipeline.NetIngress
	default:
		e.NetScope = pipeline.NetExternal
	}
}

var ours = network{private: true}

// setAttr adds an attribute that the event does not have. An empty value adds nothing.
func setAttr(e *pipeline.Event, key, value string) {
	if value != "" && e.Attr(key) == "" {
		e.Attrs = append(e.Attrs, pipeline.Attr{Key: key, Value: value})
	}
}
