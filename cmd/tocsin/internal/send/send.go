// Package send is the sending end of `tocsin send`: it posts records to a receiver, and knows what a CI server's
// environment says of the step at hand.
package send

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// ErrRefused means that the receiver will not take the record, however often it is sent.
var ErrRefused = errors.New("refused")

// HTTP posts records to the address of a receiver's route that verifies by token.
type HTTP struct {
	URL   string
	Token string // sent as a bearer token; empty sends none
}

// Check refuses an address that leads nowhere, or that carries a password.
func (h *HTTP) Check() error {
	u, err := url.Parse(h.URL)
	switch {
	case err != nil:
		return err
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("%q is no http or https address", h.URL)
	case u.User != nil:
		return errors.New("a password in the address shows in process lists; put the token into TOCSIN_TOKEN")
	}
	return nil
}

// Send posts one record and tries again while the receiver is busy or away, until ctx ends. However often it tries, the
// record is written once: the attempts carry the same id.
func (h *HTTP) Send(ctx context.Context, r *pipeline.Record) error {
	id := rand.Text()
	for wait := 500 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		after, err := h.try(ctx, id, r)
		if err == nil || errors.Is(err, ErrRefused) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; gave up", err)
		case <-time.After(max(after, wait)):
		}
	}
}

func (h *HTTP) try(ctx context.Context, id string, r *pipeline.Record) (after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(r.Value))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("Idempotency-Key", id)
	if h.Token != "" {
		req.Header.Set("Authorization", "Bearer "+h.Token)
	}
	for _, f := range r.Headers { // tocsin_run_id is Tocsin-Run-Id: proxies drop names with an underscore
		req.Header.Set(strings.ReplaceAll(f.Key, "_", "-"), string(f.Value))
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 300)) // what is said of an error; its status is enough without
	switch code := resp.StatusCode; {
	case code < 300:
		return 0, nil
	case code == http.StatusTooManyRequests || code >= 500:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return time.Duration(min(max(seconds, 0), 60)) * time.Second, fmt.Errorf("%s answers %s: %s", h.URL, resp.Status, bytes.TrimSpace(text))
	default:
		return 0, fmt.Errorf("%w: %s answers %s: %s", ErrRefused, h.URL, resp.Status, bytes.TrimSpace(text))
	}
}

// client does not follow redirects: a POST would become a GET, and the token might go elsewhere.
var client = &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
