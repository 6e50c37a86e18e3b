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
	"slices"
	"strconv"
	"time"
)

// maxAnswer is how much of a peer's answer is read.
const maxAnswer = 4 << 10

// tooMany is an answer that may say when to come again.
type tooMany struct {
	error
	after time.Duration
}

// client does not follow redirects: what is signed, and what has a key in it, is for the peer that was configured.
var client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func postJSON(ctx context.Context, address string, body any, header http.Header) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // nothing of it is HTML, and peers bound the bytes
	if err := enc.Encode(body); err != nil {
		return refused{err}
	}
	_, err := post(ctx, address, "application/json", b.Bytes(), header)
	return err
}

// wrongOnes are the answers that speak of the message: no second try changes them. A peer that does not know the account or
// the address (401, 404, 410, a redirect) is asked until somebody has mended the configuration: it says nothing of the alert.
// 403 is here because a firewall before the peer says so to what looks like an attack, and one alert must not stop all others.
var wrongOnes = []int{
	http.StatusBadRequest, http.StatusForbidden, http.StatusNotAcceptable, http.StatusConflict, http.StatusRequestEntityTooLarge,
	http.StatusUnprocessableEntity, http.StatusRequestHeaderFieldsTooLarge, http.StatusUnavailableForLegalReasons,
}

// post sends the body and returns what the peer answers to it, maxAnswer of it. Errors do not name the address, which may have
// a key in it.
func post(ctx context.Context, address, contentType string, body []byte, header http.Header) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, refused{errors.New("the url is none")}
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
		return nil, fmt.Errorf("post: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return answer, nil // it has it, whatever becomes of the answer
	}
	err = errors.Join(fmt.Errorf("the peer answers %s: %s", resp.Status, bytes.TrimSpace(answer)), err)
	if slices.Contains(wrongOnes, resp.StatusCode) {
		return nil, refused{err}
	}
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // 0 where it says nothing, or a date
	return nil, tooMany{err, time.Duration(min(max(seconds, 0), 3600)) * time.Second}
}
