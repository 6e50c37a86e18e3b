package pipeline

import (
	"fmt"
	"time"

	"github.com/segmentio/encoding/json"
)

// DeadLetter is a record, or a part of one, that could not become an event or a row: a record of tocsin.dlq and a row of
// tocsin.dead_letters. Topic, Partition, Offset and Seq tell dead letters apart, so a replay gives the same ones again.
type DeadLetter struct {
	Topic     string    `json:"kafka_topic"`
	Partition int32     `json:"kafka_partition"`
	Offset    int64     `json:"kafka_offset"`
	Seq       uint32    `json:"seq"`  // number of this refusal among those of the record, from 0
	Line      uint32    `json:"line"` // line within the record, from 1; 0 when all of it is meant
	Time      time.Time `json:"ts"`   // of the record, as Kafka has it

	Stage  string `json:"stage"`       // step that refused it: parse, rule, sink ...
	Source string `json:"source"`      // format that it was read as; empty when none was recognised
	Reason string `json:"reason"`      // what is wrong and, where it can be mended, how
	Rule   string `json:"rule_id"`     // rule that failed on it, if one did
	Column string `json:"column_name"` // column that refused a value, if one did
	Code   int32  `json:"code"`        // ClickHouse's error code, 0 where it was not ClickHouse
	Data   []byte `json:"data"`        // the refused part, redacted; base64 in JSON, for it need not be text
}

// EncodeDeadLetter returns the record's JSON.
func EncodeDeadLetter(d *DeadLetter) ([]byte, error) {
	b, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode dead letter of %s/%d offset %d: %w", d.Topic, d.Partition, d.Offset, err)
	}
	return b, nil
}

// DecodeDeadLetter reads what EncodeDeadLetter wrote. It shares no memory with b.
func DecodeDeadLetter(b []byte) (*DeadLetter, error) {
	var d DeadLetter
	if err := json.Unmarshal(b, &d); err != nil {
		return nil, fmt.Errorf("decode dead letter: %w", err)
	}
	return &d, nil
}
