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

// A rule over alerts that takes too much time is not judged any more either; detect counts what such rules do.
func TestSlowRuleOverAlertsIsQuarantined(t *testing.T) {
	over := func(f File) File {
		f.Data = bytes.Replace(f.Data, []byte("\nwhen:"), []byte("\nalerts: A\nwhen:"), 1)
		f.Data = bytes.Replace(f.Data, []byte(`ip(ev.SrcIP) + "|k"`), []byte("ev.Rule"), 1)
		return f
	}
	files := []File{matchRule("A", `ev.Host == "h"`), over(matchRule("SLOW", `any(ev.Labels, # matches "^(x|xx)*y$")`)), over(matchRule("QUICK", `ev.Host == "h"`))}
	live, err := NewLive(nil, func() (*Set, error) { return Load(files) }, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	labels := make([]string, 100)
	for i := range labels {
		labels[i] = strings.Repeat("x", 30)
	}
	m := live.Set().NewMatcher() // detect's
	alert := pipeline.Event{Time: time.Unix(9, 0), Rule: "A", Host: "h", Labels: labels}
	hear := func() (quick, quarantines int) {
		var b pipeline.Batch
		m.Hear("A", &alert, &b)
		for _, s := range b.Signals {
			switch {
			case s.Kind == pipeline.SignalQuarantine && s.Rule == "SLOW" && s.Time.Equal(alert.Time):
				quarantines++
			case s.Kind == pipeline.SignalMatch && s.Rule == "QUICK":
				quick++
			default:
				t.Fatalf("%+v", s)
			}
		}
		return quick, quarantines
	}
	alerts := uint64(1)
	for ; ; alerts++ {
		quick, quarantines := hear()
		if quick != 1 || alerts > 100_000 {
			t.Fatalf("after %d alerts the other rule matched %d times", alerts, quick)
		}
		if quarantines > 0 {
			break
		}
	}
	for range 10 {
		if quick, quarantines := hear(); quick != 1 || quarantines > 0 {
			t.Fatalf("quarantined: the other rule matched %d times, %d quarantines", quick, quarantines)
		}
	}
	if slow, quick := live.traffic.rules["SLOW"], live.traffic.rules["QUICK"]; slow.Evaluated != alerts || quick.Evaluated != alerts+10 || quick.Matched != alerts+10 {
		t.Errorf("%d alerts: counted %+v of the slow rule, %+v of the other", alerts, slow, quick)
	}
}
