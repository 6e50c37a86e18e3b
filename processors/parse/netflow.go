package parse

import (
	"errors"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// netflow reads flows as collectors print them: nfdump (JSON, CSV, aligned text, statistics), goflow2 and goflow,
// pmacct, Logstash's codec, nProbe with labels. Whether it was NetFlow, IPFIX or sFlow on the wire makes no difference.
// https://github.com/phaag/nfdump https://github.com/netsampler/goflow2/blob/main/docs/protocols.md
var netflow = Format{
	Name: "netflow", Title: "NetFlow, IPFIX and sFlow by nfdump, goflow2, pmacct, Logstash, nProbe", Phase: pipeline.PhaseOperation,
	Types: []string{"net.flow", "metric"},
	Known: "JSON with sampler_address, src4_addr, ip_src, netflow, IPV4_SRC_ADDR or IPV6_SRC_ADDR; nfdump's header line or aligned flows",
	Frame: Reports, Log: true,
	Match: func(s *Shape) bool {
		if s.IsObject() {
			return s.Has("sampler_address") || s.Has("SamplerAddress") || s.Has("src4_addr") || s.Has("src6_addr") ||
				s.Has("ip_src", "ip_dst") || s.Has("netflow") || s.Has("type", "src_addr", "dst_addr") ||
				s.Has("IPV4_SRC_ADDR") || s.Has("IPV6_SRC_ADDR")
		}
		return isNfdumpHeader(s.Line()) || s.Begins("Date first seen") || isNfdumpLine(s.Line())
	},
	Parse: parseNetflow,
}

func parseNetflow(in *Input, out *Out) error {
	if isJSON(in.Data) {
		if in.Data[0] == '[' {
			return eachElement(in, out, in.Data, func(b []byte) error { return parseNetflowJSON(b, out) })
		}
		return parseNetflowJSON(in.Data, out)
	}
	var columns []string
	summary := false
	eachLine(in, out, func(l string) error {
		switch {
		case isNfdumpHeader(l):
			columns = strings.Split(l, ",")
			summary = false
			return nil
		case strings.TrimSpace(l) == "Summary", strings.HasPrefix(l, "Summary:"):
			summary = true
			return nil
		case summary, strings.HasPrefix(l, "Date first seen"), strings.HasPrefix(l, "Top "):
			return nil // what follows a summary repeats the flows' sums
		case columns != nil:
			return nfdumpRow(out, columns, l)
		}
		return nfdumpText(out, l)
	})
	return nil
}

func parseNetflowJSON(b []byte, out *Out) error {
	v := scratch[netflowRecord](out)
	if err := decode(b, v); err != nil {
		return err
	}
	return v.event(out, alias(b))
}

func isNfdumpHeader(l string) bool {
	return strings.HasPrefix(l, "ts,te,td,") || strings.HasPrefix(l, "firstSeen,")
}

// netflowRecord has the keys of all collectors.
type netflowRecord struct {
	// nfdump
	First    string `json:"first"`
	Last     string `json:"last"`
	TFirst   string `json:"t_first"`
	TLast    string `json:"t_last"`
	Received string `json:"received"`
	Src4     string `json:"src4_addr"`
	Dst4     string `json:"dst4_addr"`
	Src6     string `json:"src6_addr"`
	Dst6     string `json:"dst6_addr"`
	InPkts   Text   `json:"in_packets"`
	InBytes  Number `json:"in_bytes"`
	OutPkts  Text   `json:"out_packets"`
	OutBytes Number `json:"out_bytes"`
	Router4  string `json:"ip4_router"`
	Router6  string `json:"ip6_router"`

	// goflow2; numbers of protocols in its version 1
	Type       string `json:"type"`
	ReceivedNS Text   `json:"time_received_ns"`
	StartNS    Text   `json:"time_flow_start_ns"`
	EndNS      Text   `json:"time_flow_end_ns"`
	ReceivedS  Text   `json:"time_received"`
	StartS     Text   `json:"time_flow_start"`
	Sampler    string `json:"sampler_address"`
	Sampling   Text   `json:"sampling_rate"`
	Bytes      Number `json:"bytes"`
	Packets    Text   `json:"packets"`
	Src        string `json:"src_addr"`
	Dst        string `json:"dst_addr"`
	SrcPort    Text   `json:"src_port"`
	DstPort    Text   `json:"dst_port"`
	Proto      Text   `json:"proto"`
	Flags      Text   `json:"tcp_flags"`
	SrcAS      Text   `json:"src_as"`
	DstAS      Text   `json:"dst_as"`

	// goflow
	GoSampler  string `json:"SamplerAddress"`
	GoReceived Text   `json:"TimeReceived"`
	GoStart    Text   `json:"TimeFlowStart"`
	GoBytes    Number `json:"Bytes"`
	GoPackets  Text   `json:"Packets"`
	GoSrc      string `json:"SrcAddr"`
	GoDst      string `json:"DstAddr"`
	GoSrcPort  Text   `json:"SrcPort"`
	GoDstPort  Text   `json:"DstPort"`
	GoProto    Text   `json:"Proto"`

	// pmacct
	PmSrc     string `json:"ip_src"`
	PmDst     string `json:"ip_dst"`
	PmSrcPort Text   `json:"port_src"`
	PmDstPort Text   `json:"port_dst"`
	PmProto   Text   `json:"ip_proto"`
	PmStart   Text   `json:"timestamp_start"`
	PmStamp   Text   `json:"stamp_inserted"`
	PmPeer    string `json:"peer_ip_src"`
	LSStamp   string `json:"@timestamp"`
	LSHost    Text   `json:"host"`
	LSFlow    lsFlow `json:"netflow"`
	// nProbe: the names of NetFlow 9's fields
	NSrc4     string `json:"IPV4_SRC_ADDR"`
	NDst4     string `json:"IPV4_DST_ADDR"`
	NSrc6     string `json:"IPV6_SRC_ADDR"`
	NDst6     string `json:"IPV6_DST_ADDR"`
	NSrcPort  Text   `json:"L4_SRC_PORT"`
	NDstPort  Text   `json:"L4_DST_PORT"`
	NProto    Text   `json:"PROTOCOL"`
	NIn       Number `json:"IN_BYTES"`
	NOut      Number `json:"OUT_BYTES"`
	NPackets  Text   `json:"IN_PKTS"`
	NFlags    Text   `json:"TCP_FLAGS"`
	NStart    Text   `json:"FIRST_SWITCHED"`
	NExporter string `json:"EXPORTER_IPV4_ADDRESS"`
}

// lsFlow is the object of Logstash's netflow codec.
type lsFlow struct {
	Src4    string `json:"ipv4_src_addr"`
	Dst4    string `json:"ipv4_dst_addr"`
	Src6    string `json:"ipv6_src_addr"`
	Dst6    string `json:"ipv6_dst_addr"`
	SrcPort Text   `json:"l4_src_port"`
	DstPort Text   `json:"l4_dst_port"`
	Proto   Text   `json:"protocol"`
	Bytes   Number `json:"in_bytes"`
	Packets Text   `json:"in_pkts"`
	First   string `json:"first_switched"`
	Version Text   `json:"version"`
}

func (v *netflowRecord) event(out *Out, raw string) error {
	f := flow{
		src:      first(v.Src4, v.Src6, v.Src, v.GoSrc, v.PmSrc, v.LSFlow.Src4, v.LSFlow.Src6, nprobeAddr(v.NSrc4), v.NSrc6),
		dst:      first(v.Dst4, v.Dst6, v.Dst, v.GoDst, v.PmDst, v.LSFlow.Dst4, v.LSFlow.Dst6, nprobeAddr(v.NDst4), v.NDst6),
		srcPort:  first(string(v.SrcPort), string(v.GoSrcPort), string(v.PmSrcPort), string(v.LSFlow.SrcPort), string(v.NSrcPort)),
		dstPort:  first(string(v.DstPort), string(v.GoDstPort), string(v.PmDstPort), string(v.LSFlow.DstPort), string(v.NDstPort)),
		proto:    transport(first(string(v.Proto), string(v.GoProto), string(v.PmProto), string(v.LSFlow.Proto), string(v.NProto))),
		bytes:    bytesOf(v.InBytes) + bytesOf(v.OutBytes) + bytesOf(v.Bytes) + bytesOf(v.GoBytes) + bytesOf(v.LSFlow.Bytes) + bytesOf(v.NIn) + bytesOf(v.NOut),
		packets:  first(string(v.InPkts), string(v.Packets), string(v.GoPackets), string(v.LSFlow.Packets), string(v.NPackets)),
		flags:    first(string(v.Flags), string(v.NFlags)),
		router:   first(v.Router4, v.Router6, v.Sampler, v.GoSampler, v.PmPeer, string(v.LSHost), v.NExporter),
		start:    parseTime(first(v.First, v.TFirst, string(v.StartNS), string(v.StartS), string(v.GoStart), string(v.PmStart), v.LSFlow.First, string(v.NStart))),
		received: parseTime(first(v.Received, string(v.ReceivedNS), string(v.ReceivedS), string(v.GoReceived), string(v.PmStamp), v.LSStamp)),
	}
	if f.src == "" && f.dst == "" {
		return errors.New("netflow: record without addresses")
	}
	e := f.event(out, raw)
	e.SetAttr("netflow.type", v.Type)
	if v.Sampling != "0" && v.Sampling != "1" {
		e.SetAttr("netflow.sampling_rate", string(v.Sampling))
	}
	return nil
}

// nprobeAddr returns an address of version 4: nProbe writes 0.0.0.0 beside one of version 6.
func nprobeAddr(s string) string {
	if s == "0.0.0.0" {
		return ""
	}
	return s
}

// flow is what all kinds of record say.
type flow struct {
	src, dst, srcPort, dstPort, proto, packets, flags, router string
	bytes                                                     uint64
	start, received                                           time.Time
}

func (f *flow) event(out *Out, raw string) *pipeline.Event {
	e := out.Event("net.flow")
	e.Raw = raw
	e.SrcIP, e.DstIP, e.Bytes, e.Severity = addrOf(f.src), addrOf(f.dst), f.bytes, pipeline.SeverityInfo
	e.Title = out.flowTitle(first(f.proto, "flow"), f.src, f.srcPort, f.dst, f.dstPort)
	flowTime(e, f.start, f.received)
	e.SetAttr("source.port", f.srcPort)
	e.SetAttr("destination.port", f.dstPort)
	e.SetAttr("network.transport", f.proto)
	e.SetAttr("flow.packets", f.packets)
	if strings.Trim(f.flags, ".0") != "" {
		e.SetAttr("tcp.flags", f.flags)
	}
	e.SetAttr("netflow.exporter", f.router)
	return e
}

// nfdumpRow reads a row of CSV: of the long header (ts,te,td,sa,da,...), of version 1.7.2 (firstSeen,duration,...), or of
// a statistic (ts,te,td,pr,val,...), which is no flow but the sum of one address's.
func nfdumpRow(out *Out, columns []string, l string) error {
	var f flow
	value := ""
	n := 0
	for rest, more := l, true; more; n++ {
		var c string
		c, rest, more = cutCell(rest)
		if n >= len(columns) {
			continue
		}
		switch c = strings.TrimSpace(c); columns[n] {
		case "ts", "firstSeen":
			f.start = parseTime(c)
		case "tr", "received":
			f.received = parseTime(c)
		case "sa", "srcAddr":
			f.src = c
		case "da", "dstAddr":
			f.dst = c
		case "sp", "srcPort":
			f.srcPort = c
		case "dp", "dstPort":
			f.dstPort = c
		case "pr", "proto":
			f.proto = transport(c)
		case "flg", "flags":
			f.flags = c
		case "ipkt", "packets", "pkt":
			f.packets = c
		case "ibyt", "obyt", "bytes", "byt":
			f.bytes += count(c)
		case "ra":
			f.router = c
		case "val":
			value = c
		}
	}
	switch {
	case n != len(columns):
		return errors.New("netflow: row that does not have the columns of nfdump's header")
	case value != "":
		e := out.Event("metric")
		e.Raw, e.SrcIP, e.Bytes, e.Severity = l, addrOf(value), f.bytes, pipeline.SeverityInfo
		e.Metric, e.Value, e.Title = "netflow.bytes", float64(f.bytes), "bytes of "+value
		flowTime(e, f.start, f.received)
		e.SetAttr("netflow.value", value)
		e.SetAttr("flow.packets", f.packets)
		return nil
	case f.src == "" && f.dst == "":
		return errors.New("netflow: row without addresses")
	}
	f.event(out, l)
	return nil
}

// isNfdumpLine reports whether l is a flow in nfdump's aligned text.
func isNfdumpLine(l string) bool {
	if len(l) <= 60 || l[4] != '-' || l[10] != ' ' {
		return false
	}
	before, after, ok := strings.Cut(l, " -> ")
	return ok && !parseTime(firstWord(l)).IsZero() &&
		addrOf(nfdumpHost(lastWord(before))).IsValid() && addrOf(nfdumpHost(firstWord(strings.TrimLeft(after, " ")))).IsValid()
}

func lastWord(s string) string {
	s = strings.TrimRight(s, " ")
	return s[strings.LastIndexByte(s, ' ')+1:]
}

// nfdumpText reads "2026-11-23 07:05:00.503 00:00:00.000 UDP 192.0.2.1:53 -> 192.0.2.2:5353 ........ 0 1 31 ...": the
// duration may hold blanks where it overflowed, and numbers from a million on are "1.1 M".
func nfdumpText(out *Out, l string) error {
	words := strings.Fields(l)
	at := 0
	for at < len(words) && words[at] != "->" {
		at++
	}
	if at < 5 || at+3 >= len(words) {
		return errors.New("netflow: line is no flow of nfdump")
	}
	f := flow{start: parseTime(words[0] + " " + words[1]), proto: transport(words[at-2])}
	f.src, f.srcPort = nfdumpSplit(words[at-1])
	f.dst, f.dstPort = nfdumpSplit(words[at+1])
	if f.start.IsZero() || !addrOf(f.src).IsValid() {
		return errors.New("netflow: line is no flow of nfdump")
	}
	rest := words[at+2:]
	if digits(rest[0]) != len(rest[0]) && len(rest) > 2 { // flags and type of service, in the longer layouts
		f.flags, rest = rest[0], rest[2:]
	}
	f.packets, rest = nfdumpNumber(rest)
	var octets string
	octets, _ = nfdumpNumber(rest)
	f.bytes = count(octets)
	f.event(out, l)
	return nil
}

func nfdumpNumber(words []string) (string, []string) {
	if len(words) == 0 {
		return "", nil
	}
	if len(words) > 1 {
		if v, ok := sizeText(words[0], 1); ok {
			switch words[1] {
			case "K":
				return formatCount(v * 1e3), words[2:]
			case "M":
				return formatCount(v * 1e6), words[2:]
			case "G":
				return formatCount(v * 1e9), words[2:]
			}
		}
	}
	return words[0], words[1:]
}

func nfdumpHost(s string) string { h, _ := nfdumpSplit(s); return h }

// nfdumpSplit cuts the port off an address: behind a colon for IPv4, behind a point for IPv6.
func nfdumpSplit(s string) (host, port string) {
	i := strings.LastIndexByte(s, ':')
	if strings.Count(s, ":") > 1 {
		i = strings.LastIndexByte(s, '.')
	}
	if i < 0 {
		return s, ""
	}
	return s[:i], s[i+1:]
}
