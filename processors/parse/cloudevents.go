package parse

import (
	"encoding/base64"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/segmentio/encoding/json"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/schemas"
)

// cloudEvents reads CloudEvents 1.0 (and 0.x) in binary mode (headers ce_* or ce-*), structured JSON and batches. It is an
// envelope: data of a format that is known gives that format's events, under that format's name. A type that is a word of
// the event vocabulary, with or without the prefix dev.tocsin or tocsin, is that event; its data's keys are columns. What
// is neither gives a log event with the envelope's attributes.
// https://github.com/cloudevents/spec
var cloudEvents = Format{
	Name: "cloudevents", Title: "CloudEvents, and tocsin's own events in them", Phase: pipeline.PhaseUnknown,
	Types: append([]string{"log"}, vocabulary()...),
	Known: "headers ce_type or ce-type, content-type application/cloudevents, or JSON object with specversion, type and source",
	Frame: Reports,
	Match: func(s *Shape) bool {
		return s.Header("ce_type") != "" || s.Header("ce-type") != "" ||
			strings.HasPrefix(strings.ToLower(s.Header("content-type")), "application/cloudevents") ||
			s.Has("specversion", "type", "source") || s.Has("cloudEventsVersion", "eventType") ||
			s.Raw("headers", "ce-type") != nil || s.Raw("headers", "ce_type") != nil
	},
	Parse: parseCloudEvents,
}

func vocabulary() []string {
	var names []string
	for _, t := range schemas.EventTypes {
		if t.Name != "log" {
			names = append(names, t.Name)
		}
	}
	return names
}

// cloudEvent is one envelope, whatever its mode.
type cloudEvent struct {
	id, source, typ, subject, time, contentType string
	extensions                                  []pipeline.Attr
	data                                        []byte
	encoded                                     bool // data stood in the piece in another form
}

// set takes one attribute of the envelope.
func (c *cloudEvent) set(name, value string) {
	switch strings.ToLower(name) {
	case "id", "eventid":
		c.id = value
	case "source":
		c.source = value
	case "type", "eventtype":
		c.typ = value
	case "subject":
		c.subject = value
	case "time", "eventtime":
		c.time = value
	case "datacontenttype", "contenttype":
		c.contentType = strings.ToLower(value)
	case "specversion", "cloudeventsversion":
	default:
		if value != "" {
			c.extensions = append(c.extensions, pipeline.Attr{Key: "cloudevents." + name, Value: value})
		}
	}
}

func parseCloudEvents(in *Input, out *Out) error {
	if header(in.Record, "ce_type") != "" || header(in.Record, "ce-type") != "" {
		c := cloudEvent{contentType: strings.ToLower(header(in.Record, "content-type")), data: in.Data}
		for i := range in.Record.Headers {
			h := &in.Record.Headers[i]
			if name, ok := cutHeader(h.Key); ok {
				c.setHeader(name, string(h.Value))
			}
		}
		return c.emit(in, out)
	}
	if in.Data[0] != '[' {
		return structuredEvent(in, out, in.Data)
	}
	var batch []json.RawMessage
	if err := decode(in.Data, &batch); err != nil {
		return err
	}
	for _, b := range batch {
		if err := structuredEvent(in, out, b); err != nil {
			return err
		}
	}
	return nil
}

// cutHeader returns the attribute that a header of binary mode names. Kafka's binding writes ce_, HTTP's ce-.
func cutHeader(key string) (name string, ok bool) {
	if len(key) < 4 || !strings.EqualFold(key[:2], "ce") || key[2] != '_' && key[2] != '-' {
		return "", false
	}
	return strings.ToLower(key[3:]), true
}

// setHeader takes an attribute from a header, where HTTP's binding escapes what is not ASCII.
func (c *cloudEvent) setHeader(name, value string) {
	if plain, err := url.PathUnescape(value); err == nil {
		value = plain
	}
	c.set(name, value)
}

// structuredEvent reads one JSON envelope, or an object of headers and body that stands for a message in binary mode.
func structuredEvent(in *Input, out *Out, b []byte) error {
	var c cloudEvent
	binary := false
	err := eachMember(b, func(key string, value []byte) {
		switch key {
		case "data":
			c.data = value
			if len(value) > 0 && value[0] == '"' {
				c.data, c.encoded = []byte(textOf(value)), true
			}
		case "data_base64":
			c.decodeBase64(textOf(value))
		case "headers":
			binary = true
			_ = eachMember(value, func(key string, value []byte) {
				if name, ok := cutHeader(key); ok {
					c.setHeader(name, textOf(value))
				}
			})
		case "body", "value":
			if c.data = value; len(value) > 0 && value[0] == '"' {
				c.data, c.encoded = []byte(textOf(value)), true
			}
		case "key":
		default:
			c.set(key, textOf(value))
		}
	})
	if err != nil {
		return err
	}
	if c.typ == "" {
		return errors.New("CloudEvents: type is missing")
	}
	if !binary && string(c.data) == "null" {
		c.data = nil
	}
	piece := *in
	if len(b) != len(in.Data) {
		piece.Data = b
	}
	return c.emit(&piece, out)
}

func (c *cloudEvent) decodeBase64(s string) {
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding} {
		if b, err := enc.DecodeString(s); err == nil {
			c.data, c.encoded = b, true
			return
		}
	}
}

// emit gives the events of one envelope.
func (c *cloudEvent) emit(in *Input, out *Out) error {
	out.encoded = out.encoded || c.encoded
	if name := tocsinType(c.typ); name != "" {
		return c.own(in, out, name)
	}
	if c.content(in, out) {
		return nil
	}
	typ, outcome := tektonType(c.typ)
	e := out.Event(first(typ, "log"))
	e.Phase = pipeline.PhaseUnknown
	if typ != "" {
		e.Phase, e.Outcome = pipeline.PhaseTesting, outcome
		if strings.HasPrefix(typ, "pipelinerun") {
			e.Pipeline = c.subject
		} else {
			e.Task = c.subject
		}
	}
	e.Severity = pipeline.SeverityInfo
	e.Title = strings.TrimSpace(c.typ + " " + c.subject)
	c.describe(e, in, out, 0)
	return nil
}

// tocsinType returns the word of the vocabulary that a type is, "" where it is none.
func tocsinType(typ string) string {
	typ = strings.TrimPrefix(strings.TrimPrefix(typ, "dev."), "tocsin.")
	if i := strings.LastIndex(typ, ".v"); i > 0 && strings.Trim(typ[i+2:], "0123456789") == "" {
		typ = typ[:i]
	}
	if _, known := kinds[typ]; known {
		return typ
	}
	return ""
}

// tektonType converts the types of Tekton's CloudEvents: dev.tekton.event.<kind>.<state>.v1.
// https://tekton.dev/docs/pipelines/events/
func tektonType(typ string) (name, outcome string) {
	rest, ok := strings.CutPrefix(typ, "dev.tekton.event.")
	if !ok {
		return "", ""
	}
	kind, state, _ := strings.Cut(rest, ".")
	state, _, _ = strings.Cut(state, ".")
	name = "taskrun"
	if kind == "pipelinerun" {
		name = "pipelinerun"
	}
	switch state {
	case "successful":
		return name + ".finished", pipeline.OutcomeSuccess
	case "failed":
		return name + ".finished", pipeline.OutcomeFailure
	case "queued":
		return name + ".queued", pipeline.OutcomeUnknown
	}
	return name + ".started", pipeline.OutcomeUnknown
}

// describe adds the envelope's attributes to the n-th event that it gives.
func (c *cloudEvent) describe(e *pipeline.Event, in *Input, out *Out, n int) {
	if e.Raw == out.piece.Text() {
		e.Raw = in.Text()
	}
	if t := sane(parseTime(c.time)); !t.IsZero() && (e.Time.IsZero() || e.Time.Equal(in.Time())) { // nothing better is known
		e.Time = t
	}
	e.SetAttr("cloudevents.event_type", c.typ)
	e.SetAttr("cloudevents.event_source", c.source)
	e.SetAttr("cloudevents.event_subject", c.subject)
	e.SetAttr("cloudevents.event_id", c.id)
	for _, x := range c.extensions {
		e.SetAttr(x.Key, x.Value)
		if x.Key == "cloudevents.severitytext" && e.Type == "log" {
			e.Severity = severityWord(x.Value)
		}
	}
	i := len(out.batch.Events) - 1 - n // describe is called from an envelope's last event to its first
	if c.id != "" && !out.named[i-out.first] {
		out.named[i-out.first] = true
		e.ID = pipeline.NewID("event", "cloudevents", c.source, c.id, strconv.Itoa(in.Line), strconv.Itoa(n))
	}
}

// content reads data of a known format, if it is. What cannot be read as that format after all is kept as a log event.
func (c *cloudEvent) content(in *Input, out *Out) bool {
	data := c.data
	if len(data) == 0 || !isJSON(data) && data[skipSpace(data)%len(data)] != '<' && !strings.HasPrefix(c.contentType, "text/") {
		return false
	}
	record := *in.Record // without what would make it an envelope again
	record.Headers = slices.DeleteFunc(slices.Clone(record.Headers), func(h pipeline.Header) bool {
		_, ce := cutHeader(h.Key)
		return ce || strings.EqualFold(h.Key, "content-type")
	})
	f := out.parser.recognise(newShape(&record, data))
	if f == nil || f.Name == "cloudevents" {
		return false
	}
	given := out.within(f, in.Line, &record, data)
	for n := range given {
		c.describe(&out.batch.Events[len(out.batch.Events)-1-n], in, out, n)
	}
	return given > 0
}

// own gives an event of tocsin's vocabulary. The keys of its data are columns of the event; others become attributes.
func (c *cloudEvent) own(in *Input, out *Out, typ string) error {
	e := out.Event(typ)
	e.Phase, e.Severity = phaseOf(typ), pipeline.SeverityInfo
	var wrong error
	if len(c.data) > 0 {
		if c.data[skipSpace(c.data)%len(c.data)] != '{' {
			return errors.New("data of a tocsin event must be a JSON object whose keys are fields of the event")
		}
		err := eachMember(c.data, func(key string, value []byte) {
			if err := setColumn(e, key, value); err != nil && wrong == nil {
				wrong = err
			}
		})
		if err = errors.Join(err, wrong); err != nil {
			return err
		}
	}
	if e.Metric == "" {
		e.Value = 0
	}
	if e.Disposition == 0 {
		switch typ {
		case "finding.blocked":
			e.Disposition = pipeline.DispositionBlocked
		case "approval.closed":
			setDecision(e, cdEventDecision(e.Attr("decision")))
		default:
			outcome := e.Outcome
			settleFinding(e)
			e.Outcome = first(outcome, e.Outcome)
		}
	}
	if strings.HasPrefix(typ, "campaign.") {
		e.Campaign = first(e.Campaign, c.subject)
	}
	e.Title = first(e.Title, strings.TrimSpace(typ+" "+c.subject))
	c.describe(e, in, out, 0)
	return nil
}

// setColumn sets the field of that column from JSON.
func setColumn(e *pipeline.Event, key string, value []byte) error {
	text := textOf(value)
	switch key {
	case "ingest_time", "source", "event_type", "class_uid", "raw", "kafka_topic", "kafka_partition", "kafka_offset", "event_id":
		return nil // ours to say
	case "attributes":
		return eachMember(value, func(k string, v []byte) { e.SetAttr(k, textOf(v)) })
	case "event_time":
		if e.Time = sane(parseTime(text)); e.Time.IsZero() && text != "" {
			return errors.New("data: event_time is no time")
		}
		return nil
	case "severity_id":
		if n, err := strconv.Atoi(text); err == nil && n >= 0 && n <= pipeline.SeverityFatal {
			e.Severity = uint8(n)
		} else if e.Severity = severityWord(text); e.Severity == pipeline.SeverityUnknown && !strings.EqualFold(text, "unknown") && text != "" {
			return errors.New("data: severity_id is none of 0 to 6")
		}
		return nil
	case "repo":
		text = repoOf(text)
	case "ref":
		text = refOf(text)
	case "phase", "team", "outcome", "net_scope", "host":
		text = strings.ToLower(text)
	}
	if text == "" {
		return nil
	}
	if len(value) > 0 && value[0] == '[' {
		var list Strings
		if err := list.UnmarshalJSON(value); err != nil {
			return errors.New("data: " + key + " is no list of texts")
		}
		text = strings.Join(list, ",")
	}
	if _, known := e.Field(key); !known {
		e.SetAttr(key, text)
		return nil
	}
	if e.SetField(key, text) != nil { // its error quotes the value
		return errors.New("data: " + key + " does not take the value that it is given")
	}
	return nil
}
