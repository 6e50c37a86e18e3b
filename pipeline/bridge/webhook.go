package bridge

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// webhook posts each record as it is, a CloudEvent in structured mode, signed as Standard Webhooks 1.0 has it: the headers
// webhook-id (the key of the version), webhook-timestamp and webhook-signature. The key may begin with whsec_, then the
// rest is base64.
type webhook struct {
	url string
	key []byte
}

func newWebhook(b *Bridge) (peer, error) {
	key := []byte(b.cfg.Key)
	if text, ok := strings.CutPrefix(b.cfg.Key, "whsec_"); ok {
		var err error
		if key, err = base64.StdEncoding.DecodeString(text); err != nil {
			return nil, errors.New("key: what follows whsec_ is no base64")
		}
	}
	return &webhook{b.cfg.URL, key}, nil
}

func (w *webhook) deliver(ctx context.Context, m *message) error {
	seconds := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, w.key)
	fmt.Fprintf(mac, "%s.%s.%s", m.key(), seconds, m.record)
	header := http.Header{}
	header.Set("Webhook-Id", m.key())
	header.Set("Webhook-Timestamp", seconds)
	header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	_, err := post(ctx, w.url, "application/cloudevents+json", m.record, header)
	return err
}
