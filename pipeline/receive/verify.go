package receive

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxSkew is how old a signed time may be, as Slack and Standard Webhooks ask: what was recorded cannot be sent again later.
const maxSkew = 5 * time.Minute

// scheme is one way in which a sender shows that it knows the secret.
type scheme struct {
	named bool // the route must name the header
	// check reports whether the request is from who knows the secret.
	check func(r *Route, secret string, h http.Header, body []byte, now time.Time) bool
}

// schemes are the ways that are known. All compare in constant time.
//
// https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
// https://docs.gitlab.com/user/project/integrations/webhooks/#validate-payloads-by-using-a-secret-token
// https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/#Secure-webhooks
// https://docs.gitea.com/usage/webhooks
// https://api.slack.com/authentication/verifying-requests-from-slack
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
var schemes = map[string]scheme{
	"github":    {check: signedBody("X-Hub-Signature-256")},
	"bitbucket": {check: signedBody("X-Hub-Signature")},
	"gitea":     {check: signedBody("X-Gitea-Signature", "X-Forgejo-Signature", "X-Gogs-Signature")},
	"gitlab": {check: func(_ *Route, secret string, h http.Header, _ []byte, _ time.Time) bool {
		return equal(h.Get("X-Gitlab-Token"), secret)
	}},
	"slack":    {check: slack},
	"standard": {check: standard},
	"hmac": {named: true, check: func(r *Route, secret string, h http.Header, body []byte, now time.Time) bool {
		return signedBody(r.Header)(r, secret, h, body, now)
	}},
	"token": {check: func(r *Route, secret string, h http.Header, _ []byte, _ time.Time) bool {
		if r.Header != "" {
			return equal(h.Get(r.Header), secret)
		}
		scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
		return strings.EqualFold(scheme, "Bearer") && equal(token, secret)
	}},
	"none": {},
}

var schemeNames = slices.Sorted(maps.Keys(schemes))

// verify reports whether one of the route's secrets is behind the request.
func (r *Route) verify(h http.Header, body []byte, now time.Time) bool {
	check := schemes[r.Verify].check
	return check == nil || slices.ContainsFunc(r.Secrets, func(secret string) bool { return check(r, secret, h, body, now) })
}

// signedBody is an HMAC-SHA256 of the body in hex, in the first of the headers that is there, with or without "sha256=".
func signedBody(headers ...string) func(*Route, string, http.Header, []byte, time.Time) bool {
	return func(_ *Route, secret string, h http.Header, body []byte, _ time.Time) bool {
		for _, name := range headers {
			if v := h.Get(name); v != "" {
				return equalHex(strings.TrimPrefix(v, "sha256="), sum(secret, body))
			}
		}
		return false
	}
}

func slack(_ *Route, secret string, h http.Header, body []byte, now time.Time) bool {
	at := h.Get("X-Slack-Request-Timestamp")
	return recent(at, now) && equalHex(strings.TrimPrefix(h.Get("X-Slack-Signature"), "v0="), sum(secret, []byte("v0:"+at+":"), body))
}

// standard is the scheme of Standard Webhooks: several signatures may be given while a key is changed.
func standard(_ *Route, secret string, h http.Header, body []byte, now time.Time) bool {
	key, err := standardKey(secret)
	at := h.Get("Webhook-Timestamp")
	if err != nil || !recent(at, now) {
		return false
	}
	want := base64.StdEncoding.EncodeToString(sum(string(key), []byte(h.Get("Webhook-Id")+"."+at+"."), body))
	for _, s := range strings.Fields(h.Get("Webhook-Signature")) {
		if signature, ok := strings.CutPrefix(s, "v1,"); ok && equal(signature, want) {
			return true
		}
	}
	return false
}

func standardKey(secret string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(secret, "whsec_")
	if !ok {
		return nil, fmt.Errorf("no whsec_")
	}
	return base64.StdEncoding.DecodeString(encoded)
}

func sum(secret string, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	for _, p := range parts {
		mac.Write(p)
	}
	return mac.Sum(nil)
}

// recent reports whether a time in Unix seconds is now, give or take maxSkew.
func recent(unix string, now time.Time) bool {
	n, err := strconv.ParseInt(unix, 10, 64)
	return err == nil && n > 0 && now.Sub(time.Unix(n, 0)).Abs() <= maxSkew
}

func equalHex(got string, want []byte) bool {
	b, err := hex.DecodeString(got)
	return err == nil && hmac.Equal(b, want)
}

// equal compares sums of both, so that not even the secret's length shows in the time it takes.
func equal(got, want string) bool {
	a, b := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
