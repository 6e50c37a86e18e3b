package receive

import (
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"
)

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// TestSchemesByTheirVectors checks each scheme with the example of its own documentation where there is one.
func TestSchemesByTheirVectors(t *testing.T) {
	const key = "0123456789abcdef0123"
	signed := func(body string) string { return hex.EncodeToString(sum(key, []byte(body))) }
	for _, c := range []struct {
		name         string
		route        Route
		secret, body string
		header       http.Header
		now          int64
	}{
		{"github", Route{Verify: "github"}, "It's a Secret to Everybody", "Hello, World!",
			header("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"), 0},
		{"standard", Route{Verify: "standard"}, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", `{"test": 2432232314}`,
			header("Webhook-Id", "msg_p5jXN8AQM9LWM0D4loKWxJek", "Webhook-Timestamp", "1614265330",
				"Webhook-Signature", "v1,AAAA v1a,x v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="), 1614265330},
		{"slack", Route{Verify: "slack"}, key, "a=b",
			header("X-Slack-Request-Timestamp", "1531420618", "X-Slack-Signature", "v0="+signed("v0:1531420618:a=b")), 1531420618},
		{"bitbucket", Route{Verify: "bitbucket"}, key, "{}", header("X-Hub-Signature", "sha256="+signed("{}")), 0},
		{"gitea", Route{Verify: "gitea"}, key, "{}", header("X-Gitea-Signature", signed("{}")), 0},
		{"forgejo", Route{Verify: "gitea"}, key, "{}", header("X-Forgejo-Signature", signed("{}")), 0},
		{"gitlab", Route{Verify: "gitlab"}, key, "{}", header("X-Gitlab-Token", key), 0},
		{"hmac", Route{Verify: "hmac", Header: "X-Jenkins-Signature"}, key, "{}", header("X-Jenkins-Signature", "sha256="+signed("{}")), 0},
		{"token", Route{Verify: "token"}, key, "{}", header("Authorization", "Bearer "+key), 0},
		{"token in a header", Route{Verify: "token", Header: "X-Token"}, key, "{}", header("X-Token", key), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := time.Unix(c.now, 0)
			c.route.Secrets = []string{"another-secret-that-is-old", c.secret}
			if !c.route.verify(c.header, []byte(c.body), now) {
				t.Error("the right request is refused")
			}
			if c.route.verify(http.Header{}, []byte(c.body), now) {
				t.Error("a request without a signature is taken")
			}
			for name := range c.header {
				bad := c.header.Clone()
				v := []byte(bad.Get(name))
				v[len(v)-2] ^= 1
				bad.Set(name, string(v))
				if c.route.verify(bad, []byte(c.body), now) {
					t.Errorf("taken with another %s", name)
				}
			}
			byToken := c.route.Verify == "token" || c.route.Verify == "gitlab"
			if !byToken && c.route.verify(c.header, []byte(c.body+" "), now) {
				t.Error("taken with another body")
			}
			dated := c.route.Verify == "slack" || c.route.Verify == "standard"
			if dated && (c.route.verify(c.header, []byte(c.body), now.Add(time.Hour)) || c.route.verify(c.header, []byte(c.body), now.Add(-time.Hour))) {
				t.Error("taken an hour later or earlier")
			}
			c.route.Secrets = []string{"another-secret-that-is-old"}
			if c.route.verify(c.header, []byte(c.body), now) {
				t.Error("taken with another secret")
			}
		})
	}
}

func TestCheckSaysAllThatIsWrong(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Listen, cfg.MaxBytes, cfg.MaxPending, cfg.Cert = "0.0.0.0:9411", 100<<20, 1, "x.pem"
	cfg.Routes = []Route{
		{Path: "github", Topic: "", Verify: "github", Secrets: []string{"short"}},
		{Path: "/a", Topic: "t", Verify: "none"},
		{Path: "/a", Topic: "t", Verify: "hmac"},
		{Path: "/b/../c", Topic: "t", Verify: "magic"},
		{Path: "/d", Topic: "t", Verify: "standard", Secrets: []string{"0123456789abcdef"}},
		{Path: "/e", Topic: "t", Verify: "gitlab", Header: "X-Mine", Secrets: []string{"0123456789abcdef"}},
	}
	err := cfg.Check()
	if err == nil {
		t.Fatal("nothing")
	}
	for _, want := range []string{
		"receive.cert:", "receive.max_bytes:", "receive.max_pending:", `routes[0].path: "github"`, "routes[0].topic: empty",
		"routes[0].secrets[0]: 5 bytes", "routes[1].verify: none is for loopback only", `routes[2].path: "/a" is there twice`,
		"routes[2].header: hmac wants", "routes[2].secrets: none is given", `routes[3].verify: "magic"`, "routes[3].path",
		"routes[4].secrets[0]: want whsec_", "routes[5].header: gitlab knows its own",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not said: %s\nin: %v", want, err)
		}
	}
}
