package receive

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Config says where is listened and what is taken.
type Config struct {
	// Listen is host:port. Routes without verification are only served on loopback.
	Listen string `yaml:"listen"`
	// Cert and Key are the files of the server's certificate, read again when they change; without them it speaks plain HTTP,
	// for a proxy in front that ends TLS.
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	// MaxBytes is the size of the largest body, 1 to 67108864.
	MaxBytes int `yaml:"max_bytes"`
	// MaxPending is how many bytes of bodies may be held at the same time; what would go beyond is answered 429.
	MaxPending int     `yaml:"max_pending"`
	Routes     []Route `yaml:"routes"`
}

// Route is one address that records are posted to.
type Route struct {
	Path  string `yaml:"path"`
	Topic string `yaml:"topic"` // of Kafka
	// Verify is how a request shows who sent it: github, gitlab, bitbucket, gitea, slack, standard, hmac, token or none.
	Verify string `yaml:"verify"`
	// Header carries the signature (hmac) or the token (token; Authorization: Bearer where it is empty).
	Header string `yaml:"header"`
	// Secrets are the keys or tokens, each of which is right: with two of them one can be changed without a gap.
	Secrets []string `yaml:"secrets"`
	// Source names the format of all that comes here; recognised when empty.
	Source string `yaml:"source"`
}

// DefaultConfig listens on this machine and has no routes. GitHub sends at most 25 MiB.
func DefaultConfig() Config {
	return Config{Listen: "127.0.0.1:9411", MaxBytes: 25 << 20, MaxPending: 256 << 20}
}

const minSecretBytes = 16

var (
	headerName = regexp.MustCompile(`^[A-Za-z0-9-]+$`)
	routePath  = regexp.MustCompile(`^/[A-Za-z0-9._~/-]*$`)
)

// Check returns everything that is wrong with the configuration. It opens nothing.
func (c *Config) Check() error {
	var errs []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("receive."+format, args...))
		}
	}
	_, _, err := net.SplitHostPort(c.Listen)
	want(err == nil, "listen: %q is not host:port", c.Listen)
	want((c.Cert == "") == (c.Key == ""), "cert: certificate and key go together")
	want(c.MaxBytes > 0 && c.MaxBytes <= 64<<20, "max_bytes: %d, want 1 to %d", c.MaxBytes, 64<<20)
	want(c.MaxPending >= c.MaxBytes, "max_pending: %d, want max_bytes (%d) or more", c.MaxPending, c.MaxBytes)
	seen := map[string]bool{}
	for i, r := range c.Routes {
		at := func(ok bool, format string, args ...any) {
			want(ok, fmt.Sprintf("routes[%d].", i)+format, args...)
		}
		at(routePath.MatchString(r.Path) && path.Clean(r.Path) == r.Path, "path: %q is none, as in /github", r.Path)
		at(!seen[r.Path], "path: %q is there twice", r.Path)
		seen[r.Path] = true
		at(r.Topic != "", "topic: empty")
		scheme, known := schemes[r.Verify]
		at(known, "verify: %q is none of %s", r.Verify, strings.Join(schemeNames, ", "))
		if !known {
			continue
		}
		at(!scheme.named || r.Header != "", "header: %s wants the name of the header with the signature", r.Verify)
		at(r.Header == "" || scheme.named || r.Verify == "token", "header: %s knows its own", r.Verify)
		at(r.Header == "" || headerName.MatchString(r.Header), "header: %q is no name of a header", r.Header)
		if r.Verify == "none" {
			at(len(r.Secrets) == 0, "secrets: verify is none, so nobody would look at them")
			at(loopback(c.Listen), "verify: none is for loopback only, and receive.listen is %s", c.Listen)
			continue
		}
		at(len(r.Secrets) > 0, "secrets: none is given")
		for j, s := range r.Secrets {
			at(len(s) >= minSecretBytes, "secrets[%d]: %d bytes, want %d or more, e.g. from `openssl rand -hex 32`", j, len(s), minSecretBytes)
			if r.Verify == "standard" {
				_, err := standardKey(s)
				at(err == nil, "secrets[%d]: want whsec_ and base64", j)
			}
		}
	}
	return errors.Join(errs...)
}

func loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Topics lists the topics of the routes.
func (c *Config) Topics() []string {
	var topics []string
	for _, r := range c.Routes {
		topics = append(topics, r.Topic)
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}

// kept are the headers that go with the record: they tell parsers what it is. No other does, and above all none that
// carries a token or a cookie. CloudEvents' own (ce-*) go as well, in the names of its Kafka binding.
var kept = []string{
	"Content-Type", "X-GitHub-Event", "X-Gitlab-Event", "X-Event-Key", "X-Gitea-Event", "X-Forgejo-Event", "X-Gogs-Event",
}

// deliveryIDs are the headers in which senders name a delivery, the same when they send it again.
var deliveryIDs = []string{
	"Idempotency-Key", // GitLab and `tocsin send`
	"X-GitHub-Delivery", "X-Gitea-Delivery", "X-Forgejo-Delivery", "X-Gogs-Delivery",
	"X-Gitlab-Event-UUID",
	"X-Request-UUID", "X-Request-Id", // Bitbucket Cloud, Data Center
	"Webhook-Id", // Standard Webhooks
}

// deliveryID returns the sender's name of the delivery, "" where it gives none.
func deliveryID(h http.Header) string {
	for _, name := range deliveryIDs {
		if id := h.Get(name); id != "" && len(id) <= 256 {
			return id
		}
	}
	if id := h.Get("Ce-Id"); id != "" && len(id) <= 256 { // unique within its source
		return h.Get("Ce-Source") + " " + id
	}
	return ""
}
