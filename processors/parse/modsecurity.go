package parse

import (
	"errors"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// modSecurity reads the JSON audit log of libmodsecurity 3: one transaction is one detection for each rule that matched, or a
// request where none did. Severities are those of syslog.
// https://github.com/owasp-modsecurity/ModSecurity/wiki/Reference-Manual-(v3.x) (SecAuditLogFormat)
var modSecurity = Format{
	Name: "modsecurity", Title: "ModSecurity 3 audit log (JSON)", Phase: pipeline.PhaseOperation,
	Types: []string{"detection", "http.request"},
	Known: "JSON object with a transaction that has client_ip and request",
	Frame: Values, Log: true,
	Match: func(s *Shape) bool {
		return s.Raw("transaction", "client_ip") != nil && s.Raw("transaction", "request") != nil
	},
	Parse: parseModSecurity,
}

type modSecurityTransaction struct {
	ClientIP    Text `json:"client_ip"`
	ClientPort  Text `json:"client_port"`
	Time        Text `json:"time_stamp"`
	HostIP      Text `json:"host_ip"`
	HostPort    Text `json:"host_port"`
	ID          Text `json:"unique_id"`
	Interrupted Text `json:"is_interrupted"` // since 3.0.13
	Request     struct {
		Method   Text `json:"method"`
		URI      Text `json:"uri"`
		Hostname Text `json:"hostname"`
		Headers  struct {
			Host          Text `json:"host"`
			Agent         Text `json:"user-agent"`
			Cookie        Text `json:"cookie"`
			Authorization Text `json:"authorization"`
		} `json:"headers"`
	} `json:"request"`
	Response struct {
		Code    Text `json:"http_code"`
		Headers struct {
			Cookie Text `json:"set-cookie"`
		} `json:"headers"`
	} `json:"response"`
	Producer struct {
		Version Text `json:"modsecurity"`
		Engine  Text `json:"secrules_engine"`
	} `json:"producer"`
	Messages []struct {
		Message Text `json:"message"`
		Details struct {
			Match    Text    `json:"match"`
			Rule     Text    `json:"ruleId"`
			File     Text    `json:"file"`
			Data     Text    `json:"data"`
			Severity Text    `json:"severity"`
			Version  Text    `json:"ver"`
			Tags     Strings `json:"tags"`
		} `json:"details"`
	} `json:"messages"`
}

func parseModSecurity(in *Input, out *Out) error {
	var v struct{ Transaction *modSecurityTransaction }
	if err := decodeFold(in.Data, &v); err != nil {
		return err
	}
	if v.Transaction == nil || v.Transaction.ClientIP == "" {
		return errors.New("modsecurity: record without transaction.client_ip")
	}
	t := v.Transaction
	for _, secret := range [...]Text{t.Request.Headers.Cookie, t.Request.Headers.Authorization, t.Response.Headers.Cookie} {
		out.Secret(string(secret))
	}
	for i := range t.Messages {
		m := &t.Messages[i]
		d := &m.Details
		e := t.event(out, "detection")
		e.Severity, e.Disposition, e.Rule = modSecuritySeverity(string(d.Severity)), pipeline.DispositionDetected, string(d.Rule)
		if t.blocked() {
			e.Disposition = pipeline.DispositionBlocked
		}
		e.Title = first(oneLine(string(m.Message), 160), "rule "+e.Rule) + " from " + string(t.ClientIP) + ": " + e.Title
		e.SetAttr("modsecurity.match", string(d.Match))
		e.SetAttr("modsecurity.data", string(d.Data))
		e.SetAttr("modsecurity.ruleset", string(d.Version))
		e.SetAttr("modsecurity.tags", strings.Join(d.Tags, ","))
		e.SetAttr("modsecurity.rule.file", string(d.File))
	}
	if len(t.Messages) == 0 {
		e := t.event(out, "http.request")
		e.Severity = pipeline.SeverityInfo
	}
	return nil
}

// event appends an event of the request, with its first line as its title.
func (t *modSecurityTransaction) event(out *Out, typ string) *pipeline.Event {
	r := &t.Request
	e := out.Event(typ)
	if at := parseTime(string(t.Time)); !at.IsZero() {
		e.Time = at
	}
	e.Host = hostOf(string(first(r.Headers.Host, r.Hostname)))
	e.SrcIP, e.DstIP, e.Run = addrOf(string(t.ClientIP)), addrOf(string(t.HostIP)), string(t.ID)
	e.Title = strings.TrimSpace(string(r.Method) + " " + oneLine(string(r.URI), 120))
	e.SetAttr("http.request.method", string(r.Method))
	e.SetAttr("url.path", string(r.URI))
	e.SetAttr("http.response.status_code", string(t.Response.Code))
	e.SetAttr("user_agent.original", string(r.Headers.Agent))
	e.SetAttr("client.port", string(t.ClientPort))
	e.SetAttr("server.port", string(t.HostPort))
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
