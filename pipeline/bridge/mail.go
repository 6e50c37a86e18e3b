package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"net/url"
	"strconv"

	"github.com/wneessen/go-mail"
)

// mailer sends e-mail: smtp://host:587 with STARTTLS where the server has it, and always where there is a password;
// smtps://host:465 within TLS. All versions of an alert are one thread, and the Message-Id names the version. Each recipient
// gets a mail of its own: an address that is gone keeps nothing from the others.
type mailer struct {
	cfg  *Config
	host string
	opts []mail.Option

	version string           // that was sent last
	asked   map[string]error // recipients whose server has answered for good; nil where it has the mail
}

func newMail(b *Bridge) (peer, error) {
	u, err := url.Parse(b.cfg.URL)
	if err != nil {
		return nil, errors.New("url: it is none")
	}
	p := &mailer{cfg: &b.cfg, host: u.Hostname()}
	port := 587
	p.opts = []mail.Option{mail.WithTLSPolicy(mail.TLSOpportunistic), mail.WithTimeout(tryTime)}
	if b.cfg.Secret != "" {
		p.opts = []mail.Option{mail.WithTLSPolicy(mail.TLSMandatory), mail.WithTimeout(tryTime), mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(b.cfg.User), mail.WithPassword(b.cfg.Secret)}
	}
	if u.Scheme == "smtps" {
		port = 465
		p.opts = append(p.opts, mail.WithSSL())
	}
	if u.Port() != "" {
		if port, err = strconv.Atoi(u.Port()); err != nil {
			return nil, fmt.Errorf("url: port %q is none", u.Port())
		}
	}
	p.opts = append(p.opts, mail.WithPort(port))
	return p, nil
}

func (p *mailer) deliver(ctx context.Context, m *message) error {
	if p.version != m.key() {
		p.version, p.asked = m.key(), map[string]error{}
	}
	var later, never []error
	for _, to := range p.cfg.To {
		err, answered := p.asked[to]
		if !answered {
			err = p.send(ctx, m, to)
		}
		var no refused
		switch {
		case err == nil:
			p.asked[to] = nil
		case errors.As(err, &no):
			p.asked[to] = err
			never = append(never, fmt.Errorf("%s: %w", to, err))
		default:
			later = append(later, fmt.Errorf("%s: %w", to, err))
		}
	}
	if len(later) > 0 {
		return errors.Join(later...)
	}
	return errors.Join(never...)
}

func (p *mailer) send(ctx context.Context, m *message, to string) error {
	msg := mail.NewMsg()
	if err := errors.Join(msg.From(p.cfg.From), msg.To(to)); err != nil {
		return refused{err}
	}
	msg.Subject(clip(m.title, 200))
	thread := fmt.Sprintf("<%s@tocsin.invalid>", m.ID)
	msg.SetMessageIDWithValue(m.key() + "@tocsin.invalid")
	msg.SetGenHeader("In-Reply-To", thread)
	msg.SetGenHeader("References", thread)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody answers by machine
	msg.SetDate()
	text := m.text + "\n"
	for _, line := range [][2]string{{"Dashboard", m.link}, {"Runbook", m.Links.Runbook}, {"SQL", m.Links.Query}} {
		if line[1] != "" {
			text += "\n" + line[0] + ": " + line[1]
		}
	}
	msg.SetBodyString(mail.TypeTextPlain, text+"\n")
	client, err := mail.NewClient(p.host, p.opts...)
	if err != nil {
		return refused{err}
	}
	err = client.DialAndSendWithContext(ctx, msg)
	var smtp *textproto.Error
	var send *mail.SendError
	if errors.As(err, &smtp) && smtp.Code >= 550 && smtp.Code < 560 || errors.As(err, &send) && !send.IsTemp() && send.ErrorCode() >= 550 {
		return refused{err}
	}
	return err
}
