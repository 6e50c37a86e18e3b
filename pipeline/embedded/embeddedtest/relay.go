// Package embeddedtest is what tests need that kill processes around the embedded ClickHouse.
package embeddedtest

import (
	"io"
	"net"
	"testing"
)

// Relay forwards connections to addr and returns where it listens. A killed process leaves connections that are reset, and
// libchdb, other than ClickHouse's own server, aborts on those; the relay closes them in order.
func Relay(t testing.TB, addr string) string {
	t.Helper()
	listener, err := NewRelay(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

// NewRelay is Relay for programs; the caller closes the listener.
func NewRelay(addr string) (net.Listener, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	forward := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)           // until either end is gone, however
		_, _ = io.Copy(io.Discard, from)   // whoever sends must not find the door shut
		_ = to.(*net.TCPConn).CloseWrite() // fails where it is closed already
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", addr)
			if err != nil {
				_ = client.Close()
				continue
			}
			go forward(server, client)
			go func() {
				forward(client, server)
				_ = client.Close()
				_ = server.Close()
			}()
		}
	}()
	return listener, nil
}
