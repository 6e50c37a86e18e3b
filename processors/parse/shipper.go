package parse

import (
	"encoding/base64"
	"errors"
	"time"

	"github.com/segmentio/encoding/json"

	"github.com/tocsin-project/tocsin/pipeline"
)

// shipper reads what carries the records of other formats to Kafka: Fluent Bit, Filebeat and Vector, which put a line of a
// log into a member of a JSON object, Docker's json-file logs, and the messages of Google's Pub/Sub and of Amazon's SNS. What a
// format knows gives that format's events, under its name; what none knows is a log event.
// https://docs.fluentbit.io/manual/pipeline/inputs/tail, https://docs.docker.com/engine/logging/drivers/json-file/,
// https://cloud.google.com/pubsub/docs/push, https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
var shipper = Format{
	Name: "shipper", Title: "lines and messages that Fluent Bit, Filebeat, Vector, Docker, Pub/Sub or SNS carry", Phase: pipeline.PhaseOperation,
	Types: []string{"log"},
	Known: "JSON object whose log, message or Message is a text of another format; log beside stream or kubernetes; Pub/Sub's message with data",
	Frame: Values, Log: true,
	Match: func(s *Shape) bool {
		if !s.IsObject() || s.Raw("event", "category") != nil || s.Raw("event", "kind") != nil || s.Has("event.category") || s.Has("event.kind") {
			return false // ECS whose fields are filled in tells more than the line that they were read from
		}
		if s.Has("log", "stream") || s.Has("log", "kubernetes") {
			return s.Raw("log")[0] == '"'
		}
		if s.Raw("message", "data") != nil {
			return s.Raw("message", "messageId") != nil || s.Raw("message", "message_id") != nil
		}
		for _, key := range carrying {
			if v := s.Raw(key); len(v) > 1 && v[0] == '"' {
				return carriedFormat(s.formats, &pipeline.Record{}, []byte(textOf(v))) != nil
			}
		}
		return false
	},
	Parse: parseShipper,
}

// carrying are the members that hold what is carried.
var carrying = []string{"log", "message", "MESSAGE", "Message"}

// carriedFormat returns the format of what is carried, nil where none knows it. Metrics are not looked for: too much text
// looks like one.
func carriedFormat(formats []Format, record *pipeline.Record, data []byte) *Format {
	s := newShape(record, data)
	for i := range formats {
		if f := &formats[i]; f.Match != nil && f.Name != "shipper" && f.Types[0] != "metric" && f.Match(s) {
			return f
		}
	}
	return nil
}

// carried is one record and what its shipper says of it.
type carried struct {
	text    []byte
	record  pipeline.Record
	time    time.Time
	host    string
	id      string
	about   []pipeline.Attr
	encoded bool
}

func parseShipper(in *Input, out *Out) error {
	if in.Data[0] != '[' {
		return carriedEvent(in, out, in.Data)
	}
	var batch []json.RawMessage
	if err := decode(in.Data, &batch); err != nil {
		return err
	}
	for _, b := range batch {
		if err := carriedEvent(in, out, b); err != nil {
			return err
		}
	}
	return nil
}

func carriedEvent(in *Input, out *Out, b []byte) error {
	c := carried{record: pipeline.Record{Time: in.Time()}}
	if err := eachMember(b, c.set); err != nil {
		return err
	}
	if c.text == nil {
		return errors.New("shipper: neither log nor message is a text")
	}
	out.encoded = out.encoded || c.encoded
	given := 0
	if f := carriedFormat(out.parser.formats, &c.record, c.text); f != nil {
		given = out.within(f, in.Line, &c.record, c.text)
		if !f.Log && c.id == "" { // sent twice, a report is the same report
			c.id = alias(c.text)
		}
	}
	if given == 0 {
		e := out.Event("log")
		e.Title, e.Severity, e.Raw = oneLine(string(c.text), 300), pipeline.SeverityInfo, alias(b)
		given = 1
	}
	for n := range given {
		i := len(out.batch.Events) - given + n
		e := &out.batch.Events[i]
		if e.Time.IsZero() || e.Time.Equal(in.Time()) {
			e.Time = c.time
		}
		e.Host = first(e.Host, c.host)
		for _, a := range c.about {
			if e.Attr(a.Key) == "" {
				e.SetAttr(a.Key, a.Value)
			}
		}
		if c.id != "" && !out.named[i-out.first] {
			out.named[i-out.first] = true
			e.ID = pipeline.NewID("event", "shipper", c.id, positive(n))
		}
	}
	return nil
}

// set takes one member of the shipper's object.
func (c *carried) set(key string, value []byte) {
	switch key {
	case "log", "message", "MESSAGE", "Message":
		switch {
		case len(value) > 1 && value[0] == '"':
			c.text, c.encoded = []byte(textOf(value)), true
		case key == "log":
			c.note("log.file.path", member(member(value, "file"), "path"))
		case key == "message":
			_ = eachMember(value, c.setMessage)
		}
	case "time", "@timestamp", "timestamp", "date", "Timestamp":
		c.time = sane(parseTime(textOf(value)))
	case "host", "hostname", "host.name":
		if name := member(value, "name"); name != nil {
			value = name
		}
		c.host = hostOf(textOf(value))
	case "MessageId":
		c.id = textOf(value)
	case "stream":
		c.note("log.iostream", value)
	case "file", "filename", "log.file.path":
		c.note("log.file.path", value)
	case "subscription", "TopicArn":
		c.note("messaging.destination.name", value)
	case "kubernetes":
		c.note("k8s.pod.name", member(value, "pod_name"))
		c.note("k8s.namespace.name", member(value, "namespace_name"))
		c.note("k8s.container.name", member(value, "container_name"))
		c.host = first(c.host, hostOf(textOf(member(value, "host"))))
	}
}

// setMessage takes one member of a message of Pub/Sub. Its attributes stand for the headers that the sender set.
func (c *carried) setMessage(key string, value []byte) {
	switch key {
	case "data":
		if b, err := base64.StdEncoding.DecodeString(textOf(value)); err == nil {
			c.text, c.encoded = b, true
		}
	case "messageId", "message_id":
		c.id = textOf(value)
	case "publishTime", "publish_time":
		c.time = sane(parseTime(textOf(value)))
	case "attributes":
		_ = eachMember(value, func(name string, v []byte) {
			c.record.Headers = append(c.record.Headers, pipeline.Header{Key: name, Value: []byte(textOf(v))})
		})
	}
}

// note keeps what the shipper says of the record, if it is a text.
func (c *carried) note(key string, value []byte) {
	if len(value) > 2 && value[0] == '"' {
		c.about = append(c.about, pipeline.Attr{Key: key, Value: textOf(value)})
	}
}
