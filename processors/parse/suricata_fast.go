package parse

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// isFastLog reports whether l is an alert of Suricata's fast.log or of Snort's alert_fast.
func isFastLog(l string) bool {
	return len(l) > 20 && l[2] == '/' && digits(l) == 2 && strings.Contains(l, "[**] [") && strings.Contains(l, " -> ")
}

// parseFastLog reads lines such as
//
//	07/11/2022-10:29:32.251216  [Drop] [**] [1:2008578:4] ET SCAN Sipvicious [**] [Classification: Attempted Leak] [Priority: 2] {UDP} 203.0.113.7:5116 -> 10.0.0.5:5060
//
// Their times are those of the sensor's clock, which does not say its zone; Snort leaves out the year.
// https://docs.suricata.io/en/latest/configuration/suricata-yaml.html#line-based-alerts-log-fast-log
func parseFastLog(in *Input, out *Out) error {
	eachLine(in, out, func(l string) error {
		when, rest, _ := strings.Cut(l, " ")
		before, rest, _ := strings.Cut(rest, "[**] [")
		id, rest, _ := strings.Cut(rest, "] ")
		message, rest, ok := strings.Cut(rest, " [**]")
		generator, signature, ok2 := strings.Cut(id, ":")
		signature, revision, _ := strings.Cut(signature, ":")
		if !ok || !ok2 || digits(signature) != len(signature) || !isFastLog(l) {
			return errors.New("suricata-eve: not 'time [**] [generator:signature:revision] message [**] ... source -> destination'")
		}
		a := suricataAlert{
			GID: Text(generator), SignatureID: Text(signature), Rev: Text(revision), Signature: fastText(message),
			Category: fastText(between(rest, "[Classification: ", "]")),
		}
		if n, _ := number(between(rest, "[Priority: ", "]")); n > 0 {
			a.Severity = Number(n)
		}
		if strings.Contains(before, "rop]") { // Drop, wDrop
			a.Action = "blocked"
		}
		from, to, _ := strings.Cut(rest[strings.LastIndex(rest, "]")+1:], " -> ")
		proto := between(from, "{", "}")
		_, from, _ = strings.Cut(from, "} ")
		src, srcPort := fastEnd(from)
		dst, dstPort := fastEnd(to)
		e := out.Event("detection")
		e.Raw, e.SrcIP, e.DstIP, e.Time = l, addrOf(src), addrOf(dst), fastTime(when, in.Record.Time)
		e.SetAttr("suricata.event_type", "alert")
		e.SetAttr("source.port", srcPort)
		e.SetAttr("destination.port", dstPort)
		e.SetAttr("network.transport", transport(proto))
		a.fill(e)
		return nil
	})
	return nil
}

// fastText takes the quotes off a text that has them, and C's word for none.
func fastText(s string) string {
	if s = strings.Trim(s, `"`); s == "(null)" {
		return ""
	}
	return s
}

// fastTime reads the time of a line that arrived then. Snort leaves out the year: then it is the last one that fits.
func fastTime(s string, arrival time.Time) time.Time {
	for _, layout := range [...]string{"01/02/2006-15:04:05", "01/02/06-15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	for year := arrival.Year() + 1; year > arrival.Year()-2; year-- {
		if t, err := time.Parse("2006 01/02-15:04:05", strconv.Itoa(year)+" "+s); err == nil && t.Sub(arrival) < 24*time.Hour {
			return t
		}
	}
	return time.Time{}
}

// fastEnd takes an address and the port behind its last colon apart. Protocols without ports have none.
func fastEnd(s string) (addr, port string) {
	s = strings.TrimSpace(s)
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !(strings.Count(s, ":") > 1 && !addrOf(s[:i]).IsValid()) {
		return s[:i], s[i+1:]
	}
	return s, ""
}
