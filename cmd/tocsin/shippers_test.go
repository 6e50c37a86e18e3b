//go:build e2e

package main

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// shipped is a program that brings records to Kafka, with its configuration of deploy/sources, what it gets, and what must become of that.
type shipped struct {
	binary, config string
	args           func(config string) []string
	bound          map[string]string // topics that are read, and what they are bound to; "" for nothing
	files          map[string]string // lines by file that the configuration names
	udp, http      string            // what is sent to the port of syslog, to that of OTLP
	want           []string          // sources of the events
}

const (
	sshdLine   = "Nov 23 10:05:00 db-1 sshd[7]: Accepted password for bob from 203.0.113.9 port 4022 ssh2\n"
	syslogLine = "<34>Nov 23 10:05:00 db-1 su: 'su root' failed for bob on /dev/pts/8"
	auditLine  = `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"11111111-1111-4222-8333-111111111111","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/pay/pods","verb":"list","user":{"username":"ann"},"objectRef":{"resource":"pods","namespace":"pay","apiVersion":"v1"},"responseStatus":{"code":200},"requestReceivedTimestamp":"2026-11-23T10:05:00.000000Z","stageTimestamp":"2026-11-23T10:05:00.000000Z"}` + "\n"
	zeekLine   = `{"ts":1795428300.0,"uid":"C1","id.orig_h":"192.0.2.1","id.orig_p":4022,"id.resp_h":"198.51.100.2","id.resp_p":443,"proto":"tcp","service":"ssl","duration":1.5,"orig_bytes":10,"resp_bytes":20,"conn_state":"SF"}` + "\n"
	otlpLogs   = `{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"pay"}}]},"scopeLogs":[{"logRecords":[{"timeUnixNano":"1795428300000000000","severityText":"ERROR","body":{"stringValue":"refused"}}]}]}]}`
)

var shippers = []shipped{
	{
		binary: "rsyslogd", config: "rsyslog.conf", args: func(c string) []string { return []string{"-n", "-f", c, "-i", c + ".pid"} },
		bound: map[string]string{"sshd": "sshd-auth", "syslog": "syslog"},
		files: map[string]string{"/var/log/auth.log": sshdLine}, udp: syslogLine, want: []string{"sshd-auth", "syslog"},
	},
	{
		binary: "filebeat", config: "filebeat.yml", args: func(c string) []string {
			return []string{"-e", "-c", c, "--strict.perms=false", "--path.home", filepath.Dir(c), "--path.data", filepath.Dir(c) + "/data"}
		},
		bound: map[string]string{"zeek": "zeek", "kube-audit": "k8s-audit", "sshd": "sshd-auth"},
		files: map[string]string{"/opt/zeek/logs/current/conn.log": zeekLine, "/var/log/kubernetes/audit.log": auditLine, "/var/log/auth.log": sshdLine},
		want:  []string{"zeek", "k8s-audit", "sshd-auth"},
	},
	{
		binary: "otelcol-contrib", config: "otel-collector.yaml", args: func(c string) []string { return []string{"--config", c} },
		bound: map[string]string{"events": ""}, http: otlpLogs, want: []string{"otlp-logs"},
	},
	{
		binary: "fluent-bit", config: "fluent-bit.yaml", args: func(c string) []string { return []string{"-c", c} },
		bound: map[string]string{"sshd": "sshd-auth", "auditd": "linux-auditd", "access": "access-log"},
		files: map[string]string{"/var/log/auth.log": sshdLine}, want: []string{"sshd-auth"},
	},
	{
		binary: "vector", config: "vector.yaml", args: func(c string) []string { return []string{"-c", c} },
		bound: map[string]string{"events": ""}, files: map[string]string{"/var/log/auth.log": sshdLine}, want: []string{"sshd-auth"},
	},
}

// TestE2EShippers runs the programs that deploy/sources has configurations for, those that are installed (in the folder TOCSIN_SHIPPERS or on
// the path; rsyslog at least), with these configurations as they are but for addresses, ports and paths: a line in, an event in ClickHouse.
func TestE2EShippers(t *testing.T) {
	t.Setenv("PATH", os.Getenv("TOCSIN_SHIPPERS")+string(os.PathListSeparator)+os.Getenv("PATH"))
	ran := 0
	for _, s := range shippers {
		if _, err := exec.LookPath(s.binary); err != nil {
			t.Logf("%s is not here: %s was not tried", s.binary, s.config)
			continue
		}
		ran++
		t.Run(s.binary, s.run)
	}
	if ran == 0 {
		t.Fatal("none of the programs is here, not even rsyslog")
	}
}

func (s shipped) run(t *testing.T) {
	p := newPlant(t, embeddedServers(t), "raw")
	text, err := os.ReadFile(filepath.Join("../../deploy/sources", s.config))
	if err != nil {
		t.Fatal(err)
	}
	syslog, otlp := freePort(t), freePort(t)
	_, port, _ := net.SplitHostPort(syslog)
	conf := strings.NewReplacer("kafka-1:9092", p.cfg.Kafka.Brokers[0], "/var/", p.dir+"/var/", "/opt/", p.dir+"/opt/", `"514"`, fmt.Sprintf("%q", port),
		"127.0.0.1:4318", otlp, "127.0.0.1:4317", freePort(t)).Replace(string(text))
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, line := range s.files {
		write(filepath.Join(p.dir, name), strings.Repeat(line, 20)) // Filebeat leaves files under 1 KiB for later
	}
	for _, dir := range []string{"rsyslog", "fluent-bit/buffer", "vector"} {
		if err := os.MkdirAll(filepath.Join(p.dir, "var/lib", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	topics, bindings := slices.Sorted(maps.Keys(s.bound)), []string{}
	for _, topic := range topics {
		if s.bound[topic] != "" {
			bindings = append(bindings, topic+": "+s.bound[topic])
		}
	}
	if _, err := kadm.NewClient(p.client).CreateTopics(t.Context(), 3, 1, nil, topics...); err != nil {
		t.Fatal(err)
	}
	theirs, ours := filepath.Join(p.dir, s.config), filepath.Join(p.dir, "tocsin.yaml")
	write(theirs, conf)
	write(ours, fmt.Sprintf(`kafka: {brokers: [%q], topics: [%s]}
parse: {topics: {%s}}
clickhouse: {addrs: [%q], database: raw}
flush: {interval: 100ms}
admin: {listen: "127.0.0.1:0"}
`, p.cfg.Kafka.Brokers[0], strings.Join(topics, ", "), strings.Join(bindings, ", "), p.cfg.ClickHouse.Addrs[0]))
	process, shipper := p.start("tocsin", "run", "-c", ours), p.spawn(exec.Command(s.binary, s.args(theirs)...))
	stop := make(chan struct{})
	defer close(stop)
	go func() { // until it has come: the program may not listen yet
		for {
			if s.udp != "" {
				if conn, err := net.Dial("udp", syslog); err == nil {
					_, _ = conn.Write([]byte(s.udp))
					_ = conn.Close()
				}
			}
			if s.http != "" {
				if resp, err := http.Post("http://"+otlp+"/v1/logs", "application/json", strings.NewReader(s.http)); err == nil {
					_ = resp.Body.Close()
				}
			}
			select {
			case <-stop:
				return
			case <-time.After(time.Second):
			}
		}
	}()
	p.await("events of "+strings.Join(s.want, ", "), fmt.Sprintf("SELECT uniqExactIf(source, source IN ('%s')) = %d FROM events", strings.Join(s.want, "', '"), len(s.want)), process)
	var letters uint64
	if err := p.db.QueryRow(t.Context(), "SELECT count() FROM dead_letters").Scan(&letters); err != nil || letters > 0 {
		t.Errorf("%d dead letters, %v", letters, err)
	}
	if t.Failed() {
		t.Logf("%s says:\n%s", s.binary, shipper.log())
	}
}
