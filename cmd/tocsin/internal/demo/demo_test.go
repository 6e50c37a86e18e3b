package demo

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/correlate"
	"github.com/tocsin-project/tocsin/processors/parse"
	"github.com/tocsin-project/tocsin/processors/rule"
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

// TestStoryRaisesWhatItPromises runs the storyline through parser, rules and engine without Kafka and clock, in the order
// of its times: what must come out does, and nothing else.
func TestStoryRaisesWhatItPromises(t *testing.T) {
	parser, err := parse.New(parse.Config{})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := rule.Load(rule.Library())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules.Rules {
		if !slices.ContainsFunc(Promised, func(p Promise) bool { return p.Rule == r.ID }) {
			t.Errorf("%s has no part in the story", r.ID)
		}
	}
	matcher, engine := rules.NewMatcher(), correlate.New(rules, correlate.Config{})
	from := pipeline.TopicPartition{Topic: "story"}
	var out pipeline.Output
	raised := map[Promise]bool{}
	take := func(s *pipeline.Signal) {
		out.Reset(s.Time)
		engine.Process(s, &out)
		engine.Feed(&out)
		for _, a := range out.Alerts {
			raised[Promise{a.Rule, a.Team}] = true
		}
	}
	for i, r := range Story(origin, 1, 5) {
		b := &pipeline.Batch{TopicPartition: from, Records: []pipeline.Record{{Offset: int64(i), Time: origin.Add(r.At), Value: []byte(r.Value)}}}
		for k, v := range r.Headers {
			b.Records[0].Headers = append(b.Records[0].Headers, pipeline.Header{Key: k, Value: []byte(v)})
		}
		if err := errors.Join(parser.Process(context.Background(), b), matcher.Process(context.Background(), b)); err != nil {
			t.Fatal(err)
		}
		for j := range b.Signals {
			s := b.Signals[j].Clone()
			take(&s)
		}
		take(&pipeline.Signal{Kind: pipeline.SignalWatermark, Origin: from, Offset: int64(i), Time: origin.Add(r.At)})
	}
	for _, p := range Promised {
		if !raised[p] {
			t.Errorf("%s does not alert %s", p.Rule, p.Team)
		}
		delete(raised, p)
	}
	for p := range raised {
		t.Errorf("%s alerts %s, which nobody promised", p.Rule, p.Team)
	}
}
