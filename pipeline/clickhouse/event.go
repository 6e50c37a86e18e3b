package clickhouse

import (
	"net/netip"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/schemas"
)

// event is short for the getters below.
type event = pipeline.Event

// events is the table of events: one column for each of schemas.EventFields, in that order.
var events = table[event]{name: "events", columns: []column[event]{
	id("event_id", func(e *event) uuid.UUID { return e.ID }),
	millis("event_time", func(e *event) time.Time { return e.Time }),
	millis("ingest_time", func(e *event) time.Time { return e.IngestTime }),

	word("phase", 0, schemas.Phases, func(e *event) string { return e.Phase }),
	word("team", 0, schemas.Teams, func(e *event) string { return e.Team }),
	low("source", func(e *event) string { return e.Source }),
	low("event_type", func(e *event) string { return e.Type }),
	u16("class_uid", func(e *event) uint16 { return e.Class }),
	u8("severity_id", func(e *event) uint8 { return e.Severity }),
	word("outcome", 0, schemas.Outcomes, func(e *event) string { return e.Outcome }),
	u8("disposition_id", func(e *event) uint8 { return e.Disposition }),
	str("title", func(e *event) string { return e.Title }),

	low("project", func(e *event) string { return e.Project }),
	low("environment", func(e *event) string { return e.Environment }),
	low("service", func(e *event) string { return e.Service }),

	low("repo", func(e *event) string { return e.Repo }),
	str("ref", func(e *event) string { return e.Ref }),
	str("commit_sha", func(e *event) string { return e.Commit }),
	str("change_id", func(e *event) string { return e.Change }),

	low("pipeline", func(e *event) string { return e.Pipeline }),
	str("run_id", func(e *event) string { return e.Run }),
	low("task", func(e *event) string { return e.Task }),

	low("artifact", func(e *event) string { return e.Artifact }),
	str("artifact_digest", func(e *event) string { return e.Digest }),
	str("purl", func(e *event) string { return e.Purl }),

	low("rule_id", func(e *event) string { return e.Rule }),
	strs("vuln_ids", func(e *event) []string { return e.Vulns }),
	u64("finding_key", func(e *event) uint64 { return e.FindingKey }),

	low("actor", func(e *event) string { return e.Actor }),
	low("host", func(e *event) string { return e.Host }),
	ip("src_ip", func(e *event) netip.Addr { return e.SrcIP }),
	ip("dst_ip", func(e *event) netip.Addr { return e.DstIP }),
	low("dst_domain", func(e *event) string { return e.DstDomain }),
	word("net_scope", 0, schemas.NetScopes, func(e *event) string { return e.NetScope }),
	u64("bytes", func(e *event) uint64 { return e.Bytes }),

	low("db_name", func(e *event) string { return e.DBName }),
	low("db_object", func(e *event) string { return e.DBObject }),

	low("metric_name", func(e *event) string { return e.Metric }),
	f64("metric_value", func(e *event) float64 { return e.Value }),

	low("campaign_id", func(e *event) string { return e.Campaign }),
	strs("attack_ids", func(e *event) []string { return e.Attacks }),
	strs("labels", func(e *event) []string { return e.Labels }),

	attributes("attributes", func(e *event) []pipeline.Attr { return e.Attrs }),
	str("raw", func(e *event) string { return e.Raw }),

	low("kafka_topic", func(e *event) string { return e.Topic }),
	i32("kafka_partition", func(e *event) int32 { return e.Partition }),
	i64("kafka_offset", func(e *event) int64 { return e.Offset }),
}}

func attributes[R any](name string, get func(*R) []pipeline.Attr) column[R] {
	return column[R]{name: name, open: func() cell[R] {
		c := &pairs[*text]{keys: &lists[*lowCard]{values: new(lowCard)}, values: new(text)}
		take := func(of []int) proto.ColInput { return c.pick(of, (*text).pick) }
		return cell[R]{data: c, pick: take, size: func() int { return c.keys.size() + c.values.size() }, add: func(r *R) {
			for _, a := range get(r) {
				c.keys.values.add(a.Key)
				c.values.add(a.Value)
			}
			c.keys.end()
		}}
	}}
}

// EventSink writes a batch's events to the table events. It implements pipeline.Sink; like every sink it serves one
// worker, while all sinks of a DB share its connections.
type EventSink struct {
	sink[event]
	days  days
	row   event // the row whose time is mended
	label []string
}

// EventSink returns a new sink. It holds no connection and, while its chunk is empty, no memory to speak of.
func (db *DB) EventSink() *EventSink {
	return &EventSink{sink: sink[event]{db: db, table: &events, content: eventContent}}
}

// eventContent tells a dead letter what a row was read from.
func eventContent(b *block[event], row int) (source string, data []byte) {
	return string(b.value("source", row)), b.value("raw", row)
}

// Append copies the batch's events into the open chunk, but for those that were dropped. An event with a word that its
// column does not know is failed in the batch. event_time is stored as clampTime says; the batch's event keeps its own.
func (s *EventSink) Append(b *pipeline.Batch) error {
	if s.closed {
		return ErrClosed
	}
	if s.empty() {
		s.days.seen = s.days.seen[:0]
	}
	for i := range b.Events {
		e := &b.Events[i]
		if e.Dropped() != "" {
			continue
		}
		row := e
		if t, ok := s.days.clamp(e.Time, e.IngestTime); !ok {
			row = s.skewed(e, t)
		}
		if err := s.add(row, origin{e.Offset, e.IngestTime.UnixMilli(), dayOf(row.Time)}); err != nil {
			b.Fail(pipeline.Failure{Record: b.RecordIndex(e), Stage: "sink", Source: strings.Clone(e.Source), Reason: err.Error(), Data: []byte(e.Raw)})
		}
	}
	return nil
}

// labelSkewed marks a row whose event_time is not what its source said.
const labelSkewed = "clock-skew"

// skewed returns a copy of e at time t, with the label. It is valid until the next call.
func (s *EventSink) skewed(e *event, t time.Time) *event {
	s.row = *e
	s.row.Time = t
	if !e.HasLabel(labelSkewed) {
		s.label = append(append(s.label[:0], e.Labels...), labelSkewed)
		s.row.Labels = s.label
	}
	return &s.row
}
