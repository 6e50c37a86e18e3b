package parse

import (
	"errors"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// modSecurity reads the audit logs of libmodsecurity 3 (JSON and native), of ModSecurity 2 (serial) and of Coraza (JSON): one
// transaction is one detection for each rule that matched, or a request where none did. Severities are those of syslog.
// https://github.com/owasp-modsecurity/ModSecurity/wiki/Reference-Manual-(v3.x) (SecAuditLogFormat),
// https://coraza.io/docs/seclang/directives/#secauditlogformat
var modSecurity = Format{
	Name: "modsecurity", Title: "ModSecurity and Coraza audit logs", Phase: pipeline.PhaseOperation,
	Types: []string{"detection", "http.request"},
	Known: "JSON object with a transaction that has client_ip and request; text that begins with the boundary of a part A",
	Frame: Reports, Log: true,
	Match: func(s *Shape) bool {
		if !s.IsObject() {
			if !s.Begins("--") {
				return false
			}
			_, part := auditBoundary(s.Line())
			return part == 'A'
		}
		return s.Raw("transaction", "client_ip") != nil && s.Raw("transaction", "request") != nil
	},
	Parse: parseModSecurity,
}

type modSecurityTransaction struct {
	messages    []modSecurityMessage
	ClientIP    Text `json:"client_ip"`
	ClientPort  Text `json:"client_port"`
	Time        Text `json:"time_stamp"`
	HostIP      Text `json:"host_ip"`
	HostPort    Text `json:"host_port"`
	ID          Text `json:"unique_id"`
	Stamp       Text `json:"timestamp"` // of Coraza, as are the two below
	Unix        Text `json:"unix_timestamp"`
	CorazaID    Text `json:"id"`
	Interrupted Text `json:"is_interrupted"` // since 3.0.13
	Request     struct {
		Method   Text `json:"method"`
		URI      Text `json:"uri"`
		Hostname Text `json:"hostname"`
		Headers  struct {
			Host          Strings `json:"host"`
			Agent         Strings `json:"user-agent"`
			Cookie        Strings `json:"cookie"`
			Authorization Strings `json:"authorization"`
		} `json:"headers"`
	} `json:"request"`
	Response struct {
		Code    Text `json:"http_code"`
		Status  Text `json:"status"` // of Coraza
		Headers struct {
			Cookie Strings `json:"set-cookie"`
		} `json:"headers"`
	} `json:"response"`
	Producer struct {
		Version Text `json:"modsecurity"`
		Engine  Text `json:"secrules_engine"`
	} `json:"producer"`
	Messages []struct {
		Message Text               `json:"message"`
		Details modSecurityMessage `json:"details"`
	} `json:"messages"`
}

// modSecurityMessage is what one rule says.
type modSecurityMessage struct {
	text     Text
	Match    Text    `json:"match"`
	Rule     Text    `json:"ruleId"`
	File     Text    `json:"file"`
	Data     Text    `json:"data"`
	Severity Text    `json:"severity"`
	Version  Text    `json:"ver"`
	Tags     Strings `json:"tags"`
}

func parseModSecurity(in *Input, out *Out) error {
	if !isJSON(in.Data) {
		return parseModSecuritySerial(in, out)
	}
	var v struct {
		Transaction *modSecurityTransaction
		Messages    []struct { // of Coraza
			Message Text
			Data    struct {
				modSecurityMessage
				ID, Msg Text
			}
		}
	}
	if err := decodeFold(in.Data, &v); err != nil {
		return err
	}
	t := v.Transaction
	if t == nil || t.ClientIP == "" {
		return errors.New("modsecurity: record without transaction.client_ip")
	}
	for i := range t.Messages {
		m := t.Messages[i].Details
		m.text = t.Messages[i].Message
		t.messages = append(t.messages, m)
	}
	for i := range v.Messages {
		d := &v.Messages[i].Data
		m := d.modSecurityMessage
		m.text, m.Rule = first(d.Msg, v.Messages[i].Message), d.ID
		t.messages = append(t.messages, m)
	}
	t.emit(out, "")
	return nil
}

// emit appends the events of a transaction.
func (t *modSecurityTransaction) emit(out *Out, raw string) {
	for _, secrets := range [...]Strings{t.Request.Headers.Cookie, t.Request.Headers.Authorization, t.Response.Headers.Cookie} {
		for _, secret := range secrets {
			out.Secret(secret)
		}
	}
	for i := range t.messages {
		d := &t.messages[i]
		e := t.event(out, "detection", raw)
		e.Severity, e.Disposition, e.Rule = modSecuritySeverity(string(d.Severity)), pipeline.DispositionDetected, string(d.Rule)
		if t.blocked() {
			e.Disposition = pipeline.DispositionBlocked
		}
		e.Title = first(oneLine(string(d.text), 160), "rule "+e.Rule) + " from " + string(t.ClientIP) + ": " + e.Title
		e.SetAttr("modsecurity.match", string(d.Match))
		e.SetAttr("modsecurity.data", string(d.Data))
		e.SetAttr("modsecurity.ruleset", string(d.Version))
		e.SetAttr("modsecurity.tags", strings.Join(d.Tags, ","))
		e.SetAttr("modsecurity.rule.file", string(d.File))
	}
	if len(t.messages) == 0 {
		t.event(out, "http.request", raw).Severity = pipeline.SeverityInfo
	}
}

// event appends an event of the request, with its first line as its title.
func (t *modSecurityTransaction) event(out *Out, typ, raw string) *pipeline.Event {
	r := &t.Request
	e := out.Event(typ)
	e.Raw = first(raw, e.Raw)
	if at := parseTime(string(first(t.Time, t.Unix, t.Stamp))); !at.IsZero() {
		e.Time = at
	}
	e.Host = hostOf(first(strings.Join(r.Headers.Host, ""), string(r.Hostname)))
	e.SrcIP, e.DstIP, e.Run = addrOf(string(t.ClientIP)), addrOf(string(t.HostIP)), string(first(t.ID, t.CorazaID))
	e.Title = strings.TrimSpace(string(r.Method) + " " + oneLine(string(r.URI), 120))
	e.SetAttr("http.request.method", string(r.Method))
	e.SetAttr("url.path", string(r.URI))
	e.SetAttr("http.response.status_code", string(first(t.Response.Code, t.Response.Status)))
	e.SetAttr("user_agent.original", strings.Join(r.Headers.Agent, " "))
	e.SetAttr("client.port", string(t.ClientPort))
	e.SetAttr("server.port", strings.TrimPrefix(string(t.HostPort), "0")) // Coraza may not know it
	e.SetAttr("modsecurity.version", string(t.Producer.Version))
	e.SetAttr("modsecurity.engine", string(t.Producer.Engine))
	return e
}

// blocked reports whether the request was refused. Versions before 3.0.13 do not say so: there a refusal by an engine that may
// refuse is taken for its own.
func (t *modSecurityTransaction) blocked() bool {
	if t.Interrupted != "" {
		return t.Interrupted == "true"
	}
	return t.Producer.Engine == "Enabled" && t.Response.Code == "403"
}

// modSecuritySeverity converts a rule's severity. Rules without one have 0, which the Core Rule Set never gives.
func modSecuritySeverity(s string) uint8 {
	if s == "" || s == "0" || digits(s) != len(s) {
		return pipeline.SeverityMedium
	}
	return severitySyslog(atoi(s))
}
