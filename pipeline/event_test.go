package pipeline

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/schemas"
)

// TestEventHasTheFieldsOfSchemas holds the struct and the list together: same names, same order.
func TestEventHasTheFieldsOfSchemas(t *testing.T) {
	var got, want []string
	typ := reflect.TypeFor[Event]()
	for i := range typ.NumField() {
		if f := typ.Field(i); f.IsExported() {
			got = append(got, f.Name)
		}
	}
	for _, f := range schemas.EventFields {
		want = append(want, f.Go)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("schemas.EventFields and pipeline.Event differ (-schemas +event):\n%s", diff)
	}
}

// TestEveryFieldIsSetReadAndPrinted sets every field by its column, reads it back and finds it in the JSON.
func TestEveryFieldIsSetReadAndPrinted(t *testing.T) {
	values := map[string]string{
		"event_id": "78fc6661-0ae3-5d12-89c1-360d96aeba10", "event_time": "2026-11-23T12:00:00.123Z", "ingest_time": "2026-11-23T12:00:01Z",
		"phase": "release", "team": "sec", "outcome": "failure", "net_scope": "egress",
		"class_uid": "2007", "severity_id": "4", "disposition_id": "2", "finding_key": "18446744073709551615", "bytes": "12",
		"vuln_ids": "CVE-1,GHSA-2", "attack_ids": "T1110", "labels": "flaky,chaos:1",
		"src_ip": "203.0.113.7", "dst_ip": "2001:db8::1", "metric_value": "1.5",
	}
	e := &Event{Phase: PhaseUnknown, Team: TeamNone, Outcome: OutcomeUnknown, NetScope: NetNone, Metric: "m"}
	for _, f := range schemas.EventFields {
		switch f.Column {
		case "attributes", "kafka_topic", "kafka_partition", "kafka_offset":
			if err := e.SetField(f.Column, "x"); err == nil {
				t.Errorf("%s can be set", f.Column)
			}
			continue
		}
		want, ok := values[f.Column]
		if !ok {
			want = "text of " + f.Column
		}
		if err := e.SetField(f.Column, want); err != nil {
			t.Fatal(err)
		}
		if got, ok := e.Field(f.Column); !ok || got != want {
			t.Errorf("%s: got %q, want %q", f.Column, got, want)
		}
	}
	if err := e.SetField("attributes.vcs.ref", "a\"b\n\x01�"); err != nil {
		t.Fatal(err)
	}
	e.Topic, e.Partition, e.Offset = "raw", 3, 42
	var printed map[string]any
	if err := json.Unmarshal(e.AppendJSON(nil), &printed); err != nil {
		t.Fatal(err)
	}
	for _, f := range schemas.EventFields {
		if _, ok := printed[f.Column]; !ok {
			t.Errorf("%s is missing in the JSON", f.Column)
		}
	}
	if got := printed["attributes"].(map[string]any)["vcs.ref"]; got != "a\"b\n\x01�" {
		t.Errorf("attribute %q", got)
	}
}

func TestSetFieldRefuses(t *testing.T) {
	e := &Event{}
	for column, value := range map[string]string{
		"nothing": "x", "phase": "cooking", "severity_id": "300", "src_ip": "300.1.1.1", "event_time": "yesterday", "event_id": "1", "metric_value": "many",
	} {
		if err := e.SetField(column, value); err == nil {
			t.Errorf("%s = %q was taken", column, value)
		}
	}
}

// TestNextGivesAnEmptyEvent: what an earlier batch left in the memory must not shine through.
func TestNextGivesAnEmptyEvent(t *testing.T) {
	b := &Batch{Records: []Record{{Offset: 5, Time: time.Unix(1, 0)}}}
	e := b.Next(0)
	e.Actor, e.Value, e.Vulns = "x", 1, append(e.Vulns, "CVE-1")
	e.SetAttr("k", "v")
	e.Drop("r")
	b.Reset()
	b.Records = append(b.Records, Record{Offset: 6, Time: time.Unix(2, 0)})
	e = b.Next(0)
	if e.Actor != "" || e.Value != 0 || len(e.Vulns) != 0 || len(e.Attrs) != 0 || e.Dropped() != "" || e.Offset != 6 {
		t.Fatalf("%+v", e)
	}
}

// TestNewIDIsAUUIDOfTheParts holds the id, which anybody can compute, to the definition.
func TestNewIDIsAUUIDOfTheParts(t *testing.T) {
	long := strings.Repeat("long ", 100)
	var prefix IDPrefix
	for _, parts := range [][]string{{"event", "syslog", "7"}, {"-12"}, {"event", long, "123456"}, {"", "", "0"}} {
		want := uuid.NewSHA1(namespace, []byte(strings.Join(parts, "\x00")+"\x00"))
		if got := NewID(parts...); got != want {
			t.Errorf("NewID(%q): got %v, want %v", parts, got, want)
		}
		n, err := strconv.Atoi(parts[len(parts)-1])
		if err != nil {
			t.Fatal(err)
		}
		prefix.Reset(parts[:len(parts)-1]...)
		prefix.ID(999999999) // leaves nothing behind
		if got := prefix.ID(n); got != want {
			t.Errorf("IDPrefix of %q: got %v, want %v", parts, got, want)
		}
	}
}

func TestNewIDKeepsPartsApart(t *testing.T) {
	if NewID("ab", "c") == NewID("a", "bc") {
		t.Fatal("ids of parts")
	}
	if v := NewID("a").Version(); v != 5 {
		t.Fatalf("version %d", v)
	}
}
