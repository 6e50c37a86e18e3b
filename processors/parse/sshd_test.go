package parse_test

import (
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestSSHD(t *testing.T) { parsetest.Run(t, "sshd-auth") }
func FuzzSSHD(f *testing.F) { parsetest.Fuzz(f, "sshd-auth") }

// TestSSHDMessages are messages of several versions that the samples do not have.
func TestSSHDMessages(t *testing.T) {
	for message, want := range map[string]string{
		`Accepted certificate ID "bob" (serial 3) signed by RSA CA SHA256:abc via /etc/ssh/ca.pub`:     "log",
		"drop connection #11 from [192.0.2.1]:333 on [192.0.2.2]:22 past MaxStartups":                  "log 192.0.2.1 MaxStartups",
		"drop connection #0 from [2001:db8::1]:333 on [2001:db8::2]:22 penalty: failed authentication": "log 2001:db8::1 penalty: failed authentication",
		"Login restricted for bob: account locked":                                                     "auth.failed bob account locked",
		"Account bob has expired": "auth.failed bob account has expired",
		"Failed none for invalid user admin from 192.0.2.1 port 22 ssh2":                                       "auth.failed admin 192.0.2.1",
		"PAM 2 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=root":  "auth.failed root 192.0.2.1",
		"error: PAM: User not known to the underlying authentication module for illegal user x from 192.0.2.1": "auth.failed x 192.0.2.1",
		"Accepted gssapi-with-mic for bob from 192.0.2.1 port 22 ssh2":                                         "auth.success bob 192.0.2.1",
		"Disconnecting authenticating user root 192.0.2.1 port 22: Too many authentication failures [preauth]": "auth.failed root 192.0.2.1 Too many authentication failures",
		"Failed password for bob from 192.0.2.1 port 22 ssh1: ruser x from 192.0.2.9":                          "auth.failed bob 192.0.2.1",
		"Failed password for invalid user x from 192.0.2.9 port 1 ssh2 from 192.0.2.1 port 22 ssh2":            "auth.failed x from 192.0.2.9 port 1 ssh2 192.0.2.1",
		"(pam_unix) authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=root":   "auth.failed root 192.0.2.1",
		"Timeout before authentication for connection from 192.0.2.1 to 192.0.2.2, pid = 71":                   "log 192.0.2.1 timeout before authentication",
	} {
		b := parsetest.Parse(t, pipeline.Record{
			Time: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Value: []byte("Nov 22 08:00:00 h sshd[7]: " + message),
		})
		if len(b.Events) != 1 {
			t.Errorf("%s: %d events", message, len(b.Events))
			continue
		}
		e := &b.Events[0]
		got := e.Type
		if e.Actor != "" {
			got += " " + e.Actor
		}
		if e.SrcIP.IsValid() {
			got += " " + e.SrcIP.String()
		}
		if why := e.Attr("auth.reason"); why != "" {
			got += " " + why
		}
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", message, got, want)
		}
	}
}
