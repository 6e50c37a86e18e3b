package parse

import (
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// suricata reads Suricata's EVE log, a JSON object a line. Alert severity is 1 (high) to 3 (low); 4 and more are for
// information. Records of protocols without an event type of their own (ssh, fileinfo ...) are logs with both ends, those of
// logins tell their outcome (suricata_app.go).
// https://docs.suricata.io/en/latest/output/eve/eve-json-format.html
var suricata = Format{
	Name: "suricata-eve", Title: "Suricata EVE log (JSON lines), fast.log of Suricata and Snort", Phase: pipeline.PhaseOperation,
	Types: []string{"net.flow", "detection", "dns.query", "http.request", "tls.handshake", "auth.success", "auth.failed", "db.statement", "metric",
		"log"},
	Known: "JSON object with event_type and timestamp, and flow_id, stats, in_iface or src_ip; lines of a time, [**] and a signature",
	Frame: Reports, Log: true,
	Match: func(s *Shape) bool {
		if !s.IsObject() {
			return isFastLog(s.Line())
		}
		return !s.Array && s.Has("timestamp", "event_type") &&
			(s.Has("flow_id") || s.Has("stats") || s.Has("in_iface") || s.Has("src_ip", "dest_ip") || s.Has("engine"))
	},
	Parse: parseSuricata,
}

type suricataEvent struct {
	Timestamp string          `json:"timestamp"`
	EventType string          `json:"event_type"`
	FlowID    Text            `json:"flow_id"`
	InIface   string          `json:"in_iface"`
	Host      string          `json:"host"`
	SrcIP     string          `json:"src_ip"`
	SrcPort   Text            `json:"src_port"`
	DestIP    string          `json:"dest_ip"`
	DestPort  Text            `json:"dest_port"`
	Proto     string          `json:"proto"`
	AppProto  string          `json:"app_proto"`
	Community string          `json:"community_id"`
	Alert     suricataAlert   `json:"alert"`
	Anomaly   suricataAnomaly `json:"anomaly"`
	DNS       suricataDNS     `json:"dns"`
	HTTP      suricataHTTP    `json:"http"`
	TLS       suricataTLS     `json:"tls"`
	Flow      suricataFlow    `json:"flow"`
	Netflow   suricataNetflow `json:"netflow"`
	File      suricataFile    `json:"fileinfo"`
	SSH       suricataSSH     `json:"ssh"`
	SMB       suricataSMB     `json:"smb"`
	Stats     suricataStats   `json:"stats"`
}

type suricataAlert struct {
	Action      string `json:"action"`
	GID         Text   `json:"gid"`
	SignatureID Text   `json:"signature_id"`
	Rev         Text   `json:"rev"`
	Signature   string `json:"signature"`
	Category    string `json:"category"`
	Severity    Number `json:"severity"`
	Metadata    struct {
		CVE       Strings `json:"cve"`
		Technique Strings `json:"mitre_technique_id"`
		Grade     Strings `json:"signature_severity"`
		Target    Strings `json:"attack_target"`
	} `json:"metadata"`
}

type suricataAnomaly struct {
	Type  string `json:"type"`
	Event string `json:"event"`
	Layer string `json:"layer"`
}

// suricataDNS is the record of all versions: 1 and 2 name the query in the object, 3 in a list; alerts of version 2
// hold a list under another name.
type suricataDNS struct {
	Type    string          `json:"type"`
	RRName  string          `json:"rrname"`
	RRType  string          `json:"rrtype"`
	RCode   string          `json:"rcode"`
	RData   string          `json:"rdata"`
	Queries []suricataQuery `json:"queries"`
	Query   []suricataQuery `json:"query"`
	Answers []struct {
		RData Text `json:"rdata"`
	} `json:"answers"`
}

type suricataQuery struct {
	RRName string `json:"rrname"`
	RRType string `json:"rrtype"`
}

type suricataHTTP struct {
	Hostname  string `json:"hostname"`
	URL       string `json:"url"`
	Method    string `json:"http_method"`
	UserAgent string `json:"http_user_agent"`
	Referrer  string `json:"http_refer"`
	Protocol  string `json:"protocol"`
	Status    Text   `json:"status"`
	Length    Number `json:"length"`
}

type suricataTLS struct {
	SNI         string `json:"sni"`
	Version     string `json:"version"`
	Subject     string `json:"subject"`
	Issuer      string `json:"issuerdn"`
	Fingerprint string `json:"fingerprint"`
	NotAfter    string `json:"notafter"`
	JA3         struct {
		Hash string `json:"hash"`
	} `json:"ja3"`
}

type suricataFlow struct {
	BytesToServer Number `json:"bytes_toserver"`
	BytesToClient Number `json:"bytes_toclient"`
	PktsToServer  Text   `json:"pkts_toserver"`
	PktsToClient  Text   `json:"pkts_toclient"`
	State         string `json:"state"`
	Reason        string `json:"reason"`
}

type suricataNetflow struct {
	Bytes Number `json:"bytes"`
	Pkts  Text   `json:"pkts"`
}

type suricataFile struct {
	Filename string `json:"filename"`
	Magic    string `json:"magic"`
	State    string `json:"state"`
	MD5      string `json:"md5"`
	SHA256   string `json:"sha256"`
	Size     Number `json:"size"`
}

type suricataSSH struct {
	Client suricataBanner `json:"client"`
	Server suricataBanner `json:"server"`
}

type suricataBanner struct {
	Software string `json:"software_version"`
}

type suricataSMB struct {
	Command string `json:"command"`
	Status  string `json:"status"`
	Share   string `json:"share"`
	File    string `json:"filename"`
	NTLM    struct {
		Domain string `json:"domain"`
		User   string `json:"user"`
		Host   string `json:"host"`
	} `json:"ntlmssp"`
}

type suricataStats struct {
	Uptime  Text `json:"uptime"`
	Capture struct {
		Packets Text   `json:"kernel_packets"`
		Drops   Number `json:"kernel_drops"`
	} `json:"capture"`
	Decoder struct {
		Packets Text `json:"pkts"`
		Bytes   Text `json:"bytes"`
	} `json:"decoder"`
	Detect struct {
		Alert Text `json:"alert"`
	} `json:"detect"`
}

func parseSuricata(in *Input, out *Out) error {
	if !isJSON(in.Data) {
		return parseFastLog(in, out)
	}
	v := scratch[suricataEvent](out)
	if err := decode(in.Data, v); err != nil {
		return err
	}
	e := out.Event(suricataType(v.EventType))
	e.Time, e.Host = parseTime(v.Timestamp), strings.ToLower(v.Host)
	e.SrcIP, e.DstIP = addrOf(v.SrcIP), addrOf(v.DestIP)
	e.Severity = pipeline.SeverityInfo
	e.SetAttr("suricata.event_type", v.EventType)
	e.SetAttr("source.port", string(v.SrcPort))
	e.SetAttr("destination.port", string(v.DestPort))
	e.SetAttr("network.transport", transport(v.Proto))
	e.SetAttr("network.protocol.name", v.AppProto)
	e.SetAttr("flow.id", string(v.FlowID))
	e.SetAttr("network.community_id", v.Community)
	e.SetAttr("network.interface.name", v.InIface)
	v.Flow.fill(e)
	if v.Netflow != (suricataNetflow{}) {
		e.Bytes = bytesOf(v.Netflow.Bytes)
		e.SetAttr("flow.packets", string(v.Netflow.Pkts))
	}
	if v.HTTP != (suricataHTTP{}) {
		v.HTTP.fill(e, out)
	}
	if !v.DNS.empty() {
		v.DNS.fill(e, out)
	}
	if v.TLS != (suricataTLS{}) {
		v.TLS.fill(e, out)
	}
	v.fillOthers(e, out)
	if err := v.fillApp(e, out, in.Data); err != nil {
		return err
	}
	switch {
	case v.Alert.SignatureID != "" || v.Alert.Signature != "" || v.EventType == "alert":
		v.Alert.fill(e)
	case v.EventType == "anomaly" || v.Anomaly.Event != "":
		e.Rule, e.Title, e.Severity = v.Anomaly.Event, v.Anomaly.Event, pipeline.SeverityLow
		e.Disposition = pipeline.DispositionDetected
		e.SetAttr("rule.category", v.Anomaly.Type)
	case v.EventType == "drop":
		e.Disposition = pipeline.DispositionBlocked
	}
	if e.Title == "" && v.SrcIP != "" {
		e.Title = out.flowTitle(first(transport(v.Proto), v.EventType), v.SrcIP, string(v.SrcPort), v.DestIP, string(v.DestPort))
	}
	if e.Title == "" {
		e.Title = out.join("suricata ", v.EventType)
	}
	return nil
}

func (f *suricataFlow) fill(e *pipeline.Event) {
	e.Bytes = bytesOf(f.BytesToServer) + bytesOf(f.BytesToClient)
	e.SetAttr("source.packets", string(f.PktsToServer))
	e.SetAttr("destination.packets", string(f.PktsToClient))
	e.SetAttr("flow.state", f.State)
	e.SetAttr("flow.reason", f.Reason)
}

func (h *suricataHTTP) fill(e *pipeline.Event, out *Out) {
	e.DstDomain = strings.ToLower(h.Hostname)
	e.SetAttr("url.path", h.URL)
	e.SetAttr("http.request.method", h.Method)
	e.SetAttr("user_agent.original", h.UserAgent)
	e.SetAttr("http.request.header.referer", h.Referrer)
	e.SetAttr("http.response.status_code", string(h.Status))
	e.SetAttr("network.protocol.version", h.Protocol)
	if e.Type == "http.request" {
		e.Bytes, e.Outcome = bytesOf(h.Length), httpOutcome(string(h.Status))
		e.Title = strings.TrimRight(out.join(h.Method, " ", h.Hostname, h.URL, " ", string(h.Status)), " ")
	}
}

func (d *suricataDNS) empty() bool {
	return d.Type == "" && d.RRName == "" && len(d.Queries) == 0 && len(d.Query) == 0
}

func (d *suricataDNS) fill(e *pipeline.Event, out *Out) {
	name, kind := d.RRName, d.RRType
	for _, list := range [...][]suricataQuery{d.Queries, d.Query} {
		if len(list) > 0 && name == "" {
			name, kind = list[0].RRName, list[0].RRType
		}
	}
	e.DstDomain = strings.ToLower(strings.TrimSuffix(name, "."))
	e.SetAttr("dns.type", d.Type)
	e.SetAttr("dns.question.type", kind)
	e.SetAttr("dns.response_code", d.RCode)
	answer := d.RData
	for i := 0; i < len(d.Answers) && answer == ""; i++ {
		answer = string(d.Answers[i].RData)
	}
	e.SetAttr("dns.answer", answer)
	if e.Type == "dns.query" {
		e.Title = strings.TrimSpace(out.join(kind, " ", name))
		switch {
		case d.RCode == "", d.Type == "request", d.Type == "query": // version 3 gives requests a code, too
		case d.RCode == "NOERROR":
			e.Outcome = pipeline.OutcomeSuccess
		default:
			e.Outcome = pipeline.OutcomeFailure
		}
	}
}

func (t *suricataTLS) fill(e *pipeline.Event, out *Out) {
	e.DstDomain = first(strings.ToLower(t.SNI), e.DstDomain)
	e.SetAttr("tls.version", t.Version)
	e.SetAttr("tls.server.subject", t.Subject)
	e.SetAttr("tls.server.issuer", t.Issuer)
	e.SetAttr("tls.server.hash.sha1", t.Fingerprint)
	e.SetAttr("tls.server.not_after", t.NotAfter)
	e.SetAttr("tls.client.ja3", t.JA3.Hash)
	if e.Type == "tls.handshake" {
		e.Title = strings.TrimSpace(out.join(t.Version, " ", first(t.SNI, t.Subject)))
	}
}

func (v *suricataEvent) fillOthers(e *pipeline.Event, out *Out) {
	if f := &v.File; *f != (suricataFile{}) {
		e.Title = out.join("file ", f.Filename)
		e.Bytes = bytesOf(f.Size)
		e.SetAttr("file.path", f.Filename)
		e.SetAttr("file.mime_type", f.Magic)
		e.SetAttr("file.hash.md5", f.MD5)
		e.SetAttr("file.hash.sha256", f.SHA256)
	}
	e.SetAttr("ssh.client", v.SSH.Client.Software)
	e.SetAttr("ssh.server", v.SSH.Server.Software)
	if s := &v.SMB; *s != (suricataSMB{}) {
		e.Title = strings.TrimSpace(out.join(s.Command, " ", first(s.File, s.Share)))
		e.Actor = s.NTLM.User
		e.SetAttr("smb.command", s.Command)
		e.SetAttr("smb.status", s.Status)
		e.SetAttr("smb.share", s.Share)
		e.SetAttr("file.path", s.File)
		s.login().fill(e, "smb")
	}
	if s := &v.Stats; v.EventType == "stats" {
		e.Metric, e.Value = "suricata.capture.kernel_drops", s.Capture.Drops.Or(0)
		e.Title = "packets that Suricata lost"
		e.SetAttr("suricata.capture.kernel_packets", string(s.Capture.Packets))
		e.SetAttr("suricata.decoder.pkts", string(s.Decoder.Packets))
		e.SetAttr("suricata.decoder.bytes", string(s.Decoder.Bytes))
		e.SetAttr("suricata.detect.alert", string(s.Detect.Alert))
		e.SetAttr("suricata.uptime_seconds", string(s.Uptime))
	}
}

func (a *suricataAlert) fill(e *pipeline.Event) {
	e.Rule, e.Title = string(a.SignatureID), first(a.Signature, "signature "+string(a.SignatureID))
	e.Severity = suricataSeverity(a.Severity)
	e.Disposition = pipeline.DispositionDetected
	if a.Action == "blocked" {
		e.Disposition = pipeline.DispositionBlocked
	}
	e.SetAttr("rule.category", a.Category)
	e.SetAttr("rule.version", string(a.Rev))
	for _, cve := range a.Metadata.CVE {
		e.Vulns = append(e.Vulns, strings.ToUpper(strings.ReplaceAll(cve, "_", "-")))
	}
	if i := strings.Index(a.Signature, "(CVE-"); i >= 0 && len(e.Vulns) == 0 {
		cve, _, _ := strings.Cut(a.Signature[i+1:], ")")
		e.Vulns = append(e.Vulns, cve)
	}
	for _, t := range a.Metadata.Technique {
		e.Attacks = append(e.Attacks, strings.ToUpper(t))
	}
	if len(a.Metadata.Grade) > 0 {
		e.SetAttr("rule.severity", a.Metadata.Grade[0])
	}
	if len(a.Metadata.Target) > 0 {
		e.SetAttr("rule.target", a.Metadata.Target[0])
	}
}

func suricataType(t string) string {
	switch t {
	case "alert", "anomaly":
		return "detection"
	case "flow", "netflow", "drop":
		return "net.flow"
	case "dns":
		return "dns.query"
	case "http", "http2":
		return "http.request"
	case "tls":
		return "tls.handshake"
	case "stats":
		return "metric"
	}
	return "log"
}

func suricataSeverity(n Number) uint8 {
	switch n {
	case 1:
		return pipeline.SeverityHigh
	case 2:
		return pipeline.SeverityMedium
	case 3:
		return pipeline.SeverityLow
	}
	return pipeline.SeverityInfo
}

// httpOutcome tells an answer's outcome from its status: the server's own errors are error, the client's failure.
func httpOutcome(status string) string {
	if n, rest := number(status); rest == "" {
		switch {
		case n >= 500:
			return pipeline.OutcomeError
		case n >= 400:
			return pipeline.OutcomeFailure
		case n >= 100:
			return pipeline.OutcomeSuccess
		}
	}
	return pipeline.OutcomeUnknown
}
