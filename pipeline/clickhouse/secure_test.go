package clickhouse

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
	"github.com/tocsin-project/tocsin/pipeline/pipelinetest"
)

// TestTLS talks to the server behind TLS that wants certificates of its clients, blocks and queries both. The embedded server has
// no TLS of its own.
func TestTLS(t *testing.T) {
	authority, other := pipelinetest.NewAuthority(t), pipelinetest.NewAuthority(t)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", authority.Server(true))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			go forward(in.(*tls.Conn))
		}
	}()
	cert, key := authority.Issue("tocsin")
	cfg := Config{Addrs: []string{listener.Addr().String()}, Database: "secure", TLS: pipeline.TLS{Enabled: true, CA: authority.File, Cert: cert, Key: key}}
	db := open(t, cfg)
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := db.EventSink()
	defer s.Close()
	store(t, s, typical(0, 10), chunk(0, 10, 0))
	if n := number(t, db, "SELECT count() FROM events"); n != 10 {
		t.Errorf("%d rows, want 10", n)
	}
	refused := func(what string, change func(*Config)) {
		t.Helper()
		cfg := cfg
		change(&cfg)
		if db, err := Open(t.Context(), cfg); err == nil {
			_ = db.Close()
			t.Errorf("%s: no error", what)
		}
	}
	refused("an unknown authority", func(c *Config) { c.TLS.CA = other.File })
	refused("no certificate", func(c *Config) { c.TLS.Cert, c.TLS.Key = "", "" })
	refused("another's certificate", func(c *Config) { c.TLS.Cert, c.TLS.Key = other.Issue("tocsin") })
	refused("no TLS", func(c *Config) { c.TLS = pipeline.TLS{} })
	refused("a file that is missing", func(c *Config) { c.TLS.CA = "nonesuch" })

	// The next connection reads the files again.
	ca, err := os.ReadFile(authority.File)
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := os.ReadFile(other.File)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		ca []byte
		ok bool
	}{{wrong, false}, {ca, true}} {
		if err := os.WriteFile(authority.File, step.ca, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := db.inserts.dial(t.Context())
		if (err == nil) != step.ok {
			t.Errorf("after the authority's file has changed: %v, want success %v", err, step.ok)
		}
		if err == nil {
			_ = c.Close()
		}
	}
}

// forward carries a connection to the server, once its client has shown who it is: the server aborts on a handshake that breaks off.
func forward(in *tls.Conn) {
	defer in.Close()
	if err := in.HandshakeContext(context.Background()); err != nil {
		return
	}
	out, err := net.Dial("tcp", server.TCPAddr)
	if err != nil {
		return
	}
	defer out.Close()
	go func() {
		_, _ = io.Copy(out, in) // until the client ends
		_ = out.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(in, out) // until the server ends
}

// TestNoPasswordIsSaid: not where it is wrong, nor where nobody answers. The server is the test's own: the embedded one may
// abort on whom it refuses.
func TestNoPasswordIsSaid(t *testing.T) {
	own, err := embedded.StartClickHouse(t.Context(), embedded.ClickHouseConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Kill()
	for _, addr := range []string{own.TCPAddr, "127.0.0.1:1"} {
		_, err := Open(t.Context(), Config{Addrs: []string{addr}, User: "nobody", Password: "bell-secret"})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("error %v", err)
		}
	}
}
