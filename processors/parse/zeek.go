package parse

import (
	"errors"
	"slices"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// zeek reads Zeek's logs, all of them: JSON with dots or underscores in the keys, and tab-separated files with their
// header. The kind is the header's #path, a shipper's @stream or _path, or follows from the keys.
// https://docs.zeek.org/en/master/script-reference/log-files.html
var zeek = Format{
	Name: "zeek", Title: "Zeek logs (JSON, TSV)", Phase: pipeline.PhaseOperation,
	Types: []string{"net.flow", "detection", "dns.query", "http.request", "tls.handshake", "auth.success", "auth.failed",
		"db.statement", "net.listen", "inventory.observed", "metric", "log"},
	Known: "#separator or #fields line; JSON with ts and uid, id.orig_h, id_orig_h, note, fuid, certificate.serial, _path or @stream",
	Frame: Reports, Log: true,
	Match: func(s *Shape) bool {
		if !s.IsObject() {
			return s.Begins("#separator ", "#fields\t")
		}
		return s.Has("ts") && (s.Has("id.orig_h") || s.Has("id_orig_h") || s.Has("uid", "id") || s.Has("note", "msg") || s.Has("_path") ||
			s.Has("@stream") || s.Has("fuid") || s.Has("uids") || s.Has("percent_lost") || s.Has("peer", "mem") ||
			s.Has("certificate.serial") || s.Has("id", "certStatus") || s.Has("id", "compile_ts"))
	},
	Parse: parseZeek,
}

func parseZeek(in *Input, out *Out) error {
	if isJSON(in.Data) {
		v := scratch[zeekRecord](out)
		if err := decode(in.Data, v); err != nil {
			return err
		}
		if v.TS == "" {
			return errors.New("zeek: record without ts")
		}
		v.CertSubject = first(v.CertSubject, v.CertSubject2)
		v.event(out, in.Text())
		return nil
	}
	return parseZeekTSV(in, out)
}

// parseZeekTSV reads a log file; several of them may follow one another.
func parseZeekTSV(in *Input, out *Out) error {
	var fields []string
	timed := false
	sep, path, unset, empty := "\t", "", "-", "(empty)"
	eachLine(in, out, func(l string) error {
		if l[0] == '#' {
			word, rest, ok := strings.Cut(l[1:], sep)
			if !ok {
				word, rest, _ = strings.Cut(l[1:], " ")
			}
			switch word {
			case "separator":
				if sep = "\t"; rest != `\x09` {
					sep = rest
				}
			case "path":
				path = rest
			case "unset_field":
				unset = rest
			case "empty_field":
				empty = rest
			case "fields":
				fields = strings.Split(rest, sep)
				timed = slices.Contains(fields, "ts")
			}
			return nil
		}
		if fields == nil {
			return errors.New("zeek: row before the #fields line that names its columns")
		}
		v := zeekRecord{Path: path}
		n, raw := 0, l
		for rest, more := l, true; more; n++ {
			var cell string
			if cell, rest, more = strings.Cut(rest, sep); n < len(fields) && cell != unset && cell != empty {
				v.set(fields[n], cell)
				if fields[n] == "password" && !isMasked(cell) { // masked here only: a guest's password is an ordinary word
					end := len(l)
					if more {
						end -= len(sep) + len(rest)
					}
					raw = l[:end-len(cell)] + mask + l[end:]
				}
			}
		}
		if n != len(fields) || timed && v.TS == "" {
			return errors.New("zeek: row that does not have the columns that #fields names")
		}
		v.event(out, raw)
		return nil
	})
	return nil
}

// zeekRecord has the fields of all logs that say more than their raw text does. Underscored keys are those of
// shippers that may not send dots.
type zeekRecord struct {
	TS     Text   `json:"ts"`
	Path   string `json:"_path"`
	Stream string `json:"@stream"`
	System string `json:"@system"`
	Sensor string `json:"_system_name"`
	Peer   string `json:"peer_descr"`
	UID    string `json:"uid"`

	OrigH  string `json:"id.orig_h"`
	OrigP  Text   `json:"id.orig_p"`
	RespH  string `json:"id.resp_h"`
	RespP  Text   `json:"id.resp_p"`
	OrigH2 string `json:"id_orig_h"`
	OrigP2 Text   `json:"id_orig_p"`
	RespH2 string `json:"id_resp_h"`
	RespP2 Text   `json:"id_resp_p"`
	ID     struct {
		OrigH string `json:"orig_h"`
		OrigP Text   `json:"orig_p"`
		RespH string `json:"resp_h"`
		RespP Text   `json:"resp_p"`
	} `json:"id"`
	Proto   string `json:"proto"`
	Service Text   `json:"service"`

	// conn
	Duration    Text   `json:"duration"`
	OrigBytes   Text   `json:"orig_bytes"`
	RespBytes   Text   `json:"resp_bytes"`
	OrigPkts    Text   `json:"orig_pkts"`
	RespPkts    Text   `json:"resp_pkts"`
	OrigIPBytes Text   `json:"orig_ip_bytes"`
	RespIPBytes Text   `json:"resp_ip_bytes"`
	ConnState   string `json:"conn_state"`
	History     string `json:"history"`

	// notice, weird, intel, signatures, reporter
	Note      string  `json:"note"`
	Msg       string  `json:"msg"`
	Sub       string  `json:"sub"`
	Src       string  `json:"src"`
	Dst       string  `json:"dst"`
	Port      Text    `json:"p"`
	Actions   Strings `json:"actions"`
	Dropped   Text    `json:"dropped"`
	Name      Text    `json:"name"`
	Indicator string  `json:"seen.indicator"`
	SigID     string  `json:"sig_id"`
	EventMsg  string  `json:"event_msg"`
	SrcAddr   string  `json:"src_addr"`
	DstAddr   string  `json:"dst_addr"`
	Level     string  `json:"level"`
	Message   string  `json:"message"`

	// dns
	Query     string  `json:"query"`
	QType     string  `json:"qtype_name"`
	QTypeNo   Text    `json:"qtype"`
	RCode     string  `json:"rcode_name"`
	Answers   Strings `json:"answers"`
	TransID   Text    `json:"trans_id"`
	Method    string  `json:"method"`
	HTTPHost  Text    `json:"host"`
	URI       string  `json:"uri"`
	Referrer  string  `json:"referrer"`
	UserAgent string  `json:"user_agent"`
	Status    Text    `json:"status_code"`
	ReqLen    Text    `json:"request_body_len"`
	RespLen   Text    `json:"response_body_len"`

	// ssl, x509
	Version      Text   `json:"version"`
	Cipher       string `json:"cipher"`
	ServerName   string `json:"server_name"`
	Subject      string `json:"subject"`
	Issuer       string `json:"issuer"`
	Validation   string `json:"validation_status"`
	Established  Text   `json:"established"`
	CertSubject  string `json:"certificate.subject"`
	CertSubject2 string `json:"certificate_subject"`

	// ssh, kerberos, ntlm, radius, rdp, ftp, mysql, socks
	AuthSuccess  Text   `json:"auth_success"`
	AuthAttempts Text   `json:"auth_attempts"`
	Direction    string `json:"direction"`
	Client       string `json:"client"`
	Server       string `json:"server"`
	Success      Text   `json:"success"`
	Username     string `json:"username"`
	User         string `json:"user"`
	RequestType  string `json:"request_type"`
	ErrorMsg     string `json:"error_msg"`
	Result       string `json:"result"`
	Cookie       string `json:"cookie"`
	Cmd          string `json:"cmd"`
	Arg          string `json:"arg"`
	Command      string `json:"command"`
	Opcode       string `json:"opcode"`
	Object       string `json:"object"`
	Auth         Text   `json:"auth"`
	Response     string `json:"response"`
	ReplyCode    Text   `json:"reply_code"`

	// files, smb
	FUID     string  `json:"fuid"`
	TxHosts  Strings `json:"tx_hosts"`
	RxHosts  Strings `json:"rx_hosts"`
	MIME     string  `json:"mime_type"`
	Filename string  `json:"filename"`
	Seen     Text    `json:"seen_bytes"`
	MD5      string  `json:"md5"`
	SHA1     string  `json:"sha1"`
	SHA256   string  `json:"sha256"`
	Action   string  `json:"action"`
	SMBPath  string  `json:"path"`

	// known_*, software, capture_loss, stats
	PortNum  Text   `json:"port_num"`
	PortProt string `json:"port_proto"`
	Software string `json:"software_type"`
	Unparsed string `json:"unparsed_version"`
	Lost     Number `json:"percent_lost"`
	PktsDrop Number `json:"pkts_dropped"`
	PktsProc Text   `json:"pkts_proc"`

	MetricType string `json:"metric_type"`
	Value      Number `json:"value"`
}

// set fills one column of a TSV row.
func (v *zeekRecord) set(name, value string) {
	t := Text(value)
	switch name {
	case "ts":
		v.TS = t
	case "uid":
		v.UID = value
	case "id.orig_h":
		v.OrigH = value
	case "id.orig_p":
		v.OrigP = t
	case "id.resp_h":
		v.RespH = value
	case "id.resp_p":
		v.RespP = t
	case "proto":
		v.Proto = value
	case "service":
		v.Service = t
	case "duration":
		v.Duration = t
	case "orig_bytes":
		v.OrigBytes = t
	case "resp_bytes":
		v.RespBytes = t
	case "orig_pkts":
		v.OrigPkts = t
	case "resp_pkts":
		v.RespPkts = t
	case "orig_ip_bytes":
		v.OrigIPBytes = t
	case "resp_ip_bytes":
		v.RespIPBytes = t
	case "conn_state":
		v.ConnState = value
	case "history":
		v.History = value
	case "note":
		v.Note = value
	case "msg":
		v.Msg = value
	case "sub":
		v.Sub = value
	case "src":
		v.Src = value
	case "dst":
		v.Dst = value
	case "p":
		v.Port = t
	case "actions":
		v.Actions = strings.Split(value, ",")
	case "dropped":
		v.Dropped = t
	case "name":
		v.Name = t
	case "seen.indicator":
		v.Indicator = value
	case "sig_id":
		v.SigID = value
	case "event_msg":
		v.EventMsg = value
	case "src_addr":
		v.SrcAddr = value
	case "dst_addr":
		v.DstAddr = value
	case "level":
		v.Level = value
	case "message":
		v.Message = value
	case "peer_descr":
		v.Peer = value
	default:
		v.setMore(name, value)
	}
}

func (v *zeekRecord) setMore(name, value string) {
	t := Text(value)
	switch name {
	case "query":
		v.Query = value
	case "qtype_name":
		v.QType = value
	case "rcode_name":
		v.RCode = value
	case "answers":
		v.Answers = Strings{value}
	case "trans_id":
		v.TransID = t
	case "method":
		v.Method = value
	case "host":
		v.HTTPHost = t
	case "uri":
		v.URI = value
	case "referrer":
		v.Referrer = value
	case "user_agent":
		v.UserAgent = value
	case "status_code":
		v.Status = t
	case "request_body_len":
		v.ReqLen = t
	case "response_body_len":
		v.RespLen = t
	case "version":
		v.Version = t
	case "cipher":
		v.Cipher = value
	case "server_name":
		v.ServerName = value
	case "subject":
		v.Subject = value
	case "issuer":
		v.Issuer = value
	case "validation_status":
		v.Validation = value
	case "established":
		v.Established = t
	case "certificate.subject":
		v.CertSubject = value
	case "auth_success":
		v.AuthSuccess = t
	case "auth_attempts":
		v.AuthAttempts = t
	case "direction":
		v.Direction = value
	case "client":
		v.Client = value
	case "server":
		v.Server = value
	case "success":
		v.Success = t
	case "username":
		v.Username = value
	case "user":
		v.User = value
	case "request_type":
		v.RequestType = value
	case "error_msg":
		v.ErrorMsg = value
	case "result":
		v.Result = value
	case "cookie":
		v.Cookie = value
	case "cmd":
		v.Cmd = value
	case "arg":
		v.Arg = value
	case "command":
		v.Command = value
	case "opcode":
		v.Opcode = value
	case "object":
		v.Object = value
	case "auth":
		v.Auth = t
	case "response":
		v.Response = value
	case "reply_code":
		v.ReplyCode = t
	case "value":
		_ = v.Value.UnmarshalJSON([]byte(value)) // gives NaN for what is no number
	case "metric_type":
		v.MetricType = value
	case "fuid":
		v.FUID = value
	case "tx_hosts":
		v.TxHosts = strings.Split(value, ",")
	case "rx_hosts":
		v.RxHosts = strings.Split(value, ",")
	case "mime_type":
		v.MIME = value
	case "filename":
		v.Filename = value
	case "seen_bytes":
		v.Seen = t
	case "md5":
		v.MD5 = value
	case "sha1":
		v.SHA1 = value
	case "sha256":
		v.SHA256 = value
	case "action":
		v.Action = value
	case "path":
		v.SMBPath = value
	case "port_num":
		v.PortNum = t
	case "port_proto":
		v.PortProt = value
	case "software_type":
		v.Software = value
	case "unparsed_version":
		v.Unparsed = value
	case "percent_lost":
		_ = v.Lost.UnmarshalJSON([]byte(value))
	case "pkts_dropped":
		_ = v.PktsDrop.UnmarshalJSON([]byte(value))
	case "pkts_proc":
		v.PktsProc = t
	}
}
