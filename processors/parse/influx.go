package parse

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// influx reads InfluxDB's line protocol. Each numeric field of a point is a metric named measurement.field (or by the
// measurement alone when the field is "value"); tags and other fields are attributes. Points of Telegraf's netflow input
// that have both addresses are flows.
// https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
var influx = Format{
	Name: "influx-line", Title: "InfluxDB line protocol (Telegraf)", Phase: pipeline.PhaseMonitoring,
	Types: []string{"metric", "db.size", "net.flow", "log"},
	Known: "lines of measurement[,tag=value] field=value[,field=value] [time]",
	Frame: Document, Log: true,
	Match: func(s *Shape) bool {
		if s.Object != nil || s.Root != "" {
			return false
		}
		for rest, n := s.Data, 0; len(rest) > 0 && n < 8; n++ {
			var line []byte
			line, rest = cutLine(rest)
			if l := strings.TrimSpace(alias(line)); l != "" && l[0] != '#' {
				var p influxPoint
				return p.read(l) == nil
			}
		}
		return false
	},
	Parse: func(in *Input, out *Out) error {
		eachLine(in, out, func(l string) error {
			if l = strings.TrimSpace(l); l[0] == '#' {
				return nil
			}
			var p influxPoint
			if err := p.read(l); err != nil {
				return err
			}
			p.events(out, l)
			return nil
		})
		return nil
	},
}

// influxPoint is a line cut into its three parts.
type influxPoint struct {
	measurement, tags, fields, stamp string
}

var errInflux = errors.New("influx-line: not 'measurement[,tag=value] field=value [time]'")

func (p *influxPoint) read(l string) error {
	n := influxEnd(l, " ")
	if n <= 0 || n == len(l) {
		return errInflux
	}
	head, rest := l[:n], strings.TrimLeft(l[n:], " ")
	if m := influxEnd(head, ","); m < len(head) {
		p.measurement, p.tags = head[:m], head[m+1:]
	} else {
		p.measurement = head
	}
	if p.measurement == "" || strings.ContainsAny(p.measurement, `"{}<>`) {
		return errInflux
	}
	n = fieldsEnd(rest)
	p.fields, p.stamp = rest[:n], strings.TrimSpace(rest[n:])
	if p.stamp != "" && digits(strings.TrimPrefix(p.stamp, "-")) != len(strings.TrimPrefix(p.stamp, "-")) {
		return errInflux
	}
	bad := !eachTag(p.tags, func(_, _ string) {})
	fields := 0
	ok := eachFieldValue(p.fields, func(_ string, value string) {
		fields++
		if _, kind := influxValue(value); kind == 0 {
			bad = true
		}
	})
	if !ok || bad || fields == 0 {
		return errInflux
	}
	return nil
}

// influxEnd returns the index of the first of the characters that no backslash stands before.
func influxEnd(s, stop string) int {
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
		} else if strings.IndexByte(stop, s[i]) >= 0 {
			return i
		}
	}
	return len(s)
}

// fieldsEnd returns where the fields end: at the first blank outside of quotes.
func fieldsEnd(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			quoted = !quoted
		case ' ':
			if !quoted {
				return i
			}
		}
	}
	return len(s)
}

func eachTag(s string, f func(key, value string)) bool {
	for s != "" {
		n := influxEnd(s, ",")
		tag := s[:n]
		if s = s[n:]; s != "" {
			s = s[1:]
		}
		i := influxEnd(tag, "=")
		if i <= 0 || i == len(tag) {
			return false
		}
		f(influxText(tag[:i]), influxText(tag[i+1:]))
	}
	return true
}

func eachFieldValue(s string, f func(key, value string)) bool {
	for s != "" {
		i := influxEnd(s, "=")
		if i <= 0 || i+1 >= len(s) {
			return false
		}
		key := s[:i]
		s = s[i+1:]
		n := 0
		if s[0] == '"' {
			if n = quotedEnd(s, 0) + 1; n == 0 {
				return false
			}
		} else {
			n = influxEnd(s, ",")
		}
		f(influxText(key), s[:n])
		if s = s[n:]; s != "" {
			if s[0] != ',' {
				return false
			}
			s = s[1:]
		}
	}
	return true
}

var influxEscapes = strings.NewReplacer(`\,`, ",", `\=`, "=", `\ `, " ", `\"`, `"`, `\\`, `\`)

func influxText(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	return influxEscapes.Replace(s)
}

// influxValue reads a field's value. Its kind is n for a number, s for text, b for a boolean, 0 for none of them.
func influxValue(s string) (float64, byte) {
	if s == "" {
		return 0, 0
	}
	if s[0] == '"' {
		return 0, 's'
	}
	switch s {
	case "t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE":
		return 0, 'b'
	}
	if c := s[0]; c != '-' && c != '+' && c != '.' && (c < '0' || c > '9') {
		return 0, 0
	}
	if last := s[len(s)-1]; last == 'i' || last == 'u' {
		s = s[:len(s)-1]
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(v, 0) {
		return 0, 0
	}
	return v, 'n'
}

func (p *influxPoint) events(out *Out, raw string) {
	if p.measurement == "netflow" && p.flow(out, raw) {
		return
	}
	measurement := influxText(p.measurement)
	at := unixTime(p.stamp)
	numbers := 0
	emit := func(name string, value float64) *pipeline.Event {
		typ := "metric"
		if name == "" {
			typ = "log"
		}
		e := out.Event(typ)
		e.Raw, e.Metric, e.Value, e.Title, e.Severity = raw, name, value, first(name, measurement), pipeline.SeverityInfo
		if t := storable(at); !at.IsZero() && !t.IsZero() {
			e.Time = t
		}
		eachTag(p.tags, func(key, v string) {
			switch key {
			case "host", "hostname":
				e.Host = hostOf(v)
			case "instance":
				e.Host = first(e.Host, hostOf(v))
			}
			e.SetAttr(key, v)
		})
		eachFieldValue(p.fields, func(key, v string) {
			switch _, kind := influxValue(v); kind {
			case 's':
				e.SetAttr(key, influxText(v[1:len(v)-1]))
			case 'b':
				e.SetAttr(key, v)
			}
		})
		return e
	}
	eachFieldValue(p.fields, func(key, v string) {
		value, kind := influxValue(v)
		if kind != 'n' {
			return
		}
		numbers++
		name := measurement
		if key != "value" && key != "gauge" && key != "counter" {
			name += "." + key
		}
		dbSize(emit(name, value))
	})
	if numbers == 0 {
		emit("", 0)
	}
}

// flow emits a point of Telegraf's netflow input as a flow, where it is one.
func (p *influxPoint) flow(out *Out, raw string) bool {
	f := flow{start: storable(unixTime(p.stamp))}
	eachTag(p.tags, func(key, v string) {
		if key == "source" {
			f.router = v
		}
	})
	eachFieldValue(p.fields, func(key, v string) {
		if len(v) > 1 && v[0] == '"' {
			v = influxText(v[1 : len(v)-1])
		} else {
			v = strings.TrimRight(v, "iu")
		}
		switch key {
		case "src":
			f.src = v
		case "dst":
			f.dst = v
		case "src_port":
			f.srcPort = v
		case "dst_port":
			f.dstPort = v
		case "protocol":
			f.proto = transport(v)
		case "in_packets":
			f.packets = v
		case "in_bytes", "out_bytes":
			f.bytes += count(v)
		case "tcp_flags":
			f.flags = v
		}
	})
	if f.src == "" || f.dst == "" {
		return false
	}
	f.event(out, raw)
	return true
}
