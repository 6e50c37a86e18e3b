package rule

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
)

// A rule that takes too much time is not judged any more, until it is changed; the others are judged as before.
func TestSlowRuleIsQuarantined(t *testing.T) {
	slow := matchRule("SLOW", `any(ev.Labels, # matches "^(x|xx)*y$")`)
	quick := matchRule("QUICK", `ev.Host == "h"`)
	files := []File{slow, quick}
	live, err := NewLive(nil, func() (*Set, error) { return Load(files) }, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	labels := make([]string, 100)
	for i := range labels {
		labels[i] = strings.Repeat("x", 30)
	}
	m := live.NewMatcher()
	judge := func() (quick int, quarantines []pipeline.Signal) {
		b := &pipeline.Batch{TopicPartition: pipeline.TopicPartition{Topic: "t"}}
		for i := range TimedEvery {
			b.Records = append(b.Records, pipeline.Record{Offset: int64(i), Time: time.Unix(int64(i), 0)})
			e := b.Next(i)
			e.Host, e.SrcIP, e.Labels = "h", netip.MustParseAddr("10.0.0.1"), labels
		}
		if err := m.Process(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		for _, s := range b.Signals {
			switch {
			case s.Kind == pipeline.SignalQuarantine:
				quarantines = append(quarantines, s)
			case s.Rule == "QUICK":
				quick++
			}
		}
		return quick, quarantines
	}
	until := func(what string) {
		t.Helper()
		for n := 1; ; n++ {
			quick, quarantines := judge()
			if quick != TimedEvery {
				t.Fatalf("%s: the other rule matched %d of %d events", what, quick, TimedEvery)
			}
			if len(quarantines) > 0 {
				if q := quarantines[0]; len(quarantines) != 1 || q.Rule != "SLOW" || q.Digest != live.Set().Rule("SLOW").Digest {
					t.Fatalf("%s: %+v", what, quarantines)
				}
				t.Logf("%s: quarantined after %d events", what, n*TimedEvery)
				return
			}
			if n == 1000 {
				t.Fatalf("%s: judged for %d events", what, n*TimedEvery)
			}
		}
	}
	evaluated := func() uint64 {
		live.mu.Lock()
		defer live.mu.Unlock()
		return live.traffic.rules["SLOW"].Evaluated
	}
	quiet := func(what string) {
		t.Helper()
		before := evaluated()
		if quick, quarantines := judge(); quick != TimedEvery || len(quarantines) > 0 || evaluated() != before {
			t.Fatalf("%s: the other rule matched %d events, %d quarantines, %d evaluations", what, quick, len(quarantines), evaluated()-before)
		}
	}
	reload := func() {
		set, err := Load(files)
		if err != nil {
			t.Fatal(err)
		}
		live.use(set)
	}
	until("at first")
	quiet("quarantined")
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(live)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "tocsin_rule_quarantined" {
			if got := fmt.Sprint(f.GetMetric()[0].GetGauge().GetValue(), f.GetMetric()[1].GetGauge().GetValue()); got != "0 1" {
				t.Errorf("tocsin_rule_quarantined of the other and the slow rule: %s", got)
			}
		}
	}
	files[1] = matchRule("QUICK", `ev.Host != ""`)
	reload()
	quiet("another rule was changed")
	files[0].Data = bytes.Replace(slow.Data, []byte("y$"), []byte("z$"), 1)
	reload()
	until("it was changed, but not mended")
	files[0] = matchRule("SLOW", `ev.Host == "x"`)
	reload()
	if _, quarantines := judge(); len(quarantines) > 0 {
		t.Error("quarantined though it was mended")
	}
	if got := fmt.Sprint(live.current.Load().quarantined); got != "[]" {
		t.Errorf("quarantined: %s", got)
	}
}
