package parse

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// prometheus reads what exporters serve: the text format 0.0.4 and OpenMetrics 1.0, and the quoted UTF-8 names of
// Prometheus 3. Each sample is a metric; known sizes of databases are db.size.
// https://prometheus.io/docs/instrumenting/exposition_formats/
// https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
var prometheus = Format{
	Name: "prometheus-text", Title: "Prometheus text format, OpenMetrics", Phase: pipeline.PhaseMonitoring,
	Types: []string{"metric", "db.size"},
	Known: "# HELP, # TYPE, # UNIT or # EOF lines, or name{label=\"value\"} number",
	Frame: Document, Log: true,
	Match: matchPrometheus,
	Parse: parsePrometheus,
}

func matchPrometheus(s *Shape) bool {
	if s.IsObject() || s.Array || s.Root != "" {
		return false
	}
	for rest, n := s.Data(), 0; len(rest) > 0 && n < 16; n++ {
		var line []byte
		line, rest = cutLine(rest)
		l := strings.TrimSpace(alias(line))
		for _, word := range [...]string{"# HELP ", "# TYPE ", "# UNIT ", "# EOF"} {
			if strings.HasPrefix(l, word) {
				return true
			}
		}
		if l == "" || l[0] == '#' {
			continue
		}
		var p promSample
		return p.read(l, func(_, _ string) {}) == nil
	}
	return false
}

func parsePrometheus(in *Input, out *Out) error {
	var family, kind, unit string
	text := in.Text()
	for line := in.Line; len(text) > 0; line++ {
		var l string
		l, text, _ = strings.Cut(text, "\n")
		if l = strings.TrimSpace(l); l == "" {
			continue
		}
		if l[0] == '#' {
			if name, k, ok := cutComment(l, "# TYPE "); ok {
				family, kind, unit = name, k, ""
			} else if name, u, ok := cutComment(l, "# UNIT "); ok && name == family {
				unit = u
			}
			continue
		}
		e := out.Event("metric")
		var p promSample
		if err := p.read(l, func(name, value string) { e.SetAttr(name, value) }); err != nil {
			out.takeBack()
			out.reject(line, []byte(l), err.Error())
			continue
		}
		e.Raw, e.Title, e.Metric, e.Value, e.Severity = l, p.name, p.name, p.value, pipeline.SeverityInfo
		if !p.time.IsZero() {
			e.Time = p.time
		}
		if family != "" && strings.HasPrefix(p.name, family) {
			e.SetAttr("metric.type", kind)
			e.SetAttr("metric.unit", unit)
		}
		e.Host, e.Service = hostOf(p.instance), p.job
		dbSize(e)
	}
	return nil
}

// cutComment returns name and text of "# TYPE name text".
func cutComment(l, word string) (name, text string, ok bool) {
	if l, ok = strings.CutPrefix(l, word); ok {
		name, text, _ = strings.Cut(l, " ")
		name = strings.Trim(name, `"`)
	}
	return name, strings.TrimSpace(text), ok
}

// promSample is one line: name{labels} value [time] [# exemplar].
type promSample struct {
	name          string
	value         float64
	time          time.Time
	instance, job string
}

var errSample = errors.New(`prometheus: not "name{label=\"value\"} number [time]"`)

func (p *promSample) read(l string, label func(name, value string)) error {
	n := 0
	for n < len(l) && l[n] != '{' && l[n] != ' ' && l[n] != '\t' {
		if !nameByte(l[n]) {
			return errSample
		}
		n++
	}
	p.name = l[:n]
	l = skipBlanks(l[n:])
	if strings.HasPrefix(l, "{") {
		for l = l[1:]; ; {
			for l = skipBlanks(l); l != "" && l[0] == ','; {
				l = skipBlanks(l[1:])
			}
			if strings.HasPrefix(l, "}") {
				l = l[1:]
				break
			}
			key, rest, err := promKey(l)
			if err != nil {
				return err
			}
			l = skipBlanks(rest)
			if !strings.HasPrefix(l, "=") { // {"metric.name", label="value"}
				if p.name != "" {
					return errSample
				}
				p.name = key
				continue
			}
			l = skipBlanks(l[1:])
			value, rest, err := promString(l)
			if err != nil {
				return err
			}
			l = rest
			switch key {
			case "instance":
				p.instance = value
			case "job":
				p.job = value
			}
			label(key, value)
		}
	}
	if p.name == "" {
		return errSample
	}
	l = skipBlanks(l)
	number, rest, _ := strings.Cut(l, " ")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return errSample
	}
	p.value = v
	stamp, _, _ := strings.Cut(rest, "#") // an OpenMetrics exemplar follows
	if stamp = strings.TrimSpace(stamp); stamp != "" {
		if p.time, err = promTime(stamp); err != nil {
			return err
		}
	}
	return nil
}

// skipBlanks cuts blanks and tabs off the beginning of s.
func skipBlanks(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	return s
}

// nameByte allows the dots of OpenTelemetry and Graphite bridges beside Prometheus's own characters.
func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == ':' || c == '.'
}

// promKey reads a label's name, quoted or not, or a quoted metric name.
func promKey(l string) (key, rest string, err error) {
	if strings.HasPrefix(l, `"`) {
		return promString(l)
	}
	n := 0
	for n < len(l) && nameByte(l[n]) {
		n++
	}
	if n == 0 {
		return "", l, errSample
	}
	return l[:n], l[n:], nil
}

func promString(l string) (value, rest string, err error) {
	if !strings.HasPrefix(l, `"`) {
		return "", l, errSample
	}
	escaped := false
	for i := 1; i < len(l); i++ {
		switch l[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			if value = l[1:i]; escaped {
				value = promEscapes.Replace(value)
			}
			return value, l[i+1:], nil
		}
	}
	return "", l, errSample
}

var promEscapes = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n")

// promTime reads milliseconds (0.0.4) or seconds with a fraction (OpenMetrics).
func promTime(s string) (time.Time, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return time.Time{}, errors.New("prometheus: time of a sample is not a number")
	}
	if strings.IndexByte(s, '.') < 0 && math.Abs(v) >= 1e11 {
		v /= 1e3
	}
	sec, frac := math.Modf(v)
	return storable(time.Unix(int64(sec), int64(math.Round(frac*1e6))*1e3).UTC()), nil
}
