package parse

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// The three signals of OpenTelemetry's protocol in JSON. 64-bit numbers are strings there. Attributes of the resource and
// of the record become attributes of the event; what they call host, service and environment is the event's.
// https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
var (
	otlpLogs = Format{
		Name: "otlp-logs", Title: "OpenTelemetry logs (OTLP/JSON)", Phase: pipeline.PhaseOperation,
		Types: []string{"log"},
		Known: "JSON with resourceLogs",
		Frame: Values, Log: true,
		Match: func(s *Shape) bool { return s.Has("resourceLogs") || s.Has("resource_logs") },
		Parse: parseOTLPLogs,
	}
	otlpMetrics = Format{
		Name: "otlp-metrics", Title: "OpenTelemetry metrics (OTLP/JSON)", Phase: pipeline.PhaseMonitoring,
		Types: []string{"metric", "db.size"},
		Known: "JSON with resourceMetrics",
		Frame: Values, Log: true,
		Match: func(s *Shape) bool { return s.Has("resourceMetrics") || s.Has("resource_metrics") },
		Parse: parseOTLPMetrics,
	}
	otlpTraces = Format{
		Name: "otlp-traces", Title: "OpenTelemetry traces (OTLP/JSON)", Phase: pipeline.PhaseOperation,
		Types: []string{"span.finished"},
		Known: "JSON with resourceSpans",
		Frame: Values,
		Match: func(s *Shape) bool { return s.Has("resourceSpans") || s.Has("resource_spans") },
		Parse: parseOTLPTraces,
	}
)

type otlpAttr struct {
	Key   string    `json:"key"`
	Value otlpValue `json:"value"`
}

// otlpValue is an AnyValue as text: scalars as they are, arrays and maps as JSON without the types' names.
type otlpValue string

// UnmarshalJSON implements json.Unmarshaler.
func (v *otlpValue) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '{' { // some exporters write plain values
		*v = otlpValue(textOf(b))
		return nil
	}
	return eachPair(b, func(kind string, value []byte) (err error) {
		switch kind {
		case "arrayValue", "kvlistValue":
			var text []byte
			if text, err = appendOTLP(nil, b); err == nil {
				*v = otlpValue(alias(text))
			}
		default:
			*v = otlpValue(textOf(value))
		}
		return err
	})
}

// appendOTLP appends the text of an AnyValue: "a,b" of an array, "key=a other=b" of a map.
func appendOTLP(to, b []byte) (text []byte, err error) {
	if len(b) == 0 || b[0] != '{' {
		return append(to, textOf(b)...), nil
	}
	err = eachPair(b, func(kind string, value []byte) error {
		if kind != "arrayValue" && kind != "kvlistValue" {
			to = append(to, textOf(value)...)
			return nil
		}
		items := member(value, "values")
		if len(items) == 0 || items[0] != '[' {
			return nil
		}
		from := len(to)
		_, err := eachItem(items, 0, 0, func(i, depth int) (int, error) {
			end, err := checkValue(items, i, depth)
			if err != nil {
				return 0, err
			}
			item := items[i:end]
			if kind == "arrayValue" {
				if len(to) > from {
					to = append(to, ',')
				}
				to, err = appendOTLP(to, item)
				return end, err
			}
			if len(to) > from {
				to = append(to, ' ')
			}
			to = append(append(to, textOf(member(item, "key"))...), '=')
			to, err = appendOTLP(to, member(item, "value"))
			return end, err
		})
		return err
	})
	return to, err
}

type otlpResource struct {
	Attributes []otlpAttr `json:"attributes"`
}

type otlpScope struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// fill takes a resource's attributes into an event.
func (r *otlpResource) fill(e *pipeline.Event, scope *otlpScope) {
	otlpAttrs(e, r.Attributes)
	e.Host = strings.ToLower(first(e.Attr("host.name"), e.Attr("k8s.node.name"), hostOf(e.Attr("server.address"))))
	e.Service = e.Attr("service.name")
	e.Environment = first(e.Attr("deployment.environment.name"), e.Attr("deployment.environment"))
	e.SetAttr("otel.scope.name", scope.Name)
}

func otlpAttrs(e *pipeline.Event, attrs []otlpAttr) {
	for i := range attrs {
		e.SetAttr(attrs[i].Key, string(attrs[i].Value))
	}
}

// otlpTime reads nanoseconds since 1970.
func otlpTime(s Text) time.Time {
	n, err := strconv.ParseInt(string(s), 10, 64)
	if err != nil || n <= 0 {
		return time.Time{}
	}
	return storable(time.Unix(0, n).UTC())
}

var errOTLP = errors.New("otlp: the request holds no record")

// otlpRequest is a request of any signal: records under their scopes, those under their resources. The lists' names differ
// by signal and version; one of each kind is there.
type otlpRequest[T any] struct {
	Logs    []otlpResources[T] `json:"resourceLogs"`
	Metrics []otlpResources[T] `json:"resourceMetrics"`
	Spans   []otlpResources[T] `json:"resourceSpans"`
}

type otlpResources[T any] struct {
	Resource otlpResource    `json:"resource"`
	Logs     []otlpScopes[T] `json:"scopeLogs"`
	Metrics  []otlpScopes[T] `json:"scopeMetrics"`
	Spans    []otlpScopes[T] `json:"scopeSpans"`
}

type otlpScopes[T any] struct {
	Scope   otlpScope `json:"scope"`
	Logs    []T       `json:"logRecords"`
	Metrics []T       `json:"metrics"`
	Spans   []T       `json:"spans"`
}

// eachOTLP calls emit with every record of a request. emit returns how many events it made of it.
func eachOTLP[T any](in *Input, out *Out, emit func(r *otlpResource, s *otlpScope, record *T) int) error {
	v, data := scratch[otlpRequest[T]](out), in.Data
	if bytes.Contains(data[:min(len(data), 64)], []byte(`"resource_`)) {
		data = camelNames(data)
	}
	if err := decode(data, v); err != nil {
		return err
	}
	n := 0
	for _, resources := range [...][]otlpResources[T]{v.Logs, v.Metrics, v.Spans} {
		for i := range resources {
			r := &resources[i]
			for _, scopes := range [...][]otlpScopes[T]{r.Logs, r.Metrics, r.Spans} {
				for j := range scopes {
					s := &scopes[j]
					for _, records := range [...][]T{s.Logs, s.Metrics, s.Spans} {
						for k := range records {
							n += emit(&r.Resource, &s.Scope, &records[k])
						}
					}
				}
			}
		}
	}
	if n == 0 {
		return errOTLP
	}
	return nil
}

// camelNames returns JSON with the names of its members in camel case. Protobuf's JSON has them so; what was made with
// the names of the schema ("resource_logs"), as Fluent Bit's and Python's tools can be told to, OTLP forbids, and collectors
// take it.
func camelNames(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		if b[i] != '"' {
			out = append(out, b[i])
			i++
			continue
		}
		end, err := stringEnd(b, i)
		if err != nil {
			return b // whoever decodes it says what is wrong
		}
		name := b[i:end]
		i = end
		if colon := i + skipSpace(b[i:]); colon == len(b) || b[colon] != ':' {
			out = append(out, name...)
			continue
		}
		for k := 0; k < len(name); k++ {
			if c := name[k]; c != '_' {
				out = append(out, c)
			} else if k++; name[k] >= 'a' && name[k] <= 'z' {
				out = append(out, name[k]-'a'+'A')
			} else {
				out = append(out, c, name[k])
			}
		}
	}
	return out
}

func parseOTLPLogs(in *Input, out *Out) error {
	return eachOTLP(in, out, func(r *otlpResource, s *otlpScope, l *otlpLog) int {
		e := out.Event("log")
		r.fill(e, s)
		l.fill(e, out)
		return 1
	})
}

type otlpLog struct {
	Time         Text       `json:"timeUnixNano"`
	Observed     Text       `json:"observedTimeUnixNano"`
	Severity     Text       `json:"severityNumber"`
	SeverityText string     `json:"severityText"`
	EventName    string     `json:"eventName"`
	Body         otlpValue  `json:"body"`
	Attributes   []otlpAttr `json:"attributes"`
	TraceID      string     `json:"traceId"`
	SpanID       string     `json:"spanId"`
}

func (l *otlpLog) fill(e *pipeline.Event, out *Out) {
	if t := otlpTime(l.Time); !t.IsZero() {
		e.Time = t
	} else if t := otlpTime(l.Observed); !t.IsZero() {
		e.Time = t
	}
	otlpAttrs(e, l.Attributes)
	e.Title = string(l.Body)
	if l.EventName != "" {
		e.Title = strings.TrimSpace(out.join(l.EventName, " ", e.Title))
	}
	e.Severity = otlpSeverity(string(l.Severity), l.SeverityText)
	e.SrcIP = addrOf(first(e.Attr("client.address"), e.Attr("source.address")))
	e.Actor = first(e.Attr("user.name"), e.Attr("enduser.id"), e.Attr("user.id"))
	e.SetAttr("event.name", l.EventName)
	e.SetAttr("log.level", l.SeverityText)
	e.SetAttr("trace_id", out.lower(l.TraceID))
	e.SetAttr("span_id", out.lower(l.SpanID))
}

// otlpSeverity converts severity numbers: 1-8 trace and debug, 9-12 info, 13-16 warn, 17-20 error, 21-24 fatal.
func otlpSeverity(number, text string) uint8 {
	n, err := strconv.Atoi(number)
	if err != nil { // the enumeration's name: SEVERITY_NUMBER_ERROR2
		name := strings.TrimRight(strings.TrimPrefix(number, "SEVERITY_NUMBER_"), "234")
		if name == "FATAL" || strings.EqualFold(text, "fatal") {
			n = 21
		} else {
			return severityWord(first(name, text))
		}
	}
	switch {
	case n >= 21:
		return pipeline.SeverityFatal
	case n >= 17:
		return pipeline.SeverityHigh
	case n >= 13:
		return pipeline.SeverityMedium
	case n >= 1:
		return pipeline.SeverityInfo
	}
	return severityWord(text)
}

func parseOTLPMetrics(in *Input, out *Out) error {
	return eachOTLP(in, out, func(r *otlpResource, s *otlpScope, m *otlpMetric) int { return m.events(out, r, s) })
}

type otlpMetric struct {
	Name      string   `json:"name"`
	Unit      string   `json:"unit"`
	Gauge     otlpData `json:"gauge"`
	Sum       otlpData `json:"sum"`
	Histogram otlpData `json:"histogram"`
	Exp       otlpData `json:"exponentialHistogram"`
	Summary   otlpData `json:"summary"`
}

type otlpData struct {
	Monotonic bool        `json:"isMonotonic"`
	Points    []otlpPoint `json:"dataPoints"`
}

type otlpPoint struct {
	Attributes []otlpAttr `json:"attributes"`
	Time       Text       `json:"timeUnixNano"`
	Double     Text       `json:"asDouble"`
	Int        Text       `json:"asInt"`
	Count      Text       `json:"count"`
	Sum        Text       `json:"sum"`
	Min        Text       `json:"min"`
	Max        Text       `json:"max"`
}

// events emits a metric for each point. The value of a distribution (histogram, summary) is its count; its sum and bounds are
// attributes.
func (m *otlpMetric) events(out *Out, r *otlpResource, s *otlpScope) int {
	n := 0
	for _, d := range [...]struct {
		kind string
		data *otlpData
	}{{"gauge", &m.Gauge}, {"sum", &m.Sum}, {"histogram", &m.Histogram}, {"exponential histogram", &m.Exp}, {"summary", &m.Summary}} {
		for i := range d.data.Points {
			p := &d.data.Points[i]
			e := out.Event("metric")
			r.fill(e, s)
			otlpAttrs(e, p.Attributes)
			e.Metric, e.Title, e.Severity = m.Name, m.Name, pipeline.SeverityInfo
			if t := otlpTime(p.Time); !t.IsZero() {
				e.Time = t
			}
			value, err := strconv.ParseFloat(first(string(p.Double), string(p.Int), string(p.Count)), 64)
			if err != nil {
				value = math.NaN() // a point that says only that no value was recorded
			}
			if m.Name != "" { // a value of nothing says nothing
				e.Value = value
			}
			kind := d.kind
			if kind == "sum" && d.data.Monotonic {
				kind = "counter"
			}
			e.SetAttr("metric.type", kind)
			e.SetAttr("metric.unit", m.Unit)
			e.SetAttr("metric.sum", string(p.Sum))
			e.SetAttr("metric.min", string(p.Min))
			e.SetAttr("metric.max", string(p.Max))
			dbSize(e)
			n++
		}
	}
	return n
}

func parseOTLPTraces(in *Input, out *Out) error {
	n := 0
	return eachOTLP(in, out, func(r *otlpResource, s *otlpScope, span *otlpSpan) int {
		e := out.Event("span.finished")
		r.fill(e, s)
		span.fill(e)
		if span.SpanID != "" {
			out.ID(e, span.TraceID, span.SpanID, strconv.Itoa(n))
		}
		n++
		return 1
	})
}

type otlpSpan struct {
	TraceID    string     `json:"traceId"`
	SpanID     string     `json:"spanId"`
	ParentID   string     `json:"parentSpanId"`
	Name       string     `json:"name"`
	Kind       Text       `json:"kind"`
	Start      Text       `json:"startTimeUnixNano"`
	End        Text       `json:"endTimeUnixNano"`
	Attributes []otlpAttr `json:"attributes"`
	Status     struct {
		Code    Text   `json:"code"`
		Message string `json:"message"`
	} `json:"status"`
}

func (s *otlpSpan) fill(e *pipeline.Event) {
	start, end := otlpTime(s.Start), otlpTime(s.End)
	switch {
	case !end.IsZero():
		e.Time = end
	case !start.IsZero():
		e.Time = start
	}
	otlpAttrs(e, s.Attributes)
	e.Title, e.Severity = s.Name, pipeline.SeverityInfo
	switch s.Status.Code {
	case "1", "STATUS_CODE_OK":
		e.Outcome = pipeline.OutcomeSuccess
	case "2", "STATUS_CODE_ERROR":
		e.Outcome, e.Severity = pipeline.OutcomeError, pipeline.SeverityMedium
	}
	e.SrcIP = addrOf(first(e.Attr("client.address"), e.Attr("net.peer.ip"), e.Attr("network.peer.address")))
	e.DstDomain = hostOf(first(e.Attr("server.address"), e.Attr("http.host")))
	e.DBName = first(e.Attr("db.namespace"), e.Attr("db.name"))
	e.SetAttr("trace_id", strings.ToLower(s.TraceID))
	e.SetAttr("span_id", strings.ToLower(s.SpanID))
	e.SetAttr("parent_span_id", strings.ToLower(s.ParentID))
	e.SetAttr("span.kind", spanKind(string(s.Kind)))
	e.SetAttr("error.message", s.Status.Message)
	if !start.IsZero() && end.After(start) {
		e.SetAttr("duration_seconds", strconv.FormatFloat(end.Sub(start).Seconds(), 'f', -1, 64))
	}
}

func spanKind(s string) string {
	switch s {
	case "1":
		return "internal"
	case "2":
		return "server"
	case "3":
		return "client"
	case "4":
		return "producer"
	case "5":
		return "consumer"
	}
	return strings.ToLower(strings.TrimPrefix(s, "SPAN_KIND_"))
}
