package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// maxAnswer is how much of a peer's answer is read.
const maxAnswer = 4 << 10

// tooMany is an answer that says when to come again.
type tooMany struct {
	error
	after time.Duration
}

// client does not follow redirects: what is signed, and what has a key in it, is for the peer that was configured.
var client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func postJSON(ctx context.Context, address string, body any, header http.Header) error {
	b, err := json.Marshal(body)
	if err != nil {
		return refused{err}
	}
	return post(ctx, address, "application/json", b, header)
}

// post sends the body. An answer of 408, 429 or 5xx, and none at all, may be different the next time. Errors do not name
// the address, which may have a key in it.
func post(ctx context.Context, address, contentType string, body []byte, header http.Header) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return refused{errors.New("the url is none")}
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", "tocsin")
	resp, err := client.Do(req)
	if err != nil {
		var with *url.Error
		if errors.As(err, &with) {
			err = with.Err
		}
		return fmt.Errorf("post: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil // it has it, whatever becomes of the answer
	}
	err = errors.Join(fmt.Errorf("the peer answers %s: %s", resp.Status, bytes.TrimSpace(answer)), err)
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // 0 where it says nothing, or a date
		return tooMany{err, min(time.Duration(seconds)*time.Second, time.Hour)}
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusRequestTimeout:
		return err
	}
	return refused{err}
}
