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
// that have both addresses are flows. Telegraf's JSON says the same (influx_json.go).
// https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
var influx = Format{
	Name: "influx-line", Title: "InfluxDB line protocol, Telegraf's JSON", Phase: pipeline.PhaseMonitoring,
	Types: []string{"metric", "db.size", "net.flow", "log"},
	Known: "lines of measurement[,tag=value] field=value[,field=value] [time]; JSON with name, fields, tags and timestamp, alone or in metrics",
	Frame: Reports, Log: true,
	Match: func(s *Shape) bool {
		if s.IsObject() || s.Root != "" {
			return s.IsObject() && isTelegrafJSON(s)
		}
		for rest, n := s.Data(), 0; len(rest) > 0 && n < 8; n++ {
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
		var p influxPoint
		if isJSON(in.Data) {
			return parseTelegrafJSON(in, out, &p)
		}
		eachLine(in, out, func(l string) error {
			if l = strings.TrimSpace(l); l[0] == '#' {
				return nil
			}
			if err := p.read(l); err != nil {
				return err
			}
			p.events(out, l)
			return nil
		})
		return nil
	},
}

// influxPoint is a line taken apart. It can be read into again.
type influxPoint struct {
	measurement, stamp string
	tags               []pipeline.Attr
	fields             []influxField
}

type influxField struct {
	key, text string // text is the value of a string or boolean, and the digits of a number
	number    float64
	kind      byte // n for a number, s for a string, b for a boolean
}

var errInflux = errors.New("influx-line: not 'measurement[,tag=value] field=value [time]'")

func (p *influxPoint) read(l string) error {
	p.tags, p.fields = p.tags[:0], p.fields[:0]
	n := influxEnd(l, ' ')
	if n <= 0 || n == len(l) {
		return errInflux
	}
	head, rest := l[:n], l[n:]
	for rest != "" && rest[0] == ' ' {
		rest = rest[1:]
	}
	m := influxEnd(head, ',')
	p.measurement = head[:m]
	if p.measurement == "" || strings.ContainsAny(p.measurement, `"{}<>`) {
		return errInflux
	}
	p.measurement = influxText(p.measurement)
	if m < len(head) && !p.readTags(head[m+1:]) {
		return errInflux
	}
	n = fieldsEnd(rest)
	p.stamp = strings.TrimSpace(rest[n:])
	if number := strings.TrimPrefix(p.stamp, "-"); digits(number) != len(number) {
		return errInflux
	}
	if !p.readFields(rest[:n]) || len(p.fields) == 0 {
		return errInflux
	}
	return nil
}

// influxEnd returns the index of the first stop that no backslash stands before.
func influxEnd(s string, stop byte) int {
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
		} else if s[i] == stop {
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

func (p *influxPoint) readTags(s string) bool {
	for s != "" {
		n := influxEnd(s, ',')
		tag := s[:n]
		if s = s[n:]; s != "" {
			s = s[1:]
		}
		i := influxEnd(tag, '=')
		if i <= 0 || i == len(tag) {
			return false
		}
		p.tags = append(p.tags, pipeline.Attr{Key: influxText(tag[:i]), Value: influxText(tag[i+1:])})
	}
	return true
}

func (p *influxPoint) readFields(s string) bool {
	for s != "" {
		i := influxEnd(s, '=')
		if i <= 0 || i+1 >= len(s) {
			return false
		}
		f := influxField{key: influxText(s[:i])}
		s = s[i+1:]
		n := 0
		if s[0] == '"' {
			if n = quotedEnd(s, 0) + 1; n == 0 {
				return false
			}
		} else {
			n = influxEnd(s, ',')
		}
		if !f.read(s[:n]) {
			return false
		}
		p.fields = append(p.fields, f)
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

// read reads a field's value; it is false where that is none.
func (f *influxField) read(s string) bool {
	switch s {
	case "":
		return false
	case "t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE":
		f.text, f.kind = s, 'b'
		return true
	}
	if s[0] == '"' {
		f.text, f.kind = influxText(s[1:len(s)-1]), 's'
		return true
	}
	if c := s[0]; c != '-' && c != '+' && c != '.' && (c < '0' || c > '9') {
		return false
	}
	if last := s[len(s)-1]; last == 'i' || last == 'u' {
		s = s[:len(s)-1]
	}
	v, err := strconv.ParseFloat(s, 64)
	f.text, f.number, f.kind = s, v, 'n'
	return err == nil && !math.IsInf(v, 0)
}

// events emits an event for each numeric field, and a log for a point that has none.
func (p *influxPoint) events(out *Out, raw string) {
	if p.measurement == "netflow" && p.flow(out, raw) {
		return
	}
	numbers := 0
	for i := range p.fields {
		f := &p.fields[i]
		if f.kind != 'n' {
			continue
		}
		numbers++
		name := p.measurement
		if f.key != "value" && f.key != "gauge" && f.key != "counter" {
			name = out.join(name, ".", f.key)
		}
		e := p.event(out.Event("metric"), raw)
		e.Title, e.Metric, e.Value = name, name, f.number
		dbSize(e)
	}
	if numbers == 0 {
		p.event(out.Event("log"), raw).Title = p.measurement
	}
}

// event fills in what the events of all fields have.
func (p *influxPoint) event(e *pipeline.Event, raw string) *pipeline.Event {
	e.Raw, e.Severity = raw, pipeline.SeverityInfo
	if t := storable(unixTime(p.stamp)); !t.IsZero() {
		e.Time = t
	}
	for _, tag := range p.tags {
		switch tag.Key {
		case "host", "hostname":
			e.Host = hostOf(tag.Value)
		case "instance":
			e.Host = first(e.Host, hostOf(tag.Value))
		}
		e.SetAttr(tag.Key, tag.Value)
	}
	for i := range p.fields {
		if f := &p.fields[i]; f.kind != 'n' {
			e.SetAttr(f.key, f.text)
		}
	}
	return e
}

// flow emits a point of Telegraf's netflow input as a flow, where it is one.
func (p *influxPoint) flow(out *Out, raw string) bool {
	f := flow{start: storable(unixTime(p.stamp))}
	for _, tag := range p.tags {
		if tag.Key == "source" {
			f.router = tag.Value
		}
	}
	for i := range p.fields {
		switch v := p.fields[i].text; p.fields[i].key {
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
	}
	if f.src == "" || f.dst == "" {
		return false
	}
	f.event(out, raw)
	return true
}
