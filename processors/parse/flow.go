package parse

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// eachLine calls f with every line of the piece that is not empty. An error refuses that line alone.
func eachLine(in *Input, out *Out, f func(l string) error) {
	line := in.Line - 1
	for rest := in.Data; len(rest) > 0; {
		var l []byte
		l, rest = cutLine(rest)
		line++
		if len(bytes.TrimSpace(l)) == 0 {
			continue
		}
		if err := f(alias(l)); err != nil {
			out.reject(line, l, err.Error())
		}
	}
}

// transport returns OpenTelemetry's name of a transport protocol from its name in any case or its IANA number.
func transport(s string) string {
	switch s {
	case "6", "TCP", "tcp":
		return "tcp"
	case "17", "UDP", "udp":
		return "udp"
	case "1", "ICMP", "icmp":
		return "icmp"
	case "58", "ICMPv6", "IPv6-ICMP", "ICMP6", "icmp6":
		return "icmp6"
	case "132", "SCTP", "sctp":
		return "sctp"
	case "2", "IGMP", "igmp":
		return "igmp"
	case "47", "GRE", "gre":
		return "gre"
	case "50", "ESP", "esp":
		return "esp"
	case "51", "AH", "ah":
		return "ah"
	case "-", "0", "any":
		return ""
	}
	return strings.ToLower(s)
}

// flowTitle names a flow: "tcp 192.0.2.1:4711 -> 198.51.100.2:443".
func (o *Out) flowTitle(proto, src, srcPort, dst, dstPort string) string {
	from, to := ":", ":"
	if srcPort == "" || srcPort == "0" {
		from, srcPort = "", ""
	}
	if dstPort == "" || dstPort == "0" {
		to, dstPort = "", ""
	}
	return o.join(proto, " ", src, from, srcPort, " -> ", dst, to, dstPort)
}

// bytesOf returns a count of bytes, 0 where there is none or it is no count.
func bytesOf(n Number) uint64 {
	v := n.Or(0)
	if v < 0 || v >= math.MaxInt64 {
		return 0
	}
	return uint64(v)
}

// count reads a count that is text; "-" and whatever is no count are 0.
func count(s string) uint64 {
	n := digits(s)
	if n == 0 || n > 18 || n < len(s) && s[n] != '.' {
		return 0
	}
	var v uint64
	for i := range n {
		v = v*10 + uint64(s[i]-'0')
	}
	return v
}

// formatCount writes a count that was rounded to a unit.
func formatCount(v float64) string { return strconv.FormatFloat(math.Round(v), 'f', -1, 64) }

// flowTime sets the time of a flow. An exporter's clock may be off by years; the collector's, or the record's arrival,
// tells. What began after it arrived did not: then the collector's time is the event's.
func flowTime(e *pipeline.Event, start, received time.Time) {
	now := received
	if now.IsZero() {
		now = e.Time
	}
	if start.IsZero() {
		e.Time = now
		return
	}
	if start.Sub(now) > 5*time.Minute {
		e.Labels = append(e.Labels, "clock-skew")
		if !received.IsZero() {
			e.SetAttr("flow.start", start.Format(time.RFC3339Nano))
			e.Time = received
			return
		}
	}
	e.Time = start
}
