package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/sony/gobreaker/v2"
	"go.uber.org/zap"
)

// pool is the connections that inserts go over. It is small: one block at a time goes over each, and their number is what
// bounds the load on the server.
type pool struct {
	addrs   []string
	options ch.Options
	breaker *gobreaker.CircuitBreaker[struct{}]
	slots   chan struct{} // one for each connection in use

	mu     sync.Mutex
	idle   []*ch.Client
	closed bool
}

func newPool(cfg Config) *pool {
	return &pool{
		addrs: cfg.Addrs,
		breaker: gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
			Timeout:      probeEvery,
			ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= tripAfter },
			IsSuccessful: func(err error) bool { return err == nil || Classify(err) != Retry }, // it answered
			IsExcluded:   func(err error) bool { return errors.Is(err, context.Canceled) },     // nobody waits any more
		}),
		options: ch.Options{
			Logger:     zap.NewNop(),
			Database:   cfg.Database,
			User:       cfg.User,
			Password:   cfg.Password,
			ClientName: "tocsin",
			Dialer:     dialer(cfg.TLS.Dial),
			// How long it takes to notice that the context is done; not how long the server may take.
			ReadTimeout: time.Second,
		},
		slots: make(chan struct{}, cfg.Conns),
	}
}

// After so many failures in a row, of all sinks, one INSERT at a time is tried, at most so often, until one succeeds: a server
// that is away or too busy is not met by every partition at once when it is back.
const (
	tripAfter  = 5
	probeEvery = time.Second
)

// dialer is a ch.Dialer.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// DialContext implements ch.Dialer.
func (d dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return d(ctx, network, addr)
}

// insert sends an INSERT, with what must come before it on the same connection, and returns when the server has stored it
// for good, or what it says against it; gobreaker.ErrOpenState or ErrTooManyRequests where it was not sent, for the server
// has been failing and another INSERT finds out whether it still does.
func (db *DB) insert(ctx context.Context, queries ...ch.Query) error {
	ctx, cancel := context.WithTimeout(ctx, db.cfg.InsertTimeout)
	defer cancel()
	p := db.inserts
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return fmt.Errorf("wait for a connection: %w", ctx.Err())
	}
	_, err := p.breaker.Execute(func() (struct{}, error) { return struct{}{}, p.send(ctx, queries) })
	return err
}

func (p *pool) send(ctx context.Context, queries []ch.Query) error {
	c, err := p.get(ctx)
	if err != nil {
		return err
	}
	// ch-go looks at the context between packets only: a server that stops in the middle of one would hold it for ever.
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	for i := 0; err == nil && i < len(queries); i++ {
		err = c.Do(ctx, queries[i])
	}
	if !stop() {
		err = errors.Join(ctx.Err(), err)
	}
	p.put(c, err == nil)
	return err
}

// get returns an idle connection or a new one, to the first address that answers.
func (p *pool) get(ctx context.Context) (*ch.Client, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, ErrClosed
	}
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	return p.dial(ctx)
}

// dial opens a connection to the first address that answers.
func (p *pool) dial(ctx context.Context) (*ch.Client, error) {
	var errs error
	for _, addr := range p.addrs {
		options := p.options
		options.Address, options.Compression = addr, compression(addr)
		c, err := ch.Dial(ctx, options)
		if err == nil {
			return c, nil
		}
		errs = errors.Join(errs, fmt.Errorf("connect to %s: %w", addr, err))
	}
	return nil, errs
}

// compression is what a block's bytes are worth on their way: LZ4, but nothing to a server on the same machine, as ClickHouse's own client
// does. There it would cost a seventh of all processor time, and two copies of the block.
func compression(addr string) ch.Compression {
	host, _, _ := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return ch.CompressionDisabled
	}
	return ch.CompressionLZ4
}

// put takes a connection back. After an error it is closed, for what is still under way on it is unknown, and so are the
// idle ones: if the server went away they are as dead, and each would cost a retry to find out.
func (p *pool) put(c *ch.Client, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ok && !p.closed {
		p.idle = append(p.idle, c)
		return
	}
	_ = c.Close() // broken or no longer wanted
	p.drop()
}

// drop closes the idle connections; p.mu is held.
func (p *pool) drop() {
	for _, c := range p.idle {
		_ = c.Close() // broken or no longer wanted
	}
	p.idle = nil
}

func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.drop()
	return nil
}
