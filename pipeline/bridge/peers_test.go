//go:build e2e

package bridge

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// The tests of this file need the peers themselves: Debian's prometheus-alertmanager and exim4-daemon-light. `make e2e` runs
// them. The mail server needs to be started as root.

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// run starts a server and waits until it listens.
func run(t *testing.T, port int, path string, args ...string) {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // fails where it has ended
		_ = cmd.Wait()
	})
	within(t, path+" to listen", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestE2EAlertmanager: an alert, its versions and its end are one alert there, which is told again when Alertmanager forgot.
func TestE2EAlertmanager(t *testing.T) {
	dir, port := t.TempDir(), freePort(t)
	config := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(config, []byte("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, port, "prometheus-alertmanager", "--config.file="+config, "--storage.path="+dir, "--cluster.listen-address=",
		fmt.Sprintf("--web.listen-address=127.0.0.1:%d", port))
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	type gettable struct {
		Labels, Annotations map[string]string
		EndsAt              time.Time
		Status              struct{ State string }
	}
	active := func() (list []gettable) {
		t.Helper()
		resp, err := http.Get(url + "/api/v2/alerts")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
			t.Fatal(err)
		}
		return list
	}
	b := open(t, Config{Kind: "alertmanager", URL: url})
	worse := alert(2, pipeline.StatusUpdated)
	worse.Severity, worse.Title = 6, "it got worse"
	deliver(t, b, alert(1, pipeline.StatusFiring), alert(1, pipeline.StatusFiring), worse)
	within(t, "one alert, as it was said last", func() bool {
		list := active()
		return len(list) == 1 && list[0].Labels["alertname"] == "C02" && list[0].Labels["team"] == "sec" && list[0].Annotations["severity"] == "6" &&
			list[0].Annotations["title"] == "it got worse" && list[0].EndsAt.After(time.Now())
	})
	b.Refresh(t.Context())
	if list := active(); len(list) != 1 {
		t.Errorf("told again it has %d alerts", len(list))
	}
	deliver(t, b, alert(3, pipeline.StatusResolved))
	within(t, "the end", func() bool { return len(active()) == 0 })
}

// TestE2EMail: an alert's versions are mails of one thread, delivered by Exim.
func TestE2EMail(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "tocsin-e2e") // Exim gives up root: it must get there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	config := filepath.Join(dir, "exim.conf")
	if err := os.WriteFile(config, []byte(fmt.Sprintf(`
primary_hostname = mail.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = %d
spool_directory = %[2]s/spool
log_file_path = %[2]s/log-%%s
pid_file_path = %[2]s/pid
tls_advertise_hosts =
acl_smtp_rcpt = accept
acl_smtp_data = accept
begin routers
all:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  maildir_format
  directory = %[2]s/box
  create_directory
  user = Debian-exim
  delivery_date_add
`, port, dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, port, "/usr/sbin/exim4", "-C", config, "-bdf", "-q1m")
	b := open(t, Config{Kind: "mail", URL: fmt.Sprintf("smtp://127.0.0.1:%d", port), From: "tocsin@mail.test", To: []string{"sec@mail.test"}})
	deliver(t, b, alert(1, pipeline.StatusFiring), alert(2, pipeline.StatusResolved))
	var mails []string
	within(t, "two mails", func() bool {
		mails, err = filepath.Glob(dir + "/box/new/*")
		return err == nil && len(mails) == 2
	})
	threads, ids := map[string]bool{}, map[string]bool{}
	for _, name := range mails {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		m, err := mail.ReadMessage(f)
		if err != nil {
			t.Fatal(err)
		}
		threads[m.Header.Get("References")], ids[m.Header.Get("Message-Id")] = true, true
		if !strings.Contains(m.Header.Get("Subject"), "pay.audit_log") || !strings.Contains(m.Header.Get("Received"), "mail.test") {
			t.Errorf("header %v", m.Header)
		}
	}
	if len(threads) != 1 || len(ids) != 2 {
		t.Errorf("threads %v, ids %v", threads, ids)
	}
}
