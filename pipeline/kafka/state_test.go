package kafka

import (
	"bytes"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap/zaptest"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/correlate"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// TestReadState: what an engine wrote of its state is shown, whichever partition it lies on.
func TestReadState(t *testing.T) {
	cfg := broker(t)
	set, err := rule.Load([]rule.File{{Name: "g.yaml", Data: []byte(`
id: G
title: t
why: w
kind: growth
key: ev.Host
sample: {when: ev.Type == "db.size", value: ev.Value, series: ev.Host}
evidence: {when: ev.Type == "auth.failed"}
subscriptions: [{team: sec, severity: 4}]
alert: {title: t, summary: s}
`)}})
	if err != nil {
		t.Fatal(err)
	}
	start := func(int, int) pipeline.Correlator { return correlate.New(set, correlate.Config{}) }
	producer := client(t, cfg, kgo.RecordPartitioner(partitioner{Partitioner: kgo.StickyKeyPartitioner(nil)}))
	for n, host := range []string{"db-a", "db-b"} {
		e := start(n, 2)
		r := set.Rule("G")
		s := pipeline.Signal{Kind: pipeline.SignalMatch, Rule: "G", Version: 1, Digest: r.Digest, Key: host, Time: time.Now(), Values: make([]string, rule.SampleNetIn+1)}
		s.Values[rule.SampleValue], s.Values[rule.SampleSeries] = "5e9", host
		for i := range r.Steps {
			if r.Steps[i].Role == rule.RoleSample {
				s.Step = i
			}
		}
		e.Process(&s, &pipeline.Output{Now: time.Now()})
		e.Dirty(func(key, value []byte) {
			if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: StateTopic, Partition: int32(n), Key: bytes.Clone(key), Value: bytes.Clone(value)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		})
	}
	var got [][2]string
	err = ReadState(t.Context(), cfg, zaptest.NewLogger(t), start, func(c pipeline.Correlator) error {
		got = append(got, c.(*correlate.Engine).Learned()...)
		return nil
	})
	if err != nil || len(got) != 2 || got[0] != [2]string{"G", "db-a"} || got[1] != [2]string{"G", "db-b"} {
		t.Errorf("read %v: %v", got, err)
	}
}
