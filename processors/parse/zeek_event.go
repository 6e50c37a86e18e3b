package parse

import (
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// kind returns the name of the record's log.
func (v *zeekRecord) kind() string {
	if k := first(v.Path, v.Stream); k != "" {
		return k
	}
	switch {
	case v.Note != "":
		return "notice"
	case v.ConnState != "":
		return "conn"
	case v.QType != "" || v.RCode != "" || v.Query != "" || v.QTypeNo != "" || v.TransID != "":
		return "dns"
	case v.AuthAttempts != "" || v.AuthSuccess != "":
		return "ssh"
	case v.RequestType != "":
		return "kerberos"
	case strings.HasPrefix(v.URI, "sip:") || strings.HasPrefix(v.URI, "sips:"):
		return "sip"
	case v.Method != "" || v.URI != "" || v.Status != "" || v.ReqLen != "":
		return "http"
	case v.Cipher != "" || v.Established != "" || v.ServerName != "":
		return "ssl"
	case v.CertSubject != "":
		return "x509"
	case v.Indicator != "":
		return "intel"
	case v.SigID != "":
		return "signatures"
	case v.Cmd != "":
		return "mysql"
	case v.Opcode != "":
		return "ldap"
	case v.Username != "" && v.Success != "":
		return "ntlm"
	case v.Auth != "":
		return "rfb"
	case v.Cookie != "" || v.Result != "" && v.OrigPort() != "":
		return "rdp"
	case v.FUID != "" && v.Action == "":
		return "files"
	case v.Action != "":
		return "smb_files"
	case v.Software != "":
		return "software"
	case v.PortNum != "":
		return "known_services"
	case v.Lost != 0:
		return "capture_loss"
	case v.PktsProc != "":
		return "stats"
	case v.MetricType != "":
		return "telemetry"
	case v.Level != "" && v.Message != "":
		return "reporter"
	case v.Name != "":
		return "weird"
	}
	return ""
}

// OrigPort returns the port of the side that opened the connection.
func (v *zeekRecord) OrigPort() string {
	return first(string(v.OrigP), string(v.OrigP2), string(v.ID.OrigP))
}

func (v *zeekRecord) event(out *Out, raw string) {
	kind := v.kind()
	e := out.Event(v.eventType(kind))
	e.Raw, e.Severity = raw, pipeline.SeverityInfo
	if t := parseTime(string(v.TS)); !t.IsZero() {
		e.Time = t
	}
	src, dst := first(v.OrigH, v.OrigH2, v.ID.OrigH), first(v.RespH, v.RespH2, v.ID.RespH)
	srcPort, dstPort := v.OrigPort(), first(string(v.RespP), string(v.RespP2), string(v.ID.RespP))
	if src == "" {
		src, dst, dstPort = first(v.Src, v.SrcAddr), first(v.Dst, v.DstAddr), string(v.Port)
	}
	if src == "" && len(v.TxHosts) > 0 && len(v.RxHosts) > 0 {
		src, dst = v.TxHosts[0], v.RxHosts[0]
	}
	e.SrcIP, e.DstIP = addrOf(src), addrOf(dst)
	e.Host = strings.ToLower(first(v.System, v.Sensor))
	proto := transport(v.Proto)
	e.SetAttr("zeek.log", kind)
	e.SetAttr("flow.id", v.UID)
	e.SetAttr("source.port", srcPort)
	e.SetAttr("destination.port", dstPort)
	e.SetAttr("network.transport", proto)
	if kind == "kerberos" {
		e.SetAttr("kerberos.service", string(v.Service))
	} else {
		e.SetAttr("network.protocol.name", string(v.Service))
	}
	switch kind {
	case "conn":
		v.fillConn(e)
	case "dns":
		v.fillDNS(e, out)
	case "http":
		v.fillHTTP(e, out)
	case "ssl":
		e.DstDomain = strings.ToLower(v.ServerName)
		e.SetAttr("tls.version", string(v.Version))
		e.SetAttr("tls.cipher", v.Cipher)
		e.SetAttr("tls.server.subject", v.Subject)
		e.SetAttr("tls.server.issuer", v.Issuer)
		e.SetAttr("tls.validation", v.Validation)
		e.Title = strings.TrimSpace(out.join(string(v.Version), " ", first(v.ServerName, v.Subject)))
	case "notice", "notice_alarm", "intel", "signatures":
		v.fillNotice(e)
	default:
		v.fillOther(e, kind, out)
	}
	if e.Title == "" && src != "" {
		e.Title = out.flowTitle(first(proto, kind), src, srcPort, dst, dstPort)
	}
	if e.Title == "" {
		e.Title = strings.TrimSpace(out.join("zeek ", kind))
	}
}

func (v *zeekRecord) eventType(kind string) string {
	switch kind {
	case "conn", "conn_long":
		return "net.flow"
	case "dns":
		return "dns.query"
	case "http":
		return "http.request"
	case "ssl":
		return "tls.handshake"
	case "notice", "notice_alarm", "intel", "signatures":
		return "detection"
	case "mysql", "postgresql":
		if v.Cmd != "login" {
			return "db.statement"
		}
	case "known_services":
		return "net.listen"
	case "known_hosts", "known_devices", "known_certs", "software":
		return "inventory.observed"
	case "capture_loss", "stats", "telemetry":
		return "metric"
	}
	return "log"
}

func (v *zeekRecord) fillConn(e *pipeline.Event) {
	if e.Bytes = count(string(v.OrigBytes)) + count(string(v.RespBytes)); v.OrigBytes == "" && v.RespBytes == "" {
		e.Bytes = count(string(v.OrigIPBytes)) + count(string(v.RespIPBytes)) // with the headers: all that Zeek says of ICMP
	}
	e.SetAttr("flow.state", v.ConnState)
	e.SetAttr("flow.history", v.History)
	e.SetAttr("flow.duration_seconds", string(v.Duration))
	e.SetAttr("source.bytes", string(v.OrigBytes))
	e.SetAttr("destination.bytes", string(v.RespBytes))
	e.SetAttr("source.packets", string(v.OrigPkts))
	e.SetAttr("destination.packets", string(v.RespPkts))
}

func (v *zeekRecord) fillDNS(e *pipeline.Event, out *Out) {
	e.DstDomain = strings.ToLower(strings.TrimSuffix(v.Query, "."))
	e.Title = strings.TrimSpace(out.join(first(v.QType, "DNS"), " ", v.Query))
	e.SetAttr("dns.question.type", v.QType)
	e.SetAttr("dns.response_code", v.RCode)
	if len(v.Answers) > 0 {
		e.SetAttr("dns.answer", v.Answers[0])
	}
	switch v.RCode {
	case "":
	case "NOERROR":
		e.Outcome = pipeline.OutcomeSuccess
	default:
		e.Outcome = pipeline.OutcomeFailure
	}
}

func (v *zeekRecord) fillHTTP(e *pipeline.Event, out *Out) {
	e.DstDomain = strings.ToLower(string(v.HTTPHost))
	e.Bytes = count(string(v.ReqLen)) + count(string(v.RespLen))
	e.Outcome = httpOutcome(string(v.Status))
	e.Actor = v.Username
	e.Title = strings.TrimSpace(out.join(v.Method, " ", string(v.HTTPHost), v.URI, " ", string(v.Status)))
	e.SetAttr("http.request.method", v.Method)
	e.SetAttr("url.path", v.URI)
	e.SetAttr("http.response.status_code", string(v.Status))
	e.SetAttr("user_agent.original", v.UserAgent)
	e.SetAttr("http.request.header.referer", v.Referrer)
}

// fillNotice: Zeek's notices have no severity; an alarm is what the site's policy calls urgent.
func (v *zeekRecord) fillNotice(e *pipeline.Event) {
	e.Rule = first(v.Note, v.SigID, "intel")
	e.Title = first(v.Msg, v.EventMsg, v.Indicator, e.Rule)
	if v.Indicator != "" {
		e.Title = "indicator seen: " + v.Indicator
		e.SetAttr("threat.indicator", v.Indicator)
	}
	e.Severity, e.Disposition = pipeline.SeverityMedium, pipeline.DispositionDetected
	for _, a := range v.Actions {
		if strings.HasSuffix(a, "ACTION_ALARM") || strings.HasSuffix(a, "ACTION_PAGE") {
			e.Severity = pipeline.SeverityHigh
		}
	}
	if strings.HasPrefix(v.Note, "CaptureLoss::") || strings.HasPrefix(v.Note, "PacketFilter::") {
		e.Severity = pipeline.SeverityLow
	}
	if v.Dropped == "true" || v.Dropped == "T" {
		e.Disposition = pipeline.DispositionBlocked
	}
	e.SetAttr("notice.detail", v.Sub)
}

func (v *zeekRecord) fillOther(e *pipeline.Event, kind string, out *Out) {
	e.Actor = first(v.Username, v.User)
	switch kind {
	case "kerberos":
		e.Actor = first(e.Actor, v.Client)
		e.SetAttr("auth.reason", v.ErrorMsg)
	case "rdp":
		e.Actor = v.Cookie
	case "mysql":
		if v.Cmd == "login" {
			e.Actor = v.Arg
			e.SetAttr("auth.reason", v.Response)
		}
	case "ldap":
		e.Actor = ifKind(strings.HasPrefix(v.Opcode, "bind"), v.Object)
		e.Title = strings.TrimSpace(out.join("ldap ", v.Opcode, " ", v.Object))
		e.SetAttr("ldap.operation", v.Opcode)
		e.SetAttr("ldap.result", v.Result)
	case "ftp":
		e.Title = strings.TrimSpace(out.join("ftp ", v.Command, " ", v.Arg))
		e.SetAttr("ftp.code", string(v.ReplyCode))
	}
	v.login(kind).fill(e, kind)
	switch e.Type {
	case "db.statement":
		e.Title = strings.TrimSpace(out.join(v.Cmd, " ", v.Arg))
		if said := zeekBool(v.Success); said != notLogin {
			if e.Outcome = pipeline.OutcomeSuccess; said == loginRefused {
				e.Outcome = pipeline.OutcomeFailure
			}
		}
	case "net.listen":
		e.SrcIP, e.DstIP = e.DstIP, addrOf(string(v.HTTPHost))
		e.Title = out.join(string(v.HTTPHost), " listens on ", v.PortProt, " ", string(v.PortNum))
		e.SetAttr("destination.port", string(v.PortNum))
		e.SetAttr("network.transport", transport(v.PortProt))
	case "inventory.observed":
		e.DstIP = addrOf(string(v.HTTPHost))
		e.Title = strings.TrimSpace(out.join(string(v.HTTPHost), " ", first(v.Unparsed, string(v.Name), kind)))
		e.SetAttr("inventory.kind", first(v.Software, kind))
	case "metric":
		if e.Metric, e.Value = "zeek.capture.percent_lost", v.Lost.Or(0); kind == "stats" {
			e.Metric, e.Value = "zeek.packets_dropped", v.PktsDrop.Or(0)
		} else if kind == "telemetry" {
			e.Metric, e.Value = string(v.Name), v.Value.Or(0)
			e.SetAttr("metric.type", v.MetricType)
		}
		e.Title = e.Metric
	}
	switch kind {
	case "weird":
		e.Title = string(v.Name)
		e.Severity = pipeline.SeverityLow
	case "reporter":
		e.Title = v.Message
		if strings.Contains(v.Level, "ERROR") {
			e.Severity = pipeline.SeverityHigh
		}
	case "files", "smb_files":
		e.Title = strings.TrimSpace(out.join(first(v.Action, "file"), " ", first(v.Filename, string(v.Name), v.MIME)))
		e.Bytes = count(string(v.Seen))
	case "x509":
		e.Title = out.join("certificate ", v.CertSubject)
	}
	e.SetAttr("ssh.client", ifKind(kind == "ssh", v.Client))
	e.SetAttr("ssh.server", ifKind(kind == "ssh", v.Server))
	e.SetAttr("auth.attempts", string(v.AuthAttempts))
	e.SetAttr("network.direction", strings.ToLower(v.Direction))
	e.SetAttr("command", v.Command)
	e.SetAttr("file.path", first(v.Filename, v.SMBPath))
	e.SetAttr("file.mime_type", v.MIME)
	e.SetAttr("file.hash.md5", v.MD5)
	e.SetAttr("file.hash.sha1", v.SHA1)
	e.SetAttr("file.hash.sha256", v.SHA256)
}

// login tells what the record says of one.
func (v *zeekRecord) login(kind string) login {
	switch kind {
	case "ssh":
		return zeekBool(v.AuthSuccess)
	case "kerberos":
		if said := zeekBool(v.Success); said != loginRefused {
			return said
		}
		return kerberosError(v.ErrorMsg)
	case "ntlm":
		return zeekBool(v.Success)
	case "radius":
		return zeekBool(Text(v.Result))
	case "rfb":
		return zeekBool(v.Auth)
	case "mysql":
		if v.Cmd == "login" {
			return zeekBool(v.Success)
		}
	case "ldap":
		if strings.HasPrefix(v.Opcode, "bind") || v.Opcode == "sicily_response" {
			return ldapResult(v.Result)
		}
	}
	return notLogin
}

func zeekBool(t Text) login {
	switch t {
	case "true", "T", "success":
		return loginGranted
	case "false", "F", "failed":
		return loginRefused
	}
	return notLogin
}

func ifKind(is bool, s string) string {
	if is {
		return s
	}
	return ""
}
