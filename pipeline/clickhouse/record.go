package clickhouse

import (
	"maps"
	"slices"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
)

// recordSink writes what records hold as JSON, a row each, to a table of its own. It implements pipeline.Sink.
type recordSink[R any] struct {
	sink[R]
	decode func(*pipeline.Record) (*R, error)
}

// Append decodes the batch's records into the open chunk. A record that does not decode, or that has a word which its
// column does not know, is failed in the batch.
func (s *recordSink[R]) Append(b *pipeline.Batch) error {
	if s.closed {
		return ErrClosed
	}
	for i := range b.Records {
		row, err := s.decode(&b.Records[i])
		if err == nil {
			err = s.add(row, origin{offset: b.Records[i].Offset, millis: b.Records[i].Time.UnixMilli()})
		}
		if err != nil {
			b.Fail(pipeline.Failure{Record: i, Stage: "sink", Reason: err.Error(), Data: slices.Clone(b.Records[i].Value)})
		}
	}
	return nil
}

// AlertSink writes the records of tocsin.alerts.<team> to the table alerts.
type AlertSink struct{ recordSink[alert] }

// AlertSink returns a new sink.
func (db *DB) AlertSink() *AlertSink {
	return &AlertSink{recordSink[alert]{
		sink: sink[alert]{db: db, table: &alerts},
		decode: func(r *pipeline.Record) (*alert, error) {
			a, err := pipeline.DecodeAlert(r.Value)
			if err != nil {
				return nil, err
			}
			return &alert{a, r.Time}, nil
		},
	}}
}

// alert is a row of alerts.
type alert struct {
	*pipeline.Alert
	recorded time.Time // when Kafka got it
}

var alerts = table[alert]{name: "alerts", columns: []column[alert]{
	id("alert_id", func(a *alert) uuid.UUID { return a.ID }),
	u64("version", func(a *alert) uint64 { return a.Version }),
	millis("ts", func(a *alert) time.Time { return a.recorded }),
	millis("first_event_time", func(a *alert) time.Time { return a.FirstEventTime }),
	millis("last_event_time", func(a *alert) time.Time { return a.LastEventTime }),
	word("status", 1, []string{pipeline.StatusFiring, pipeline.StatusUpdated, pipeline.StatusSuppressed, pipeline.StatusAcked, pipeline.StatusResolved},
		func(a *alert) string { return a.Status }),
	word("team", 1, []string{pipeline.TeamDev, pipeline.TeamSec, pipeline.TeamOps, pipeline.TeamMon}, func(a *alert) string { return a.Team }),
	word("alert_class", 1, []string{pipeline.ClassNormal, pipeline.ClassSecRequested}, func(a *alert) string { return a.Class }),
	word("visibility", 1, []string{pipeline.VisibilityTeam, pipeline.VisibilitySecOnly}, func(a *alert) string { return a.Visibility }),
	low("rule_id", func(a *alert) string { return a.Rule }),
	u32("rule_version", func(a *alert) uint32 { return uint32(a.RuleVersion) }),
	u8("severity_id", func(a *alert) uint8 { return a.Severity }),
	u8("confidence", func(a *alert) uint8 { return a.Confidence }),
	array("phases", func() *proto.ColArr[int8] { return proto.NewArray(new(proto.ColInt8)) }, func(a *alert) []int8 { return a.Phases }),
	str("title", func(a *alert) string { return a.Title }),
	str("summary", func(a *alert) string { return a.Summary }),
	str("dedup_key", func(a *alert) string { return a.DedupKey }),
	str("incident_id", func(a *alert) string { return a.Incident }),
	low("requested_by", func(a *alert) string { return a.RequestedBy }),
	low("project", func(a *alert) string { return a.Project }),
	low("environment", func(a *alert) string { return a.Environment }),
	dict("entities", func() *text { return new(text) }, (*text).add, (*text).pick, func(a *alert) map[string]string { return a.Entities }),
	dict("metrics", func() *proto.ColFloat64 { return new(proto.ColFloat64) }, (*proto.ColFloat64).Append, pick[proto.ColFloat64], func(a *alert) map[string]float64 { return a.Metrics }),
	array("event_ids", func() *proto.ColArr[uuid.UUID] { return proto.NewArray(new(proto.ColUUID)) }, func(a *alert) []uuid.UUID { return a.EventIDs }),
	u32("event_count", func(a *alert) uint32 { return a.EventCount }),
	low("campaign_id", func(a *alert) string { return a.Campaign }),
	lows("attack_ids", func(a *alert) []string { return a.Attacks }),
	lows("labels", func(a *alert) []string { return a.Labels }),
	low("suppressed_by", func(a *alert) string { return a.SuppressedBy }),
	u32("detect_latency_ms", func(a *alert) uint32 { return a.DetectLatencyMS }),
	str("runbook", func(a *alert) string { return a.Links.Runbook }),
	str("dashboard", func(a *alert) string { return a.Links.Dashboard }),
	str("query", func(a *alert) string { return a.Links.Query }),
	u32("reopened", func(a *alert) uint32 { return a.Reopened }),
	low("changed_by", func(a *alert) string { return a.ChangedBy }),
	str("reason", func(a *alert) string { return a.Reason }),
	millis("until", func(a *alert) time.Time {
		if a.Until == nil {
			return time.Time{}
		}
		return *a.Until
	}),
	low("disposition", func(a *alert) string { return a.Disposition }),
}}

// ControlSink writes the records of tocsin.control to the table alert_controls.
type ControlSink struct{ recordSink[pipeline.Control] }

// ControlSink returns a new sink. What somebody says of a time that is not credible was said when Kafka got it.
func (db *DB) ControlSink() *ControlSink {
	return &ControlSink{recordSink[pipeline.Control]{
		sink: sink[pipeline.Control]{db: db, table: &controls},
		decode: func(r *pipeline.Record) (*pipeline.Control, error) {
			c, err := pipeline.DecodeControl(r.Value)
			if err != nil {
				return nil, err
			}
			c.Time, _ = clampTime(c.Time, r.Time)
			return c, nil
		},
	}}
}

var controls = table[pipeline.Control]{name: "alert_controls", columns: []column[pipeline.Control]{
	id("control_id", func(c *pipeline.Control) uuid.UUID { return c.ID }),
	millis("ts", func(c *pipeline.Control) time.Time { return c.Time }),
	low("action", func(c *pipeline.Control) string { return c.Action }),
	low("team", func(c *pipeline.Control) string { return c.Team }),
	low("said_by", func(c *pipeline.Control) string { return c.By }),
	str("reason", func(c *pipeline.Control) string { return c.Reason }),
	millis("until", func(c *pipeline.Control) time.Time { return c.Until }),
	id("alert_id", func(c *pipeline.Control) uuid.UUID { return c.Alert }),
	low("disposition", func(c *pipeline.Control) string { return c.Disposition }),
	id("silence_id", func(c *pipeline.Control) uuid.UUID { return c.Silence }),
	low("window", func(c *pipeline.Control) string { return c.Window }),
	low("rule_id", func(c *pipeline.Control) string { return c.Match.Rule }),
	low("project", func(c *pipeline.Control) string { return c.Match.Project }),
	low("environment", func(c *pipeline.Control) string { return c.Match.Environment }),
	str("entity", func(c *pipeline.Control) string { return c.Match.Entity }),
}}

// GrowthSink writes the records of tocsin.growth to the table db_growth.
type GrowthSink struct{ recordSink[pipeline.Growth] }

// GrowthSink returns a new sink. A sample whose time is not credible is stored at the time when Kafka got it.
func (db *DB) GrowthSink() *GrowthSink {
	return &GrowthSink{recordSink[pipeline.Growth]{
		sink: sink[pipeline.Growth]{db: db, table: &growth},
		decode: func(r *pipeline.Record) (*pipeline.Growth, error) {
			g, err := pipeline.DecodeGrowth(r.Value)
			if err != nil {
				return nil, err
			}
			g.Time, _ = clampTime(g.Time, r.Time)
			return g, nil
		},
	}}
}

var growth = table[pipeline.Growth]{name: "db_growth", columns: []column[pipeline.Growth]{
	millis("ts", func(g *pipeline.Growth) time.Time { return g.Time }),
	low("project", func(g *pipeline.Growth) string { return g.Project }),
	low("host", func(g *pipeline.Growth) string { return g.Host }),
	low("db_name", func(g *pipeline.Growth) string { return g.DBName }),
	low("db_object", func(g *pipeline.Growth) string { return g.DBObject }),
	u64("size_bytes", func(g *pipeline.Growth) uint64 { return g.SizeBytes }),
	i64("delta_bytes", func(g *pipeline.Growth) int64 { return g.DeltaBytes }),
	f64("rate_per_min", func(g *pipeline.Growth) float64 { return g.RatePerMin }),
	f64("doubling_min", func(g *pipeline.Growth) float64 { return g.DoublingMin }),
	f64("minutes_to_full", func(g *pipeline.Growth) float64 { return g.MinutesToFull }),
	f64("score", func(g *pipeline.Growth) float64 { return g.Score }),
	u64("attack_events", func(g *pipeline.Growth) uint64 { return g.AttackEvents }),
	word("state", 0, []string{"ok", "watch", "warn", "crit"}, func(g *pipeline.Growth) string { return g.State }),
}}

// DeadLetterSink writes the records of tocsin.dlq to the table dead_letters. Those that the server refuses have nowhere else
// to go: Flush returns a pipeline.Permanent then.
type DeadLetterSink struct {
	recordSink[pipeline.DeadLetter]
}

// DeadLetterSink returns a new sink.
func (db *DB) DeadLetterSink() *DeadLetterSink {
	return &DeadLetterSink{recordSink[pipeline.DeadLetter]{
		sink:   sink[pipeline.DeadLetter]{db: db, table: &deadLetters, last: true},
		decode: func(r *pipeline.Record) (*pipeline.DeadLetter, error) { return pipeline.DecodeDeadLetter(r.Value) },
	}}
}

var deadLetters = table[pipeline.DeadLetter]{name: "dead_letters", columns: []column[pipeline.DeadLetter]{
	millis("ts", func(d *pipeline.DeadLetter) time.Time { return d.Time }),
	low("kafka_topic", func(d *pipeline.DeadLetter) string { return d.Topic }),
	i32("kafka_partition", func(d *pipeline.DeadLetter) int32 { return d.Partition }),
	i64("kafka_offset", func(d *pipeline.DeadLetter) int64 { return d.Offset }),
	u32("seq", func(d *pipeline.DeadLetter) uint32 { return d.Seq }),
	u32("line", func(d *pipeline.DeadLetter) uint32 { return d.Line }),
	low("stage", func(d *pipeline.DeadLetter) string { return d.Stage }),
	low("source", func(d *pipeline.DeadLetter) string { return d.Source }),
	str("reason", func(d *pipeline.DeadLetter) string { return d.Reason }),
	low("rule_id", func(d *pipeline.DeadLetter) string { return d.Rule }),
	low("column_name", func(d *pipeline.DeadLetter) string { return d.Column }),
	i32("code", func(d *pipeline.DeadLetter) int32 { return d.Code }),
	str("data", func(d *pipeline.DeadLetter) string { return string(d.Data) }),
}}

// array is an Array of what ch-go has a column for.
func array[R, T any](name string, newArray func() *proto.ColArr[T], get func(*R) []T) column[R] {
	return column[R]{name: name, open: func() cell[R] {
		c := newArray()
		take := func(of []int) proto.ColInput {
			picked := newArray()
			for _, row := range of {
				picked.Append(c.Row(row))
			}
			return picked
		}
		return cell[R]{data: c, pick: take, add: func(r *R) { c.Append(get(r)) }, size: func() int { return 8*c.Rows() + 16*c.Data.Rows() }}
	}}
}

// dict is a Map(LowCardinality(String), V) made from a Go map, in the order of its keys: the same record gives the same
// row.
func dict[R, V any, C interface {
	proto.ColInput
	proto.Resettable
}](name string, newValues func() C, add func(C, V), of func(C, []int) C, get func(*R) map[string]V) column[R] {
	return column[R]{name: name, open: func() cell[R] {
		c := &pairs[C]{keys: &lists[*lowCard]{values: new(lowCard)}, values: newValues()}
		take := func(rows []int) proto.ColInput { return c.pick(rows, of) }
		return cell[R]{data: c, pick: take, size: func() int { return c.keys.size() + 16*c.values.Rows() }, add: func(r *R) {
			m := get(r)
			for _, key := range slices.Sorted(maps.Keys(m)) {
				c.keys.values.add(key)
				add(c.values, m[key])
			}
			c.keys.end()
		}}
	}}
}
