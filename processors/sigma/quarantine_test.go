package sigma_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// TestSlowRuleIsQuarantined: a Sigma rule that takes too much time is not judged any more, and its team is told; the others are
// judged as before.
func TestSlowRuleIsQuarantined(t *testing.T) {
	d := detect(t, detection("slow", "words", "{'|re': '(x|xx)*[yz]q?$'}")+detection("quick", "words", "[xxx]"))
	live, err := rule.NewLive(nil, func() (*rule.Set, error) {
		return rule.LoadWith(nil, rule.Judged{Rules: d.Rules(), Matcher: func(m *rule.Matcher) pipeline.Processor { return d.Watched(m) }})
	}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	m := live.NewMatcher()
	raw := "y" + strings.Repeat("x", 5_000) + "y"
	told, after := "", 0
	for n := 0; after < 3; n++ {
		if n == 1000 {
			t.Fatal("nothing is quarantined")
		}
		b := &pipeline.Batch{}
		for i := range rule.TimedEvery {
			text := raw
			if i+1 < rule.TimedEvery { // the last one is timed
				text = "xxxy"
			}
			event(t, b, "event_type", "api.call", "raw", text).Time = time.Unix(1e9, 0)
		}
		if err := m.Process(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for _, s := range b.Signals {
			if s.Kind == pipeline.SignalQuarantine {
				told = s.Rule
				continue
			}
			got[s.Rule]++
		}
		if want := rule.TimedEvery; got["quick"] != want {
			t.Fatalf("quick matched %d of %d events", got["quick"], want)
		}
		if told == "" {
			continue
		}
		if after++; told != "slow" || after > 1 && got["slow"] > 0 {
			t.Fatalf("%s is quarantined; matches afterwards: %s", told, fmt.Sprint(got))
		}
	}
}
