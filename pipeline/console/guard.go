package console

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// policy lets the page load what this server has and nothing else: no inline script or style, no other host, no frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guard refuses what no reader sends, and sets the headers that keep a browser from being turned against the console.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		switch {
		case !s.knownHost(r.Host):
			fail(w, http.StatusMisdirectedRequest, fmt.Errorf("host %q is not known here: use an address or localhost, or name it in admin.hosts", r.Host))
		case r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/api/alerts/"):
			// A token must come with it, which no page of another site has; nor may one try.
			if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
				fail(w, http.StatusForbidden, errors.New("another site may not speak here"))
				return
			}
			next.ServeHTTP(w, r)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			fail(w, http.StatusMethodNotAllowed, errors.New("only GET is answered"))
		case r.Header.Get("Sec-Fetch-Site") == "cross-site" && strings.HasPrefix(r.URL.Path, "/api/"):
			// The browser would not show the answer to that page, but the warehouse would have worked for it.
			fail(w, http.StatusForbidden, errors.New("another site may not ask"))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// knownHost tells whether a request may name this host. A page of another site reaches loopback under a name of its own
// that resolves to it (DNS rebinding); it cannot do so under an address.
func (s *Server) knownHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name == "localhost" || slices.ContainsFunc(s.cfg.Hosts, func(h string) bool { return strings.EqualFold(h, name) })
}
