package parse

import (
	"strconv"

	"github.com/tocsin-project/tocsin/pipeline"
)

// suricata reads Suricata's EVE log, a JSON object a line. Alert severity is 1 (high) to 3 (low).
// https://docs.suricata.io/en/latest/output/eve/eve-json-format.html
var suricata = Format{
	Name: "suricata-eve", Title: "Suricata EVE log (JSON lines)", Phase: pipeline.PhaseOperation,
	Types: []string{"net.flow", "detection", "dns.query", "http.request", "tls.handshake", "metric", "log"},
	Known: "JSON object with event_type and timestamp, and flow_id, stats or in_iface",
	Frame: Values, Log: true,
	Match: func(s *Shape) bool {
		return !s.Array && s.Has("timestamp", "event_type") && (s.Has("flow_id") || s.Has("stats") || s.Has("in_iface"))
	},
	Parse: parseSuricata,
}

type suricataEvent struct {
	Timestamp string `json:"timestamp"`
	EventType string `json:"event_type"`
	FlowID    Text   `json:"flow_id"`
	InIface   string `json:"in_iface"`
	Host      string `json:"host"`
	SrcIP     string `json:"src_ip"`
	SrcPort   int    `json:"src_port"`
	DestIP    string `json:"dest_ip"`
	DestPort  int    `json:"dest_port"`
	Proto     string `json:"proto"`
	AppProto  string `json:"app_proto"`
	Alert     *struct {
		Action      string `json:"action"`
		SignatureID int    `json:"signature_id"`
		Signature   string `json:"signature"`
		Category    string `json:"category"`
		Severity    int    `json:"severity"`
	} `json:"alert"`
	DNS *struct {
		Type   string `json:"type"`
		RRName string `json:"rrname"`
		RRType string `json:"rrtype"`
		RCode  string `json:"rcode"`
	} `json:"dns"`
	HTTP *struct {
		Hostname  string `json:"hostname"`
		URL       string `json:"url"`
		Method    string `json:"http_method"`
		UserAgent string `json:"http_user_agent"`
		Status    int    `json:"status"`
		Length    uint64 `json:"length"`
	} `json:"http"`
	TLS *struct {
		SNI     string `json:"sni"`
		Version string `json:"version"`
		Subject string `json:"subject"`
	} `json:"tls"`
	Flow *struct {
		BytesToServer uint64 `json:"bytes_toserver"`
		BytesToClient uint64 `json:"bytes_toclient"`
		PktsToServer  uint64 `json:"pkts_toserver"`
		PktsToClient  uint64 `json:"pkts_toclient"`
		State         string `json:"state"`
		Reason        string `json:"reason"`
	} `json:"flow"`
}

func parseSuricata(in *Input, out *Out) error {
	var v suricataEvent
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	e := out.Event(suricataType(v.EventType))
	e.Time, e.Host = parseTime(v.Timestamp), v.Host
	e.SrcIP, e.DstIP = addrOf(v.SrcIP), addrOf(v.DestIP)
	e.Severity = pipeline.SeverityInfo
	e.SetAttr("suricata.event_type", v.EventType)
	e.SetAttr("source.port", positive(v.SrcPort))
	e.SetAttr("destination.port", positive(v.DestPort))
	e.SetAttr("network.transport", v.Proto)
	e.SetAttr("network.protocol.name", v.AppProto)
	e.SetAttr("flow.id", string(v.FlowID))
	if f := v.Flow; f != nil {
		e.Bytes = f.BytesToServer + f.BytesToClient
		e.SetAttr("flow.state", f.State)
	}
	if h := v.HTTP; h != nil {
		e.DstDomain = h.Hostname
		e.SetAttr("url.path", h.URL)
		e.SetAttr("http.request.method", h.Method)
		e.SetAttr("user_agent.original", h.UserAgent)
		e.SetAttr("http.response.status_code", positive(h.Status))
		if e.Type == "http.request" {
			e.Bytes = h.Length
		}
	}
	if d := v.DNS; d != nil {
		e.DstDomain = d.RRName
		e.SetAttr("dns.type", d.Type)
		e.SetAttr("dns.question.type", d.RRType)
		e.SetAttr("dns.response_code", d.RCode)
	}
	if t := v.TLS; t != nil {
		e.DstDomain = first(t.SNI, e.DstDomain)
		e.SetAttr("tls.version", t.Version)
	}
	if a := v.Alert; a != nil {
		e.Rule, e.Title = strconv.Itoa(a.SignatureID), a.Signature
		e.Severity = suricataSeverity(a.Severity)
		e.Disposition = pipeline.DispositionDetected
		if a.Action == "blocked" {
			e.Disposition = pipeline.DispositionBlocked
		}
		e.SetAttr("rule.category", a.Category)
	}
	return nil
}

func suricataType(t string) string {
	switch t {
	case "alert", "anomaly":
		return "detection"
	case "flow", "netflow":
		return "net.flow"
	case "dns":
		return "dns.query"
	case "http":
		return "http.request"
	case "tls":
		return "tls.handshake"
	case "stats":
		return "metric"
	}
	return "log"
}

func suricataSeverity(n int) uint8 {
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
