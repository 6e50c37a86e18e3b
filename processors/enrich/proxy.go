package enrich

import (
	"net/netip"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

const forwardedFor = "http.request.header.x-forwarded-for"

// client takes the word of a trusted proxy about whom it speaks for: the event's source becomes the last address of
// X-Forwarded-For that is no trusted proxy itself, and the proxy goes to attribute source.proxy. Whatever stands before
// that address, its sender may have made up. It returns the source's network.
func (n *networks) client(e *pipeline.Event, proxy *network) *network {
	rest, more := e.Attr(forwardedFor), true
	for more && rest != "" {
		var word string
		if i := strings.LastIndexByte(rest, ','); i >= 0 {
			rest, word = rest[:i], rest[i+1:]
		} else {
			rest, word, more = "", rest, false
		}
		a, ok := forwarded(strings.TrimSpace(word))
		if !ok {
			return proxy // a chain with a hole tells nothing
		}
		if w := n.of(a); !w.proxy {
			setAttr(e, "source.proxy", e.SrcIP.Unmap().String())
			e.SrcIP = a
			return w
		}
	}
	return proxy
}

// forwarded reads an address as proxies write it: bare, or with a port, IPv6 then in brackets.
func forwarded(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.WithZone(""), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().WithZone(""), true
	}
	return netip.Addr{}, false
}
