package bridge

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
)

// syslog writes ArcSight's Common Event Format in RFC 5424 messages, over TCP with octet counting (RFC 6587), TLS (RFC
// 5425) or UDP. Syslog answers nothing: what a broken connection had taken may be lost, so each message has one of its own.
type syslog struct {
	network, address string
	tls              *tls.Config
	host             string
}

func newSyslog(b *Bridge) (peer, error) {
	u, err := url.Parse(b.cfg.URL)
	if err != nil || u.Port() == "" {
		return nil, fmt.Errorf("url: want tcp://host:514, tls://host:6514 or udp://host:514")
	}
	s := &syslog{network: u.Scheme, address: u.Host, host: "-"}
	if u.Scheme == "tls" {
		s.network, s.tls = "tcp", &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
	}
	if host, err := os.Hostname(); err == nil {
		s.host = host
	}
	return s, nil
}

func (s *syslog) deliver(ctx context.Context, m *message) error {
	dialer := &net.Dialer{}
	conn, err := dialer.DialContext(ctx, s.network, s.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if s.tls != nil {
		conn = tls.Client(conn, s.tls)
	}
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	text := s.format(m)
	if s.network == "tcp" {
		text = fmt.Sprintf("%d %s", len(text), text)
	}
	if _, err = conn.Write([]byte(text)); err != nil {
		return err
	}
	return conn.Close()
}

// syslogSeverity converts OCSF severities to those of RFC 5424, cefSeverity to 0 to 10.
var (
	syslogSeverity = []int{5, 6, 5, 4, 3, 2, 1}
	cefSeverity    = []int{0, 1, 3, 5, 7, 9, 10}
)

var (
	cefHeader = strings.NewReplacer("\\", "\\\\", "|", "\\|", "\n", " ", "\r", " ")
	cefValue  = strings.NewReplacer("\\", "\\\\", "=", "\\=", "\n", "\\n", "\r", "\\r")
)

// cefEntities are the extension keys of entities; the first value of several is taken.
var cefEntities = [][2]string{{"ip", "src"}, {"host", "dhost"}, {"user", "suser"}}

func (s *syslog) format(m *message) string {
	severity := min(int(m.Severity), 6)
	var b strings.Builder
	// Facility 13: log audit.
	fmt.Fprintf(&b, "<%d>1 %s %s tocsin - alert - ", 13*8+syslogSeverity[severity], m.LastEventTime.UTC().Format("2006-01-02T15:04:05.000Z"), s.host)
	fmt.Fprintf(&b, "CEF:0|tocsin|tocsin|1|%s|%s|%d|", cefHeader.Replace(m.Rule), cefHeader.Replace(clip(m.title, 512)), cefSeverity[severity])
	add := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s=%s ", key, cefValue.Replace(value))
		}
	}
	add("externalId", m.key())
	add("start", fmt.Sprint(m.FirstEventTime.UnixMilli()))
	add("end", fmt.Sprint(m.LastEventTime.UnixMilli()))
	add("cnt", fmt.Sprint(m.EventCount))
	for _, e := range cefEntities {
		add(e[1], m.entity(e[0]))
	}
	add("cs1Label", "status")
	add("cs1", m.Status)
	add("cs2Label", "team")
	add("cs2", m.Team)
	add("cs3Label", "project")
	add("cs3", m.Project)
	add("request", m.link)
	add("msg", clip(m.text, 1000))
	return strings.TrimRight(b.String(), " ")
}
