package demo

import (
	"context"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/parse"
)

var origin = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// TestStoryIsReadWhole: the parser reads every record, each event has an id of its own, and all phases occur.
func TestStoryIsReadWhole(t *testing.T) {
	parser, err := parse.New(parse.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	phases := map[string]int{}
	offsets := map[string]int64{}
	for _, r := range Story(origin, 1, 20) {
		b := &pipeline.Batch{TopicPartition: pipeline.TopicPartition{Topic: r.Topic}, Records: []pipeline.Record{{
			Offset: offsets[r.Topic], Time: origin.Add(r.At), Value: []byte(r.Value),
		}}}
		offsets[r.Topic]++
		for k, v := range r.Headers {
			b.Records[0].Headers = append(b.Records[0].Headers, pipeline.Header{Key: k, Value: []byte(v)})
		}
		if err := parser.Process(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		for _, f := range b.Failures {
			t.Errorf("at %v in %s: %s: %s", r.At, r.Topic, f.Reason, f.Data)
		}
		for i := range b.Events {
			e := &b.Events[i]
			phases[e.Phase]++
			if before, seen := ids[e.ID.String()]; seen {
				t.Errorf("at %v: an event of %s has the id of %s", r.At, r.Value, before)
			}
			ids[e.ID.String()] = r.Value
		}
		if t.Failed() && len(ids) > 100 {
			break
		}
	}
	for _, p := range []string{"requirements", "writing", "testing", "packaging", "release", "deployment", "operation", "monitoring"} {
		if phases[p] == 0 {
			t.Errorf("no event of phase %s", p)
		}
	}
}

func TestStoryIsTheSameForTheSameSeed(t *testing.T) {
	a, b := Story(origin, 1, 5), Story(origin, 1, 5)
	if len(a) != len(b) {
		t.Fatal("lengths")
	}
	for i := range a {
		if a[i].Value != b[i].Value || a[i].At != b[i].At {
			t.Fatalf("record %d differs", i)
		}
	}
}
